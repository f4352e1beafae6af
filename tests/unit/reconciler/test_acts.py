"""What becomes an act: each deployment's end, each route, each change, once, with who did it."""

import datetime
from pathlib import Path

import pytest
from pydantic import JsonValue

from sdp.protocol.actions import Action, Build, Gate
from sdp.protocol.frames import Failed, Outcome, Succeeded
from sdp.reconciler.acts import acts_of
from sdp.reconciler.attribution import attribute, behind
from sdp.reconciler.audit import Act
from sdp.reconciler.events import Event
from sdp.reconciler.lifecycle import LastChange, Life, Lives
from sdp.spec.models import Roles
from tests.builders import NOW, commit, sandbox
from tests.unit.reconciler.test_loop import A, Platform, platform, restarted

OTHER = sandbox("QA-A", "account: {branch: feature/a}")


def told(made: Platform) -> list[tuple[str, ...]]:
    return [(e.kind, e.status, e.user, e.action, e.service) for e in made.journal.acts]


def act(kind: str, reason: str = "", **data: JsonValue) -> list[Act]:
    return list(acts_of(Event(NOW, kind, reason=reason, data=data)))


async def test_a_deploy_is_told_once_with_who_committed_it(tmp_path: Path):
    async with platform(tmp_path, a=A) as made:
        await made.synced("qa-a")
    assert sorted(told(made)) == [
        ("CHANGE", "done", "a", "sandbox changed", ""),
        ("DEPLOYMENT", "done", "a", "deployed", "account"),
        ("DEPLOYMENT", "done", "a", "deployed", "gateway"),
        ("ROUTE_CHANGE", "done", "a", "route switched", "account"),
    ]
    found = [each for each in made.journal.acts if each.kind == "DEPLOYMENT"]
    deployed = next(each for each in found if each.service == "account")
    assert (deployed.repository, deployed.branch) == ("account", "develop")
    assert (deployed.commit, deployed.sandbox) == (commit("account", "develop"), "QA-A")


async def test_a_restart_and_a_lost_database_tell_nothing_anew(tmp_path: Path):
    async with platform(tmp_path, a=A) as made:
        await made.synced("qa-a")
    made.journal.acts.clear()
    async with restarted(made, tmp_path, made.journal) as again:
        await again.synced("qa-a")
    assert not told(again)


async def test_a_branch_that_moves_by_itself_is_the_platforms_own_doing(tmp_path: Path):
    async with platform(tmp_path, a=OTHER) as made:
        await made.synced("qa-a")
        made.journal.acts.clear()
        made.nodes.pushed = {"feature/a": "f" * 40}
        made.reconciler.hint({"account"})
        await made.journal.until(lambda: len(made.journal.acts) >= 3)
    assert {(each.user, each.commit) for each in made.journal.acts} >= {("sdp", "f" * 40)}
    assert {each.user for each in made.journal.acts} == {"sdp"}


async def test_a_failure_that_is_tried_again_is_told_once(tmp_path: Path):
    failures: list[Action] = []

    def twice(action: Action) -> Outcome:
        if isinstance(action, Gate) and len(failures) < 2:
            failures.append(action)
            return Failed(reason="Unhealthy", message="hunter2 said the service")
        return Succeeded()

    async with platform(tmp_path) as made:
        made.nodes.outcome = twice
        made.config.sandboxes(a=A)
        await made.synced("qa-a")
    failed = [each for each in made.journal.acts if each.status == "failed"]
    assert len(failed) == len({each.service for each in failed})
    assert {(each.user, each.message) for each in failed} == {("a", "Unhealthy")}


async def test_a_failed_deploy_is_told_with_its_reasons_name_and_nothing_that_was_said(
    tmp_path: Path,
):
    broken = Failed(reason="BuildFailed", message="hunter2", terminal=True, lines=("hunter2",))
    async with platform(tmp_path) as made:
        made.nodes.outcome = lambda a: broken if isinstance(a, Build) else Succeeded()
        made.config.sandboxes(a=A)
        await made.journal.until(lambda: any(e.status == "failed" for e in made.journal.acts))
    assert "hunter2" not in str(made.journal.acts)


@pytest.mark.parametrize("reason", ["https://sari:hunter2@host", "two words", ""])
def test_a_reason_that_is_no_name_is_left_out(reason):
    (made,) = act("DEPLOY_FAILED", reason, user="sari", attempt=1)
    assert made.message == ""


def test_what_is_no_deployments_end_is_no_act():
    assert not act("DEPLOY_FAILED", attempt=2, user="sari")
    assert not act("DEPLOY_FAILED", attempt=1)
    assert not act("STATUS", user="sari")


def test_a_commit_is_told_for_each_thing_it_changed_once():
    made = act(
        "CHANGE",
        user="sari",
        commit="c" * 40,
        paths=["platform.yaml", "sandboxes/qa-a.yaml", "environments/qa.yaml"],
        sandboxes=["QA-A"],
        environments=["qa", "dev"],
        secrets=["qa"],
    )
    assert [(e.kind, e.sandbox, e.environment, e.message) for e in made] == [
        ("CHANGE", "QA-A", "", ""),
        ("CHANGE", "", "dev", ""),
        ("SECRET_CHANGE", "", "qa", ""),
        ("CHANGE", "", "", "platform.yaml"),
    ]
    assert {(e.user, e.status, e.commit) for e in made} == {("sari", "done", "c" * 40)}


def test_a_commit_of_files_that_name_nothing_is_told_too():
    (made,) = act("CHANGE", user="sari", paths=["sandboxes/broken.yaml"], sandboxes=[])
    assert (made.action, made.message) == ("files changed", "sandboxes/broken.yaml")


def test_a_held_change_is_a_refusal_that_names_what_it_takes():
    about = {"path": "platform.yaml", "permission": "administer"}
    (made,) = act("CHANGE_REFUSED", "NotPermitted", user="sari", **about)
    assert (made.kind, made.status, made.user) == ("CHANGE", "refused", "sari")
    assert made.message == "platform.yaml: NotPermitted, takes: administer"


def change(name: str) -> LastChange:
    at = NOW + datetime.timedelta(hours=1)
    return LastChange(name * 40, at, name, "why", f"{name}@company.example")


def test_what_many_share_is_the_newest_commits_doing_and_a_file_its_last_changers():
    first = Lives("1", {"one": Life(change("a")), "two": Life(change("b"))}, change("b"))
    now = Lives("2", {"one": Life(change("c")), "two": Life(change("b"))}, change("d"))
    known = attribute({}, ["one", "two", "gone"], first, now, Roles())
    assert known == {"one": "c", "two": "d", "gone": "d"}
    assert behind(known, "ONE") == "c"
    assert behind(known, "three") == "sdp"
