"""What changes something without a commit: a cancel, a restart; and what is asked of nodes."""

import pytest

from sdp.api import node_views, views
from sdp.api.app import VERSION
from sdp.api.problems import ProblemError
from sdp.protocol.report import EngineFacts, Listener, NodeReport, Tool
from tests.fakes.control_plane import FakeControlPlane, sandbox
from tests.unit.api.test_container_logs import shown


@pytest.fixture
def control() -> FakeControlPlane:
    made = FakeControlPlane()
    made.plane.known = {"qa-one": shown("a")}
    return made


def test_a_cancel_is_of_a_sandbox_or_of_one_service(control, client):
    assert client.post("/api/sandboxes/qa-one/cancel").status_code == 200
    assert client.post("/api/sandboxes/qa-one/cancel", json={}).status_code == 200
    body = {"service": "account"}
    assert client.post("/api/sandboxes/qa-one/cancel", json=body).status_code == 200
    assert control.plane.asked == ["cancel QA-ONE", "cancel QA-ONE", "cancel QA-ONE account"]


def test_a_restart_is_of_a_sandbox_or_of_one_service(control, client):
    answer = client.post("/api/sandboxes/qa-one/restart")
    assert (answer.status_code, answer.json()["nonce"]) == (202, "n1")
    body = {"service": "account"}
    assert client.post("/api/sandboxes/qa-one/restart", json=body).status_code == 202
    assert control.plane.asked == ["restart QA-ONE", "restart QA-ONE account"]


def test_what_expired_is_not_synced_but_extended(control, client):
    expired = views.LifecycleView(state="EXPIRED")
    control.plane.known["qa-one"] = sandbox(lifecycle=expired, health_message="expired since May")
    answer = client.post("/api/sandboxes/qa-one/sync")
    assert (answer.status_code, answer.json()["detail"]) == (409, "expired since May")
    assert answer.json()["fix"] == "wake it: sdp extend QA-ONE"
    assert control.plane.asked == []


@pytest.mark.parametrize("verb", ["cancel", "restart"])
@pytest.mark.parametrize(
    ("name", "body", "status"),
    [
        ("nope", {}, 404),
        ("qa-one", {"service": "acount"}, 404),
        ("qa-one", {"servcie": "account"}, 422),
        ("qa-one", {"service": 7}, 422),
    ],
)
def test_what_is_named_wrongly_is_a_problem_and_asks_nothing(
    control, client, verb, name, body, status
):
    answer = client.post(f"/api/sandboxes/{name}/{verb}", json=body)
    assert answer.status_code == status
    assert answer.json()["fix"]
    assert control.plane.asked == []


def test_an_update_is_of_a_sandbox_or_of_one_service(control, client):
    made = views.UpdatedService(service="account", branch="b", before="1" * 40, after="2" * 40)
    control.plane.updated = views.Updated(sandbox="QA-ONE", services=(made,))
    answer = client.post("/api/sandboxes/qa-one/update")
    assert (answer.status_code, answer.json()["services"]) == (200, [made.model_dump()])
    body = {"service": "account"}
    assert client.post("/api/sandboxes/qa-one/update", json=body).status_code == 200
    assert control.plane.asked == ["update QA-ONE", "update QA-ONE account"]


def test_why_nothing_is_updated_is_a_conflict_with_its_reason(control, client):
    control.plane.updated = ProblemError(409, "not-updated", "NothingNew", "nothing newer", "push")
    answer = client.post("/api/sandboxes/qa-one/update")
    assert (answer.status_code, answer.json()["title"]) == (409, "NothingNew")
    for name, body, status in (("nope", {}, 404), ("qa-one", {"service": "acount"}, 404)):
        assert client.post(f"/api/sandboxes/{name}/update", json=body).status_code == status


def test_the_examination_carries_the_version_and_the_time(control, client):
    found = node_views.Finding(severity="error", node="n", kind="disk", message="m", fix="f")
    control.plane.findings = (found,)
    told = client.get("/api/doctor").json()
    assert told["version"] == VERSION
    assert told["now"]
    assert told["findings"] == [found.model_dump()]


def test_a_node_is_shown_with_its_ports_and_facts(control, client):
    facts = {
        "tool/go": Tool(version=""),
        "engine": EngineFacts(api="1.41", networks=31, strange=2),
    }
    report = NodeReport(listeners={"9005": Listener(owner="nginx")}, facts=facts)
    control.observe("micro-92", report)
    told = client.get("/api/nodes/micro-92").json()
    assert told["ports"] == [{"port": 9005, "party": "nginx"}]
    assert told["facts"] == [
        {"name": "engine", "says": "API 1.41, room for 31 networks, 2 taken by others"},
        {"name": "tool/go", "says": "missing"},
    ]
    assert client.get("/api/nodes/gateway-91").json()["connected"] is False
    answer = client.get("/api/nodes/micro-9")
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:sdp:problem:no-such-node")
