"""What nothing refers to is found, and what somebody could want is left alone."""

import dataclasses
import datetime
from collections.abc import Iterable

import pytest

from sdp.protocol.actions import Build, GoRecipe, RemoveRelease
from sdp.protocol.frames import Cancelled, Failed, Outcome, Succeeded
from sdp.protocol.report import Disk, Release
from sdp.reconciler import observed as observation
from sdp.reconciler import sweep
from sdp.reconciler.dispatch import InFlight
from sdp.reconciler.draft import Plan, World
from sdp.reconciler.events import Event
from sdp.reconciler.garbage import Commit, Garbage, find
from sdp.reconciler.sweep import AT_ONCE, PAUSE, Sweeper
from tests.builders import GATEWAY, MICRO, NOW, PLATFORM, Simulation, commit, desired, sandbox

A = sandbox("QA", "account: {branch: feature/a}")
B = sandbox("QA", "account: {branch: feature/b}")
OLD = commit("account", "feature/a")
BEFORE = {"account": "feature/a", "gateway": "develop"}
DAY = datetime.timedelta(hours=24)
RECIPE = GoRecipe(service="account", package=".", flags=(), environment={"CGO_ENABLED": "0"})


def moved() -> Simulation:
    """A sandbox that ran feature/a, and runs feature/b."""
    simulation = Simulation(desired(A))
    simulation.converge()
    simulation.desired = desired(B)
    simulation.converge()
    return simulation


def found(simulation: Simulation, doing: Iterable[Build] = (), *pinned: Commit) -> Garbage:
    return find(simulation.world(), {}, doing, pinned)


def unused(simulation: Simulation, doing: Iterable[Build] = (), *pinned: Commit) -> list[str]:
    return [each.release.commit for each in found(simulation, doing, *pinned).unused]


def edit(simulation: Simulation, node: str, **sections: object) -> None:
    report = simulation.observed[node].report
    simulation.report(node, report.model_copy(update=sections))


def test_what_runs_and_what_is_wanted_is_no_garbage():
    simulation = Simulation(desired(A))
    simulation.converge()
    assert unused(simulation) == []


def test_the_version_before_is_garbage_once_its_container_is_gone():
    assert unused(moved()) == [OLD]


def test_a_suspended_sandbox_keeps_its_releases():
    simulation = Simulation(desired(A))
    simulation.converge()
    simulation.desired = desired(A + "lifecycle: {suspended: true}")
    simulation.converge()
    assert unused(simulation) == []
    simulation.remove(MICRO, "sandbox-qa-account")
    assert unused(simulation) == []


def test_a_stopped_container_keeps_its_release():
    simulation = Simulation(desired(A))
    simulation.converge()
    simulation.edit(MICRO, "sandbox-qa-account", state="exited", health="none")
    simulation.desired = desired()
    assert unused(simulation) == []
    simulation.converge()
    assert sorted(unused(simulation)) == sorted([OLD, commit("api-gateway", "develop")])


def test_what_is_being_done_or_pinned_is_no_garbage():
    simulation = moved()
    assert unused(simulation, [Build(repository="account", commit=OLD, recipe=RECIPE)]) == []
    assert unused(simulation, [], ("account", OLD)) == []
    assert unused(simulation, [], ("payment", OLD)) == [OLD]


def test_nothing_is_garbage_on_a_node_that_is_silent_or_whose_engine_is_down():
    simulation = moved()
    heard = simulation.observed
    simulation.observed = observation.silent(heard, MICRO)
    assert unused(simulation) == []
    assert "does not report" in found(simulation).doubts[0].message
    simulation.observed = heard
    engine = heard[MICRO].report.engine.model_copy(update={"error": "refused"})
    edit(simulation, MICRO, engine=engine)
    assert unused(simulation) == []


@pytest.mark.parametrize(
    "broken", [{"unreadable": ("sandboxes/x.yaml",)}, {"platform": None}, {"emptied": True}]
)
def test_nothing_is_garbage_while_a_spec_can_not_be_read(broken):
    simulation = moved()
    simulation.desired = dataclasses.replace(simulation.desired, **broken)
    assert unused(simulation) == []
    assert all(each.message and each.fix for each in found(simulation).doubts)


def test_nothing_of_a_repository_is_garbage_while_somebody_can_not_tell_what_they_want_of_it():
    simulation = moved()
    report = simulation.observed[MICRO].report
    lost = report.repositories["account"].model_copy(update={"branches": {}, "error": "refused"})
    edit(simulation, MICRO, repositories={**report.repositories, "account": lost})
    assert unused(simulation) == []
    (doubt,) = found(simulation).doubts
    assert (doubt.node, doubt.repository) == (MICRO, "account")
    assert "QA/account" in doubt.message


def test_a_branch_that_is_gone_keeps_nothing_but_what_runs():
    simulation = moved()
    report = simulation.observed[MICRO].report
    gone = report.repositories["account"].model_copy(update={"branches": {}})
    edit(simulation, MICRO, repositories={**report.repositories, "account": gone})
    assert unused(simulation) == [OLD]
    not_asked = gone.model_copy(update={"checked_at": None})
    edit(simulation, MICRO, repositories={**report.repositories, "account": not_asked})
    assert unused(simulation) == []


def test_a_doubt_that_passes_does_not_begin_the_grace_anew():
    simulation = moved()
    before = found(simulation).since
    later = dataclasses.replace(simulation.world(), now=NOW + DAY)
    silent = dataclasses.replace(later, observed=observation.silent(later.observed, MICRO))
    between = find(silent, before, ())
    assert between.unused == ()
    assert [each.since for each in find(later, between.since, ()).unused] == [NOW]


# When it goes.


def keys(plan: Plan) -> list[tuple[str, str]]:
    actions = [each.action for each in plan.actions]
    return [(e.repository, e.commit) for e in actions if isinstance(e, RemoveRelease)]


def at(simulation: Simulation, later: datetime.timedelta) -> World:
    return dataclasses.replace(simulation.world(), now=NOW + later)


def low(simulation: Simulation, node: str = MICRO, **changes: object) -> None:
    disk = Disk(path="/var/lib/sdp", total_bytes=100 << 30, free=50, inodes=90, writable=True)
    edit(simulation, node, facts={"disk/state": disk.model_copy(update=changes)})


def looked(simulation: Simulation) -> Sweeper:
    sweeper = Sweeper()
    sweeper.look(simulation.world(), (), ())
    return sweeper


def planned(sweeper: Sweeper, whole: World) -> list[tuple[str, str]]:
    sweeper.look(whole, (), ())
    return keys(sweeper.plan(whole))


def test_garbage_goes_when_it_was_unused_for_so_long():
    simulation = moved()
    sweeper = looked(simulation)
    assert planned(sweeper, at(simulation, DAY - datetime.timedelta(seconds=1))) == []
    assert planned(sweeper, at(simulation, DAY)) == [("account", OLD)]
    assert planned(Sweeper(), at(simulation, DAY)) == [], "a restart begins anew"


def test_the_platform_says_for_how_long():
    simulation = moved()
    quick = PLATFORM + "retention: {unused: 1s}\n"
    simulation.desired = desired(B, platform=quick)
    assert planned(looked(simulation), at(simulation, datetime.timedelta(seconds=1))) != []


def test_what_is_wanted_again_meanwhile_stays_and_its_grace_is_new():
    simulation = moved()
    sweeper = looked(simulation)
    simulation.desired = desired(A)
    assert planned(sweeper, at(simulation, DAY)) == []
    simulation.desired = desired(B)
    assert planned(sweeper, at(simulation, DAY)) == []


def test_a_person_asks_and_it_goes_now():
    simulation = moved()
    sweeper = looked(simulation)
    sweeper.ask([(MICRO, key) for key in simulation.observed[MICRO].report.releases])
    assert planned(sweeper, at(simulation, datetime.timedelta())) == [("account", OLD)]


def test_all_that_is_garbage_goes_where_the_disk_is_low_the_largest_first():
    simulation = moved()
    report = simulation.observed[MICRO].report
    sizes = {"1" * 40: 5, "2" * 40: 900, "3" * 40: 70}
    more = {
        f"user/{each}/go-1": Release(
            repository="user", commit=each, recipe="go-1", defaults={}, problems=(), bytes=size
        )
        for each, size in sizes.items()
    }
    edit(simulation, MICRO, releases={**report.releases, **more})
    assert planned(looked(simulation), simulation.world()) == []
    low(simulation, free=0, left_bytes=100 << 20)
    gone = planned(looked(simulation), simulation.world())
    assert [each for _, each in gone] == ["2" * 40, "3" * 40, "1" * 40, OLD]


def test_few_are_removed_at_once_so_that_no_deployment_waits():
    simulation = moved()
    releases = simulation.observed[MICRO].report.releases
    more = {
        f"user/{n:040x}/go": Release(
            repository="user", commit=f"{n:040x}", recipe="go", defaults={}, problems=()
        )
        for n in range(9)
    }
    edit(simulation, MICRO, releases={**releases, **more})
    sweeper, whole = looked(simulation), at(simulation, DAY)
    sweeper.look(whole, (), ())
    flying = [flight(each) for each in sweeper.plan(whole).actions]
    assert len(flying) == AT_ONCE
    left = dataclasses.replace(whole, observed=sweep.without(whole.observed, flying))
    sweeper.look(left, (), flying)
    assert sweeper.plan(left).actions == ()
    sweeper.look(left, (), flying[1:])
    assert len(sweeper.plan(left).actions) == 1


def flight(planned_one: object) -> InFlight:
    return InFlight("id", planned_one, "", NOW)  # type: ignore[arg-type]


class Removal:
    """Two releases of a node are being removed."""

    def __init__(self) -> None:
        simulation = moved()
        releases = simulation.observed[MICRO].report.releases
        other = Release(
            repository="user",
            commit="1" * 40,
            recipe="go",
            defaults={},
            problems=(),
            bytes=3 << 20,
        )
        edit(simulation, MICRO, releases={**releases, f"user/{'1' * 40}/go": other})
        self.simulation = simulation
        self.sweeper = looked(simulation)
        self.whole = at(simulation, DAY)
        self.sweeper.look(self.whole, (), ())
        self.flying = [flight(each) for each in self.sweeper.plan(self.whole).actions]

    def ends(self, outcome: Outcome) -> list[Event]:
        """Let the last one end; return what is told."""
        left = sweep.without(self.whole.observed, self.flying)
        self.sweeper.look(dataclasses.replace(self.whole, observed=left), (), self.flying)
        done = self.flying.pop()
        return self.sweeper.ended(done.planned, outcome, self.flying, NOW + DAY)


def test_one_event_tells_of_all_that_went_on_a_node():
    removal = Removal()
    assert removal.ends(Succeeded()) == []
    (event,) = removal.ends(Succeeded())
    assert (event.kind, event.sandbox) == ("RELEASES_REMOVED", "")
    assert event.message == f"2 releases on {MICRO}, 3MB: nothing refers to them"


def test_what_could_not_be_removed_is_told_and_tried_later():
    removal = Removal()
    told = removal.ends(Failed(reason="ReleaseInUse", message="x")) + removal.ends(Succeeded())
    assert [each.kind for each in told] == ["ACTION_FAILED", "RELEASES_REMOVED"]
    sweeper, simulation = removal.sweeper, removal.simulation
    low(simulation, writable=False)
    assert planned(sweeper, at(simulation, DAY)) == [("account", OLD)]
    assert len(planned(sweeper, at(simulation, DAY + PAUSE))) == 2


def test_what_was_cancelled_is_not_counted():
    removal = Removal()
    assert removal.ends(Cancelled()) + removal.ends(Cancelled()) == []


def test_who_wants_what_is_being_removed_plans_to_build_it():
    simulation = moved()
    sweeper = looked(simulation)
    whole = at(simulation, DAY)
    sweeper.look(whole, (), ())
    flying = [flight(each) for each in sweeper.plan(whole).actions]
    simulation.desired = desired(A)
    assert "account build" not in simulation.kinds()
    simulation.observed = sweep.without(simulation.observed, flying)
    assert "account build" in simulation.kinds()


# Low disk.


@pytest.mark.parametrize(
    "changes",
    [
        {"free": 0, "left_bytes": 500 << 20},
        {"free": 4, "total_bytes": 1 << 30, "left_bytes": 40 << 20},
        {"inodes": 2},
        {"writable": False},
    ],
)
def test_nothing_is_built_where_the_disk_is_low_and_it_is_said_why(changes):
    simulation = Simulation(desired(A))
    low(simulation, **changes)
    simulation.converge()
    assert "account build" not in simulation.kinds()
    assert simulation.reasons() == ["DiskLow"]
    (hold,) = simulation.plans()["qa"].holds
    assert "/var/lib/sdp" in hold.message
    assert MICRO in hold.fix
    low(simulation)
    simulation.converge()
    assert simulation.reasons() == []


def test_what_is_built_already_goes_on_starting():
    simulation = Simulation(desired(A))
    simulation.converge()
    low(simulation, free=0, left_bytes=0)
    simulation.remove(MICRO, "sandbox-qa-account")
    simulation.converge()
    assert simulation.find(simulation.observed[MICRO].report, "sandbox-qa-account")
    assert simulation.reasons() == []


def test_the_version_before_serves_while_the_new_one_waits_for_room():
    simulation = Simulation(desired(A))
    simulation.converge()
    low(simulation, writable=False)
    simulation.desired = desired(B)
    simulation.converge()
    assert simulation.reasons() == ["DiskLow"]
    assert simulation.routes("QA")["account_url"] == "http://10.0.0.92:9001"
    assert unused(simulation) == []


@pytest.mark.parametrize(("node", "service"), [(MICRO, "account"), (GATEWAY, "gateway")])
def test_what_slept_wakes_as_it_was_while_a_newer_version_waits_for_room(node, service):
    simulation = Simulation(desired(A))
    simulation.converge()
    simulation.desired = desired(A + "lifecycle: {suspended: true}")
    simulation.converge()
    low(simulation, node, writable=False)
    newer = sandbox("QA", "account: {branch: feature/b}", gateway="branch: feature/b")
    simulation.desired = desired(newer)
    simulation.converge()
    assert simulation.reasons() == ["DiskLow"]
    container = simulation.containers()[f"sandbox-qa-{service}"]
    assert (container.state, container.branch) == ("running", BEFORE[service])
    low(simulation, node)
    simulation.converge()
    assert simulation.containers()[f"sandbox-qa-{service}"].branch == "feature/b"


@pytest.mark.parametrize(
    "roomy",
    [
        {"free": 1},
        {"free": 0, "left_bytes": 600 << 20},
        {"free": 6, "total_bytes": 1 << 30, "left_bytes": 64 << 20},
    ],
)
def test_room_enough_holds_nothing(roomy):
    simulation = Simulation(desired(A))
    low(simulation, **roomy)
    simulation.converge()
    assert simulation.reasons() == []


def test_copies_of_gateway_updates_that_failed_do_not_pile_up():
    simulation = Simulation(desired(A))
    simulation.converge()
    report = simulation.observed[GATEWAY].report
    (copy,) = report.copies.values()
    left = {f"QA/{n * 40}": copy.model_copy(update={"commit": n * 40}) for n in "12"}
    edit(simulation, GATEWAY, copies={**report.copies, **left})
    simulation.edit(GATEWAY, "sandbox-qa-gateway", health="unhealthy")
    simulation.converge()
    assert list(simulation.observed[GATEWAY].report.copies.values()) == [copy]
