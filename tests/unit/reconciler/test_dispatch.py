"""Dispatch: what may start, what may not, and what must stop."""

import dataclasses
import datetime

from sdp.protocol.actions import EnsureNetwork, Remove, StartService
from sdp.protocol.frames import Cancel, Failed, Perform, ToAgent
from sdp.reconciler import observed as observation
from sdp.reconciler.dispatch import Dispatcher, InFlight, ready, superseded, timeout
from sdp.reconciler.draft import Cause, Plan, Planned
from sdp.reconciler.history import Attempt, History, failed
from tests.builders import GATEWAY, MICRO, NOW, Simulation, desired, sandbox


def simulation(*sandboxes: str) -> Simulation:
    return Simulation(desired(*(sandboxes or (sandbox("QA-A", "account: {branch: develop}"),))))


def flying(planned: Planned) -> InFlight:
    return InFlight(planned.key, planned, "", NOW + datetime.timedelta(minutes=1))


def started(made: Simulation, *in_flight: InFlight) -> list[Planned]:
    return ready(made.plans().values(), in_flight, made.world())


def names(actions: list[Planned]) -> list[str]:
    return [f"{each.node} {each.service or '-'} {each.action.kind}" for each in actions]


def test_only_what_waits_for_nothing_starts() -> None:
    made = simulation()
    assert sorted(names(started(made))) == [
        f"{GATEWAY} - network",
        f"{GATEWAY} gateway fetch",
        f"{MICRO} account fetch",
    ]


def test_a_sandboxs_networks_come_one_after_the_other_since_nodes_may_share_an_engine() -> None:
    made = simulation()
    first = [each for each in started(made) if each.action.kind == "network"]
    for each in first:
        made.take_effect(each.node, each.action)
    second = [each for each in started(made) if each.action.kind == "network"]
    assert [each.node for each in (*first, *second)] == [GATEWAY, MICRO]


def test_ready_actions_alone_bring_everything_about() -> None:
    made = simulation(
        sandbox("QA-A", "account: {branch: develop}"), sandbox("QA-B", "user: {branch: develop}")
    )
    for _ in range(60):
        plans = made.plans()
        for plan in plans.values():
            made.leases = {**made.leases, **{(x.node, x.port): x for x in plan.leases}}
        todo = ready(plans.values(), (), made.world())
        for each in todo:
            made.take_effect(each.node, each.action)
    assert not made.kinds()


def test_a_release_that_two_sandboxes_share_is_built_once() -> None:
    made = simulation(
        sandbox("QA-A", "account: {branch: develop}"),
        sandbox("QA-B", "account: {branch: develop}"),
    )
    fetches = [each for each in started(made) if each.action.kind == "fetch"]
    assert len({each.key for each in fetches}) == len(fetches) == 2
    assert not [
        each
        for each in started(made, *map(flying, started(made)))
        if each.key in {fetch.key for fetch in fetches}
    ]


def test_a_service_does_one_thing_at_a_time() -> None:
    made = simulation()
    first = started(made)
    again = started(made, *map(flying, first))
    assert not {a.service for a in again} & {a.service for a in first}


def test_a_failed_version_waits_for_its_retry() -> None:
    made = simulation()
    fetch = next(each for each in started(made) if each.service == "account")
    attempt = Attempt("QA-A", "account", fetch.version, "fetch")
    failure = failed(None, attempt, Failed(reason="X", message="x"), NOW, 0)
    plans = made.plans().values()
    made.history = History(failures={("QA-A", "account", fetch.version): failure})
    later = dataclasses.replace(made.world(), now=NOW + datetime.timedelta(seconds=2))
    assert "account" not in {each.service for each in ready(plans, (), made.world())}
    assert "account" in {each.service for each in ready(plans, (), later)}


def test_nothing_starts_on_a_silent_node() -> None:
    made = simulation()
    plans = made.plans()
    made.observed = observation.silent(made.observed, MICRO)
    assert {each.node for each in ready(plans.values(), (), made.world())} == {GATEWAY}


def test_a_node_has_at_most_eight_actions_in_flight() -> None:
    made = simulation()
    removals = tuple(removal(f"s{i}") for i in range(12))
    chosen = ready([Plan(removals)], [flying(removal("other"))], made.world())
    assert len(chosen) == 7


def removal(service: str) -> Planned:
    action = Remove(sandbox="QA-A", container=service)
    return Planned(service, MICRO, "QA-A", service, "", action, (), Cause("x", "", ""))


def test_work_for_a_version_that_nobody_wants_is_cancelled() -> None:
    made = simulation()
    fetch = next(each for each in started(made) if each.service == "account")
    in_flight = [flying(fetch)]
    plans = made.plans().values()
    assert not superseded(in_flight, plans, {("QA-A", "account"): fetch.version})
    assert not superseded(in_flight, plans, {("QA-A", "account"): "another"})
    assert superseded(in_flight, (), {("QA-A", "account"): "another"}) == in_flight
    assert superseded(in_flight, (), {}) == in_flight


def test_work_that_may_just_have_succeeded_is_not_cancelled() -> None:
    made = simulation()
    fetch = next(each for each in started(made) if each.service == "account")
    assert not superseded([flying(fetch)], (), {("QA-A", "account"): fetch.version})


def test_work_is_not_cancelled_while_nobody_can_tell_what_is_wanted() -> None:
    made = simulation()
    fetch = next(each for each in started(made) if each.service == "account")
    assert not superseded([flying(fetch)], (), {("QA-A", "account"): None})


def start_of(made: Simulation) -> Planned:
    actions = (each for plan in made.plans().values() for each in plan.actions)
    return next(each for each in actions if isinstance(each.action, StartService))


async def test_a_container_carries_its_deployments_id() -> None:
    sent: list[tuple[str, ToAgent]] = []

    async def send(node: str, frame: ToAgent) -> None:
        sent.append((node, frame))

    dispatcher = Dispatcher(send)
    await dispatcher.start(start_of(simulation()), "d-0123456789", NOW)
    (node, frame), *_ = sent
    assert node == MICRO
    assert isinstance(frame, Perform)
    assert isinstance(frame.action, StartService)
    assert frame.action.container.deployment == frame.deployment == "d-0123456789"
    await dispatcher.cancel(dispatcher)
    assert sent[-1] == (MICRO, Cancel(action_id=frame.action_id))
    assert dispatcher.ended(frame.action_id) is not None
    assert dispatcher.ended(frame.action_id) is None


async def test_a_lost_node_and_a_lost_result_are_forgotten() -> None:
    async def send(node: str, frame: ToAgent) -> None: ...

    dispatcher = Dispatcher(send)
    await dispatcher.start(start_of(simulation()), "", NOW)
    dispatcher.lost(GATEWAY)
    assert len(list(dispatcher)) == 1
    dispatcher.lost(MICRO)
    assert not list(dispatcher)
    await dispatcher.start(start_of(simulation()), "", NOW)
    dispatcher.expire(NOW + datetime.timedelta(hours=1))
    assert not list(dispatcher)


def test_every_action_has_a_deadline_and_a_gate_its_own() -> None:
    assert timeout(EnsureNetwork(sandbox="A", name="sandbox-a")) == 30
    made = simulation()
    gates = [
        each.action
        for plan in made.plans().values()
        for each in plan.actions
        if each.action.kind == "gate"
    ]
    assert {timeout(gate) for gate in gates} == {75}
