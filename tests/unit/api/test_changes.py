"""Changes over HTTP: a commit in a person's name on a real config repo, or a problem document."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from sdp.api.app import create_app
from sdp.api.config_repo import ConfigRepo
from sdp.api.people import Caller, caller
from sdp.reconciler.removal import Removal
from sdp.reconciler.source import Source
from sdp.spec.roles import Person
from tests.fakes.control_plane import FakeControlPlane
from tests.unit.agent.repositories import git
from tests.unit.config_repo import FILES, head, others, serve

SARI = Caller(Person("sari", "BACKEND"))
OWNER = {"edit": "set", "name": "QA-ONE", "path": ["owner"], "value": "sari"}


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    return serve(tmp_path)


@pytest.fixture
def changes(control: FakeControlPlane, bare: Path, tmp_path: Path) -> ConfigRepo:
    return ConfigRepo(Source(str(bare), "main", tmp_path / "data"), control.plane.preview)


@pytest.fixture
def client(control: FakeControlPlane, changes: ConfigRepo) -> TestClient:
    ports = dataclasses.replace(control.ports, changes=changes)
    return logged_in(create_app(ports), SARI)


def logged_in(app: FastAPI, who: Caller) -> TestClient:
    app.dependency_overrides[caller] = lambda: who
    return TestClient(app, raise_server_exceptions=False)


def post(client: TestClient, *edits: object, **more: object) -> Any:
    return client.post("/api/changes", json={"edits": edits, **more})


def test_edits_become_a_commit_in_the_name_of_who_is_logged_in(client, bare):
    before = head(bare)
    told = post(client, OWNER, message="She tests it.").json()
    assert told["commit"] == head(bare)
    assert (told["base"], told["paths"]) == (before, ["sandboxes/one.yaml"])
    assert "+owner: sari" in told["diff"]
    said = git(bare, "log", "-1", "--format=%an <%ae>%n%B", "main")
    assert said == "sari <sari@acme>\nSet owner of QA-ONE to sari\n\nShe tests it."


def test_a_sandbox_is_put_to_sleep_and_woken_and_its_services_too(client, bare):
    def ask(verb: str, **more: str) -> Any:
        body = {"message": "It waits.", **more}
        return client.post(f"/api/sandboxes/qa-one/{verb}", json=body)

    assert ask("stop", service="account").json()["subject"] == "Stop account of qa-one"
    assert ask("suspend").json()["paths"] == ["sandboxes/one.yaml"]
    assert ask("suspend").json()["commit"] == ""
    assert ask("resume", service="account").json()["subject"] == "Resume account of qa-one"
    assert "+lifecycle" not in ask("resume").json()["diff"]
    assert git(bare, "show", "-s", "--format=%b", "main") == "It waits."
    for verb, more, status in (
        ("stop", {}, 422),
        ("stop", {"service": "nobody"}, 422),
        ("suspend", {"author": "Somebody Else <a@b>"}, 422),
    ):
        before = head(bare)
        answer = ask(verb, **more)
        assert (answer.status_code, bool(answer.json()["fix"])) == (status, True)
        assert head(bare) == before
    nobody = client.post("/api/sandboxes/nobody/suspend", json={})
    assert nobody.status_code == 422


def test_sandboxes_and_templates_are_created_updated_and_cloned(client, bare):
    template = {"edit": "create", "kind": "template", "name": "NEXT"}
    update = {
        "edit": "set",
        "kind": "template",
        "name": "NEXT",
        "path": ["owner"],
        "value": "budi",
    }
    sandbox = {"edit": "create", "name": "QA-TWO", "template": "NEXT"}
    clone = {"edit": "clone", "source": "QA-TWO", "name": "QA-THREE"}
    assert post(client, template).status_code == 200
    assert post(client, update).status_code == 200
    assert post(client, sandbox, clone).status_code == 200
    assert git(bare, "show", "main:templates/next.yaml") == "template: NEXT\nowner: budi"
    assert git(bare, "show", "main:sandboxes/qa-three.yaml") == "sandbox: QA-THREE\ntemplate: NEXT"


def test_a_dry_run_shows_diff_and_plan_and_commits_nothing(client, control, bare):
    before = head(bare)
    told = post(client, OWNER, dry_run=True).json()
    assert told["commit"] == ""
    assert "+owner: sari" in told["diff"]
    assert told["plan"]["text"] == control.plane.plan.text
    ((files, selection, deletes),) = control.plane.previewed
    assert "owner: sari" in files["sandboxes/one.yaml"]
    assert (selection.whole, deletes) == (True, 0)
    assert head(bare) == before


def test_a_commit_is_reverted_unless_its_files_changed_again(client, bare):
    sha = post(client, OWNER).json()["commit"]
    body = {"revert": sha[:10]}
    told = client.post("/api/changes", json=body).json()
    assert told["subject"] == 'Revert "Set owner of QA-ONE to sari"'
    assert git(bare, "show", "main:sandboxes/one.yaml") == FILES["sandboxes/one.yaml"].strip()
    again = client.post("/api/changes", json=body)
    assert again.status_code == 422
    assert "sandboxes/one.yaml changed again" in again.json()["detail"]


def test_a_base_that_others_moved_is_a_conflict_that_shows_what_they_did(client, bare):
    base = head(bare)
    theirs = others(bare, "sandboxes/one.yaml", "sandbox: QA-ONE\nowner: b\n")
    refused = post(client, OWNER, base=base)
    assert refused.status_code == 409
    assert refused.json()["type"] == "urn:sdp:problem:conflict"
    conflict = refused.json()["conflict"]
    assert (conflict["tip"], conflict["paths"]) == (theirs, ["sandboxes/one.yaml"])
    assert conflict["commits"][0]["subject"] == "Change sandboxes/one.yaml"
    assert "+owner: b" in conflict["diff"]
    assert head(bare) == theirs


def test_a_base_is_a_commit_that_there_is_by_its_first_digits_too(client, bare):
    assert post(client, OWNER, base=head(bare)[:10]).status_code == 200
    blob = git(bare, "rev-parse", "main:platform.yaml")
    for base in ("c0ffee1", "c0ffee1" * 5 + "c0ffe", blob):
        refused = post(client, OWNER, base=base)
        assert refused.status_code == 422
        assert f"there is no commit '{base}'" in refused.json()["detail"]


def test_a_base_that_moved_elsewhere_is_no_conflict(client, bare):
    base = head(bare)
    others(bare, "templates/next.yaml", "template: NEXT\n")
    assert post(client, OWNER, base=base).status_code == 200


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"edits": []}, "has edits, or names a commit"),
        ({"edits": [OWNER], "revert": "1234567"}, "has edits, or names a commit"),
        ({"edits": [{**OWNER, "edit": "sett"}]}, "edits.0"),
        ({"edits": [{**OWNER, "path": []}]}, "edits.0.set.path"),
        ({"edits": [OWNER], "author": "Somebody Else <a@b>"}, "body.author"),
        ({"approve": "1234567"}, "Nothing of 1234567 waits"),
        ({"approve": "1234567", "revert": "1234567"}, "has edits, or names a commit"),
        ({"edits": [OWNER], "base": "main"}, "base"),
        ({"revert": "abcdef1234"}, "there is no commit 'abcdef1234'"),
        ({"edits": [{**OWNER, "name": "NOBODY"}]}, "unknown sandbox 'NOBODY'"),
        ({"edits": [{**OWNER, "value": {"a": 1}}]}, "sandboxes/one.yaml:2:"),
        (
            {"edits": [{"edit": "write", "path": "../x.yaml", "text": "x"}]},
            "../x.yaml is no spec",
        ),
        ({"edits": [{**OWNER, "value": "\ud800"}]}, "half of a character"),
        ({"edits": [{**OWNER, "name": "\udc80"}]}, "half of a character"),
        ({"edits": [{**OWNER, "value": {"\ud800": 1}}]}, "invalid Unicode"),
        ({"edits": [OWNER], "message": "\ud800"}, "body.message"),
    ],
)
def test_a_bad_request_says_what_is_wrong_and_changes_nothing(client, bare, body, why):
    before = head(bare)
    refused = client.post(
        "/api/changes",
        content=json.dumps(body),
        headers={"Content-Type": "application/json"},
    )
    assert refused.status_code == 422
    assert why in refused.json()["detail"]
    assert refused.json()["fix"]
    assert head(bare) == before


def test_a_config_repo_that_is_away_is_a_problem_too(client, bare):
    bare.rename(bare.with_name("away.git"))
    refused = post(client, OWNER)
    assert (refused.status_code, refused.json()["type"]) == (503, "urn:sdp:problem:config-repo")


def removal(base: str, *paths: str) -> Removal:
    return Removal(base, "SDP <sdp@test>", paths, "Remove QA-ONE, not used any more", "Since May.")


async def test_what_nobody_uses_is_removed_in_the_platforms_name(changes, bare):
    before = head(bare)
    assert await changes.remove(removal(before, "sandboxes/one.yaml")) == ""
    said = git(bare, "log", "-1", "--format=%an <%ae>%n%B", "main")
    assert said == "SDP <sdp@test>\nRemove QA-ONE, not used any more\n\nSince May."
    assert git(bare, "diff", "--name-status", before, "main") == "D\tsandboxes/one.yaml"
    landed = head(bare)
    assert await changes.remove(removal(landed, "sandboxes/one.yaml")) == ""
    assert head(bare) == landed


async def test_what_somebody_changed_meanwhile_is_not_removed(changes, client, bare):
    before = head(bare)
    post(client, OWNER)
    landed = head(bare)
    told = await changes.remove(removal(before, "sandboxes/one.yaml"))
    assert told == "sandboxes/one.yaml changed meanwhile"
    assert head(bare) == landed
