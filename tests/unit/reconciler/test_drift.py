"""What somebody changed behind the platform's back: healed, or held and told."""

import dataclasses

import pytest

from sdp.protocol.actions import Limits
from tests.builders import GATEWAY, MICRO, Simulation, desired, sandbox

ACCOUNT = "sandbox-qa-account"
REPORT = "heal: report"
BOTH = "account: {branch: develop}, payment: {branch: develop}"


def synced(services: str = BOTH, more: str = REPORT) -> Simulation:
    """Return nodes on which a sandbox is in sync, and a history that knows it."""
    made = Simulation(desired(sandbox("QA", services, more=more)))
    made.converge()
    made.remember()
    return made


def gone(made: Simulation) -> None:
    made.remove(MICRO, ACCOUNT)


def stopped(made: Simulation) -> None:
    made.edit(MICRO, ACCOUNT, state="exited", health="none")


def renamed(made: Simulation) -> None:
    made.edit(MICRO, ACCOUNT, name="mine")


def limited(made: Simulation) -> None:
    made.edit(MICRO, ACCOUNT, limits=Limits(cpu_milli=100, memory_bytes=1 << 20))


def edited(made: Simulation) -> None:
    report = made.observed[GATEWAY].report
    key, copy = next(iter(report.copies.items()))
    routes = {**copy.routes, "account_url": "http://elsewhere"}
    changed = copy.model_copy(update={"routes": routes, "edited": True})
    made.report(GATEWAY, report.model_copy(update={"copies": {key: changed}}))


def networkless(made: Simulation) -> None:
    made.report(MICRO, made.observed[MICRO].report.model_copy(update={"networks": {}}))


DRIFTS = [
    (gone, f"container {ACCOUNT} is gone"),
    (stopped, f"container {ACCOUNT} is stopped"),
    (renamed, f"container {ACCOUNT} was renamed to mine"),
    (limited, f"the limits of {ACCOUNT} were changed to cpu 100m, memory 1MB"),
    (edited, "config.php of QA was edited by hand"),
    (networkless, f"network sandbox-qa of {MICRO} is gone"),
]


@pytest.mark.parametrize(("how", "message"), DRIFTS)
def test_drift_is_healed_where_nothing_else_is_said(how, message):
    made = synced(more="")
    how(made)
    assert message in {each.message for each in made.plans()["qa"].drifts}
    assert made.reasons() == []
    made.converge()


@pytest.mark.parametrize(("how", "message"), DRIFTS)
def test_reported_drift_is_held_with_what_differs_and_how_to_heal_it(how, message):
    made = synced()
    how(made)
    plan = made.plans()["qa"]
    assert plan.actions == ()
    assert {hold.reason for hold in plan.holds} == {"Drift"}
    assert message in {hold.message for hold in plan.holds}
    assert {hold.fix for hold in plan.holds} == {"sdp sync QA heals it once; or set heal: auto"}


@pytest.mark.parametrize(("how", "message"), DRIFTS)
def test_a_person_may_have_reported_drift_healed(how, message):
    made = synced()
    how(made)
    made.healing = frozenset({"qa"})
    made.converge()
    made.healing = frozenset()
    assert made.reasons() == []
    assert made.plans()["qa"].empty, message


def test_a_commit_is_done_beside_a_drift_that_stays():
    made = synced()
    gone(made)
    services = "account: {branch: develop}, payment: {branch: feature/a}"
    made.desired = desired(sandbox("QA", services, more=REPORT))
    made.converge()
    assert made.reasons() == ["Drift"]
    assert ACCOUNT not in made.containers()
    assert made.containers()["sandbox-qa-payment"].branch == "feature/a"


def test_a_commit_about_the_drifted_service_itself_is_done():
    made = synced()
    gone(made)
    made.desired = desired(sandbox("QA", BOTH.replace("develop", "feature/a"), more=REPORT))
    made.converge()
    assert made.reasons() == []
    assert made.containers()[ACCOUNT].branch == "feature/a"


def test_what_is_woken_by_a_commit_is_no_drift():
    made = synced()
    made.desired = desired(sandbox("QA", BOTH, more=f"{REPORT}\nlifecycle: {{suspended: true}}"))
    made.converge()
    made.remember()
    made.desired = desired(sandbox("QA", BOTH, more=REPORT))
    made.converge()
    assert made.reasons() == []
    assert {each.state for each in made.containers().values()} == {"running"}


def test_limits_that_a_commit_changes_are_no_drift():
    made = synced()
    services = "account: {branch: develop, resources: {cpu: 1}}, payment: {branch: develop}"
    made.desired = desired(sandbox("QA", services, more=REPORT))
    made.converge()
    assert made.reasons() == []
    assert made.containers()[ACCOUNT].limits.cpu_milli == 1000


def test_without_a_history_what_lacks_is_made():
    made = synced()
    gone(made)
    made.history = dataclasses.replace(made.history, applied={})
    made.converge()
    assert ACCOUNT in made.containers()


def test_nothing_is_built_for_what_is_held():
    made = synced("account: {branch: develop}")
    gone(made)
    made.report(MICRO, made.observed[MICRO].report.model_copy(update={"releases": {}}))
    assert made.plans()["qa"].actions == ()


@pytest.mark.parametrize(
    ("more", "same"),
    [
        ("heal: report\nowner: sari", True),
        ("heal: auto\nlifecycle: {protect: true}", True),
        ("lifecycle: {suspended: true}", False),
        ("environment: null", True),
    ],
)
def test_intent_is_what_runs_and_not_whose_it_is(more, same):
    plain = desired(sandbox("QA", BOTH)).sandboxes["qa"].intent_digest
    assert (desired(sandbox("QA", BOTH, more=more)).sandboxes["qa"].intent_digest == plain) is same


def test_intent_changes_with_a_branch():
    plain = desired(sandbox("QA", BOTH)).sandboxes["qa"].intent_digest
    other = desired(sandbox("QA", BOTH.replace("develop", "feature/a", 1)))
    assert other.sandboxes["qa"].intent_digest != plain


def test_heal_comes_from_templates_and_null_removes_it():
    made = desired(sandbox("QA", more="heal: null"), sandbox("QB", more="heal: report"))
    assert (made.sandboxes["qa"].heal, made.sandboxes["qb"].heal) == ("auto", "report")
