"""The audit over HTTP: filtered, paged, exported, verified; and what requests leave in it."""

import dataclasses
import datetime
import json

import pytest

from sdp.api.audit_views import ActView
from sdp.reconciler import chain
from sdp.reconciler.audit import Act
from tests.fakes.control_plane import NOW, FakeControlPlane


async def filled(control: FakeControlPlane, count: int = 3) -> None:
    later = [NOW + datetime.timedelta(minutes=number) for number in range(count)]
    await control.audit.record([Act(at, "LOGIN", "done", "sari", "login") for at in later])


async def test_acts_are_paged_newest_first_with_their_hashes(control, client):
    await filled(control)
    first = client.get("/api/audit?limit=2").json()
    assert [each["seq"] for each in first["acts"]] == [3, 2]
    last = client.get("/api/audit", params={"cursor": first["following"]}).json()
    assert ([each["seq"] for each in last["acts"]], last["following"]) == ([1], "")
    assert last["acts"][0]["hash"] == control.audit.kept[0].hash


async def test_every_filter_is_asked_for(control, client):
    said = {
        "user": "sari",
        "kind": "ROUTE_CHANGE",
        "status": "failed",
        "sandbox": "qa",
        "service": "account",
        "repository": "r",
        "branch": "b",
        "environment": "e",
        "since": NOW,
        "until": NOW,
        "text": "t",
    }
    times = {"since": NOW.isoformat(), "until": NOW.isoformat()}
    assert client.get("/api/audit", params={**said, **times}).status_code == 200
    assert [dataclasses.asdict(each) for each in control.audit.asked] == [said]


@pytest.mark.parametrize(
    "query",
    [
        "cursor=x",
        "cursor=-1",
        "kind=NOPE",
        "status=NOPE",
        "since=now",
        "since=2026-01-01T00:00",
        "limit=501",
        f"text={'x' * 301}",
    ],
)
async def test_what_cannot_be_meant_is_refused(client, query):
    answer = client.get(f"/api/audit?{query}")
    assert answer.status_code == 422
    assert answer.json()["fix"]


async def test_an_export_is_a_chain_that_verifies_elsewhere(control, client):
    await filled(control)
    lines = client.get("/api/audit/export").text.splitlines()
    acts = [ActView.model_validate_json(each) for each in lines]
    assert [each.hash for each in acts] == [each.hash for each in control.audit.kept]
    assert client.get("/api/audit/export?after=2").text.splitlines() == lines[2:]
    since = {"since": (NOW + datetime.timedelta(minutes=1)).isoformat()}
    assert client.get("/api/audit/export", params=since).text.splitlines() == lines[1:]


async def test_a_verdict_names_what_is_wrong(control, client):
    await filled(control)
    good = client.get("/api/audit/verify").json()
    assert good["ok"]
    assert (good["rows"], good["first"], good["last"]) == (3, 1, 3)
    assert good["hash"] == control.audit.kept[-1].hash
    control.audit.anchor = chain.Head(9, "0" * 64)
    bad = client.get("/api/audit/verify").json()
    assert not bad["ok"]
    assert bad["findings"][0]["message"].startswith("rows 4 to 9 are missing")


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("sandboxes/qa-one/sync", None, ("sync", "QA-ONE", "")),
        ("sandboxes/qa-one/restart", None, ("restart", "QA-ONE", "")),
        ("sandboxes/qa-one/cancel", None, ("cancel", "QA-ONE", "")),
        ("sandboxes/qa-one/update", None, ("update", "QA-ONE", "")),
        ("gc", None, ("gc", "", "")),
    ],
)
async def test_a_request_that_leaves_no_commit_is_one_act(control, client, path, body, expected):
    assert client.post(f"/api/{path}", json=body).is_success
    kept = [(each.action, each.sandbox, each.service) for each in control.audit.acts]
    assert kept == [expected]
    assert (control.audit.acts[0].kind, control.audit.acts[0].status) == ("REQUEST", "done")


async def test_a_request_that_is_not_done_is_no_act(control, client):
    assert client.post("/api/sandboxes/nobody/restart").status_code == 404
    assert not control.audit.acts


def test_a_row_can_be_read_by_programs(client):
    assert json.loads(client.get("/api/audit").text) == {"acts": [], "following": ""}
