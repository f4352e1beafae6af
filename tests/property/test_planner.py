"""What the planner never does, whatever people commit and whatever happens to the nodes.

Several sandboxes on two nodes: commits, drift, failures, silence, lost control planes and single
steps come in any order; then everything must converge. ``make fuzz`` searches for long.
"""

import base64
import dataclasses
import re
from collections.abc import Mapping

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from sdp.protocol.actions import (
    Admit,
    Fetch,
    Limits,
    Remove,
    RemoveCopy,
    RemoveNetwork,
    Rename,
    Restart,
    Resume,
    Route,
    SealedFile,
    SetLimits,
    StartGateway,
    StartService,
    Stop,
)
from sdp.protocol.report import Container, Disk, Listener, NodeReport, Sealed
from sdp.reconciler import observed as observation
from sdp.reconciler.credentials import Lenders
from sdp.reconciler.desired import Branch
from sdp.reconciler.draft import World
from sdp.reconciler.plan import Plan, plan_all
from sdp.spec import trailers
from tests.builders import BRANCHES, GATEWAY, MICRO, PLATFORM, commit, sandbox
from tests.property.platform import Platform
from tests.property.profiles import SECONDS, SETTINGS, Progress

SANDBOXES = ("QA", "QB", "QC", "QD")
NAMES = st.sampled_from(SANDBOXES)
SERVICES = st.sampled_from(["account", "payment", "user"])
PINS = {"account": ("9002", "9008"), "payment": ("9003", "9009"), "user": ("9007", "9010")}
"""The first ones are given out early: whoever has them must move."""
TARGETS = st.one_of(
    st.sampled_from(BRANCHES).map(lambda each: f"branch: {each}"),
    st.sampled_from(BRANCHES).map(lambda each: f"branch: {each}, port: PIN0"),
    st.sampled_from(BRANCHES).map(lambda each: f"branch: {each}, port: PIN1"),
    st.sampled_from(BRANCHES).map(lambda each: f"branch: {each}, resources: {{cpu: 1}}"),
    st.sampled_from(BRANCHES).map(lambda each: f"branch: {each}, suspended: true"),
    st.sampled_from(BRANCHES).map(lambda each: f"branch: {each}, resources: {{memory: 64MB}}"),
    st.just(f"branch: {BRANCHES[0]}, commit: PINNED"),
    st.just("use_ocp: true"),
    st.just("url: 'http://10.9.9.9:8080'"),
)
NODES = st.sampled_from([MICRO, GATEWAY])
PICKS = st.integers(0, 40)
MENDABLE = frozenset({"Drift", "Protected", "MassDeletion", "EmptyTree"})
"""Holds that a person's word or a commit lifts; at the end no other may be left but ports'."""

progress = Progress()


@dataclasses.dataclass
class Body:
    """A sandbox's file."""

    services: dict[str, str] = dataclasses.field(default_factory=dict)
    heal: str = "auto"
    suspended: bool = False
    protect: bool = False
    update: str = "auto"

    def text(self, name: str) -> str:
        services = ", ".join(f"{k}: {{{v}}}" for k, v in sorted(self.services.items()))
        suspended, protect = str(self.suspended).lower(), str(self.protect).lower()
        more = f"owner: sari\nenvironment: qa\nheal: {self.heal}\nupdate: {self.update}\n"
        more += f"lifecycle: {{suspended: {suspended}, protect: {protect}}}"
        return sandbox(name, services, more=more)


def environment(value: str, writing: int) -> str:
    """Return an environment with one secret in encrypted form, written so many times."""
    data = base64.b64encode(value.encode()).decode()
    token = f"ENC[AES256_GCM,data:{data},iv:{writing:04},tag:AAAA,type:str]"
    section = f"{{age: [{{recipient: r, enc: e}}], lastmodified: t, mac: '{token}', version: v}}"
    return f"environment: qa\nsecrets: {{A: '{token}'}}\nsops: {section}\n"


class Planner(RuleBasedStateMachine):
    """The rules are what happens, the invariants what must hold meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.platform = Platform()
        self.bodies: dict[str, Body] = {}
        self.emptied = False
        self.stays: set[str] = set()
        """Lower-cased names of sandboxes that nobody desires and that must not go."""
        self.synced: set[str] = set()
        """Those of them that a person let go one by one."""
        self.said: list[tuple[int, frozenset[str]]] = []
        """How many may go, as commits said, of which of them."""
        self.drifted: set[tuple[str, str]] = set()
        """Sandbox and service whose container is gone, and must not come back by itself."""
        self.plans: Mapping[str, Plan] = {}
        self.quota = ""
        self.had: frozenset[str] = frozenset()
        """Those who had a place, or ran, when it was last looked."""
        self.placed: frozenset[str] = frozenset()
        self.stood: frozenset[str] = frozenset()
        self.secret, self.writing, self.blind = "a", 0, False
        self.platform.nodes.opens = self.open

    def open(self, file: SealedFile) -> Sealed:
        """Do as an agent, with or without its identity."""
        if self.blind:
            return Sealed(reason="NoIdentity", message="it has none")
        found = re.search("data:([A-Za-z0-9=]+),", file.text)
        assert found is not None
        return Sealed(fingerprints={"A": base64.b64decode(found[1]).decode()})

    @initialize()
    def somebody_describes_the_platform(self) -> None:
        self.commit()

    # What people do.

    def commit(self, message: str = "", about: str = "") -> None:
        """Commit the files; ``about`` is the one sandbox that is changed, "" may be all."""
        texts = {f"sandboxes/{n}.yaml": body.text(n) for n, body in sorted(self.bodies.items())}
        texts["environments/qa.yaml"] = environment(self.secret, self.writing)
        texts["platform.yaml"] = PLATFORM + self.quota
        self.platform.commit({} if self.emptied else texts, message)
        back = {name.lower() for name in self.bodies if not self.emptied}
        self.stays -= back
        self.synced -= back
        self.said = [(number, names - back) for number, names in self.said]
        changed = {about} if about else set(SANDBOXES)
        self.drifted = {(box, service) for box, service in self.drifted if box not in changed}
        self.look()

    def look(self) -> None:
        self.plans = self.platform.round()
        places = self.platform.world.admission.places
        self.had = self.stood
        self.placed = frozenset(n for n, place in places.items() if place.memory is not None)
        self.stood = self.placed | self.running()
        self.stays -= {name for name in self.stays if self.may_go(name)}

    def may_go(self, name: str) -> bool:
        """Whether a person's word on a sandbox counts now."""
        if self.was_protected(name):
            return False
        if name in self.synced and not self.emptied:
            return True
        asked = self.stays & self.platform.leaving()
        asked -= set() if self.emptied else self.synced  # who was let go alone is not counted
        there = {n for n in asked if not self.was_protected(n)}
        words = ((number, there & names) for number, names in self.said if name in names)
        return any(len(names) <= number for number, names in words)

    @rule(name=NAMES, service=SERVICES, wanted=TARGETS)
    def someone_commits_a_service(self, name: str, service: str, wanted: str) -> None:
        body = self.bodies.setdefault(name, Body())
        first, second = PINS[service]
        pinned = wanted.replace("PINNED", commit(service, BRANCHES[1]))
        body.services[service] = pinned.replace("PIN0", first).replace("PIN1", second)
        self.commit(about=name)

    @rule(one=NAMES, other=NAMES, service=SERVICES, steps=st.integers(0, 8))
    def someone_exchanges_the_pins_of_two_sandboxes(
        self, one: str, other: str, service: str, steps: int
    ) -> None:
        """In one commit, when the loop ran so many steps with the pins as they were."""
        if one == other:
            return
        first, second = (self.bodies.setdefault(name, Body()) for name in (one, other))
        pins = [f"branch: {BRANCHES[0]}, port: {port}" for port in PINS[service]]
        first.services[service], second.services[service] = pins
        self.commit()
        self.the_loop_runs(steps)
        second.services[service], first.services[service] = pins
        self.commit()

    @rule(
        name=NAMES,
        heal=st.sampled_from(["auto", "report"]),
        suspended=st.booleans(),
        protect=st.booleans(),
        update=st.sampled_from(["auto", "manual"]),
    )
    def someone_commits_how_it_lives(
        self, *, name: str, heal: str, suspended: bool, protect: bool, update: str
    ) -> None:
        if name in self.bodies:
            services = self.bodies[name].services
            self.bodies[name] = Body(services, heal, suspended, protect, update)
            self.commit(about=name)

    @rule(gone=st.sets(NAMES, min_size=1), allowed=st.sampled_from([0, 0, 1, 2, 4]))
    def someone_removes_sandboxes(self, gone: set[str], allowed: int) -> None:
        gone &= self.bodies.keys()
        every = len(self.bodies)
        message = trailers.allowing("Clean up", allowed) if allowed else ""
        removed = {name: self.bodies.pop(name) for name in gone}
        there = observation.sandboxes(self.platform.nodes.observed)
        if not self.emptied:
            self.stays |= {n.lower() for n, body in removed.items() if body.protect} & there
        if not self.emptied and len(gone) > 2 and len(gone) > 0.3 * every:
            self.stays |= {name.lower() for name in gone} & there
        if allowed:
            self.said.append((allowed, frozenset(self.stays)))
        self.commit(message)

    def was_protected(self, name: str) -> bool:
        for revision in reversed(self.platform.revisions):
            for file in revision.tree.sandboxes.values():
                if file.spec.sandbox.lower() == name:
                    lifecycle = file.spec.lifecycle
                    return bool(lifecycle and lifecycle.protect)
        return False

    @rule(value=st.sampled_from("ab"))
    def someone_sets_the_secret_or_encrypts_it_anew(self, value: str) -> None:
        self.secret, self.writing = value, self.writing + 1
        self.commit()

    @rule(blind=st.booleans())
    def an_identity_is_lost_or_found(self, *, blind: bool) -> None:
        self.blind = blind
        report = self.platform.nodes.observed[MICRO].report
        known = {k: each for k, each in report.sealed.items() if not each.reason}
        self.report(MICRO, report, sealed=known)

    @rule(running=st.sampled_from([0, 1, 2, 3]))
    def someone_sets_or_lifts_a_quota(self, running: int) -> None:
        self.quota = f"quotas: {{running: {running}}}\n" if running else ""
        self.commit()

    @rule(emptied=st.booleans())
    def someone_empties_the_repository_or_brings_it_back(self, *, emptied: bool) -> None:
        if emptied and not self.emptied:
            there = observation.sandboxes(self.platform.nodes.observed)
            self.stays |= {name.lower() for name in self.bodies} & there
        if emptied != self.emptied:
            self.emptied = emptied
            self.commit()

    @rule(name=NAMES)
    def someone_asks_for_a_sync(self, name: str) -> None:
        self.drifted = {(box, service) for box, service in self.drifted if box != name}
        if name.lower() in self.stays:
            self.synced.add(name.lower())
        self.platform.sync(name.lower())
        self.look()

    @rule(name=NAMES)
    def someone_cancels(self, name: str) -> None:
        self.platform.cancel(name)
        self.look()

    @rule(name=NAMES, service=st.sampled_from(["", "gateway", "account"]))
    def someone_asks_for_a_restart(self, name: str, service: str) -> None:
        self.platform.ask_restart(name, service)
        self.look()

    # What happens to nodes.

    def container(self, pick: int) -> tuple[str, Container] | None:
        """Return one of the containers, and its node."""
        found = [
            (node, each)
            for node, seen in sorted(self.platform.nodes.observed.items())
            for each in sorted(seen.report.containers.values(), key=lambda c: c.name)
        ]
        return found[pick % len(found)] if found else None

    @rule(pick=PICKS, how=st.sampled_from(["remove", "stop", "rename", "limit"]))
    def a_container_drifts(self, pick: int, how: str) -> None:
        if (found := self.container(pick)) is None:
            return
        node, container = found
        nodes = self.platform.nodes
        match how:
            case "remove":
                self.note_drift(container)
                nodes.remove(node, container.id)
            case "stop":
                nodes.edit(node, container.id, state="exited", health="none")
            case "limit":
                nodes.edit(node, container.id, limits=Limits(cpu_milli=1, memory_bytes=1))
            case _:
                nodes.edit(node, container.id, name=f"renamed-{pick}-{container.id}")
        self.look()

    @rule(pick=PICKS)
    def a_container_falls_and_its_engine_starts_it_again(self, pick: int) -> None:
        found = self.container(pick)
        if found is not None and found[1].state == "running":
            node, fallen = found
            again = {"restarts": fallen.restarts + 1, "health": "starting"}
            self.platform.nodes.edit(node, fallen.id, **again)
            self.look()

    @rule()
    def what_fell_stands(self) -> None:
        """No plan makes it healthy: it is asked all the time."""
        for node, seen in self.platform.nodes.observed.items():
            for each in seen.report.containers.values():
                if each.restarts and (each.state, each.health) == ("running", "starting"):
                    self.platform.nodes.edit(node, each.id, health="healthy")
        self.look()

    def note_drift(self, container: Container) -> None:
        """Note that a container goes which only a person may have made again."""
        name = container.sandbox.lower()
        meant = self.platform.memory.desired.sandboxes.get(name)
        settled = name in self.plans and self.plans[name].empty
        if meant and meant.heal == "report" and not meant.suspended and settled:
            self.drifted.add((container.sandbox, container.service))

    @rule(key=st.sampled_from(["account_url", "user_url"]), pick=PICKS)
    def someone_edits_a_route(self, key: str, pick: int) -> None:
        report = self.platform.nodes.observed[GATEWAY].report
        copies = sorted(report.copies)
        if copies:
            chosen = copies[pick % len(copies)]
            copy = report.copies[chosen]
            routes = {**copy.routes, key: "http://by-hand"}
            edited = copy.model_copy(update={"routes": routes, "edited": True})
            self.report(GATEWAY, report, copies={**report.copies, chosen: edited})

    @rule(node=NODES, pick=PICKS)
    def a_network_goes(self, node: str, pick: int) -> None:
        report = self.platform.nodes.observed[node].report
        if report.networks:
            gone = sorted(report.networks)[pick % len(report.networks)]
            rest = {name: each for name, each in report.networks.items() if name != gone}
            self.report(node, report, networks=rest)

    @rule(port=st.sampled_from([9001, 9002, 9005]), there=st.booleans())
    def a_stranger_takes_a_port_or_leaves_it(self, *, port: int, there: bool) -> None:
        report = self.platform.nodes.observed[MICRO].report
        running = [each for each in report.containers.values() if each.state == "running"]
        ours = {each.host_port for each in running}
        listeners = {k: each for k, each in report.listeners.items() if k != str(port)}
        if there and port not in ours:
            listeners[str(port)] = Listener(owner="nginx")
        self.report(MICRO, report, listeners=listeners)

    @rule(branch=st.sampled_from(BRANCHES), tip=st.integers(0, 3))
    def someone_pushes_or_deletes_a_branch(self, branch: str, tip: int) -> None:
        """What is followed by hand is not moved by it, and what runs is not ended by a deletion."""
        branches = self.branches()
        branches.pop(branch, None)
        branches |= {branch: f"{tip:040x}"} if tip else {}
        before = self.starts_by_hand(), self.ends()
        self.drifted = {(box, each) for box, each in self.drifted if each != "account"}
        self.platform.look(MICRO, "account", branches)
        self.look()
        assert self.starts_by_hand() <= before[0]
        assert tip or self.ends() <= before[1]

    @rule()
    def an_origin_is_away(self) -> None:
        """And nothing begins or ends for it; until the next push or deletion it is back."""
        before = self.starts_by_hand(), self.ends()
        self.platform.look(MICRO, "account", self.branches(), "no answer")
        self.look()
        assert (self.starts_by_hand(), self.ends()) == before

    @rule(asks=st.booleans(), live=st.booleans())
    def an_origin_asks_for_a_password_that_somebody_has_or_not(
        self, *, asks: bool, live: bool
    ) -> None:
        """And nothing ends for want of it."""
        before = self.ends()
        self.platform.ask_for_a_password(MICRO, "account", asks=asks)
        lenders = Lenders(frozenset({"sari"} if live else ()))
        self.platform.memory.lenders = lambda: lenders
        self.look()
        assert live or not asks or self.ends() <= before

    def branches(self) -> dict[str, str]:
        return dict(self.platform.nodes.observed[MICRO].report.repositories["account"].branches)

    def starts_by_hand(self) -> set[tuple[str, str]]:
        """Return the versions of account that are to start where somebody runs, by hand."""
        found = set[tuple[str, str]]()
        for name, plan in self.plans.items():
            meant = self.platform.memory.desired.sandboxes.get(name)
            target = meant.services["account"].target if meant else None
            if isinstance(target, Branch) and target.manual and self.stands(name, target.name):
                starts = [e for e in plan.actions if isinstance(e.action, StartService)]
                found |= {(name, e.version) for e in starts if e.service == "account"}
        return found

    def stands(self, name: str, branch: str) -> bool:
        held = observation.held(self.platform.nodes.observed, MICRO, name).containers
        mine = [c for c in held if (c.service, c.branch) == ("account", branch)]
        return any(c.admitted for c in mine)

    def ends(self) -> set[tuple[str, str]]:
        """Return the containers of account that serve and are to end."""
        node = self.platform.nodes.observed[MICRO].report.containers
        return {
            (name, each.action.container)
            for name, plan in self.plans.items()
            for each in plan.actions
            if isinstance(each.action, Stop | Remove) and each.service == "account"
            if each.action.container in node and node[each.action.container].admitted
        }

    @rule(name=NAMES)
    def someone_updates(self, name: str) -> None:
        self.platform.update(name)
        self.drifted = {(box, service) for box, service in self.drifted if box != name}
        self.look()

    def report(self, node: str, report: NodeReport, **changes: object) -> None:
        self.platform.nodes.report(node, report.model_copy(update=changes))
        self.look()

    @rule(node=NODES, speaks=st.booleans())
    def a_node_falls_silent_or_comes_back(self, *, node: str, speaks: bool) -> None:
        self.platform.speak([node], speaks=speaks)
        self.look()

    # What the control plane does.

    @rule(steps=st.integers(1, 6))
    def the_loop_runs(self, steps: int) -> None:
        for _ in range(steps):
            self.platform.step()
        self.look()

    @rule()
    def the_loop_runs_until_nothing_is_ready(self) -> None:
        self.platform.converge()
        self.look()

    @rule(pick=PICKS)
    def an_action_fails(self, pick: int) -> None:
        if ready := self.platform.ready():
            self.platform.fail(ready[pick % len(ready)])
            self.look()

    @rule(forgetful=st.booleans())
    def the_control_plane_is_lost(self, *, forgetful: bool) -> None:
        if forgetful:
            self.drifted.clear()  # the database knew what stood before
        self.platform.restart(forgetful=forgetful)
        self.look()

    @rule(low=st.booleans())
    def a_disk_runs_full_or_has_room_again(self, *, low: bool) -> None:
        disk = Disk(path="/", total_bytes=1 << 40, free=50, inodes=50, writable=not low)
        report = self.platform.nodes.observed[MICRO].report
        self.report(MICRO, report, facts={"disk/state": disk})

    @rule()
    def what_nothing_refers_to_is_removed(self) -> None:
        self.platform.sweep()
        self.look()

    # What must hold.

    @invariant()
    def no_container_has_lost_its_release(self) -> None:
        report = self.platform.nodes.observed[MICRO].report
        there = {each.commit for each in report.releases.values()}
        assert {each.commit for each in report.containers.values()} <= there

    @invariant()
    def nothing_is_fetched_with_nobodys_credentials(self) -> None:
        known = self.platform.nodes.observed[MICRO].report.repositories["account"]
        if known.credentials == "wanted" and not self.platform.world.lenders.live:
            actions = [each.action for plan in self.plans.values() for each in plan.actions]
            fetches = [each for each in actions if isinstance(each, Fetch)]
            assert not any(each.repository == "account" for each in fetches)

    @invariant()
    def no_two_containers_have_one_port(self) -> None:
        for node in self.platform.nodes.observed.values():
            standing = [
                each.host_port
                for each in node.report.containers.values()
                if each.state == "running"
            ]
            assert len(standing) == len(set(standing))

    @invariant()
    def no_port_is_given_to_two_parties_or_taken_from_a_stranger(self) -> None:
        owners: dict[tuple[str, int], str] = {}
        for plan in self.plans.values():
            for lease in plan.leases:
                assert owners.setdefault((lease.node, lease.port), lease.party) == lease.party
            for each in plan.actions:
                if isinstance(each.action, StartService | StartGateway):
                    report = self.platform.nodes.observed[each.node].report
                    assert str(each.action.container.host_port) not in report.listeners
                if isinstance(each.action, Resume) and each.cause.field != "fall back":
                    report = self.platform.nodes.observed[each.node].report
                    stopped = self.platform.nodes.find(report, each.action.container)
                    assert str(stopped.host_port) not in report.listeners

    @invariant()
    def no_action_is_for_a_silent_node(self) -> None:
        for plan in self.plans.values():
            for each in plan.actions:
                assert self.platform.nodes.observed[each.node].connected

    def running(self) -> frozenset[str]:
        return frozenset(
            each.sandbox.lower()
            for node in self.platform.nodes.observed.values()
            for each in node.report.containers.values()
            if each.state == "running"
        )

    @property
    def most(self) -> int | None:
        """How many may run."""
        platform = self.platform.memory.desired.platform
        return platform.quotas.running if platform else None

    @invariant()
    def no_start_goes_beyond_the_quota(self) -> None:
        starting = {
            name
            for name, plan in self.plans.items()
            if any(
                isinstance(e.action, StartGateway | StartService | Resume) for e in plan.actions
            )
        }
        assert self.most is None or starting <= self.placed
        assert self.most is None or starting <= self.had or len(self.placed) <= self.most

    @invariant()
    def every_action_has_a_cause_and_waits_only_for_what_is_planned(self) -> None:
        for plan in self.plans.values():
            keys = {each.key for each in plan.actions}
            assert all(str(each.cause) for each in plan.actions)
            assert all(set(each.after) <= keys for each in plan.actions)

    @invariant()
    def every_hold_says_what_to_do(self) -> None:
        for plan in self.plans.values():
            assert all(hold.message and hold.fix for hold in plan.holds)

    @invariant()
    def only_healthy_containers_are_newly_routed_to(self) -> None:
        for plan in self.plans.values():
            for each in plan.actions:
                if isinstance(each.action, Route) and not each.after and each.action.url:
                    self.assert_serves(each.sandbox, each.service, each.action.url)

    def assert_serves(self, name: str, service: str, url: str) -> None:
        wanted = self.platform.memory.desired.sandboxes[name.lower()].services[service]
        if isinstance(wanted.target, Branch):
            held = observation.held(self.platform.nodes.observed, MICRO, name).containers
            serving = [c for c in held if url.endswith(f":{c.host_port}")]
            assert any(c.health == "healthy" and c.admitted for c in serving)

    @invariant()
    def a_container_is_acted_upon_by_its_own_sandbox_only(self) -> None:
        for name, plan in self.plans.items():
            for each in plan.actions:
                match each.action:
                    case (
                        Remove() | Stop() | Resume() | Restart() | Rename() | Admit() | SetLimits()
                    ):
                        node = self.platform.nodes.observed[each.node].report
                        for container in node.containers.values():
                            if each.action.container in {container.id, container.name}:
                                assert container.sandbox.lower() == name
                    case RemoveCopy() | RemoveNetwork() | Route():
                        assert each.action.sandbox.lower() == name
                    case _:
                        pass

    @invariant()
    def what_sleeps_is_neither_started_nor_rerouted(self) -> None:
        for name, meant in self.platform.memory.desired.sandboxes.items():
            for each in self.plans[name].actions:
                if meant.sleeps(each.service):
                    assert isinstance(each.action, Stop | Remove), each

    @invariant()
    def what_nobody_let_go_is_left_alone(self) -> None:
        for name in self.stays & self.platform.leaving():
            assert self.plans[name].actions == (), name
            assert self.plans[name].holds

    @invariant()
    def reported_drift_does_not_heal_by_itself(self) -> None:
        for name, service in self.drifted:
            for each in self.plans[name.lower()].actions:
                if isinstance(each.action, StartService | StartGateway):
                    assert each.service != service

    @invariant()
    def plans_do_not_depend_on_the_order_in_which_things_are_told(self) -> None:
        whole = self.platform.world
        assert plan_all(_reversed(whole)) == plan_all(whole)

    def teardown(self) -> None:
        """Whatever happened: once all speak and nothing fails, it converges, and then it rests."""
        progress.one_more()
        if not self.platform.revisions:
            return
        self.platform.speak([MICRO, GATEWAY], speaks=True)
        self.an_identity_is_lost_or_found(blind=False)
        self.what_fell_stands()
        tips = dict.fromkeys(BRANCHES, f"{1:040x}")
        self.platform.look(MICRO, "account", {**tips, **self.branches()})
        self.a_disk_runs_full_or_has_room_again(low=False)
        self.an_origin_asks_for_a_password_that_somebody_has_or_not(asks=True, live=True)
        self.mend()
        self.platform.converge()
        self.look()
        self.assert_nobody_waits_beside_a_free_place()
        if not self.emptied:
            self.someone_sets_or_lifts_a_quota(0)
            self.platform.converge()
        waits = frozenset({"PortConflict", *(["Queued"] if self.quota else [])})
        self.assert_rests()
        self.assert_only(MENDABLE | waits)
        self.assert_no_circle()
        self.assert_unmoved_by_writing()
        for name in sorted(self.platform.memory.desired.sandboxes):
            self.platform.sync(name)
        self.platform.converge()
        self.assert_rests()
        self.assert_only(MENDABLE - {"Drift"} | waits)
        self.assert_no_circle()
        there = observation.sandboxes(self.platform.nodes.observed)
        assert there <= self.platform.memory.desired.sandboxes.keys() | self.held()

    def assert_nobody_waits_beside_a_free_place(self) -> None:
        waits = self.platform.world.admission.queue
        assert not waits or (self.most is not None and len(self.placed) >= self.most)

    def assert_unmoved_by_writing(self) -> None:
        before = self.platform.nodes.containers()
        if not self.emptied:
            self.someone_sets_the_secret_or_encrypts_it_anew(self.secret)
            self.platform.converge()
            self.assert_rests()
            assert self.platform.nodes.containers() == before

    def mend(self) -> None:
        for name in sorted(self.platform.memory.every()):
            for box, service in self.platform.memory.failing(name):
                self.platform.memory.mend(box, service)

    def held(self) -> set[str]:
        return {name for name, plan in self.platform.memory.plans.items() if plan.holds}

    def assert_rests(self) -> None:
        for _ in range(2):
            plans = self.platform.round()
            assert {name: plan.actions for name, plan in plans.items() if plan.actions} == {}

    def assert_only(self, reasons: frozenset[str]) -> None:
        holds = [hold for plan in self.platform.memory.plans.values() for hold in plan.holds]
        assert {hold.reason for hold in holds} <= reasons, holds

    def assert_no_circle(self) -> None:
        """Nobody waits, at last, for a port of somebody who waits for nothing but them."""
        waits = {
            f"{hold.sandbox}/{hold.service}": found[1]
            for plan in self.platform.memory.plans.values()
            for hold in plan.holds
            if {each.reason for each in plan.holds} == {"PortConflict"}
            if (found := re.search(r" is (\S+)'s, which is to give it up", hold.message))
        }
        for party in waits:
            seen = {party}
            while (party := waits.get(party, "")) != "":
                assert party not in seen, waits
                seen.add(party)


def _reversed(whole: World) -> World:
    """Return the same world, with everything in it told in the opposite order."""
    desired = dataclasses.replace(
        whole.desired, sandboxes=dict(reversed(list(whole.desired.sandboxes.items())))
    )
    observed = {
        node: dataclasses.replace(
            seen,
            report=seen.report.model_copy(
                update={
                    section: dict(reversed(getattr(seen.report, section).items()))
                    for section in ("containers", "copies", "networks", "releases", "repositories")
                }
            ),
        )
        for node, seen in reversed(list(whole.observed.items()))
    }
    leases = dict(reversed(list(whole.leases.items())))
    return dataclasses.replace(whole, desired=desired, observed=observed, leases=leases)


@pytest.mark.timeout(SECONDS)
def test_the_planner_converges_and_never_harms():
    run_state_machine_as_test(Planner, settings=SETTINGS)


def test_what_was_begun_and_is_wanted_back_as_it_was_is_nobodys_drift():
    planner = Planner()
    planner.somebody_describes_the_platform()
    pins = {"one": "QB", "other": "QA", "service": "account"}
    planner.someone_exchanges_the_pins_of_two_sandboxes(**pins, steps=0)
    planner.someone_commits_how_it_lives(
        name="QA", heal="report", suspended=False, protect=False, update="auto"
    )
    planner.the_loop_runs_until_nothing_is_ready()
    planner.someone_exchanges_the_pins_of_two_sandboxes(**pins, steps=4)
    planner.teardown()
