"""Every reading endpoint over a fake control plane."""

import pytest

from sdp.api.problems import MEDIA_TYPE
from sdp.api.views import Condition
from sdp.protocol.actions import Limits
from sdp.protocol.report import Container, Engine, NodeReport, Repository
from sdp.spec.select import Selection
from tests.fakes.control_plane import FILES, NOW, change, plan, sandbox


def test_sandboxes_are_paged_by_name_and_none_is_left_out(control, client):
    names = [f"QA-{number}" for number in range(7)]
    control.plane.known = {name.lower(): sandbox(name) for name in reversed(names)}
    seen, cursor = [], ""
    while True:
        page = client.get("/api/sandboxes", params={"limit": 3, "cursor": cursor}).json()
        seen += [each["name"] for each in page["sandboxes"]]
        assert page["total"] == 7
        if not (cursor := page["following"]):
            break
    assert seen == names


def test_sandboxes_are_found_by_part_of_name_or_owner(control, client):
    control.plane.known = {"a": sandbox("QA-A"), "b": sandbox("DEV-B", owner="Sari")}
    assert [s["name"] for s in client.get("/api/sandboxes?q=sar").json()["sandboxes"]] == ["DEV-B"]
    assert [s["name"] for s in client.get("/api/sandboxes?q=qa").json()["sandboxes"]] == ["QA-A"]


def test_list_names_the_revision_and_the_event_to_follow_from(control, client):
    control.journal.append("one")
    page = client.get("/api/sandboxes").json()
    assert (page["revision"], page["seq"]) == (control.plane.revision, 1)
    assert page["branch"] == "main"


def test_a_sandbox_is_shown_by_its_name_in_any_case(client):
    assert client.get("/api/sandboxes/Qa-One").json()["name"] == "QA-ONE"


@pytest.mark.parametrize("part", ["", "/plan", "/routes", "/usage"])
def test_an_unknown_sandbox_is_a_problem_document_with_a_fix(client, part):
    answer = client.get(f"/api/sandboxes/NOPE{part}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == MEDIA_TYPE
    document = answer.json()
    assert set(document) == {"type", "title", "status", "detail", "fix"}
    assert document["type"] == "urn:sdp:problem:no-such-sandbox"
    assert document["fix"]


def test_an_unknown_path_and_a_wrong_parameter_are_problem_documents(client):
    for path, status in (("/api/nope", 404), ("/api/sandboxes?limit=0", 422)):
        answer = client.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (status, MEDIA_TYPE)
        assert answer.json()["fix"]


def test_a_bug_is_a_problem_document_that_tells_no_insides(control, client):
    def broken() -> None:
        raise RuntimeError("canary")

    control.plane.on_read = broken
    answer = client.get("/api/sandboxes")
    assert (answer.status_code, answer.headers["content-type"]) == (500, MEDIA_TYPE)
    assert "canary" not in answer.text


def test_plan_of_a_sandbox_is_shown(control, client):
    control.plane.plan = plan(change())
    assert client.get("/api/sandboxes/qa-one/plan").json()["changes"] is True


def test_history_is_the_sandboxs_deployments_and_outlives_it(control, client):
    assert client.get("/api/sandboxes/qa-one/history").json()["deployments"][0]["id"] == "d-1"
    assert client.get("/api/sandboxes/GONE/history").status_code == 200
    assert [query[0] for query in control.journal.queries] == ["QA-ONE", "GONE"]


def test_environments_show_names_and_never_a_value(client):
    answer = client.get("/api/environments")
    shown = answer.json()[0]
    assert (shown["variables"], shown["secrets"]) == (["MODE"], ["TOKEN"])
    assert shown["used_by"] == ["QA-ONE"]
    assert "ENC[" not in answer.text


def test_templates_are_listed(client):
    assert client.get("/api/templates").json()[0]["name"] == "BASE"


def test_nodes_that_never_reported_are_listed_as_not_connected(control, client):
    report = NodeReport(engine=Engine(version="27.1"), images={"alpine:3.20": "sha256:1"})
    control.observe("micro-92", report)
    shown = {each["id"]: each for each in client.get("/api/nodes").json()}
    assert shown["micro-92"]["connected"] is True
    assert shown["micro-92"]["engine_version"] == "27.1"
    assert shown["gateway-91"]["connected"] is False


def test_branches_are_those_that_were_looked_at_last(control, client):
    old = Repository(branches={"old": "1"}, present=(), error="", checked_at=None)
    new = Repository(branches={"main": "2"}, present=(), error="", checked_at=NOW)
    control.observe("gateway-91", NodeReport(repositories={"account": old}))
    control.observe("micro-92", NodeReport(repositories={"account": new}))
    assert client.get("/api/repositories").json()[0]["nodes"] == ["gateway-91", "micro-92"]
    shown = client.get("/api/repositories/account/branches").json()
    assert shown["branches"] == [{"name": "main", "commit": "2"}]
    assert client.get("/api/repositories/nope/branches").status_code == 404


def test_deployments_are_filtered_and_shown(control, client):
    query = {"sandbox": "QA-ONE", "service": "account", "status": "FAILED", "limit": 5}
    assert client.get("/api/deployments", params=query).status_code == 200
    assert control.journal.queries == [("QA-ONE", "account", "FAILED", 5, "")]
    assert client.get("/api/deployments/d-1").json()["id"] == "d-1"
    assert client.get("/api/deployments/d-2").status_code == 404


def test_validate_names_every_problem_with_its_place(client):
    files = FILES | {"sandboxes/bad.yaml": "sandbox: BAD\nservices: {acount: {branch: x}}\n"}
    answer = client.post("/api/validate", json={"files": files}).json()
    assert answer["valid"] is False
    assert ("sandboxes/bad.yaml", 2) in {(p["path"], p["line"]) for p in answer["problems"]}


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"allow_deletes": -1}, 422),
        ({"allow_deletes": 10**6}, 422),
        ({"sandboxes": "QA-ONE"}, 422),
        ({"sandbox": "QA-ONE"}, 422),
        ({"sandboxes": ["NOBODY"]}, 404),
    ],
)
def test_a_plan_that_cannot_be_asked_for_is_refused(control, client, asked, status):
    answer = client.post("/api/plan", json={"files": {}, **asked})
    assert answer.status_code == status
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert control.plane.previewed == []


def test_plan_is_asked_with_the_files_and_what_to_show_of_it(control, client):
    control.plane.plan = plan(change())
    asked = {"sandboxes": ["QA-ONE"], "services": ["account"], "exclude": ["qa-two"]}
    answer = client.post("/api/plan", json={"files": {"a": "b"}, **asked, "allow_deletes": 2})
    assert answer.json()["text"] == "Plan: 1 to add.\n"
    assert control.plane.previewed == [
        ({"a": "b"}, Selection.of(["qa-one"], ["account"], ["QA-TWO"]), 2)
    ]


def test_sync_answers_with_the_nonce_to_wait_for(control, client):
    answer = client.post("/api/sandboxes/qa-one/sync")
    assert (answer.status_code, answer.json()) == (202, {"sandbox": "QA-ONE", "nonce": "n1"})
    assert control.plane.asked == ["QA-ONE"]


def test_ready_only_while_nothing_is_wrong_and_says_what_is(control, client):
    assert client.get("/readyz").json() == {"ready": True, "reasons": []}
    control.plane.reasons = (Condition(reason="ConfigRepoMissing", message="m", fix="f"),)
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["reasons"][0]["fix"]) == (503, "f")
    assert client.get("/healthz").status_code == 200


def test_openapi_describes_every_answer(client):
    paths = client.get("/openapi.json").json()["paths"]
    for path, methods in paths.items():
        for method, operation in methods.items():
            ok = next(code for code in operation["responses"] if code.startswith("2"))
            assert operation["responses"][ok].get("content"), f"{method} {path}"


def test_containers_of_a_node_name_its_sandboxes(control, client):
    container = Container(
        id="c", name="sandbox-qa-one-account", sandbox="QA-ONE", service="account",
        commit="1", branch="main", hash="h", peers="", generation="g", deployment="d",
        image="i", state="running", exit_code=0, restarts=0, host_port=9001, admitted=True,
        limits=Limits(), health="healthy", reason="", started_at=NOW,
    )  # fmt: skip
    control.observe("micro-92", NodeReport(containers={"c": container}))
    assert client.get("/api/nodes").json()[0]["sandboxes"] == ["QA-ONE"]
