"""Loop: the one place where stages meet. It queues names, never payloads, and reads all afresh.

A round: world → plans of what is dirty → leases → dispatch → status → events. It wakes on a new
revision, on what nodes say, on a result, on a request, and on time. Only here is Exception caught.
"""

import asyncio
import contextlib
import dataclasses
import datetime
import functools
import itertools
import random
import uuid
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Final, TypeAlias

import structlog
from dulwich.errors import NotGitRepository
from pydantic import JsonValue

from sdp import clock
from sdp.protocol.actions import Action, RemoveRelease
from sdp.protocol.frames import (
    Cancelled,
    Failed,
    Hello,
    LogLines,
    Noticed,
    Refresh,
    Result,
    Sample,
    StageEvent,
    Succeeded,
    ToAgent,
)
from sdp.protocol.report import Delta, NodeReport
from sdp.reconciler import (
    cancel,
    changes,
    deployments,
    events,
    guard,
    hints,
    history,
    loans,
    restart,
    rights,
    snapshots,
    sweep,
    updates,
)
from sdp.reconciler import observed as observation
from sdp.reconciler.cancel import Cancellation, Scope
from sdp.reconciler.credentials import NOBODY, Lender, Loan
from sdp.reconciler.departure import departures
from sdp.reconciler.deployments import Deployment
from sdp.reconciler.desired import Desired, Revision, desire
from sdp.reconciler.dispatch import Dispatcher, InFlight, ready, superseded
from sdp.reconciler.events import Event
from sdp.reconciler.garbage import Garbage
from sdp.reconciler.history import Attempt, Failure
from sdp.reconciler.journal import Journal
from sdp.reconciler.lifecycle import Lives, lives
from sdp.reconciler.loans import Loans
from sdp.reconciler.memory import Memory, causes
from sdp.reconciler.mirror import Unavailable
from sdp.reconciler.observed import Skew
from sdp.reconciler.plan import Plan, Planned, World, plan_all
from sdp.reconciler.refusal import Refusal
from sdp.reconciler.removal import Removals, Remover, removal
from sdp.reconciler.restart import Asked
from sdp.reconciler.revisions import moments
from sdp.reconciler.source import Head, Source
from sdp.reconciler.status import SandboxStatus
from sdp.reconciler.sweep import Sweeper
from sdp.reconciler.updates import Look, Update
from sdp.spec.needs import Need
from sdp.spec.roles import Person
from sdp.spec.select import WHOLE, Selection
from sdp.spec.tree import Tree

RESYNC: Final = 30.0
"""Seconds after which everything is looked at again, whether or not anything was heard."""
LONGEST_BACKOFF: Final = 30.0
LOOK_SECONDS: Final = 20.0
"""How long a person's word waits for a fresh look at the origins."""

NodeSend: TypeAlias = Callable[[ToAgent], Awaitable[None]]
"""Sends a frame over a node's session; loses it when the session has ended."""

_log = structlog.get_logger()


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Cancel:
    """A person's word to cancel, until a round has served it."""

    scope: Scope
    answer: asyncio.Future[Cancellation]


class Reconciler:
    """Brings about what git says, and keeps it so."""

    def __init__(
        self,
        source: Source,
        journal: Journal,
        now: Callable[[], datetime.datetime] = clock.now,
        lender: Lender = NOBODY,
    ) -> None:
        self._source = source
        self._journal = journal
        self._now = now
        self._memory = Memory()
        self._loans = Loans(lender, self._recipient)
        self._memory.lenders = self._loans.lenders
        self._dispatcher = Dispatcher(self._to_node, self._lend)
        self._sessions: dict[str, tuple[NodeSend, Hello]] = {}
        self._dirty: set[str] = set()
        self._requests: dict[str, str] = {}
        self._retries: set[str] = set()
        self._serving: frozenset[str] = frozenset()
        self._cured: frozenset[tuple[str, str]] = frozenset()
        self._cancels: list[_Cancel] = []
        self._hinted: set[str] = set()
        self._sweeper = Sweeper()
        self._removals = Removals()
        self._wake = asyncio.Event()
        self._news = asyncio.Event()
        self._judged_until = ""
        self.trouble: Unavailable | None = None
        self.revision = ""
        """The config revision that statuses speak of."""

    # What the HTTP API asks.

    def statuses(self) -> dict[str, SandboxStatus]:
        """Return the status of every sandbox, by lower-cased name."""
        return dict(sorted(self._memory.statuses.items()))

    def status(self, name: str) -> SandboxStatus | None:
        """Return the status of one sandbox."""
        return self._memory.statuses.get(name.lower())

    def plan_of(self, name: str) -> Plan | None:
        """Return the plan of one sandbox."""
        return self._memory.plans.get(name.lower())

    @property
    def branch(self) -> str:
        """The config repo's branch that is followed."""
        return self._source.branch

    @property
    def tree(self) -> Tree | None:
        """The specs of the revision that is applied."""
        return next(iter(self._memory.trees), None)

    def read(self, files: Mapping[str, str]) -> Tree:
        """Return the specs in texts by path, with the past as the config repo has it. Blocks."""
        return self._source.read(files)

    def permitted(
        self, files: Mapping[str, str], who: Person | None
    ) -> tuple[Mapping[str, str], tuple[Need, ...]]:
        """Return files as they would count, and what of it somebody has no right to. Blocks."""
        try:
            lacks = rights.refused(self._source, files, who) if who else ()
            return rights.counted(self._source, files), lacks
        except (NotGitRepository, OSError):
            return files, ()

    def world(self) -> World:
        """Return what plans are made from, as of now."""
        return self._memory.world(self._now())

    def sync(self, name: str) -> str:
        """Ask for a sandbox to be looked at and tried again now; return the request's nonce.

        Its status says in ``served`` which request was served last.
        """
        self._retries.add(name.lower())
        self._source.refresh()
        return self._request(name.lower())

    def restart(self, name: str, service: str = "") -> tuple[Asked, str] | Refusal:
        """Ask for a sandbox's containers to be restarted; return which, and the request's nonce.

        Args:
            name: one that is desired.
            service: one of its services, or its gateway; "" means all.
        """
        whole = self.world()
        asked = restart.ask(whole.desired.sandboxes[name.lower()], service, whole)
        if isinstance(asked, Refusal):
            return asked
        self._memory.restarts = {**self._memory.restarts, **asked.containers}
        return asked, self._request(name.lower())

    def _request(self, name: str) -> str:
        """Ask for a round; return the nonce that its status will show, also to who asked before."""
        pending = self._requests.get(name)
        if pending is None or pending in self._serving:
            pending = self._requests[name] = uuid.uuid4().hex
        self._touch([name])
        return pending

    async def cancel(self, name: str, service: str = "") -> Cancellation:
        """End what is being brought about of a sandbox, and keep it from being tried again.

        Args:
            name: the sandbox, as it is written.
            service: one of its services, or its gateway; "" means all.
        """
        asked = _Cancel(Scope(name, service), asyncio.get_running_loop().create_future())
        self._cancels.append(asked)
        self._touch([name.lower()])
        return await asked.answer

    async def update(self, name: str, service: str = "") -> tuple[Update, ...] | Refusal:
        """Let in what is new, by a look at the origins now, of branches that are followed by hand.

        Args:
            name: a sandbox, in any case.
            service: one of its services, or its gateway; "" means all.
        """
        unseen = await self._look(updates.looks(self._memory.desired, name, service))
        made = updates.updates(self.world(), name, service, unseen)
        if isinstance(made, Refusal):
            return made
        moved = updates.choices(made)
        await self._journal.put_choices(moved)
        self._memory.choose(moved)
        for each in made:
            await self._mend(each.sandbox, each.service)
        await self._journal.append([events.of_update(each, self._now()) for each in made])
        self._touch([name.lower()])
        return made

    async def _look(self, looks: Collection[Look]) -> frozenset[Look]:
        """Have origins looked at; return those that were not in time."""
        before = self._memory.looked(looks)
        for each in looks:
            await self._ask(each.node, (each.repository,))
        self._wake.set()
        lent = self._loans.lendable(looks, self.world())
        asked = {each for each in lent if each.node in self._sessions}
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_SECONDS):
                while asked := {e for e in asked if self._memory.looked([e])[e] == before[e]}:
                    await self._news.wait()
        return frozenset(asked) | (frozenset(looks) - lent)

    def came(self, user: str) -> None:
        """Take it that a user logged in: what waited for their credentials goes on."""
        self._loans.came(user)
        self._cured |= self._memory.failed_for(loans.REFUSED)
        self._touch(None)

    def went(self, user: str) -> None:
        """Take it that credentials of a user are not at hand any more."""
        _log.debug("credentials are gone", user=user)
        self._touch(None)

    def hint(self, names: Collection[str]) -> None:
        """Take it that somebody pushed to repositories of these names, which may not be ours."""
        if hints.is_named(self._source.location, names):
            self._source.refresh()
        self._hinted.update(names)
        self._wake.set()

    def flying(self) -> tuple[InFlight, ...]:
        """Return what nodes were told to do and have not answered, silent ones too."""
        return (*self._dispatcher, *self._dispatcher.silent)

    def garbage(self) -> Garbage:
        """Return what nothing on the nodes refers to, as of now."""
        return self._unused(self._world())

    def collect(self) -> Garbage:
        """Have what nothing refers to removed now, however short a while it is unused."""
        found = self.garbage()
        self._sweeper.ask(each.where for each in found.unused)
        self._touch(None)
        return found

    def preview(
        self, tree: Tree, selection: Selection = WHOLE, deletes: int = 0
    ) -> tuple[dict[str, Plan], World]:
        """Return the plans that another tree would lead to, and the world they are made from.

        Args:
            tree: such as that of a working tree.
            selection: whose plans to return, and of which services.
            deletes: how many sandboxes its commit would let go.
        """
        applied = self._memory.desired.revision
        desired = desire("", tree, [Revision(applied, t) for t in self._memory.trees])
        whole = self._memory.world(self._now(), desired)
        plans = plan_all(whole)
        plans = self._memory.guarded(plans, whole, deletes)
        meant = {name: each for name, each in plans.items() if selection.takes(name)}
        return {name: _narrowed(name, each, selection) for name, each in meant.items()}, whole

    # What nodes' sessions say.

    async def connected(self, node: str, send: NodeSend, hello: Hello) -> None:
        """Take a node's new session; it replaces one that there was."""
        self._drop(node)
        self._sessions[node] = (send, hello)
        await self._dispatcher.heard(node)
        about = {"version": hello.version}
        await self._journal.append(
            [Event(self._now(), "NODE_CONNECTED", message=node, data={**about})]
        )

    async def disconnected(self, node: str, send: NodeSend) -> None:
        """Take the end of a session; one that was replaced before changes nothing."""
        held = self._sessions.get(node)
        if held is not None and held[0] == send:
            self._drop(node)
            await self._journal.append([Event(self._now(), "NODE_SILENT", message=node)])

    def reported(self, node: str, report: NodeReport, generation: int) -> None:
        """Take a node's full report."""
        hello = self._sessions[node][1] if node in self._sessions else None
        self._memory.report(node, report, generation, hello, self._now())
        self._loans.looked(node, report.repositories)
        self._touch(None)

    def changed(self, node: str, delta: Delta, generation: int) -> bool:
        """Take what changed on a node; False: something was missed, a full report is needed."""
        known = self._memory.observed.get(node)
        if known is None or not known.connected or generation != known.generation + 1:
            return False
        names = observation.touched(known.report, delta)
        if delta.images:
            self._cured |= self._memory.failed_for("ImageMissing")
        if observation.has_room_again(known.report, delta):
            self._cured |= self._memory.failed_for("DiskFull")
        self._memory.fold(node, delta, generation, self._now())
        self._loans.looked(node, delta.repositories)
        self._touch(names)
        return True

    def timed(self, node: str, skew: Skew) -> None:
        """Take how far a node's clock is from ours; the next look counts with it."""
        self._memory.timed(node, skew)

    def measured(self, node: str, samples: Iterable[Sample]) -> None:
        """Take what a node's containers use; plans do not depend on it, health may."""
        if turned := self._memory.measured(node, samples, self._now()):
            self._touch(turned)

    async def entry(self, node: str, body: Result | StageEvent | Noticed | LogLines) -> None:
        """Take what must not be lost. The caller sees to it that each comes once."""
        match body:
            case Result():
                await self._result(body)
            case StageEvent():
                await self._stage(node, body)
            case Noticed():
                await self._journal.append([events.of_notice(body)])
                self._touch([body.sandbox.lower()])
            case LogLines():
                _log.debug("log lines are the store's", node=node, deployment=body.deployment)

    # The loop itself.

    async def run(self, remover: Remover) -> None:
        """Reconcile until cancelled; a remover ends the sandboxes whose time is over."""
        self._memory.remember(
            await self._journal.history(),
            await self._journal.leases(),
            await self._journal.deployments(),
        )
        self._memory.snapshots.remember(await self._journal.newest_snapshots())
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow())
            group.create_task(self._rounds())
            group.create_task(self._remove(remover))

    async def _follow(self) -> None:
        pause = 1.0
        while True:
            try:
                async with contextlib.aclosing(self._source.revisions()) as heads:
                    async for head in heads:
                        await self._head(head)
                        pause = 1.0
            except Exception:  # noqa: BLE001 -- the one place; logged, then backed off
                _log.exception("following the config repo failed", source=self._source.location)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_BACKOFF)

    async def _rounds(self) -> None:
        pause = 1.0
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._memory.patience(self._now(), RESYNC)):
                    await self._wake.wait()
            names = self._take()
            try:
                await self._round(names)
                pause = 1.0
            except Exception:  # noqa: BLE001 -- the one place; logged, then backed off
                _log.exception("a round failed", sandboxes=sorted(names))
                self._touch(names)
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_BACKOFF)

    async def _remove(self, remover: Remover) -> None:
        while True:
            try:
                await self._removals.attempt(remover)
            except Exception:  # noqa: BLE001 -- the one place; logged, then backed off
                _log.exception("removing what nobody uses failed")
                self._removals.failed("that failed: see the control plane's log")
            self._touch(None)
            await self._removals.rest()

    def _touch(self, names: Iterable[str] | None) -> None:
        self._news.set()
        self._news = asyncio.Event()
        self._dirty.update(self._memory.every() if names is None else names)
        self._wake.set()

    def _take(self) -> frozenset[str]:
        """Return what to look at: what is dirty; after a quiet while, everything."""
        names = self._memory.every()
        if self._wake.is_set():
            names = self._memory.turning(self._now()) | self._dirty
        self._wake.clear()
        self._dirty.clear()
        return names

    async def _head(self, head: Head) -> None:
        if head.trouble != self.trouble and head.trouble is not None:
            said = head.trouble
            _log.warning(said.message, reason=said.reason, fix=said.fix)
            await self._journal.append(
                [Event(self._now(), "SOURCE", reason=said.reason, message=said.message)]
            )
        self.trouble = head.trouble
        if not head.revision or head.revision == self._memory.desired.revision:
            return
        known = self._memory.lives
        trees, desired, told = await asyncio.to_thread(self._load, head.revision, known)
        judged = await self._judged(head.revision)
        self._memory.lives = told
        happened, changed = self._memory.apply(trees, desired, self._now())
        self._memory.caused(changed, known)
        self._judged_until = head.revision
        try:
            await self._journal.append(happened + judged, judged=head.revision)
        finally:  # also where it is only owed
            self._touch(None)
        await self._refresh(changed)

    async def _judged(self, revision: str) -> list[Event]:
        """Return what came of the commits since those that were told."""
        before = self._judged_until or await self._journal.judged()
        source, now = self._source, self._now()
        standing = await asyncio.to_thread(source.standing, revision)
        tell = functools.partial(changes.told, standing, before, source.text, source.branch, now)
        return await asyncio.to_thread(tell)

    def _load(self, revision: str, known: Lives) -> tuple[tuple[Tree, ...], Desired, Lives]:
        tree = self._source.tree(revision)
        trees: tuple[Tree, ...] = (tree,)
        if tree.platform is None:
            older = (each.tree for each in self._source.ancestors(revision))
            trees = (tree, *itertools.islice((each for each in older if each.platform), 1))
        standing = self._source.standing(revision)
        desired = desire(revision, tree, self._source.ancestors(revision))
        desired = dataclasses.replace(desired, withheld=standing.withheld)
        past = moments(self._source.repository, standing)
        return trees, desired, lives(desired, known, tree, past)

    async def _round(self, names: frozenset[str]) -> None:
        memory, now = self._memory, self._now()
        if memory.desired.platform is None and not memory.desired.revision:
            return
        requests = {name: self._requests[name] for name in names & self._requests.keys()}
        self._serving = frozenset(requests.values())
        for name in requests.keys() & self._retries:
            await self._retry(name)
        for about in self._cured:
            await self._mend(*about)
        self._cured = frozenset()
        await self._refresh(requests)
        await self._follow_hints()
        await self._look_back()
        self._dispatcher.expire(now)
        for asked in tuple(self._cancels):
            await self._cancel(asked)
        if moved := memory.moved(names):
            await self._journal.put_choices(moved)
            memory.choose(moved)
        # From here to the choice nothing is awaited: plans and what is in flight belong together.
        whole = self._world()
        names |= memory.shifted(whole)
        self._removals.take(removal(whole))
        happened = memory.plan(names, whole)
        flying = tuple(self._dispatcher)
        chosen = ready([*memory.startable(), self._sweep(names, whole)], flying, whole)
        wanted = memory.wanted(whole, {each.planned.sandbox.lower() for each in flying})
        stale = superseded(flying, memory.plans.values(), wanted)
        begun = memory.begin(names, whole, _new_deployment)
        await self._persist(begun)
        for planned in chosen:
            await self._start(planned)
        await self._dispatcher.cancel(stale)
        await self._settle(names, whole)
        busy = {each.planned.key for each in self._dispatcher}
        happened += memory.judge(names, whole, busy, requests)
        for node, frame in self._loans.looks(whole):
            await self._to_node(node, frame)
        self.revision = whole.desired.revision
        await self._journal.append(happened)
        # Only now: a request outlives a round that failed, and one that came meanwhile stays.
        self._requests = {n: x for n, x in self._requests.items() if requests.get(n) != x}
        self._retries &= self._requests.keys()

    def _world(self) -> World:
        """Return the world as of now; what is being removed is not in it any more."""
        whole = self._memory.world(self._now())
        observed = sweep.without(whole.observed, self.flying())
        return dataclasses.replace(whole, observed=observed, unremoved=self._removals.failure)

    def _sweep(self, names: frozenset[str], whole: World) -> Plan:
        """Look for what nothing refers to, where everything is looked at."""
        if not names >= self._memory.every():
            return Plan()
        self._unused(whole)
        return self._sweeper.plan(whole)

    def _unused(self, whole: World) -> Garbage:
        named = self.tree.snapshots.values() if self.tree else ()
        pinned = snapshots.commits((each.spec for each in named), whole.desired.platform)
        return self._sweeper.look(whole, self._memory.plans.values(), self.flying(), pinned)

    async def _look_back(self) -> None:
        """Ask the past about sandboxes that nobody desires; more may turn up meanwhile."""
        while strangers := self._memory.strangers():
            history = self._source.history(self._memory.desired.revision)
            self._memory.met(await asyncio.to_thread(departures, strangers, history))

    async def _retry(self, name: str) -> None:
        for about in self._memory.failing(name):
            await self._mend(*about)
        self._memory.confirm(name)

    async def _mend(self, sandbox: str, service: str) -> None:
        self._memory.mend(sandbox, service)
        await self._journal.clear_failures(sandbox, service)

    async def _cancel(self, asked: _Cancel) -> None:
        """Hold first, then stop: nothing begins again between the two."""
        memory, name = self._memory, asked.scope.sandbox.lower()
        whole = memory.world(self._now())
        await self._journal.append(memory.plan([name], whole))
        made = memory.cancelling(asked.scope, self.flying(), whole)
        for attempt in made.attempts:
            failure = cancel.failure(attempt, self._now())
            await self._journal.put_failure(failure)
            memory.fail(failure)
            deployment = memory.deployments.get(
                (attempt.sandbox, attempt.service, attempt.version)
            )
            if deployment is not None:
                deployment = deployments.cancelled(deployment, self._now())
                memory.put(deployment)
                await self._journal.put_deployment(deployment)
            about = deployment.id if deployment else ""
            await self._journal.append([events.of_cancel(attempt, about, self._now())])
        await self._dispatcher.cancel(made.stopping)
        self._cancels.remove(asked)
        if not asked.answer.done():
            asked.answer.set_result(made)

    async def _refresh(self, names: Iterable[str]) -> None:
        for node, wanted in guard.repositories(self._memory.desired, names).items():
            await self._ask(node, wanted)

    async def _follow_hints(self) -> None:
        names, self._hinted = self._hinted, set()
        if names and (platform := self._memory.desired.platform) is not None:
            for node, hinted in hints.repositories(platform, names).items():
                await self._ask(node, hinted)

    async def _ask(self, node: str, repositories: Iterable[str]) -> None:
        """Have a node look at origins: now, or where that takes a loan, with the next round."""
        if plain := self._loans.hurry(node, repositories, self._memory.observed):
            await self._to_node(node, Refresh(repositories=plain))

    def _lend(self, planned: Planned, action_id: str) -> tuple[str, Loan | None]:
        return self._loans.lend(planned, action_id, self.world())

    def _recipient(self, node: str) -> str:
        session = self._sessions.get(node)
        return session[1].recipient if session else ""

    async def _persist(self, begun: Iterable[Deployment]) -> None:
        if self._memory.leases_changed():
            await self._journal.replace_leases(self._memory.leases.values())
            self._touch(self._memory.waiting_for_ports())
        for deployment in begun:
            await self._journal.put_deployment(deployment)

    async def _start(self, planned: Planned) -> None:
        deployment = self._memory.deployments.get(causes(planned))
        if deployment is not None:
            started = deployments.begun(deployment, self._now())
            if started != deployment:
                self._memory.put(started)
                await self._journal.put_deployment(started)
        await self._dispatcher.start(planned, deployment.id if deployment else "", self._now())

    async def _settle(self, names: Iterable[str], whole: World) -> None:
        """Record what converged, what came to its end, and what is gone."""
        for name in names:
            for sandbox, service, version in self._memory.settle(name, whole):
                await self._journal.set_applied(sandbox, service, version)
                if (sandbox, service) in self._memory.failing(name):
                    await self._mend(sandbox, service)
            if (taken := self._memory.snapshot(name, whole)) is not None:
                await self._journal.put_snapshot(taken)
                self._memory.snapshots.kept(taken)
            ended, happened = self._memory.end(name, whole)
            await self._journal.append(happened, ended)
            if self._memory.gone(name):
                await self._journal.forget(name)

    async def _result(self, result: Result) -> None:
        flight = self._dispatcher.ended(result.action_id)
        if flight is None:
            return
        if isinstance(flight.planned.action, RemoveRelease):
            now, flying = self._now(), self._dispatcher
            happened = self._sweeper.ended(flight.planned, result.outcome, flying, now)
            await self._journal.append(happened)
            return
        match result.outcome:
            case Succeeded():
                self._memory.succeeded(flight.planned)
                whose = self._memory.whose(flight.planned)
                told = events.of_success(flight.planned, flight.deployment, whose, self._now())
                await self._journal.append([told] if told else [])
            case Failed() as failed:
                await self._failed(flight, failed)
            case Cancelled():
                _log.info("cancelled", key=flight.planned.key)
        self._touch(self._memory.sharing(flight.planned))

    async def _failed(self, flight: InFlight, outcome: Failed) -> None:
        """Record a failure for everyone who planned the same."""
        outcome = self._loans.failed(flight.planned, flight.loan, outcome, self.world())
        for planned in self._memory.planning(flight.planned):
            attempt = _attempt(planned, planned.action)
            jitter = random.uniform(-1, 1)  # noqa: S311 -- spreads retries, keeps no secret
            before = self._memory.failure(attempt)
            if before is not None and before.reason == history.CANCELLED:
                continue
            failure = history.failed(before, attempt, outcome, self._now(), jitter)
            self._memory.fail(failure)
            deployment = self._memory.deployments.get(causes(planned))
            records: list[Deployment | Failure] = [failure]
            whose: Mapping[str, JsonValue] = {}
            if deployment is not None and deployment.status != "RUNNING":
                deployment = deployments.broken(deployment, outcome, self._now())
                self._memory.put(deployment)
                records.append(deployment)
                whose = self._memory.whose(deployment)
            kind = "DEPLOY_FAILED" if planned.action.kind in deployments.STEPS else "ACTION_FAILED"
            about = deployment.id if deployment else ""
            told = events.of_failure(kind, failure, about, whose)
            await self._journal.append([told], records)

    async def _stage(self, node: str, stage: StageEvent) -> None:
        found = next(
            (e for e in self._memory.deployments.values() if e.id == stage.deployment), None
        )
        if found is not None and found.node != node:
            return
        about = (found.sandbox, found.service) if found else ("", "")
        told = events.of_stage(stage, *about)
        await self._journal.append([told] if told else [])

    async def _to_node(self, node: str, frame: ToAgent) -> None:
        session = self._sessions.get(node)
        if session is not None:
            await session[0](frame)

    def _drop(self, node: str) -> None:
        self._sessions.pop(node, None)
        self._dispatcher.lost(node)
        self._memory.silence(node)
        self._touch(None)


def _narrowed(name: str, made: Plan, selection: Selection) -> Plan:
    if not selection.partly(name):
        return made
    return made.narrowed(lambda service: selection.takes_service(name, service))


def _new_deployment() -> str:
    return f"d-{uuid.uuid4().hex[:10]}"


def _attempt(planned: Planned, action: Action) -> Attempt:
    version = planned.version or action.kind
    return Attempt(planned.sandbox, planned.service, version, action.kind)
