"""The control plane put together: store, source, reconciler and API in one process.

Adapts each to what the next one asks for; decides nothing.
"""

import asyncio
import contextlib
import dataclasses
import datetime
import signal
import socket
import ssl
import sys
from collections.abc import AsyncGenerator, Collection, Generator, Iterable, Sequence
from pathlib import Path

import structlog
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from sse_starlette.sse import AppStatus
from typing_extensions import override

from sdp import clock
from sdp.api import views
from sdp.api.app import create_app
from sdp.api.broker import Broker
from sdp.api.config_repo import ConfigRepo
from sdp.api.door import CannotServeError, Door, check_proxy, exposed, listener, protection
from sdp.api.events import encode
from sdp.api.login_checks import LoginChecks
from sdp.api.past import SandboxPast
from sdp.api.patience import CONNECTIONS, LARGEST_HEADER, Patient
from sdp.api.plane import ReconcilerPlane
from sdp.api.ports import Gone, People, Ports, Send
from sdp.api.problems import ProblemError, response
from sdp.api.prover import AgentProver
from sdp.api.sessions import Session, Sessions
from sdp.process import keep_to_itself
from sdp.protocol import frames
from sdp.protocol.report import Delta, NodeReport
from sdp.reconciler import events, signing
from sdp.reconciler.acts import acts_of
from sdp.reconciler.deployments import Deployment
from sdp.reconciler.events import Event
from sdp.reconciler.history import Failure, History
from sdp.reconciler.loop import Reconciler
from sdp.reconciler.observed import Skew
from sdp.reconciler.ports import Lease
from sdp.reconciler.snapshots import Snapshot
from sdp.reconciler.source import Source
from sdp.reconciler.steady import Moved
from sdp.service_credential import ServiceCredential
from sdp.spec import quantities
from sdp.store import retention, values
from sdp.store.deployments import BadCursorError
from sdp.store.logfile import LogLine
from sdp.store.sessions import Session as StoredSession
from sdp.store.store import Store
from sdp.trust.folder import Trust
from sdp.trust.standing import TrustError

STOP_SECONDS = 1
_PAGE = 500
_JUDGED = "judged"

log = structlog.get_logger(__name__)


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
            await self._store.append([_new(each) for each in happened], acts, kept, meta)
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


async def serve(
    config_repo: str,
    branch: str,
    data_dir: Path,
    door: Door,
    config_credentials: Path | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        config_repo: path or URL of the config repo.
        branch: the branch that is applied.
        data_dir: folder for history and logs.
        door: where to listen.
        config_credentials: file with the account that reads a config repo at an http address.

    Raises:
        CannotServeError: it can't start.
    """
    try:
        source = Source(config_repo, branch, data_dir, ServiceCredential(config_credentials))
    except ValueError as error:
        raise CannotServeError(str(error), "name another --config-repo") from error
    tls = protection(door.tls) if door.tls else None
    if door.proxy:
        check_proxy(door.proxy)
    with listener(door) as listens:
        keep_to_itself()
        front = _Front(door, tls, listens, _trusted(data_dir))
        _log_to_stderr()
        for each in exposed(door):
            log.warning(each.message, fix=each.fix)
        try:
            await _run(source, data_dir, front)
        except* values.StoreUnavailable as group:
            reason, fix = _unavailable(group)
            raise CannotServeError(reason, fix) from None


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
        """Forget what has expired, which counts for nothing also where that fails."""
        try:
            await self._store.purge_sessions(now)
        except values.StoreUnavailable as error:
            log.warning("expired sessions could not be purged", reason=str(error))


@dataclasses.dataclass(frozen=True, slots=True)
class _Front:
    """What clients and agents meet."""

    door: Door
    tls: ssl.SSLContext | None
    listens: socket.socket
    trust: Trust


def _trusted(data_dir: Path) -> Trust:
    try:
        trust = Trust.open(data_dir)
        trust.begin()
    except TrustError as error:
        raise CannotServeError(str(error), error.fix) from error
    return trust


def _signer(data_dir: Path) -> signing.Signer:
    try:
        return signing.signer(data_dir)
    except signing.UnusableKeyError as error:
        raise CannotServeError(str(error), error.fix) from error


async def _run(source: Source, data_dir: Path, front: _Front) -> None:
    signer = _signer(data_dir)
    async with Store.open(data_dir, encode=lambda event: encode(event.seq, event)) as store:
        broker, checks = Broker(), LoginChecks()
        reconciler = Reconciler(source, LoopJournal(store), lender=broker)
        broker.listener = reconciler
        plane = ReconcilerPlane(reconciler, signer.public)
        changes = ConfigRepo(source, plane.preview, signer.sign, broker.of)
        sessions = await Sessions.load(ApiSessions(store), broker, clock.now())
        app = create_app(
            Ports(
                plane,
                ApiJournal(store),
                ReconcilerAgents(reconciler, store, checks),
                changes,
                SandboxPast(source.repository, plane, store.snapshots),
                People(sessions, AgentProver(plane, checks), broker),
                store.audit,
                front.trust,
                front.door.hook_secret,
                exposed(front.door),
            )
        )
        app.add_exception_handler(values.StoreUnavailable, _store_unavailable)
        server = _Server(configured(app, front.door, front.tls), front.door)
        async with asyncio.TaskGroup() as group:
            reconciling = group.create_task(reconciler.run(changes))
            forgetting = group.create_task(retention.forget(store, lambda: _history(reconciler)))
            sweeping = group.create_task(sessions.run())
            lending = group.create_task(broker.run())
            await server.serve(sockets=[front.listens])
            lending.cancel()
            sweeping.cancel()
            forgetting.cancel()
            reconciling.cancel()
    log.info("stopped")


def _history(reconciler: Reconciler) -> datetime.timedelta | None:
    """Return how much of the past is kept; None before there is a platform that says so."""
    platform = reconciler.world().desired.platform
    return quantities.duration(platform.retention.history) if platform else None


def configured(app: FastAPI, door: Door, tls: ssl.SSLContext | None) -> uvicorn.Config:
    """Return how an app is served through a door."""
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=STOP_SECONDS,
        ws="websockets-sansio",
        ws_max_size=frames.MAX_FRAME,
        ws_ping_interval=10,
        ws_ping_timeout=10,
        http=Patient,
        h11_max_incomplete_event_size=LARGEST_HEADER,
        limit_concurrency=CONNECTIONS,
        server_header=False,
        ssl_context_factory=(lambda *_: tls) if tls else None,
        # Else anybody on this machine could say to call from elsewhere.
        proxy_headers=bool(door.proxy),
        forwarded_allow_ips=door.proxy,
    )


class _Server(uvicorn.Server):
    """Ends in order on a signal: uvicorn's own would raise it again, past our clean-up."""

    def __init__(self, config: uvicorn.Config, door: Door) -> None:
        super().__init__(config)
        self._scheme = door.scheme

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        host, port = (sockets or [])[0].getsockname()[:2]
        log.info("listening", url=f"{self._scheme}://{host}:{port}")

    @override
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            # The streams' library listens in on handle_exit, and ends what follows.
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)
            AppStatus.should_exit = False


def _unavailable(group: BaseExceptionGroup[values.StoreUnavailable]) -> tuple[str, str]:
    first: BaseException = group
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    assert isinstance(first, values.StoreUnavailable)  # noqa: S101 -- the group's type
    return first.reason, first.fix


async def _store_unavailable(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, values.StoreUnavailable)  # noqa: S101 -- registered for it
    problem = ProblemError(503, "store", "Store unavailable", error.reason, error.fix)
    return response(problem.document)


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


def _log_to_stderr() -> None:
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger("info"),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
