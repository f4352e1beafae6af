"""Rights over HTTP: what somebody may not change is refused before there is a commit."""

import dataclasses
from typing import Any

import pytest
from starlette.testclient import TestClient

from sdp.api.app import create_app
from sdp.api.config_repo import ConfigRepo
from sdp.api.people import Caller
from sdp.api.plane import ReconcilerPlane
from sdp.reconciler.loop import Reconciler
from sdp.reconciler.removal import Removal
from sdp.reconciler.signing import signer
from sdp.reconciler.source import Source
from sdp.spec.roles import Person
from tests.fakes.control_plane import FakeControlPlane
from tests.fakes.journal import FakeJournal
from tests.unit.agent.repositories import git
from tests.unit.api.test_changes import logged_in
from tests.unit.config_repo import FILES, PLATFORM, SANDBOX, cloned, commit, head, serve

ROLES = "roles: {default: VIEWER, users: {budi: {role: BACKEND}, sari: {role: QA}, dewi: {emails: [d@e.f]}}, groups: {admins: {role: ADMIN, members: [achmad]}}}\n"
HEAL = {"edit": "set", "name": "QA-ONE", "path": ["heal"], "value": "report"}
TEMPLATE = {**HEAL, "kind": "template", "name": "BASE"}
DELETE = {"edit": "delete", "name": "QA-ONE"}
ROUTE = {"edit": "route", "sandbox": "QA-ONE", "service": "account", "to": "ocp"}


class Office:
    """A control plane over a real config repo, and the people who ask it."""

    def __init__(self, folder, scheme: str = "") -> None:
        self.bare = serve(folder)
        self.clone = cloned(self.bare)
        commit(self.clone, {"platform.yaml": PLATFORM + ROLES})
        self.source = Source(f"{scheme}{self.bare}", "main", folder / "data")
        (folder / "data").mkdir()
        self.source.head()
        self.plane = ReconcilerPlane(Reconciler(self.source, FakeJournal()))

    def client(self, user: str, role: Any) -> TestClient:
        fake = FakeControlPlane()
        self.audit = fake.audit
        changes = ConfigRepo(self.source, self.plane.preview)
        ports = dataclasses.replace(fake.ports, plane=self.plane, changes=changes)
        return logged_in(create_app(ports), Caller(Person(user, role)))

    def post(self, user: str, role: str, *edits: object, **more: object) -> Any:
        body = {"edits": edits, **more} if edits else more
        return self.client(user, role).post("/api/changes", json=body)

    def pushed(self, user: str, path: str, text: str | None) -> str:
        git(self.clone, "pull", "-q", "--rebase", "origin", "main")
        if text is None:
            (self.clone / path).unlink()
        else:
            (self.clone / path).write_text(text)
        git(self.clone, "commit", "-qam", "Push", f"--author={user} <{user}@acme.example>")
        git(self.clone, "push", "-q", "origin", "HEAD:main")
        return head(self.bare)

    def withheld(self) -> list[str]:
        return [*self.source.newest().withheld]


@pytest.fixture
def office(tmp_path):
    return Office(tmp_path)


@pytest.mark.parametrize(
    ("user", "role", "edit", "takes"),
    [
        (
            "sari",
            "QA",
            TEMPLATE,
            "templates/base.yaml takes 'manage templates', which BACKEND has",
        ),
        ("sari", "QA", DELETE, "sandboxes/one.yaml takes 'delete sandboxes', which BACKEND has"),
        ("dewi", "VIEWER", HEAL, "sandboxes/one.yaml takes 'deploy', which QA has"),
        ("dewi", "VIEWER", ROUTE, "sandboxes/one.yaml takes 'manage routes', which QA has"),
    ],
)
@pytest.mark.parametrize("dry_run", [False, True])
def test_what_a_caller_may_not_change_is_refused_with_who_may(
    office, user, role, edit, takes, dry_run
):
    before = head(office.bare)
    refused = office.post(user, role, edit, dry_run=dry_run)
    assert (refused.status_code, refused.json()["type"]) == (403, "urn:sdp:problem:not-allowed")
    assert takes in refused.json()["detail"]
    assert "see roles in platform.yaml" in refused.json()["fix"]
    assert head(office.bare) == before


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_refused_change_is_told_to_the_audit_with_what_it_takes(office, dry_run):
    assert office.post("sari", "QA", DELETE, dry_run=dry_run).status_code == 403
    (act,) = office.audit.acts
    assert (act.kind, act.status, act.action) == ("REFUSAL", "refused", "POST /api/changes")
    assert "sandboxes/one.yaml takes 'delete sandboxes'" in act.message


def test_an_owner_may_do_it_with_their_own(office):
    assert office.post("Achmad", "VIEWER", HEAL).status_code == 200
    told = office.client("achmad", "VIEWER").post("/api/sandboxes/QA-ONE/suspend", json={})
    assert told.status_code == 200
    assert (
        office.client("dewi", "VIEWER").post("/api/sandboxes/QA-ONE/resume", json={}).status_code
        == 403
    )


def test_what_was_refused_would_not_have_counted_and_what_was_not_does(office):
    for user, role, edit in (
        ("sari", "QA", HEAL), ("sari", "QA", ROUTE), ("budi", "BACKEND", TEMPLATE), ("budi", "BACKEND", DELETE),
    ):  # fmt: skip
        assert office.post(user, role, edit).status_code == 200
        assert office.withheld() == []


def test_an_author_is_known_by_an_address_of_theirs(office):
    assert office.post("dewi", "ADMIN", HEAL).status_code == 200
    assert git(office.bare, "log", "-1", "--format=%an <%ae>", "main") == "dewi <d@e.f>"


def test_reverting_is_a_change_like_any_other_and_undoing_in_vain_takes_nothing(office):
    sha = office.post("budi", "BACKEND", TEMPLATE).json()["commit"]
    assert office.post("sari", "QA", revert=sha).status_code == 403
    sha = office.pushed("sari", "templates/base.yaml", None)
    assert office.withheld() == ["templates/base.yaml"]
    assert office.post("dewi", "VIEWER", revert=sha).status_code == 200
    assert office.withheld() == []


def test_nobody_answers_for_what_others_pushed_and_was_not_fetched_yet(tmp_path):
    office = Office(tmp_path, "file://")
    office.pushed("budi", "templates/base.yaml", "template: BASE\n")
    assert office.post("achmad", "VIEWER", HEAL).status_code == 200
    assert office.post("achmad", "VIEWER", TEMPLATE).status_code == 403
    office.source.head()
    assert office.withheld() == []


def test_an_edit_leaves_what_waits_elsewhere_waiting(office):
    office.pushed("sari", "templates/base.yaml", "template: BASE\n")
    assert office.post("sari", "QA", HEAL).status_code == 200
    assert office.withheld() == ["templates/base.yaml"]


def test_who_has_the_right_approves_what_waits(office):
    sha = office.pushed("sari", "templates/base.yaml", "template: BASE\n")
    assert office.post("sari", "QA", approve=sha[:9]).status_code == 403
    shown = office.post("budi", "BACKEND", approve=sha[:9], dry_run=True).json()
    assert (shown["commit"], shown["paths"]) == ("", ["templates/base.yaml"])
    assert "-services:" in shown["diff"]
    assert office.withheld() == ["templates/base.yaml"]
    made = office.post("budi", "BACKEND", approve=sha[:9], message="Agreed.").json()
    assert office.withheld() == []
    said = git(office.bare, "log", "-1", "--format=%H %an%n%B", "main")
    assert said == (
        f"{made['commit']} budi\nApprove templates/base.yaml of {sha[:7]}\n\n"
        f"Agreed.\n\nSDP-Approve: {sha[:9]}"
    )
    again = office.post("budi", "BACKEND", approve=sha[:9])
    assert (again.status_code, again.json()["type"]) == (422, "urn:sdp:problem:nothing-waits")


async def test_a_plan_says_what_the_asking_person_may_not_commit(office):
    files = {**FILES, "platform.yaml": PLATFORM + ROLES, "templates/base.yaml": "template: BASE\n"}
    made = office.client("sari", "QA").post("/api/plan", json={"files": files}).json()
    assert [(each["path"], each["role"]) for each in made["refused"]] == [
        ("templates/base.yaml", "BACKEND")
    ]
    assert "Not allowed\n    templates/base.yaml   takes 'manage templates'" in made["text"]
    made = office.client("budi", "BACKEND").post("/api/plan", json={"files": files}).json()
    assert made["refused"] == []


async def test_a_plan_blames_nobody_for_what_others_pushed_in_vain(office):
    office.pushed("sari", "templates/base.yaml", "template: BASE\n")
    files = {**FILES, "platform.yaml": PLATFORM + ROLES, "templates/base.yaml": "template: BASE\n"}
    for user, role in (("dewi", "VIEWER"), ("budi", "BACKEND")):
        made = office.client(user, role).post("/api/plan", json={"files": files}).json()
        assert made["refused"] == []


def does_not_count(told: Any) -> bool:
    kind: str = told.json()["type"]
    return (told.status_code, kind) == (409, "urn:sdp:problem:does-not-count")


def test_nobody_has_count_along_what_somebody_else_had_no_right_to(office):
    evil = SANDBOX.replace("{branch: feature/a, port: 9001}", '{url: "http://evil.example"}')
    sha = office.pushed("dewi", "sandboxes/one.yaml", evil)
    assert does_not_count(office.post("achmad", "VIEWER", HEAL))
    suspend = office.client("sari", "QA").post("/api/sandboxes/QA-ONE/suspend", json={})
    assert does_not_count(suspend)
    assert office.post("achmad", "VIEWER", revert=sha).status_code == 200
    assert office.post("achmad", "VIEWER", HEAL).status_code == 200


def test_an_admin_has_no_roles_count_along(office):
    office.pushed("dewi", "platform.yaml", PLATFORM + ROLES.replace("sari: {role: QA}", "x: {}"))
    write = {"edit": "write", "path": "platform.yaml", "text": PLATFORM}
    assert does_not_count(office.post("admin", "ADMIN", write))


@pytest.mark.parametrize("listed", [True, False])
async def test_where_signatures_are_required_the_platforms_own_removals_count_by_its_key(
    office, tmp_path, listed
):
    ours = signer(tmp_path / "data")
    whose = "sdp" if listed else "achmad"
    roles = f"roles: {{require_signed_commits: true, users: {{{whose}: {{keys: ['{ours.public}']}}}}}}\n"
    office.pushed("achmad", "platform.yaml", PLATFORM + roles)
    changes = ConfigRepo(office.source, office.plane.preview, ours.sign)
    path = "sandboxes/one.yaml"
    due = Removal(head(office.bare), "SDP <sdp@acme>", (path,), "Remove QA-ONE", "- not used")
    assert await changes.remove(due) == ""
    standing = office.source.newest()
    assert (path in standing.accepted) == (not listed)
    assert [each.reason for each in standing.withheld.values()] == (
        [] if listed else ["NotSigned"]
    )
