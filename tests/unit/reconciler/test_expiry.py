"""Expiry: what is used lives on, what nobody uses sleeps and goes, and doubt keeps it as it is."""

import dataclasses
import datetime

import pytest

from sdp.protocol.report import Activity
from sdp.reconciler import expiry, restart
from sdp.reconciler import observed as observation
from sdp.reconciler.draft import World
from sdp.reconciler.expiry import Ages, Deadline, Expiry, Unsure
from sdp.reconciler.lifecycle import LastChange, Life, Lives
from sdp.reconciler.observed import Observed, Skew
from sdp.reconciler.plan import plan
from sdp.reconciler.refusal import Refusal
from sdp.reconciler.removal import removal
from sdp.reconciler.status import SandboxStatus, status
from sdp.spec.tree import Problem
from tests.builders import GATEWAY, MICRO, NOW, Simulation, desired, sandbox

DAY, HOUR, MINUTE = (datetime.timedelta(**{each: 1}) for each in ("days", "hours", "minutes"))
LIFECYCLE = "lifecycle: {expire_after: 10d, delete_after: 7d}"
SERVICES = "account: {branch: develop}"


def spec(more: str = LIFECYCLE) -> str:
    return sandbox("QA-A", SERVICES, more=more)


@dataclasses.dataclass
class Case:
    """A converged sandbox of which this is known; ``ago``: before now."""

    more: str = LIFECYCLE
    changed: datetime.timedelta | None = 30 * DAY
    deployed: datetime.timedelta | None = None
    request: datetime.timedelta | None = None
    since: datetime.timedelta | None = 30 * DAY
    error: str = ""
    skew: float = 0.0
    silent: bool = False

    def __post_init__(self) -> None:
        self.nodes = Simulation(desired(spec(self.more)))
        self.nodes.converge()
        self.nodes.remember()

    def _item(self) -> dict[str, Activity]:
        if self.since is None:
            return {}
        last = NOW - self.request if self.request is not None else None
        return {"qa-a": Activity(last_request_at=last, since=NOW - self.since, error=self.error)}

    def world(self) -> World:
        seen = self.nodes.observed[GATEWAY]
        report = seen.report.model_copy(update={"activity": self._item()})
        skew = Skew(self.skew, 0.1)
        seen = dataclasses.replace(seen, report=report, skew=skew)
        observed: Observed = {**self.nodes.observed, GATEWAY: seen}
        observed = observation.silent(observed, GATEWAY) if self.silent else observed
        made = dataclasses.replace(self.nodes.world(), observed=observed)
        lives = Lives()
        if self.changed is not None:
            change = LastChange("c0ffee", NOW - self.changed, "Sari", "Change it")
            lives = Lives(of={"qa-a": Life(change)})
        deployed = {"qa-a": NOW - self.deployed} if self.deployed is not None else {}
        found = expiry.expiries(made.desired, observed, lives, deployed, NOW)
        slept = expiry.asleep(made.desired, found, NOW)
        return dataclasses.replace(made, desired=slept, lives=lives, expiries=found)

    def found(self) -> Expiry | None:
        return self.world().expiries.get("qa-a")

    def status(self) -> SandboxStatus:
        whole = self.world()
        return status("qa-a", whole, plan("qa-a", whole), (), None)

    def kinds(self) -> list[str]:
        made = plan("qa-a", self.world())
        return [
            *(each.action.kind for each in made.actions),
            *(each.reason for each in made.holds),
        ]

    def stop(self) -> None:
        for node, service in ((MICRO, "account"), (GATEWAY, "gateway")):
            self.nodes.edit(node, f"sandbox-qa-a-{service}", state="exited", health="none")


@pytest.mark.parametrize(
    ("case", "ago"),
    [
        (Case(), 30 * DAY),
        (Case(request=2 * DAY), 2 * DAY - MINUTE),
        (Case(request=datetime.timedelta(seconds=5)), 0 * DAY),
        (Case(request=-HOUR), 0 * DAY),
        (Case(since=3 * DAY), 3 * DAY),
        (Case(changed=1 * DAY, request=2 * DAY), 1 * DAY),
        (Case(deployed=1 * DAY), 1 * DAY),
        (Case(changed=None, request=2 * DAY), 2 * DAY - MINUTE),
        (Case(skew=299.0, request=DAY), DAY - MINUTE),
    ],
    ids=["change", "request", "just now", "clock put back", "log begins", "change after request",
         "deployment", "past unknown", "clocks a little apart"],
)  # fmt: skip
def test_what_was_last_counts_as_use(case: Case, ago: datetime.timedelta) -> None:
    found = case.found()
    assert isinstance(found, Deadline)
    assert found.used_at == NOW - ago
    assert (found.expires_at, found.deletes_at) == (NOW - ago + 10 * DAY, NOW - ago + 17 * DAY)
    assert found.warns_at == found.expires_at - DAY


@pytest.mark.parametrize(
    "more",
    [
        "",
        "lifecycle: {delete_after: 7d}",
        "lifecycle: {expire_after: 10d, protect: true}",
        "lifecycle: {expire_after: 10d, suspended: true}",
    ],
)
def test_what_never_expires_has_no_deadline(more: str) -> None:
    assert Case(more).found() is None


def test_a_short_life_is_warned_of_in_its_last_fifth_and_kept_ones_not_before() -> None:
    short = Case("lifecycle: {expire_after: 10h}", changed=HOUR, since=HOUR).found()
    kept = Case("lifecycle: {expire_after: 10h, keep_until: 2026-12-24}").found()
    assert isinstance(short, Deadline)
    assert isinstance(kept, Deadline)
    assert (short.expires_at - short.warns_at, short.deletes_at) == (2 * HOUR, None)
    assert kept.expires_at == datetime.datetime(2026, 12, 25, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("case", "word"),
    [
        (Case(silent=True), "does not report"),
        (Case(since=None), "no access log"),
        (Case(error="Permission denied"), "Permission denied"),
        (Case(skew=400.0), "400 s ahead"),
        (Case(skew=-400.0), "400 s behind"),
    ],
)
def test_no_signal_means_no_expiry(case: Case, word: str) -> None:
    found = case.found()
    assert isinstance(found, Unsure)
    assert word in found.message
    assert case.world().desired.sandboxes["qa-a"].expired is None
    assert not removal(case.world()).paths
    assert "stop" not in case.kinds()
    told = [each for each in case.status().conditions if each.reason == expiry.UNKNOWN]
    assert [bool(each.fix) for each in told] == [True]


@pytest.mark.parametrize("case", [Case(error="it is gone"), Case(since=None), Case(silent=True)])
def test_what_sleeps_and_may_have_expired_sleeps_on(case: Case) -> None:
    case.stop()
    assert not {"start_service", "resume", "start_gateway"} & {*case.kinds()}
    assert "ExpiryUnknown" in case.kinds()
    changed = dataclasses.replace(case, changed=DAY)
    changed.stop()
    assert "ExpiryUnknown" not in changed.kinds()


def test_what_still_lives_by_what_is_known_needs_no_access_log() -> None:
    found = Case(changed=DAY, error="it is gone").found()
    assert isinstance(found, Deadline)
    assert found.expires_at == NOW + 9 * DAY


def test_what_expires_soon_says_so_and_how_to_keep_it() -> None:
    shown = Case(changed=9 * DAY + HOUR).status()
    assert shown.lifecycle.expires_at == NOW + 23 * HOUR
    assert [(each.reason, each.fix) for each in shown.conditions] == [
        ("ExpiresSoon", "sdp extend QA-A")
    ]
    assert Case(changed=8 * DAY, since=8 * DAY).status().conditions == ()


def test_what_expired_is_stopped_and_kept_and_shown_as_expired() -> None:
    case = Case()
    assert case.kinds() == ["stop", "stop"]
    cause = {str(each.cause) for each in plan("qa-a", case.world()).actions}
    assert cause == {"lifecycle.expire_after unused since 2026-10-24"}
    case.stop()
    shown = case.status()
    assert (shown.sync, shown.health, shown.conditions) == ("Synced", "Expired", ())
    assert {each.health for each in shown.services} == {"Expired", "Unknown"}
    life = shown.lifecycle
    assert (life.state, life.since, life.by) == ("EXPIRED", NOW - 20 * DAY, "sdp")
    assert life.why == "not used since 2026-10-24 09:00 UTC"


def test_what_is_extended_wakes_as_it_was() -> None:
    case = Case()
    case.stop()
    case.nodes.desired = case.world().desired
    case.nodes.remember()
    before = case.nodes.containers()
    case.nodes.desired = desired(spec("lifecycle: {expire_after: 10d, keep_until: 2026-12-24}"))
    assert case.status().lifecycle.state == "ACTIVE"
    assert plan("qa-a", case.world()).drifts == ()
    case.nodes.converge()
    assert {n: each.id for n, each in case.nodes.containers().items()} == {
        n: each.id for n, each in before.items()
    }


def test_what_expired_is_not_restarted_but_extended() -> None:
    whole = Case().world()
    made = restart.ask(whole.desired.sandboxes["qa-a"], "", whole)
    assert isinstance(made, Refusal)
    assert made.message.startswith("QA-A expired since 2026-11-03 09:00 UTC by sdp: not used")
    assert (made.reason, made.fix) == ("Expired", "wake it: sdp extend QA-A")


def test_only_what_is_kept_for_its_time_and_loads_is_removed() -> None:
    whole = Case().world()
    made = removal(whole)
    assert (made.paths, made.author) == (("sandboxes/0.yaml",), "SDP <sdp@test>")
    assert made.subject == "Remove QA-A, not used any more"
    assert "QA-A: not used since 2026-10-24 09:00 UTC, expired 2026-11-03" in made.why
    assert "sdp revert" in made.why
    assert not removal(Case("lifecycle: {expire_after: 10d}").world()).paths
    assert not removal(Case(changed=16 * DAY, since=16 * DAY).world()).paths
    broken = dataclasses.replace(
        whole.desired.sandboxes["qa-a"], problems=(Problem("sandboxes/0.yaml", 1, 1, "no"),)
    )
    doubted = dataclasses.replace(whole.desired, sandboxes={"qa-a": broken})
    assert not removal(dataclasses.replace(whole, desired=doubted)).paths


def test_a_removal_that_fails_is_told_with_the_reason() -> None:
    whole = dataclasses.replace(Case().world(), unremoved="the remote is away")
    shown = status("qa-a", whole, plan("qa-a", whole), (), None)
    assert [(each.type, each.reason) for each in shown.conditions] == [("Failed", "RemovalFailed")]
    assert "the remote is away" in shown.conditions[0].message


FOUND = Deadline(NOW, NOW + HOUR, NOW + 2 * HOUR, NOW + 3 * HOUR)
BEFORE, WARNED, OVER, DUE = (Ages({"qa-a": FOUND}, NOW + n * HOUR) for n in range(4))
DOUBT = Ages({"qa-a": Unsure("", "")}, NOW)


@pytest.mark.parametrize(
    ("old", "new", "turn"),
    [
        (BEFORE, WARNED, "EXPIRES_SOON"),
        (BEFORE, OVER, "EXPIRED"),
        (WARNED, DUE, "EXPIRED"),
        (OVER, BEFORE, "REVIVED"),
        (OVER, DUE, None),
        (BEFORE, BEFORE, None),
        (None, OVER, None),
        (DOUBT, OVER, None),
        (OVER, DOUBT, None),
        (Ages({}, NOW), WARNED, None),
    ],
)
def test_people_hear_of_a_turn_once_and_of_none_after_a_start(
    old: Ages | None, new: Ages, turn: str | None
) -> None:
    told = [each for _, each, _ in expiry.turned(old, new)]
    assert told == ([turn] if turn else [])
    same = old is not None and old.phases() == new.phases()
    assert expiry.moved(old, new) == (frozenset() if same else {"qa-a"})
