"""Adapters: the store and the reconciler, as those ask for them who do not know each other.

Values of one side become values of the other; nothing is decided here.
"""

import contextlib
import dataclasses
import datetime
from collections.abc import AsyncGenerator, Collection, Iterable, Sequence
from typing import Final

import structlog

from sdp.api import views
from sdp.api.events import encode
from sdp.api.login_checks import LoginChecks
from sdp.api.ports import Gone, Send
from sdp.api.problems import ProblemError
from sdp.api.sessions import Session
from sdp.protocol import frames
from sdp.protocol.report import Delta, NodeReport
from sdp.reconciler import events
from sdp.reconciler.acts import acts_of
from sdp.reconciler.deployments import Deployment
from sdp.reconciler.events import Event
from sdp.reconciler.history import Failure, History
from sdp.reconciler.loop import Reconciler
from sdp.reconciler.observed import Skew
from sdp.reconciler.ports import Lease
from sdp.reconciler.snapshots import Snapshot
from sdp.reconciler.steady import Moved
from sdp.store import values
from sdp.store.deployments import BadCursorError
from sdp.store.logfile import LogLine
from sdp.store.sessions import Session as StoredSession
from sdp.store.store import Store

_PAGE: Final = 500
_JUDGED: Final = "judged"

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class LoopJournal:
    """The store, as the loop asks for it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def append(
        self,
        happened: Sequence[Event],
        records: Sequence[Deployment | Failure] = (),
        judged: str = "",
    ) -> None:
        if happened or records or judged:
            acts = [act for event in happened for act in acts_of(event)]
            kept = [e if isinstance(e, Failure) else _kept(e) for e in records]
            meta = {_JUDGED: judged} if judged else {}
            try:
                await self._store.append([_new(each) for each in happened], acts, kept, meta)
            finally:  # what can't be written now has ended, too
                for each in records:
                    self._finish(each)

    async def put_deployment(self, deployment: Deployment) -> None:
        await self.append((), [deployment])

    def _finish(self, record: Deployment | Failure) -> None:
        if isinstance(record, Deployment) and record.finished_at is not None:
            self._store.logs.finish(record.id)

    async def deployments(self) -> Sequence[Deployment]:
        names = {field.name for field in dataclasses.fields(Deployment)}
        found = await self._store.latest_deployments()
        return [Deployment(**each.model_dump(include=names)) for each in found]

    async def history(self) -> History:
        return await self._store.history()

    async def set_applied(self, sandbox: str, service: str, version: str) -> None:
        await self._store.set_applied(
            values.Applied(sandbox=sandbox, service=service, hash=version)
        )

    async def put_failure(self, failure: Failure) -> None:
        await self._store.put_failure(failure)

    async def clear_failures(self, sandbox: str, service: str) -> None:
        await self._store.clear_failures(sandbox, service)

    async def forget(self, sandbox: str) -> None:
        await self._store.forget(sandbox)

    async def put_snapshot(self, snapshot: Snapshot) -> None:
        await self._store.put_snapshot(snapshot)

    async def newest_snapshots(self) -> Sequence[Snapshot]:
        return await self._store.newest_snapshots()

    async def put_choices(self, moved: Moved) -> None:
        await self._store.put_choices(moved)

    async def judged(self) -> str:
        return await self._store.meta(_JUDGED) or ""

    async def leases(self) -> Sequence[Lease]:
        return await self._store.leases()

    async def replace_leases(self, leases: Iterable[Lease]) -> None:
        await self._store.replace_leases(leases)


class ApiJournal:
    """The store, as the API asks for it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def latest(self) -> int:
        return await self._store.latest()

    async def follow(
        self, after: int, sandbox: str | None, until: int | None = None
    ) -> AsyncGenerator[bytes | Gone, None]:
        if until is not None:
            async for part in self._up_to(after, sandbox, until):
                yield part
            return
        async with contextlib.aclosing(self._store.follow(after, sandbox)) as items:
            async for item in items:
                yield Gone(item.reason) if isinstance(item, values.Resync) else item.encoded

    async def _up_to(
        self, after: int, sandbox: str | None, until: int
    ) -> AsyncGenerator[bytes | Gone, None]:
        while page := await self._store.events(after, _PAGE, sandbox):
            if isinstance(page, values.Resync):
                yield Gone(page.reason)
                return
            yield b"".join(encode(each.seq, each) for each in page if each.seq <= until)
            after = page[-1].seq
            if after >= until:
                return

    async def deployments(
        self,
        sandbox: str | None,
        service: str | None,
        status: views.DeploymentStatus | None,
        limit: int,
        cursor: str,
    ) -> views.DeploymentPage:
        try:
            page = await self._store.deployments(
                sandbox=sandbox, service=service, status=status, limit=limit, cursor=cursor
            )
        except BadCursorError as error:
            raise ProblemError(
                400,
                "bad-cursor",
                "Bad cursor",
                f"No page gave the cursor {cursor!r}.",
                "Take following of the page before, or leave it out to start anew.",
            ) from error
        return views.DeploymentPage.model_validate(page.model_dump())

    async def deployment(self, identifier: str) -> views.DeploymentView | None:
        found = await self._store.deployment(identifier)
        return views.DeploymentView.model_validate(found.model_dump()) if found else None

    async def log(
        self, deployment: str, after: int, *, follow: bool
    ) -> AsyncGenerator[Sequence[views.LogLineView], None]:
        if follow:
            async with contextlib.aclosing(self._store.logs.follow(deployment, after)) as parts:
                async for lines in parts:
                    yield _lines(lines)
            return
        while lines := await self._store.logs.read(deployment, after, _PAGE):
            yield _lines(lines)
            after = lines[-1].seq


class ReconcilerAgents:
    """Store and reconciler, as agents' sessions hand on to them."""

    def __init__(self, reconciler: Reconciler, store: Store, logins: LoginChecks) -> None:
        self._reconciler = reconciler
        self._store = store
        self._logins = logins

    async def stored(self, node: str, outbox: str) -> int:
        return await self._store.stored(node, outbox)

    async def connected(self, hello: frames.Hello, send: Send) -> None:
        self._logins.connected(hello, send)
        await self._reconciler.connected(hello.node, send, hello)

    async def reported(self, node: str, report: NodeReport, generation: int) -> None:
        self._reconciler.reported(node, report, generation)

    async def changed(self, node: str, delta: Delta, generation: int) -> bool:
        return self._reconciler.changed(node, delta, generation)

    async def timed(self, node: str, skew: Skew) -> None:
        self._reconciler.timed(node, skew)

    async def checked(self, node: str, told: frames.LoginChecked) -> None:
        self._logins.checked(node, told)

    async def measured(self, node: str, samples: Sequence[frames.Sample]) -> None:
        self._reconciler.measured(node, samples)

    async def entry(self, hello: frames.Hello, seq: int, body: frames.Body) -> None:
        """Store first: what a crash keeps from the reconciler, it finds out by planning anew."""
        new = await self._store.accept(hello.node, hello.outbox, seq, _effects(body))
        if new and isinstance(body, frames.Result | frames.StageEvent):
            await self._reconciler.entry(hello.node, body)

    async def disconnected(self, hello: frames.Hello, send: Send) -> None:
        self._logins.disconnected(hello, send)
        await self._reconciler.disconnected(hello.node, send)


class ApiSessions:
    """The store, as sessions are kept over a restart."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def live_sessions(self, now: datetime.datetime) -> Sequence[Session]:
        found = await self._store.live_sessions(now)
        return [Session(**dataclasses.asdict(each)) for each in found]

    async def put_session(self, session: Session) -> None:
        await self._store.put_session(StoredSession(**dataclasses.asdict(session)))

    async def end_sessions(self, hashes: Collection[str]) -> None:
        await self._store.end_sessions(hashes)

    async def purge_sessions(self, now: datetime.datetime) -> None:
        await self._store.purge_sessions(now)


def _effects(body: frames.Body) -> Sequence[values.Effect]:
    match body:
        case frames.StageEvent() | frames.LogLines():
            # Actions that belong to no deployment have no log.
            return [body] if body.deployment else []
        case frames.Noticed():
            return [_new(events.of_notice(body))]
        case frames.Result():
            return []


def _kept(deployment: Deployment) -> values.Deployment:
    return values.Deployment.model_validate(dataclasses.asdict(deployment))


def _new(event: Event) -> values.NewEvent:
    return values.NewEvent(
        at=event.at,
        kind=event.kind,
        sandbox=event.sandbox,
        service=event.service,
        deployment=event.deployment,
        reason=event.reason,
        message=event.message,
        data=dict(event.data),
    )


def _lines(lines: Sequence[LogLine]) -> list[views.LogLineView]:
    return [
        views.LogLineView(seq=each.seq, at=each.at, stage=each.stage, text=each.text)
        for each in lines
    ]
