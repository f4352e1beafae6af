"""What the planner never does, whatever people commit and whatever happens to the nodes."""

import dataclasses

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from sdp.protocol.actions import (
    Admit,
    Remove,
    Rename,
    Resume,
    Route,
    SetLimits,
    StartService,
    Stop,
)
from sdp.reconciler import observed as observation
from sdp.reconciler.desired import Branch
from sdp.reconciler.history import History
from sdp.reconciler.plan import Planned
from tests.builders import BRANCHES, GATEWAY, MICRO, NOW, Simulation, desired, sandbox

NAMES = st.sampled_from(["QA", "QB", "QC"])
SERVICES = st.sampled_from(["account", "payment", "user"])
PINS = {"account": "9002", "payment": "9003", "user": "9007"}
"""The first two are given out early: whoever has them must move."""
TARGETS = st.one_of(
    st.sampled_from(BRANCHES).map(lambda each: f"branch: {each}"),
    st.sampled_from(BRANCHES).map(lambda each: f"branch: {each}, port: PIN"),
    st.just("use_ocp: true"),
    st.just("url: 'http://10.9.9.9:8080'"),
)


class Planner(RuleBasedStateMachine):
    """Commits, drift, silence and single steps in any order; then it must converge."""

    def __init__(self) -> None:
        super().__init__()
        self.bodies: dict[str, dict[str, str]] = {}
        self.simulation = Simulation(desired())
        self.planned: list[Planned] = []

    def commit(self) -> None:
        files = [
            sandbox(name, ", ".join(f"{k}: {{{v}}}" for k, v in sorted(services.items())))
            for name, services in sorted(self.bodies.items())
        ]
        self.simulation.desired = desired(*files)

    @rule(name=NAMES, service=SERVICES, wanted=TARGETS)
    def someone_commits_a_service(self, name: str, service: str, wanted: str) -> None:
        self.bodies.setdefault(name, {})[service] = wanted.replace("PIN", PINS[service])
        self.commit()

    @rule(name=NAMES)
    def someone_removes_a_sandbox(self, name: str) -> None:
        self.bodies.pop(name, None)
        self.commit()

    @rule(pick=st.integers(0, 20), how=st.sampled_from(["remove", "stop", "rename"]))
    def a_container_drifts(self, pick: int, how: str) -> None:
        containers = self.simulation.observed[MICRO].report.containers
        if containers:
            name = sorted(each.name for each in containers.values())[pick % len(containers)]
            match how:
                case "remove":
                    self.simulation.remove(MICRO, name)
                case "stop":
                    self.simulation.edit(MICRO, name, state="exited", health="none")
                case _:
                    self.simulation.edit(MICRO, name, name=f"{name}-renamed-{pick}")

    @rule(port=st.integers(9001, 9004))
    def a_stranger_takes_or_leaves_a_port(self, port: int) -> None:
        report = self.simulation.observed[MICRO].report
        running = [c.host_port for c in report.containers.values() if c.state == "running"]
        if port not in running:
            self.simulation.listen(MICRO, port, "" if str(port) in report.listeners else "nginx")

    @rule(node=st.sampled_from([MICRO, GATEWAY]), speaks=st.booleans())
    def a_node_falls_silent_or_comes_back(self, node: str, speaks: bool) -> None:  # noqa: FBT001
        known = dataclasses.replace(self.simulation.observed[node], connected=speaks)
        self.simulation.observed = {**self.simulation.observed, node: known}

    @rule(name=NAMES)
    def someone_cancels(self, name: str) -> None:
        self.simulation.cancel(name)

    @rule(steps=st.integers(1, 4))
    def the_loop_runs(self, steps: int) -> None:
        for _ in range(steps):
            self.planned = self.simulation.step()

    @invariant()
    def no_two_containers_have_one_port(self) -> None:
        for node in self.simulation.observed.values():
            standing = [
                each.host_port
                for each in node.report.containers.values()
                if each.state == "running"
            ]
            assert len(standing) == len(set(standing))

    @invariant()
    def nothing_is_started_on_a_strangers_port(self) -> None:
        for plan in self.simulation.plans().values():
            for each in plan.actions:
                listeners = self.simulation.observed[each.node].report.listeners
                if isinstance(each.action, StartService):
                    assert str(each.action.container.host_port) not in listeners
                if isinstance(each.action, Resume) and each.cause.field != "fall back":
                    report = self.simulation.observed[each.node].report
                    stopped = self.simulation.find(report, each.action.container)
                    assert str(stopped.host_port) not in listeners

    @invariant()
    def no_action_is_for_a_silent_node(self) -> None:
        for plan in self.simulation.plans().values():
            for each in plan.actions:
                assert self.simulation.observed[each.node].connected

    @invariant()
    def every_action_has_a_cause_and_waits_only_for_what_is_planned(self) -> None:
        for plan in self.simulation.plans().values():
            keys = {each.key for each in plan.actions}
            assert all(str(each.cause) for each in plan.actions)
            assert all(set(each.after) <= keys for each in plan.actions)

    @invariant()
    def only_healthy_containers_are_newly_routed_to(self) -> None:
        for plan in self.simulation.plans().values():
            for each in plan.actions:
                if isinstance(each.action, Route) and not each.after and each.action.url:
                    self.assert_serves(each.sandbox, each.service, each.action.url)

    def assert_serves(self, name: str, service: str, url: str) -> None:
        wanted = self.simulation.desired.sandboxes[name.lower()].services[service]
        if isinstance(wanted.target, Branch):
            held = observation.held(self.simulation.observed, MICRO, name).containers
            serving = [c for c in held if url.endswith(f":{c.host_port}")]
            assert any(c.health == "healthy" and c.admitted for c in serving)

    @invariant()
    def a_container_is_acted_upon_by_its_own_sandbox_only(self) -> None:
        for name, plan in self.simulation.plans().items():
            for each in plan.actions:
                match each.action:
                    case Remove() | Stop() | Resume() | Rename() | Admit() | SetLimits():
                        node = self.simulation.observed[each.node].report
                        for container in node.containers.values():
                            if each.action.container in {container.id, container.name}:
                                assert container.sandbox.lower() == name
                    case _:
                        pass

    def teardown(self) -> None:
        """Whatever happened: once all nodes speak, it converges, and then nothing is planned.

        What was cancelled stays so until a sync; what may be done comes to its end without it.
        """
        for node, known in self.simulation.observed.items():
            spoken = dataclasses.replace(known, connected=True, heard_at=NOW)
            self.simulation.observed = {**self.simulation.observed, node: spoken}
        self.simulation.converge()
        self.simulation.history = History()
        self.simulation.converge()
        assert self.simulation.kinds() == []
        assert observation.sandboxes(self.simulation.observed) <= {n.lower() for n in self.bodies}


SETTINGS = hypothesis.settings(
    max_examples=60,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],  # the cores are shared
)


@pytest.mark.timeout(60)
def test_the_planner_converges_and_never_harms():
    run_state_machine_as_test(Planner, settings=SETTINGS)
