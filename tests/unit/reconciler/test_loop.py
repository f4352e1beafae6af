"""The loop: from a commit to what runs, through nodes in which every action takes effect."""

import asyncio
import contextlib
import datetime
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from dulwich.refs import HEADREF, Ref
from dulwich.repo import Repo

from sdp.protocol.actions import Action, Build, Fetch, Gate, RemoveRelease, StartService
from sdp.protocol.frames import (
    VERSION,
    Cancel,
    Cancelled,
    Failed,
    Hello,
    Outcome,
    Perform,
    Refresh,
    Result,
    Succeeded,
    ToAgent,
)
from sdp.protocol.report import Disk, NodeReport, Repository, difference
from sdp.reconciler.commit import Committed, write
from sdp.reconciler.credentials import NOBODY, Lender
from sdp.reconciler.dispatch import InFlight
from sdp.reconciler.loop import NodeSend, Reconciler
from sdp.reconciler.source import Source
from sdp.spec.load import load
from sdp.spec.tree import Blob
from tests.builders import GATEWAY, MICRO, NOW, PLATFORM, Simulation, commit, desired, sandbox
from tests.fakes.journal import FakeJournal
from tests.fakes.remover import FakeRemover

A = sandbox("QA-A", "account: {branch: develop}")


class Config:
    """A served config repo."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tip = ""
        path.mkdir()
        with Repo.init_bare(path) as repo:
            repo.refs.set_symbolic_ref(HEADREF, Ref(b"refs/heads/main"))
        self.put(**{"platform.yaml": PLATFORM})

    def put(self, message: str = "change", /, **files: str | None) -> None:
        changes = {
            path: text.encode() if text is not None else None for path, text in files.items()
        }
        made = write(self.path, changes, message, "A <a@company.example>", self.tip)
        assert isinstance(made, Committed)
        self.tip = made.sha

    def sandboxes(self, **texts: str | None) -> None:
        self.put(**{f"sandboxes/{name}.yaml": text for name, text in texts.items()})


class Nodes:
    """Two nodes whose agents do at once what they are told."""

    def __init__(self, reconciler: Reconciler) -> None:
        self.reconciler = reconciler
        self.simulation = Simulation(desired())
        self.performed: list[Action] = []
        self.refreshed: list[tuple[str, ...]] = []
        self.lent: list[tuple[str, str]] = []
        """What was lent, and with which kind of frame or action."""
        self.pushed: dict[str, str] = {}
        """Branch → commit of account's origin, as the next look at it will find."""
        self.outcome: Callable[[Action], Outcome] = lambda _: Succeeded()
        self.effects = True
        self.slow: Callable[[Action], bool] = lambda _: False
        self.cancelled: list[str] = []
        self.deaf = False
        self.sends: dict[str, NodeSend] = {}
        self._frames: asyncio.Queue[tuple[str, ToAgent]] = asyncio.Queue()
        self._generations = {MICRO: 1, GATEWAY: 1}

    async def connect(self, node: str) -> NodeSend:
        async def send(frame: ToAgent) -> None:
            self._frames.put_nowait((node, frame))

        self.sends[node] = send
        hello = Hello(
            protocol=VERSION,
            node=node,
            instance="test",
            version="1",
            outbox="o",
            recipient=f"key of {node}",
        )
        await self.reconciler.connected(node, send, hello)
        self.report(node)
        return send

    def report(self, node: str) -> None:
        self._generations[node] += 1
        seen = self.simulation.observed[node].report
        self.reconciler.reported(node, seen, self._generations[node])

    def tell(self, node: str, before: NodeReport) -> None:
        """Report what changed, as an agent does: it concerns some sandboxes and not all."""
        changed = difference(before, self.simulation.observed[node].report)
        if changed is not None:
            self._generations[node] += 1
            assert self.reconciler.changed(node, changed, self._generations[node])

    async def run(self) -> None:
        while True:
            node, frame = await self._frames.get()
            if isinstance(frame, Refresh):
                self.refreshed.append(frame.repositories)
                self.lent += [("look", frame.credentials)] if frame.credentials else []
                self._look(node, frame.repositories)
            if isinstance(frame, Cancel):
                self.cancelled.append(frame.action_id)
                if self.deaf:
                    continue
                done = Result(action_id=frame.action_id, outcome=Cancelled())
                await self.reconciler.entry(node, done)
            if not isinstance(frame, Perform):
                continue
            kind = frame.action.kind
            self.lent += [(kind, frame.credentials)] if frame.credentials else []
            if self.slow(frame.action):
                self.performed.append(frame.action)
                continue
            self.performed.append(frame.action)
            before = self.simulation.observed[node].report
            outcome = self.outcome(frame.action)
            if isinstance(outcome, Succeeded) and self.effects:
                self.simulation.take_effect(node, frame.action)
            self.tell(node, before)
            await self.reconciler.entry(node, Result(action_id=frame.action_id, outcome=outcome))

    def _look(self, node: str, names: tuple[str, ...]) -> None:
        before = self.simulation.observed[node].report
        found = {name: self._looked(before.repositories[name]) for name in names}
        repositories = {**before.repositories, **found}
        self.simulation.report(node, before.model_copy(update={"repositories": repositories}))
        self.tell(node, before)

    def _looked(self, known: Repository) -> Repository:
        pushed = self.pushed if known.branches["develop"] == commit("account", "develop") else {}
        at = (known.checked_at or NOW) + datetime.timedelta(seconds=1)
        branches = {**known.branches, **pushed}
        return known.model_copy(update={"checked_at": at, "branches": branches})

    async def finish(self, flight: InFlight, outcome: Outcome | None = None) -> None:
        """End what was slow: as given, or with its effect."""
        if outcome is None:
            self.simulation.take_effect(flight.planned.node, flight.planned.action)
            self.report(flight.planned.node)
        result = Result(action_id=flight.action_id, outcome=outcome or Succeeded())
        await self.reconciler.entry(flight.planned.node, result)


class Platform:
    """All of it."""

    def __init__(self, folder: Path, lender: Lender = NOBODY) -> None:
        self.config = Config(folder / "config")
        self.journal = FakeJournal()
        self.remover = FakeRemover()
        source = Source(str(self.config.path), "main", folder)
        self.reconciler = Reconciler(source, self.journal, lender=lender)
        self.nodes = Nodes(self.reconciler)

    def is_synced(self, name: str) -> bool:
        status = self.reconciler.status(name)
        if status is None or status.observed_generation != self.config.tip:
            return False
        return (status.sync, status.health) == ("Synced", "Healthy")

    async def synced(self, *names: str) -> None:
        await self.journal.until(lambda: all(self.is_synced(name) for name in names))


@contextlib.asynccontextmanager
async def platform(folder: Path, **sandboxes: str) -> AsyncIterator[Platform]:
    made = Platform(folder)
    if sandboxes:
        made.config.sandboxes(**sandboxes)
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(made.reconciler.run(made.remover)),
            group.create_task(made.nodes.run()),
        ]
        await made.nodes.connect(MICRO)
        await made.nodes.connect(GATEWAY)
        yield made
        for task in tasks:
            task.cancel()


async def test_a_commit_becomes_a_running_routed_sandbox(tmp_path: Path) -> None:
    async with platform(tmp_path) as made:
        made.config.sandboxes(a=A)
        await made.synced("qa-a")
        assert sorted(made.nodes.simulation.containers()) == [
            "sandbox-qa-a-account",
            "sandbox-qa-a-gateway",
        ]
        assert made.nodes.simulation.routes("QA-A")["account_url"] == "http://10.0.0.92:9001"
        assert {each.status for each in made.journal.put.values()} == {"RUNNING"}
        assert {"REVISION", "PLANNED", "CONTAINER_STARTED", "HEALTHY", "ROUTE_CHANGED"} <= {
            *made.journal.kinds()
        }
        assert sorted(each.service for each in made.journal.of("DEPLOYED")) == [
            "account",
            "gateway",
        ]
        assert ("account",) in made.nodes.refreshed


async def test_containers_carry_their_deployments(tmp_path: Path) -> None:
    async with platform(tmp_path, a=A) as made:
        await made.synced("qa-a")
        for container in made.nodes.simulation.containers().values():
            assert made.journal.put[container.deployment].hash == container.hash


async def test_a_changed_branch_redeploys_only_that_service(tmp_path: Path) -> None:
    both = "account: {branch: develop}, user: {branch: develop}"
    async with platform(tmp_path, a=sandbox("QA-A", both)) as made:
        await made.synced("qa-a")
        made.nodes.performed.clear()
        made.config.sandboxes(a=sandbox("QA-A", both.replace("develop", "feature/a", 1)))
        await made.synced("qa-a")
        started = [
            e.container.service for e in made.nodes.performed if isinstance(e, StartService)
        ]
        assert started == ["account"]
        old = [each for each in made.journal.put.values() if each.status == "STOPPED"]
        assert [(each.service, each.reason) for each in old] == [("account", "Superseded")]
        assert not made.journal.of("DRIFT")


async def test_a_killed_container_is_named_as_drift_and_healed(tmp_path: Path) -> None:
    async with platform(tmp_path, a=A) as made:
        await made.synced("qa-a")
        made.nodes.simulation.remove(MICRO, "sandbox-qa-a-account")
        made.nodes.report(MICRO)
        await made.journal.until(lambda: len(made.nodes.simulation.containers()) == 2)
        await made.journal.until(lambda: made.is_synced("qa-a"))
        assert [each.message for each in made.journal.of("DRIFT")] == [
            "container sandbox-qa-a-account is gone"
        ]


async def test_a_stopped_container_is_named_as_drift_and_healed(tmp_path: Path) -> None:
    async with platform(tmp_path, a=A) as made:
        await made.synced("qa-a")
        made.nodes.simulation.edit(MICRO, "sandbox-qa-a-account", state="exited", health="none")
        made.nodes.report(MICRO)
        await made.journal.until(lambda: bool(made.journal.of("DRIFT")))
        await made.journal.until(lambda: made.is_synced("qa-a"))
        assert [each.message for each in made.journal.of("DRIFT")] == [
            "container sandbox-qa-a-account is stopped"
        ]


def on_port(port: int, name: str) -> Callable[[Platform], bool]:
    """Whether a sandbox's account stands on a port."""

    def holds(made: Platform) -> bool:
        found = made.nodes.simulation.containers().get(f"sandbox-{name}-account")
        return found is not None and found.host_port == port

    return holds


async def test_a_start_that_loses_the_race_for_its_port_takes_another(tmp_path: Path) -> None:
    async with platform(tmp_path) as made:

        def lose_once(action: Action) -> Outcome:
            if isinstance(action, StartService) and action.container.host_port == 9001:
                made.nodes.simulation.listen(MICRO, 9001, "nginx (pid 7)")
                return Failed(reason="PortTaken", message="port 9001 is taken by nginx (pid 7)")
            return Succeeded()

        made.nodes.outcome = lose_once
        made.config.sandboxes(a=A)
        await made.synced("qa-a")
        assert on_port(9002, "qa-a")(made)
        assert [each.reason for each in made.journal.of("DEPLOY_FAILED")] == ["PortTaken"]


async def test_who_waits_for_a_port_goes_on_when_it_is_given_up(tmp_path: Path) -> None:
    pin = "account: {branch: develop, port: 9500}"
    async with platform(tmp_path, b=sandbox("QA-B", pin)) as made:
        await made.synced("qa-b")
        made.config.sandboxes(a=sandbox("QA-A", pin))
        await made.journal.until(lambda: waits(made, "qa-a"))
        made.config.sandboxes(b=sandbox("QA-B", pin.replace("9500", "9501")))
        await made.synced("qa-a", "qa-b")
        assert on_port(9500, "qa-a")(made)
        assert on_port(9501, "qa-b")(made)


def waits(made: Platform, name: str) -> bool:
    status = made.reconciler.status(name)
    return status is not None and "PortConflict" in {each.reason for each in status.conditions}


async def test_a_removed_file_removes_the_sandbox(tmp_path: Path) -> None:
    async with platform(tmp_path, a=A) as made:
        await made.synced("qa-a")
        made.config.sandboxes(a=None)
        await made.journal.until(lambda: "SANDBOX_REMOVED" in made.journal.kinds())
        assert not made.nodes.simulation.containers()
        assert not made.reconciler.statuses()
        assert not made.journal.held
        assert not made.journal.applied
        assert {each.status for each in made.journal.put.values()} == {"STOPPED"}


def reasons(made: Platform, name: str) -> set[str]:
    status = made.reconciler.status(name)
    return {each.reason for each in status.conditions} if status else set()


async def test_a_protected_sandbox_outlives_its_file(tmp_path: Path) -> None:
    protected = sandbox("QA-A", "account: {branch: develop}", more="lifecycle: {protect: true}")
    async with platform(tmp_path, a=protected) as made:
        await made.synced("qa-a")
        made.config.sandboxes(a=None)
        await made.journal.until(lambda: "Protected" in reasons(made, "qa-a"))
        assert len(made.nodes.simulation.containers()) == 2


async def test_a_broken_platform_file_removes_nothing(tmp_path: Path) -> None:
    async with platform(tmp_path, a=A) as made:
        await made.synced("qa-a")
        made.config.put(**{"platform.yaml": "platform: [", "sandboxes/a.yaml": "sandbox: ["})
        await made.journal.until(lambda: "SPEC_PROBLEM" in made.journal.kinds())
        await made.journal.until(lambda: "SpecProblem" in reasons(made, "qa-a"))
        assert len(made.nodes.simulation.containers()) == 2


async def test_many_deletions_at_once_wait_until_each_is_confirmed(tmp_path: Path) -> None:
    names = ("a", "b", "c")
    async with platform(tmp_path, **{n: sandbox(f"QA-{n}") for n in names}) as made:
        await made.synced(*(f"qa-{n}" for n in names))
        made.config.sandboxes(a=None, b=None, c=None)
        await made.journal.until(lambda: "MassDeletion" in reasons(made, "qa-a"))
        assert len(made.nodes.simulation.containers()) == 3
        made.reconciler.sync("qa-a")
        await made.journal.until(lambda: "SANDBOX_REMOVED" in made.journal.kinds())
        assert sorted(made.reconciler.statuses()) == ["qa-b", "qa-c"]


ALLOWING = "Clean up\n\nSDP-Allow-Deletes: {}"
THREE = {f"sandboxes/{name}.yaml": sandbox(f"QA-{name}") for name in "abc"}
NONE = dict.fromkeys(THREE)


async def test_a_commit_that_allows_as_many_deletions_is_enough(tmp_path: Path) -> None:
    async with platform(tmp_path) as made:
        made.config.put(**THREE)
        await made.synced("qa-a", "qa-b", "qa-c")
        made.config.put(ALLOWING.format(2), **NONE)
        await made.journal.until(lambda: "MassDeletion" in reasons(made, "qa-a"))
        made.config.put(ALLOWING.format(3), **{"templates/t.yaml": "template: T"})
        await made.journal.until(lambda: len(made.journal.of("SANDBOX_REMOVED")) == 3)
        assert not made.nodes.simulation.containers()


async def test_what_a_commit_lets_go_is_known_after_a_restart(tmp_path: Path) -> None:
    async with platform(tmp_path) as made:
        made.config.put(**THREE)
        await made.synced("qa-a", "qa-b", "qa-c")
    made.config.put(ALLOWING.format(3), **NONE)
    made.config.put("An innocent one", **{"templates/t.yaml": "template: T"})
    async with restarted(made, tmp_path) as again:
        await again.journal.until(lambda: len(again.journal.of("SANDBOX_REMOVED")) == 3)


async def test_many_deletions_wait_after_a_restart_too(tmp_path: Path) -> None:
    async with platform(tmp_path) as made:
        made.config.put(ALLOWING.format(3), **THREE)
        await made.synced("qa-a", "qa-b", "qa-c")
    made.config.put(**NONE)
    async with restarted(made, tmp_path) as again:
        await again.journal.until(lambda: "MassDeletion" in reasons(again, "qa-a"))
        assert len(again.nodes.simulation.containers()) == 3


async def test_a_wholly_emptied_tree_removes_nothing(tmp_path: Path) -> None:
    async with platform(tmp_path, a=A) as made:
        await made.synced("qa-a")
        files = {"platform.yaml": None, "sandboxes/a.yaml": None}
        made.config.put(**files)
        await made.journal.until(lambda: "EmptyTree" in reasons(made, "qa-a"))
        assert len(made.nodes.simulation.containers()) == 2
    async with restarted(made, tmp_path) as again:
        await again.journal.until(lambda: "EmptyTree" in reasons(again, "qa-a"))
        plans, _ = again.reconciler.preview(load([]), deletes=1)
        assert not plans["qa-a"].holds
        again.config.put(**{"platform.yaml": PLATFORM, "sandboxes/a.yaml": A})
        await again.synced("qa-a")
        assert not again.nodes.performed


async def test_a_failed_build_is_told_with_its_lines_and_a_sync_tries_again(
    tmp_path: Path,
) -> None:
    failure = Failed(
        reason="BuildFailed", message="main.go:3: no", terminal=True, lines=("main.go:3: no",)
    )
    async with platform(tmp_path) as made:
        made.nodes.outcome = lambda a: failure if isinstance(a, Fetch) else Succeeded()
        made.config.sandboxes(a=A)
        await made.journal.until(lambda: len(made.journal.of("DEPLOY_FAILED")) == 2)
        event = made.journal.of("DEPLOY_FAILED")[0]
        assert event.data["lines"] == ["main.go:3: no"]
        deployment = made.journal.put[event.deployment]
        assert (deployment.status, deployment.lines) == ("FAILED", ("main.go:3: no",))
        made.nodes.outcome = lambda _: Succeeded()
        nonce = made.reconciler.sync("QA-A")
        await made.synced("qa-a")
        status = made.reconciler.status("qa-a")
        assert status is not None
        assert status.served == nonce
        assert not made.journal.failures
        assert {each.status for each in made.journal.put.values()} == {"RUNNING"}


async def test_a_failure_that_may_pass_is_tried_again_by_itself(tmp_path: Path) -> None:
    seen: list[Action] = []

    def once(action: Action) -> Outcome:
        if isinstance(action, Gate) and not seen:
            seen.append(action)
            return Failed(reason="Unhealthy", message="not yet")
        return Succeeded()

    async with platform(tmp_path) as made:
        made.nodes.outcome = once
        made.config.sandboxes(a=A)
        await made.synced("qa-a")
        assert len(made.journal.of("DEPLOY_FAILED")) == 1


async def test_what_succeeds_in_vain_is_given_up_and_says_so(tmp_path: Path) -> None:
    async with platform(tmp_path) as made:
        made.nodes.effects = False
        made.config.sandboxes(a=A)
        await made.journal.until(lambda: "NotConverging" in reasons(made, "qa-a"))
        count = len(made.nodes.performed)
        made.nodes.effects = True
        made.reconciler.sync("qa-a")
        await made.synced("qa-a")
        assert count < 120


async def test_a_silent_node_is_unknown_and_heals_when_it_is_back(tmp_path: Path) -> None:
    async with platform(tmp_path, a=A) as made:
        await made.synced("qa-a")
        send = await made.nodes.connect(MICRO)
        await made.reconciler.disconnected(MICRO, send)
        await made.journal.until(lambda: made.reconciler.statuses()["qa-a"].sync == "Unknown")
        await made.nodes.connect(MICRO)
        await made.synced("qa-a")


async def test_the_end_of_a_replaced_session_changes_nothing(tmp_path: Path) -> None:
    async with platform(tmp_path, a=A) as made:
        old = await made.nodes.connect(MICRO)
        await made.nodes.connect(MICRO)
        await made.reconciler.disconnected(MICRO, old)
        assert "NODE_SILENT" not in made.journal.kinds()
        await made.synced("qa-a")


REPORT = sandbox("QA-A", "account: {branch: develop}", more="heal: report")


async def test_reported_drift_is_told_once_held_and_healed_once_by_a_sync(tmp_path: Path) -> None:
    async with platform(tmp_path, a=REPORT) as made:
        await made.synced("qa-a")
        made.nodes.simulation.remove(MICRO, "sandbox-qa-a-account")
        made.nodes.report(MICRO)
        await made.journal.until(lambda: "Drift" in reasons(made, "qa-a"))
        made.nodes.report(MICRO)
        made.reconciler.sync("qa-b")
        assert len(made.nodes.simulation.containers()) == 1
        status = made.reconciler.status("qa-a")
        assert status is not None
        assert status.sync == "Held"
        made.reconciler.sync("qa-a")
        await made.journal.until(lambda: made.is_synced("qa-a"))
        assert len(made.journal.of("DRIFT")) == 1
        made.nodes.simulation.remove(MICRO, "sandbox-qa-a-account")
        made.nodes.report(MICRO)
        await made.journal.until(lambda: "Drift" in reasons(made, "qa-a"))


async def test_drift_while_the_control_plane_was_away_is_reported_too(tmp_path: Path) -> None:
    async with platform(tmp_path, a=REPORT) as made:
        await made.synced("qa-a")
    account = "sandbox-qa-a-account"
    made.nodes.simulation.edit(MICRO, account, state="exited", health="none")
    async with restarted(made, tmp_path, made.journal) as again:
        await again.journal.until(lambda: "Drift" in reasons(again, "qa-a"))
        assert made.nodes.simulation.containers()[account].state == "exited"
        again.config.sandboxes(a=REPORT.replace("develop}", "feature/a}"))
        await again.synced("qa-a")


async def test_a_service_that_comes_back_from_ocp_is_no_drift(tmp_path: Path) -> None:
    async with platform(tmp_path, a=REPORT) as made:
        await made.synced("qa-a")
        made.config.sandboxes(a=sandbox("QA-A", "account: {use_ocp: true}", more="heal: report"))
        await made.synced("qa-a")
        assert len(made.nodes.simulation.containers()) == 1
        made.config.sandboxes(a=REPORT)
        await made.synced("qa-a")
        assert not made.journal.of("DRIFT")


@contextlib.asynccontextmanager
async def restarted(
    before: Platform, folder: Path, journal: FakeJournal | None = None
) -> AsyncIterator[Platform]:
    """Start the control plane anew over what runs, with another database unless one is given."""
    (folder / "again").mkdir()
    again = Platform(folder / "again")
    again.config = before.config
    again.journal = journal or again.journal
    again.reconciler = Reconciler(Source(str(again.config.path), "main", folder), again.journal)
    again.nodes = Nodes(again.reconciler)
    again.nodes.simulation = before.nodes.simulation
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(again.reconciler.run(again.remover)),
            group.create_task(again.nodes.run()),
        ]
        await again.nodes.connect(MICRO)
        await again.nodes.connect(GATEWAY)
        yield again
        for task in tasks:
            task.cancel()


async def test_a_lost_database_restarts_nothing(tmp_path: Path) -> None:
    async with platform(tmp_path, a=A) as made:
        await made.synced("qa-a")
    async with restarted(made, tmp_path) as again:
        await again.synced("qa-a")
    assert not again.nodes.performed
    assert {each.status for each in again.journal.put.values()} == {"RUNNING"}
    assert len(again.journal.held) == 2


async def test_a_preview_changes_nothing_and_shows_what_a_commit_would(tmp_path: Path) -> None:
    async with platform(tmp_path, a=A) as made:
        await made.synced("qa-a")
        files = {
            "platform.yaml": PLATFORM,
            "sandboxes/a.yaml": A.replace("develop}", "feature/b}"),
        }
        tree = load(Blob(path, text, text.encode()) for path, text in files.items())
        plans, _ = made.reconciler.preview(tree)
        kinds = [each.action.kind for each in plans["qa-a"].actions]
        assert "start-service" in kinds
        assert made.is_synced("qa-a")
        plan = made.reconciler.plan_of("qa-a")
        assert plan is not None
        assert plan.empty


async def test_a_preview_of_a_removed_file_removes_the_sandbox_unless_it_is_protected(
    tmp_path: Path,
) -> None:
    protected = sandbox("QA-B", more="lifecycle: {protect: true}")
    async with platform(tmp_path, a=A, b=protected) as made:
        await made.synced("qa-a", "qa-b")
        plans, _ = made.reconciler.preview(load([Blob("platform.yaml", "", PLATFORM.encode())]))
        assert plans["qa-a"].actions
        assert not plans["qa-a"].holds
        assert [hold.reason for hold in plans["qa-b"].holds] == ["Protected"]


async def test_a_newer_commit_supersedes_a_build_that_is_under_way(tmp_path: Path) -> None:
    old = commit("account", "develop")
    async with platform(tmp_path) as made:
        made.nodes.slow = lambda action: isinstance(action, Build) and action.commit == old
        made.config.sandboxes(a=A)
        await made.journal.until(lambda: any(map(made.nodes.slow, made.nodes.performed)))
        made.config.sandboxes(a=sandbox("QA-A", "account: {branch: feature/a}"))
        await made.synced("qa-a")
        assert len(made.nodes.cancelled) == 1
        stopped = [each for each in made.journal.put.values() if each.status == "STOPPED"]
        assert [(each.commit, each.reason) for each in stopped] == [(old, "Superseded")]


MOVED = sandbox("QA-A", "account: {branch: feature/a}")


async def test_what_nothing_refers_to_is_removed_when_a_person_asks(tmp_path: Path) -> None:
    async with platform(tmp_path, a=A) as made:
        await made.synced("qa-a")
        made.config.sandboxes(a=MOVED)
        await made.synced("qa-a")
        (unused,) = made.reconciler.collect().unused
        assert unused.release.commit == commit("account", "develop")
        await made.journal.until(lambda: bool(made.journal.of("RELEASES_REMOVED")))
        assert unused.key not in made.nodes.simulation.observed[MICRO].report.releases
        assert made.reconciler.garbage().unused == ()
        await made.synced("qa-a")


async def test_what_is_wanted_again_while_it_is_removed_is_built_again(tmp_path: Path) -> None:
    async with platform(tmp_path, a=A) as made:
        await made.synced("qa-a")
        made.config.sandboxes(a=MOVED)
        await made.synced("qa-a")
        made.nodes.performed.clear()
        made.nodes.slow = lambda action: isinstance(action, RemoveRelease | Build)
        made.reconciler.collect()
        made.config.sandboxes(a=A)
        await made.journal.until(lambda: len(made.reconciler.flying()) == 2)
        for flight in made.reconciler.flying():  # the node builds when it has removed
            await made.nodes.finish(flight)
        await made.synced("qa-a")
        assert [type(each) for each in made.nodes.performed[:2]] == [RemoveRelease, Build]
        assert made.journal.of("RELEASES_REMOVED")
        assert not made.journal.of("DEPLOY_FAILED")


async def test_a_removal_that_fails_is_told_and_harms_no_sandbox(tmp_path: Path) -> None:
    async with platform(tmp_path, a=A) as made:
        await made.synced("qa-a")
        made.config.sandboxes(a=MOVED)
        await made.synced("qa-a")
        made.nodes.outcome = lambda action: (
            Failed(reason="ReleaseInUse", message="a container has it")
            if isinstance(action, RemoveRelease)
            else Succeeded()
        )
        made.reconciler.collect()
        await made.journal.until(lambda: bool(made.journal.of("ACTION_FAILED")))
        assert [each.sandbox for each in made.journal.of("ACTION_FAILED")] == [""]
        assert made.journal.failures == {}
        await made.synced("qa-a")


ROOM = Disk(path="/", total_bytes=1 << 40, free=50, inodes=50, writable=True)


def tell_disk(made: Platform, disk: Disk) -> None:
    before = made.nodes.simulation.observed[MICRO].report
    after = before.model_copy(update={"facts": {"disk/state": disk}})
    made.nodes.simulation.report(MICRO, after)
    made.nodes.tell(MICRO, before)


async def test_a_build_goes_on_by_itself_when_there_is_room_again(tmp_path: Path) -> None:
    async with platform(tmp_path) as made:
        tell_disk(made, ROOM.model_copy(update={"writable": False}))
        made.config.sandboxes(a=A)
        await made.journal.until(lambda: "DiskLow" in str(made.reconciler.status("qa-a")))
        tell_disk(made, ROOM)
        await made.synced("qa-a")


async def test_what_failed_for_want_of_room_is_tried_again_when_there_is_some(
    tmp_path: Path,
) -> None:
    full = Failed(reason="DiskFull", message="no space left", terminal=True)  # no retry by itself

    def fills(action: Action) -> Outcome:
        service = isinstance(action, Build) and action.recipe.kind == "go"
        return full if service else Succeeded()

    async with platform(tmp_path) as made:
        made.nodes.outcome = fills
        made.config.sandboxes(a=A)
        await made.journal.until(lambda: "DiskFull" in str(made.reconciler.status("qa-a")))
        tell_disk(made, ROOM.model_copy(update={"writable": False}))
        made.nodes.outcome = lambda _: Succeeded()
        tell_disk(made, ROOM)
        await made.synced("qa-a")
