"""Following branches: what moves by itself, what waits for a person, and what stays."""

import pytest

from sdp.reconciler import render, updates
from sdp.reconciler.desired import Branch
from sdp.reconciler.plan import plan_all
from sdp.reconciler.refusal import Refusal
from sdp.reconciler.steady import steady
from sdp.reconciler.updates import Update
from tests.builders import BRANCHES, GATEWAY, MICRO, NOW, PLATFORM, commit, desired, sandbox
from tests.property.platform import Platform

ACCOUNT = "sandbox-qa-account"
AUTO = sandbox("QA", "account: {branch: feature/a}, user: {branch: develop}")
MANUAL = sandbox("QA", "account: {branch: feature/a, update: manual}, user: {branch: develop}")
TIP, NEWER = commit("account", "feature/a"), "f" * 40
BRANCHES_OF_ACCOUNT = {branch: commit("account", branch) for branch in BRANCHES}
PUSHED = {**BRANCHES_OF_ACCOUNT, "feature/a": NEWER}
DELETED = {"develop": commit("account", "develop")}


def running(text: str) -> Platform:
    made = Platform()
    commit_to(made, text)
    return made


def commit_to(made: Platform, text: str) -> None:
    made.commit({"platform.yaml": PLATFORM, "sandboxes/qa.yaml": text})
    made.converge()


def look(made: Platform, branches: dict[str, str], error: str = "") -> None:
    made.look(MICRO, "account", branches, error)
    made.converge()


def at(made: Platform) -> str:
    return made.nodes.containers()[ACCOUNT].commit


def conditions(made: Platform) -> dict[str, str]:
    made.memory.judge(["qa"], made.world, (), {})
    found = made.memory.statuses["qa"].conditions
    return {each.reason: f"{each.message}; {each.fix}" for each in found}


def sync(made: Platform) -> tuple[str, str]:
    made.memory.judge(["qa"], made.world, (), {})
    found = made.memory.statuses["qa"]
    return found.sync, found.health


def test_a_new_commit_deploys_by_itself() -> None:
    made = running(AUTO)
    look(made, PUSHED)
    assert at(made) == NEWER
    assert conditions(made) == {}


def test_a_new_commit_waits_where_updates_are_manual_and_is_told() -> None:
    made = running(MANUAL)
    before = made.nodes.containers()
    look(made, PUSHED)
    assert made.nodes.containers() == before
    assert sync(made) == ("Synced", "Healthy")
    said = conditions(made)["UpdateAvailable"]
    assert said == (f"account: update available {TIP[:7]} → {NEWER[:7]}; sdp update QA/account")
    text = render.text(made.memory.plans, made.world)
    assert f"sandbox QA account   update available {TIP[:7]} → {NEWER[:7]}" in text
    assert "Nothing to do" in text


def test_an_update_deploys_what_waits_and_the_next_commit_waits_again() -> None:
    made = running(MANUAL)
    look(made, PUSHED)
    updated = made.update("qa")
    assert not isinstance(updated, Refusal)
    assert [(each.service, each.before, each.after) for each in updated] == [
        ("account", TIP, NEWER)
    ]
    made.converge()
    assert at(made) == NEWER
    assert conditions(made) == {}
    look(made, {**PUSHED, "feature/a": "e" * 40})
    assert at(made) == NEWER


def test_the_sandbox_says_it_for_all_and_a_service_for_itself() -> None:
    text = sandbox("QA", "account: {branch: develop}, user: {branch: develop, update: auto}")
    meant = desired(text + "update: manual\n").sandboxes["qa"]
    targets = {name: each.target for name, each in meant.services.items()}
    assert isinstance(targets["account"], Branch)
    assert isinstance(targets["user"], Branch)
    assert (targets["account"].manual, targets["user"].manual) == (True, False)
    assert meant.gateway.branch.manual


def test_another_branch_is_deployed_at_its_tip_however_updates_are_done() -> None:
    made = running(MANUAL)
    look(made, PUSHED)
    commit_to(made, MANUAL.replace("feature/a", "feature/b"))
    assert at(made) == commit("account", "feature/b")


def test_who_followed_by_itself_meanwhile_does_not_go_back() -> None:
    made = running(MANUAL)
    commit_to(made, AUTO)
    look(made, PUSHED)
    commit_to(made, MANUAL)
    assert at(made) == NEWER


def test_a_first_version_that_never_ran_follows_the_tip() -> None:
    made = Platform()
    made.commit({"platform.yaml": PLATFORM, "sandboxes/qa.yaml": MANUAL})
    made.round()
    look(made, PUSHED)
    assert at(made) == NEWER


@pytest.mark.parametrize("forgetful", [False, True])
def test_a_restart_moves_nothing_with_the_database_or_without(*, forgetful: bool) -> None:
    made = running(MANUAL)
    look(made, PUSHED)
    before = made.nodes.containers()
    made.restart(forgetful=forgetful)
    made.converge()
    assert made.nodes.containers() == before
    assert "UpdateAvailable" in conditions(made)


@pytest.mark.parametrize("text", [AUTO, MANUAL])
def test_a_deleted_branch_is_a_condition_and_never_a_deletion(text: str) -> None:
    made = running(text)
    before = made.nodes.containers()
    look(made, DELETED)
    assert made.nodes.containers() == before
    assert sync(made) == ("Synced", "Healthy")
    said = conditions(made)["BranchDeleted"]
    assert f"account: its branch feature/a is gone from account; it stays at {TIP[:7]}" in said
    assert f"sdp set QA services.account.commit={TIP}" in said


def test_what_was_killed_is_healed_at_its_commit_though_its_branch_is_gone() -> None:
    made = running(AUTO)
    look(made, DELETED)
    made.nodes.remove(MICRO, ACCOUNT)
    made.converge()
    assert at(made) == TIP
    assert sync(made) == ("Synced", "Healthy")


def test_a_branch_that_is_pushed_again_is_followed_again() -> None:
    made = running(AUTO)
    look(made, DELETED)
    look(made, PUSHED)
    assert at(made) == NEWER
    assert conditions(made) == {}


def test_a_branch_that_never_ran_is_missing_and_not_deleted() -> None:
    made = running(AUTO.replace("feature/a", "feature/none"))
    assert "BranchMissing" in conditions(made)
    assert "BranchDeleted" not in conditions(made)


@pytest.mark.parametrize(
    ("branches", "error"), [({}, "no answer"), ({}, ""), (BRANCHES_OF_ACCOUNT, "no answer")]
)
def test_a_look_that_failed_deletes_no_branch(branches: dict[str, str], error: str) -> None:
    made = running(AUTO)
    before = made.nodes.containers()
    look(made, branches, error)
    assert made.nodes.containers() == before
    assert "BranchDeleted" not in conditions(made)


def test_an_origin_that_is_away_is_told_and_what_it_gave_is_healed() -> None:
    made = running(AUTO)
    look(made, {}, "no answer")
    made.nodes.remove(MICRO, ACCOUNT)
    made.converge()
    assert at(made) == TIP
    assert sync(made) == ("Synced", "Healthy")
    assert "no answer" in conditions(made)["RepositoryUnavailable"]


def test_a_gateway_is_followed_as_services_are() -> None:
    made = running(sandbox("QA", gateway="branch: develop, update: manual"))
    known = commit("api-gateway", "develop")
    made.look(GATEWAY, "api-gateway", {"develop": NEWER})
    made.converge()
    assert made.nodes.containers()["sandbox-qa-gateway"].commit == known
    assert "sdp update QA/gateway" in conditions(made)["UpdateAvailable"]


def test_how_commits_are_followed_is_no_change_of_what_should_run() -> None:
    made = running(AUTO)
    meant = desired(MANUAL).sandboxes["qa"]
    look(made, DELETED)
    stays = steady(desired(MANUAL), made.nodes.observed, made.world.history.chosen)
    digests = {each.intent_digest for each in (meant, made.world.desired.sandboxes["qa"])}
    assert digests == {desired(AUTO).sandboxes["qa"].intent_digest}
    assert meant.definition_digest != desired(AUTO).sandboxes["qa"].definition_digest
    assert stays.sandboxes["qa"].intent_digest in digests


@pytest.mark.parametrize(
    ("text", "service", "why"),
    [
        (AUTO, "", "NothingManual"),
        (AUTO, "account", "NothingManual"),
        (MANUAL, "user", "NothingManual"),
        (MANUAL, "", "NothingNew"),
    ],
)
def test_why_nothing_is_updated_is_told(text: str, service: str, why: str) -> None:
    refused = updated(running(text), service)
    assert isinstance(refused, Refusal)
    assert (refused.reason, bool(refused.message and refused.fix)) == (why, True)


def test_what_a_rollback_pinned_is_told_as_pinned() -> None:
    pinned = MANUAL.replace("feature/a,", f"feature/a, commit: {TIP},")
    refused = updated(running(pinned), "account")
    assert isinstance(refused, Refusal)
    assert refused.reason == "NothingManual"
    assert (
        refused.message == f"account of QA is pinned at {TIP[:7]}, whatever is newer on feature/a"
    )
    assert "sdp set QA --unset services.account.commit" in refused.fix


def test_a_preview_shows_that_what_was_pinned_stays_where_it_is_by_hand() -> None:
    made = running(MANUAL.replace("feature/a,", f"feature/a, commit: {'e' * 40},"))
    look(made, PUSHED)
    before = made.memory
    previewed = before.world(NOW, desired(MANUAL))
    assert plan_all(previewed)["qa"].actions == ()
    commit_to(made, MANUAL)
    assert at(made) == "e" * 40
    assert "UpdateAvailable" in conditions(made)


def test_nobody_updates_what_nobody_sees() -> None:
    made = running(MANUAL)
    look(made, PUSHED, "no answer")
    assert reason(updated(made)) == "RepositoryUnavailable"
    look(made, PUSHED)
    looks = updates.looks(made.world.desired, "qa", "account")
    assert reason(updates.updates(made.world, "qa", "", looks)) == "NotLooked"
    made.speak([MICRO], speaks=False)
    made.round()
    assert reason(updated(made)) == "NodeSilent"
    assert reason(updates.updates(made.world, "nobody", "", ())) == "Leaving"


def updated(made: Platform, service: str = "") -> tuple[Update, ...] | Refusal:
    return updates.updates(made.world, "qa", service, ())


def reason(told: tuple[Update, ...] | Refusal) -> str:
    return told.reason if isinstance(told, Refusal) else ""
