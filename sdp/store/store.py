"""The store: what callers know of it. Statements, threads and files are in the modules beside.

A cache of history: deleted, what matters is rebuilt from git, labels and reports.
"""

import contextlib
import dataclasses
import datetime
import functools
import types
from collections import deque
from collections.abc import (
    AsyncGenerator,
    Callable,
    Collection,
    Iterable,
    Mapping,
    Sequence,
)
from pathlib import Path
from typing import Final, TypeVar, assert_never

import structlog
from sqlalchemy import Connection

from sdp import clock
from sdp.protocol.frames import LogLines, StageEvent
from sdp.reconciler.audit import Act
from sdp.reconciler.chain import Head
from sdp.reconciler.history import Failure, History
from sdp.reconciler.journal import StoreUnavailable
from sdp.reconciler.ports import Lease
from sdp.reconciler.snapshots import Snapshot
from sdp.reconciler.steady import Moved
from sdp.store import audit, deployments, journal, logfile, records, sessions, snapshots
from sdp.store.anchor import Anchor
from sdp.store.audit import Audit
from sdp.store.database import Database
from sdp.store.follow import Batch, Closed, Encode, Feed, encode_json
from sdp.store.logs import Logs
from sdp.store.sessions import Session
from sdp.store.values import (
    Applied,
    Cleared,
    Deployment,
    DeploymentPage,
    DeploymentStatus,
    Effect,
    Event,
    NewEvent,
    Resync,
)

_PAGE = 500
_BATCH = 500
_NO_META: Final[Mapping[str, str]] = types.MappingProxyType({})
MOST_OWED: Final = 10_000
"""Appends that are remembered while the disk takes nothing; beyond them, the oldest are lost."""

T = TypeVar("T")
log: structlog.stdlib.BoundLogger = structlog.get_logger()


@dataclasses.dataclass(frozen=True, slots=True)
class _Write:
    """A begun transaction, and what goes out when it is committed: events, the audit's head."""

    connection: Connection
    appended: list[Event]
    heads: list[Head]

    def append(self, events: Sequence[NewEvent]) -> tuple[Event, ...]:
        new = journal.append(self.connection, events)
        self.appended.extend(new)
        return new

    def record(self, acts: Sequence[Act]) -> None:
        if acts:
            self.heads.append(audit.append(self.connection, acts))


@dataclasses.dataclass(frozen=True, slots=True)
class _Told:
    """What was to be appended at once."""

    events: Sequence[NewEvent]
    acts: Sequence[Act]
    kept: Sequence[Deployment | Failure]
    meta: Mapping[str, str]


class Store:
    """Everything the control plane remembers, for asyncio callers.

    Every method may raise StoreUnavailable: the disk is full, the folder read-only. A write is
    one transaction; when it returned, it is there, also after a kill. What is appended and could
    not be written is owed.

    Attributes:
        identity: this journal's; another one after the database was lost.
        logs: the deployments' logs.
        audit: who did what.
    """

    def __init__(
        self, database: Database, feed: Feed, logs: Logs, anchor: Anchor, identity: str
    ) -> None:
        self._database = database
        self._feed = feed
        self._anchor = anchor
        self._owed: deque[_Told] = deque(maxlen=MOST_OWED)
        self.logs = logs
        self.audit = Audit(database, anchor, self.record)
        self.identity = identity

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls, folder: Path, encode: Encode = encode_json
    ) -> AsyncGenerator["Store", None]:
        """Open the store in a data folder, which is made when missing and held alone.

        Args:
            folder: the data folder.
            encode: makes an event's bytes for followers, once per event.

        Raises:
            StoreUnavailable: The folder can't be used, or another process has it.
        """
        async with Database.open(folder, clock.now()) as database:
            feed = Feed(encode)
            anchor = Anchor(folder)
            identity = await database.on_writer(lambda: _identify(database, anchor))
            async with Logs.open(folder / "logs") as logs:
                try:
                    yield cls(database, feed, logs, anchor, identity)
                finally:
                    feed.close()

    async def append(
        self,
        events: Sequence[NewEvent],
        acts: Sequence[Act] = (),
        kept: Sequence[Deployment | Failure] = (),
        meta: Mapping[str, str] = _NO_META,
    ) -> tuple[Event, ...]:
        """Append to the journal, and return the events with their numbers.

        What happened did, also where it can't be written now: it is owed then, and goes before
        what is appended next.

        Args:
            events: what happened.
            acts: what of it the audit is told.
            kept: what changed so.
            meta: values to keep, by their keys.
        """
        told = _Told(events, acts, kept, meta)

        def work() -> tuple[Event, ...]:  # one after the other: there is one writer
            self._owed.append(told)
            appended: tuple[Event, ...] = ()
            while self._owed:
                first = self._owed.popleft()
                try:
                    appended = self._commit(functools.partial(_append, told=first))
                except StoreUnavailable:
                    self._owed.appendleft(first)
                    raise
            return appended

        return await self._database.on_writer(work)

    async def record(self, acts: Sequence[Act]) -> None:
        """Add to the audit, for good; what can't be written now is owed."""
        if acts:
            await self.append((), acts)

    async def events(
        self,
        after: int,
        limit: int,
        sandbox: str | None = None,
        kinds: Collection[str] | None = None,
    ) -> tuple[Event, ...] | Resync:
        """Return the next events after a cursor, or that it can't be continued."""
        only = journal.filtered(sandbox, kinds)
        return await self._database.read(lambda c: journal.read(c, after, limit, only))

    async def oldest(self) -> int:
        """Return the number of the first event that is still there; 0 when none is."""
        return await self._database.read(journal.oldest)

    async def latest(self) -> int:
        """Return the last number that was given; 0 when none was."""
        return await self._database.read(journal.latest)

    async def prune(self, before: datetime.datetime) -> None:
        """Delete the past before a time, in batches between which others write.

        Events, deployments that ended with their logs, failures of versions that are gone, and
        logs that no deployment is known of.
        """
        now = clock.now()
        while await self._write(lambda w: journal.prune(w.connection, before, now, _BATCH)):
            pass
        while gone := await self._write(lambda w: deployments.prune(w.connection, before, _BATCH)):
            for identifier in gone:
                with contextlib.suppress(ValueError):  # an id that names no file has no log
                    await self.logs.remove(identifier)
        await self._write(lambda write: records.prune_failures(write.connection, before))
        for identifier in await self.logs.untouched(before):
            if await self.deployment(identifier) is None:
                await self.logs.remove(identifier)

    async def follow(
        self,
        after: int | None,
        sandbox: str | None = None,
        kinds: Collection[str] | None = None,
    ) -> AsyncGenerator[Batch | Resync, None]:
        """Yield events after a cursor (None: from now on), then new ones as they are committed.

        A Resync is the last that comes; at the store's end nothing more does.
        """
        only = journal.filtered(sandbox, kinds)
        with self._feed.subscribe() as subscription:
            cursor = await self.latest() if after is None else after
            while page := await self.events(cursor, _PAGE, sandbox, kinds):
                if isinstance(page, Resync):
                    yield page
                    return
                cursor = page[-1].seq
                yield self._feed.batch(page)
            while not isinstance(batch := await subscription.take(), Closed):
                if isinstance(batch, Resync):
                    yield batch
                    return
                if news := _news(batch, cursor, only):
                    yield news

    async def upsert(self, deployment: Deployment) -> None:
        """Record a deployment. Of stages that are known, ``set_stage`` has the say."""
        await self._write(lambda write: deployments.upsert(write.connection, deployment))

    async def set_stage(self, change: StageEvent) -> None:
        """Record that a stage of a deployment began or ended."""
        await self._write(lambda write: deployments.set_stage(write.connection, change))

    async def deployment(self, identifier: str) -> Deployment | None:
        """Return one deployment."""
        return await self._database.read(lambda c: deployments.get(c, identifier))

    async def deployments(
        self,
        *,
        sandbox: str | None = None,
        service: str | None = None,
        status: DeploymentStatus | None = None,
        limit: int = 50,
        cursor: str = "",
    ) -> DeploymentPage:
        """Return deployments, newest first.

        Raises:
            BadCursorError: The cursor is not one that a page gave.
        """
        where = deployments.chosen(sandbox, service, status)
        return await self._database.read(lambda c: deployments.page(c, where, limit, cursor))

    async def latest_deployments(self, sandbox: str | None = None) -> tuple[Deployment, ...]:
        """Return the newest deployment of every service, by sandbox and service."""
        return await self._database.read(lambda c: deployments.latest(c, sandbox))

    async def history(self) -> History:
        """Return what the planner needs to know of the past, of one moment."""
        return await self._database.read(_history)

    async def put_failure(self, failure: Failure) -> None:
        """Record the last failure of one version of a service."""
        await self._write(lambda write: records.put_failure(write.connection, failure))

    async def clear_failures(self, sandbox: str, service: str) -> None:
        """Forget a service's failures, of every version."""
        await self._write(lambda w: records.clear_failures(w.connection, sandbox, service))

    async def failures(self) -> tuple[Failure, ...]:
        """Return every failure, by sandbox, service and version."""
        return await self._database.read(records.failures)

    async def applied(self) -> dict[tuple[str, str], str]:
        """Return (sandbox, service) → the hash that last converged, in order."""
        return await self._database.read(records.applied)

    async def set_applied(self, done: Applied) -> None:
        """Record that a service converged."""
        await self._write(lambda write: records.set_applied(write.connection, done))

    async def put_choices(self, moved: Moved) -> None:
        """Record at which commits services are; None: at none any more."""
        await self._write(lambda write: records.put_choices(write.connection, moved))

    async def forget(self, sandbox: str) -> None:
        """Forget what a sandbox converged to and how it failed."""
        await self._write(lambda write: records.forget(write.connection, sandbox))

    async def put_snapshot(self, snapshot: Snapshot) -> None:
        """Record a snapshot; the oldest of its sandbox beyond those that are kept goes."""
        await self._write(lambda write: snapshots.put(write.connection, snapshot))

    async def snapshots(self, sandbox: str) -> tuple[Snapshot, ...]:
        """Return the snapshots of a sandbox, by its lower-cased name, newest first."""
        return await self._database.read(lambda c: snapshots.of(c, sandbox))

    async def newest_snapshots(self) -> tuple[Snapshot, ...]:
        """Return the newest snapshot of each sandbox, also of those that are gone."""
        return await self._database.read(snapshots.newest)

    async def live_sessions(self, now: datetime.datetime) -> tuple[Session, ...]:
        """Return the sessions that have not expired, the oldest first."""
        return await self._database.read(lambda c: sessions.live(c, now))

    async def put_session(self, session: Session) -> None:
        """Record a session."""
        await self._write(lambda write: sessions.put(write.connection, session))

    async def end_sessions(self, hashes: Collection[str]) -> None:
        """Forget sessions."""
        await self._write(lambda write: sessions.end(write.connection, hashes))

    async def purge_sessions(self, now: datetime.datetime) -> None:
        """Forget the sessions that have expired."""
        await self._write(lambda write: sessions.purge(write.connection, now))

    async def leases(self) -> tuple[Lease, ...]:
        """Return every lease, by node and port."""
        return await self._database.read(records.leases)

    async def replace_leases(self, wanted: Iterable[Lease]) -> None:
        """Make these the leases.

        Raises:
            ValueError: Two of them have the same port of the same node.
        """
        held = tuple(wanted)
        await self._write(lambda write: records.replace_leases(write.connection, held))

    async def stored(self, node: str, outbox: str) -> int:
        """Return the last entry taken from an agent's outbox; 0 when none was."""
        return await self._database.read(lambda c: records.stored(c, node, outbox))

    async def accept(self, node: str, outbox: str, seq: int, effects: Sequence[Effect]) -> bool:
        """Take an agent's entry with all it changes, once; False: it was taken before."""

        def work(write: _Write) -> bool:
            if seq <= records.stored(write.connection, node, outbox):
                return False
            records.set_stored(write.connection, node, outbox, seq)
            for position, effect in enumerate(effects):
                if isinstance(effect, StageEvent | LogLines):
                    # A node speaks of its own deployments; of those that nobody knows, too.
                    known = deployments.get(write.connection, effect.deployment)
                    if known is not None and known.node != node:
                        continue
                self._perform(write, effect, logfile.Mark(f"{node}/{outbox}", seq, position))
            return True

        return await self._write(work)

    async def meta(self, key: str) -> str | None:
        """Return what is kept under a key."""
        return await self._database.read(lambda c: records.meta(c, key))

    async def set_meta(self, key: str, value: str) -> None:
        """Keep a value under a key."""
        await self._write(lambda write: records.set_meta(write.connection, key, value))

    async def _write(self, work: Callable[[_Write], T]) -> T:
        return await self._database.on_writer(lambda: self._commit(work))

    def _commit(self, work: Callable[[_Write], T]) -> T:
        """Work in a transaction; on the writer's thread."""
        appended: list[Event] = []
        heads: list[Head] = []
        with self._database.transaction() as connection:
            result = work(_Write(connection, appended, heads))
        if appended:
            # From the one writer's thread, so they go out in the order of their numbers,
            # also when the caller was cancelled meanwhile.
            self._feed.publish(appended)
        if heads:
            self._anchored(heads[-1])
        return result

    def _anchored(self, head: Head) -> None:
        """Put the audit's head down outside; what was committed is no less so where that fails."""
        try:
            self._database.sync()
            self._anchor.write(head)
        except StoreUnavailable as error:
            log.warning("the audit could not be anchored", reason=error.reason, fix=error.fix)

    def _perform(self, write: _Write, effect: Effect, mark: logfile.Mark) -> None:
        match effect:
            case NewEvent():
                write.append([effect])
            case Deployment() | Failure():
                _keep(write, effect)
            case StageEvent():
                deployments.set_stage(write.connection, effect)
            case LogLines():
                batch = logfile.Batch(effect.stage, effect.at, effect.lines)
                self.logs.write(effect.deployment, batch, mark)
            case Cleared():
                records.clear_failures(write.connection, effect.sandbox, effect.service)
            case Applied():
                records.set_applied(write.connection, effect)
            case _:
                assert_never(effect)


def _append(write: _Write, told: _Told) -> tuple[Event, ...]:
    for each in told.kept:
        _keep(write, each)
    for key, value in told.meta.items():
        records.set_meta(write.connection, key, value)
    write.record(told.acts)
    return write.append(told.events)


def _keep(write: _Write, record: Deployment | Failure) -> None:
    match record:
        case Deployment():
            deployments.upsert(write.connection, record)
        case Failure():
            records.put_failure(write.connection, record)
        case _:
            assert_never(record)


def _identify(database: Database, anchor: Anchor) -> str:
    """Return the journal's identity; the audit goes on where it ended, or says what is missing."""
    known = anchor.read()
    with database.transaction() as connection:
        identity = journal.identify(connection)
        head = audit.begin(connection, known, clock.now())
    if head != known:
        database.sync()
        anchor.write(head)
    return identity


def _history(connection: Connection) -> History:
    failures = {
        (f.attempt.sandbox, f.attempt.service, f.attempt.version): f
        for f in records.failures(connection)
    }
    return History(records.applied(connection), failures, records.choices(connection))


def _news(batch: Batch, cursor: int, only: journal.Filter) -> Batch | None:
    """Return what of a batch is new and wanted; the batch itself when all of it is."""
    items = tuple(i for i in batch.items if i.event.seq > cursor and only.wants(i.event))
    if len(items) == len(batch.items):
        return batch
    return Batch(items) if items else None
