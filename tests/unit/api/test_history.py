"""What sandboxes ran over HTTP: snapshots with their commits, and what a rollback would bring."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from sdp.api import views
from sdp.api.app import create_app
from sdp.api.past import SandboxPast
from sdp.reconciler.snapshots import Snapshot
from tests.fakes.control_plane import NOW, PINS, FakeControlPlane, sandbox, tree
from tests.unit.config_repo import SANDBOX, commit, head, others, serve

ASLEEP = views.LifecycleView(state="SUSPENDED")
NAMED = f"""\
snapshot: GOOD
sandbox: qa-one
taken_at: 2026-03-04T12:00:00Z
revision: {"c" * 40}
gateway: {{branch: develop, commit: {"a" * 40}}}
services: {{account: {{branch: feature/a, commit: {"b" * 40}}}}}
"""


class World:
    """A sandbox with a past: its config repo has three commits, and two snapshots are kept."""

    def __init__(self, folder: Path) -> None:
        self.bare = serve(folder)
        self.commits = [head(self.bare)]
        self.commits.append(others(self.bare, "sandboxes/one.yaml", SANDBOX.replace("/a", "/b")))
        self.commits.append(others(self.bare, "templates/more.yaml", "template: MORE\n"))
        other = PINS.model_copy(update={"services": {}})
        self.kept = [
            Snapshot("qa-one", 8, NOW, self.commits[2], PINS, {}),
            Snapshot("qa-one", 7, NOW, self.commits[1], other, {}),
        ]
        self.control = FakeControlPlane()
        self.control.plane.specs = tree({"snapshots/good.yaml": NAMED})
        self.past = SandboxPast(self.bare, self.control.plane, self._of)

    async def _of(self, name: str) -> list[Snapshot]:
        return [each for each in self.kept if each.sandbox == name]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def client(world: World) -> TestClient:
    ports = dataclasses.replace(world.control.ports, past=world.past)
    return TestClient(create_app(ports), raise_server_exceptions=False)


def target(client: TestClient, word: str) -> Any:
    return client.get(f"/api/sandboxes/qa-one/snapshots/{word}").json()


def test_history_tells_commits_changes_names_and_which_one_runs(client):
    told = client.get("/api/sandboxes/qa-one/history").json()
    assert [each["number"] for each in told["snapshots"]] == [8, 7]
    newest, oldest = told["snapshots"]
    assert (newest["current"], oldest["current"]) == (True, False)
    assert (newest["names"], oldest["names"]) == (["GOOD"], [])
    assert newest["commit"]["subject"] == "Change templates/more.yaml"
    assert newest["changes"] == [
        {"what": "account", "before": "none", "after": "feature/a @bbbbbbb"}
    ]
    assert oldest["changes"] == []
    assert told["deployments"][0]["id"] == "d-1"


def test_a_sandbox_that_is_not_in_sync_or_sleeps_runs_none_of_them(world, client):
    for changes in ({"sync": "Applying"}, {"lifecycle": ASLEEP}):
        world.control.plane.known = {"qa-one": sandbox(**changes)}
        told = client.get("/api/sandboxes/qa-one/history").json()
        assert [each["current"] for each in told["snapshots"]] == [False, False]


def test_history_outlives_the_sandbox(world, client):
    world.control.plane.known = {}
    told = client.get("/api/sandboxes/QA-ONE/history").json()
    assert [each["number"] for each in told["snapshots"]] == [8, 7]


def test_what_never_ran_has_an_empty_history(client):
    answer = client.get("/api/sandboxes/QA-NEVER/history")
    assert (answer.status_code, answer.json()["snapshots"]) == (200, [])


def test_a_snapshot_is_found_by_name_and_by_number(client):
    pins = PINS.model_dump(mode="json")
    for word, to in (("good", "GOOD"), ("%238", "#8"), ("8", "#8")):
        assert target(client, word) == {"to": to, "note": "", "pins": pins, "text": ""}


def test_a_commit_means_what_ran_when_it_was_applied(world, client):
    newest, changed, first = (target(client, sha[:7]) for sha in reversed(world.commits))
    assert newest["to"] == f"{world.commits[2][:7]} (#8)"
    assert changed["to"] == f"{world.commits[1][:7]} (#7)"
    assert (first["to"], first["pins"], first["text"]) == (world.commits[0][:7], None, SANDBOX)
    assert "branches are at their tips" in first["note"]


@pytest.mark.parametrize(
    ("word", "status", "why"),
    [
        ("nope", 404, "no snapshot 'nope' of QA-ONE"),
        ("%239", 404, "There is no snapshot '#9'"),
        ("deadbee", 404, "no such commit"),
    ],
)
def test_what_is_not_there_is_a_problem_with_its_fix(client, word, status, why):
    answer = client.get(f"/api/sandboxes/qa-one/snapshots/{word}")
    assert answer.status_code == status
    assert why in answer.json()["detail"]
    assert "sdp history QA-ONE" in answer.json()["fix"]


def test_another_sandboxs_snapshot_is_refused(world, client):
    world.control.plane.known = {"qa-two": sandbox("QA-TWO")}
    answer = client.get("/api/sandboxes/qa-two/snapshots/GOOD")
    assert answer.status_code == 409
    assert answer.json()["detail"] == "The snapshot GOOD was taken of qa-one, not of QA-TWO."
    assert "sdp new NAME --snapshot GOOD" in answer.json()["fix"]


def test_a_commit_before_the_sandbox_is_told(world, client):
    clone = world.bare.parent / "first"
    world.control.plane.known = {"qa-new": sandbox("QA-NEW")}
    commit(clone, {"sandboxes/new.yaml": "sandbox: QA-NEW\n"})
    answer = client.get(f"/api/sandboxes/qa-new/snapshots/{world.commits[0]}")
    assert answer.json()["detail"] == f"QA-NEW was not there at {world.commits[0][:7]}"


def test_named_snapshots_are_listed_all_or_of_one_sandbox(client):
    assert [each["name"] for each in client.get("/api/snapshots").json()] == ["GOOD"]
    assert client.get("/api/snapshots?sandbox=qa-two").json() == []
