"""A control plane and its nodes without I/O: commits, rounds and effects, one step at a time."""

import dataclasses
from collections.abc import Iterable, Mapping

from sdp.protocol.actions import SetLimits
from sdp.protocol.frames import Failed
from sdp.reconciler import cancel, guard, restart, updates
from sdp.reconciler import history as past
from sdp.reconciler.departure import departures
from sdp.reconciler.desired import Revision, desire
from sdp.reconciler.draft import World
from sdp.reconciler.history import Attempt, Choice, History
from sdp.reconciler.memory import Memory
from sdp.reconciler.plan import Plan, Planned
from sdp.reconciler.refusal import Refusal
from sdp.reconciler.restart import Asked
from sdp.reconciler.steady import Moved
from sdp.reconciler.sweep import Sweeper
from sdp.reconciler.updates import Update
from sdp.spec.load import Cache, load
from sdp.spec.tree import Blob, Tree
from tests.builders import NOW, Simulation, desired

LIMIT = 120
"""Steps within which everything must have converged."""


class Platform:
    """Everything but the wires: what the loop does in a round, and nodes on which it takes effect."""

    def __init__(self) -> None:
        self.nodes = Simulation(desired())
        self.memory = Memory()
        self.revisions: list[Revision] = []
        self._cache = Cache()
        self._stored: dict[tuple[str, str], str] = {}
        self._chosen: dict[tuple[str, str], Choice | None] = {}

    def commit(self, files: Mapping[str, str], message: str = "") -> None:
        """Apply a commit of these files."""
        blobs = [Blob(path, text, text.encode()) for path, text in files.items()]
        tree = load(blobs, self._cache)
        revision = Revision(f"{len(self.revisions):040x}", tree, message)
        self.revisions.append(revision)
        self._apply(revision)

    def restart(self, *, forgetful: bool) -> None:
        """Start the control plane anew, with its database or without."""
        if forgetful:
            self._stored, self._chosen = {}, {}
        leases = () if forgetful else self.memory.leases.values()
        self.memory = Memory()
        chosen = {key: choice for key, choice in self._chosen.items() if choice is not None}
        self.memory.remember(History(dict(self._stored), chosen=chosen), leases, ())
        self._apply(self.revisions[-1])

    def _apply(self, revision: Revision) -> None:
        older = self.revisions[-2::-1]
        meant = desire(revision.sha, revision.tree, older)
        trees: tuple[Tree, ...] = (revision.tree,)
        self.memory.apply(trees, meant, NOW)

    def round(self) -> dict[str, Plan]:
        """Plan everything, and keep what converged."""
        memory = self.memory
        memory.observed = self.nodes.observed
        memory.met(departures(memory.strangers(), reversed(self.revisions)))
        self._choose(memory.moved(memory.every()))
        whole = memory.world(NOW)
        memory.plan(memory.every(), whole)
        for name in sorted(memory.every() | memory.plans.keys()):
            for sandbox, service, version in memory.settle(name, whole):
                self._stored[sandbox, service] = version
                memory.mend(sandbox, service)
            if memory.gone(name):
                self._stored = {k: v for k, v in self._stored.items() if k[0].lower() != name}
                self._chosen = {k: v for k, v in self._chosen.items() if k[0].lower() != name}
        return dict(memory.plans)

    @property
    def world(self) -> World:
        """What the plans were made from."""
        return self.memory.world(NOW)

    def ready(self) -> list[Planned]:
        """Return what may be done now."""
        plans = self.memory.plans.values()
        keys = {each.key for plan in plans for each in plan.actions}
        waits = [
            each for plan in plans for each in plan.actions if not keys.intersection(each.after)
        ]
        return [each for each in waits if not self._failed(each)]

    def _failed(self, planned: Planned) -> bool:
        version = planned.version or planned.action.kind
        failure = self.world.history.failure(planned.sandbox, planned.service, version)
        return failure is not None and failure.holds(NOW)

    def step(self) -> list[Planned]:
        """Do all that is ready, once; return it."""
        done = {each.key: each for each in self.ready()}
        for each in done.values():
            self.nodes.take_effect(each.node, each.action)
        self.round()
        return list(done.values())

    def fail(self, planned: Planned) -> None:
        """Let an action fail for good; a change of limits as one that the engine can't do so."""
        attempt = Attempt(
            planned.sandbox, planned.service, planned.version or planned.action.kind,
            planned.action.kind,
        )  # fmt: skip
        reason = "BelowUse" if isinstance(planned.action, SetLimits) else "Broken"
        outcome = Failed(reason=reason, message="it broke", terminal=True)
        self.memory.fail(past.failed(None, attempt, outcome, NOW, 0.0))
        self.round()

    def cancel(self, name: str) -> None:
        """Let a person stop what is being brought about of a sandbox, written as it is."""
        scope = cancel.Scope(name, "")
        for attempt in self.memory.cancelling(scope, (), self.world).attempts:
            self.memory.fail(cancel.failure(attempt, NOW))
        self.round()

    def ask_restart(self, name: str, service: str) -> None:
        """Let a person ask for a restart, where something of it runs."""
        if (meant := self.memory.desired.sandboxes.get(name.lower())) is not None:
            answer = restart.ask(meant, service, self.world)
            if isinstance(answer, Asked):
                self.memory.restarts = {**self.memory.restarts, **answer.containers}
        self.round()

    def update(self, name: str) -> tuple[Update, ...] | Refusal:
        """Let a person let in what is new of a sandbox."""
        made = updates.updates(self.world, name, "", ())
        if not isinstance(made, Refusal):
            self._choose(updates.choices(made))
            for each in made:
                self.memory.mend(each.sandbox, each.service)
            self.round()
        return made

    def _choose(self, moved: Moved) -> None:
        self.memory.choose(moved)
        self._chosen |= moved

    def look(
        self, node: str, repository: str, branches: Mapping[str, str], error: str = ""
    ) -> None:
        """Let a node look at an origin."""
        report = self.nodes.observed[node].report
        seen = report.repositories[repository]
        told = seen.model_copy(update={"branches": dict(branches), "error": error})
        repositories = {**report.repositories, repository: told}
        self.nodes.report(node, report.model_copy(update={"repositories": repositories}))

    def ask_for_a_password(self, node: str, repository: str, *, asks: bool) -> None:
        """Let an origin ask for a password that its agent has not, or no more."""
        report = self.nodes.observed[node].report
        credentials = "wanted" if asks else ""
        told = report.repositories[repository].model_copy(update={"credentials": credentials})
        repositories = {**report.repositories, repository: told}
        self.nodes.report(node, report.model_copy(update={"repositories": repositories}))

    def sync(self, name: str) -> None:
        """Let a person ask for a sandbox."""
        for sandbox, service in self.memory.failing(name):
            self.memory.mend(sandbox, service)
        self.memory.confirm(name)
        self.round()

    def sweep(self) -> None:
        """Remove at once what nothing refers to."""
        sweeper = Sweeper()
        found = sweeper.look(self.world, self.memory.plans.values(), ())
        sweeper.ask(each.where for each in found.unused)
        for planned in sweeper.plan(self.world).actions:
            self.nodes.take_effect(planned.node, planned.action)

    def speak(self, nodes: Iterable[str], *, speaks: bool) -> None:
        """Let nodes fall silent, or be heard again."""
        observed = dict(self.nodes.observed)
        for node in nodes:
            observed[node] = dataclasses.replace(observed[node], connected=speaks)
        self.nodes.observed = observed

    def converge(self) -> None:
        """Step until nothing is ready.

        Raises:
            AssertionError: there is still something to do after so many steps.
        """
        self.round()
        for _ in range(LIMIT):
            done, moved = self.step(), self.memory.leases_changed()
            if not (done or moved or self.ready()):
                return
        left = [each.key for plan in self.memory.plans.values() for each in plan.actions]
        raise AssertionError(f"does not converge: {left}")

    def leaving(self) -> frozenset[str]:
        """Return the sandboxes that are there and that nobody desires."""
        return guard.leaving(self.world)
