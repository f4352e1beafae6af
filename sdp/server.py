"""The control plane put together: store, source, reconciler and API in one process.

Adapts each to what the next one asks for; decides nothing. There is no login yet, so it listens
on the loopback only.
"""

import asyncio
import contextlib
import dataclasses
import datetime
import ipaddress
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Sequence
from pathlib import Path

import structlog
import uvicorn
from fastapi import Request
from fastapi.responses import JSONResponse
from sse_starlette.sse import AppStatus
from typing_extensions import override

from sdp.api import views
from sdp.api.app import create_app
from sdp.api.config_repo import ConfigRepo
from sdp.api.events import encode
from sdp.api.past import SandboxPast
from sdp.api.plane import ReconcilerPlane
from sdp.api.ports import Gone, Ports, Send
from sdp.api.problems import ProblemError, response
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
from sdp.spec import quantities
from sdp.store import retention, values
from sdp.store.deployments import BadCursorError
from sdp.store.logfile import LogLine
from sdp.store.store import Store

STOP_SECONDS = 1
_PAGE = 500
_JUDGED = "judged"

log = structlog.get_logger(__name__)


class CannotServeError(Exception):
    """The control plane can't start; ``fix`` says what to do."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.fix = fix


@dataclasses.dataclass(frozen=True, slots=True)
class Door:
    """Where to listen, and whose posts to take.

    Attributes:
        host: a loopback address.
        port: 0: any.
        hook_secret: what Bitbucket signs with; without one, its posts are refused.
    """

    host: str
    port: int
    hook_secret: bytes = dataclasses.field(default=b"", repr=False)


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

    def __init__(self, reconciler: Reconciler, store: Store) -> None:
        self._reconciler = reconciler
        self._store = store

    async def stored(self, node: str, outbox: str) -> int:
        return await self._store.stored(node, outbox)

    async def connected(self, hello: frames.Hello, send: Send) -> None:
        await self._reconciler.connected(hello.node, send, hello)

    async def reported(self, node: str, report: NodeReport, generation: int) -> None:
        self._reconciler.reported(node, report, generation)

    async def changed(self, node: str, delta: Delta, generation: int) -> bool:
        return self._reconciler.changed(node, delta, generation)

    async def timed(self, node: str, skew: Skew) -> None:
        self._reconciler.timed(node, skew)

    async def measured(self, node: str, samples: Sequence[frames.Sample]) -> None:
        self._reconciler.measured(node, samples)

    async def entry(self, hello: frames.Hello, seq: int, body: frames.Body) -> None:
        """Store first: what a crash keeps from the reconciler, it finds out by planning anew."""
        new = await self._store.accept(hello.node, hello.outbox, seq, _effects(body))
        if new and isinstance(body, frames.Result | frames.StageEvent):
            await self._reconciler.entry(hello.node, body)

    async def disconnected(self, hello: frames.Hello, send: Send) -> None:
        await self._reconciler.disconnected(hello.node, send)


async def serve(
    config_repo: str,
    branch: str,
    data_dir: Path,
    door: Door,
    listening: Callable[[int], None] = lambda _: None,
) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        config_repo: path or URL of the config repo.
        branch: the branch that is applied.
        data_dir: folder for history and logs.
        door: where to listen.
        listening: told the port.

    Raises:
        CannotServeError: it can't start.
    """
    try:
        source = Source(config_repo, branch, data_dir)
    except ValueError as error:
        raise CannotServeError(str(error), "name another --config-repo") from error
    with _listener(door.host, door.port) as listener:
        _log_to_stderr()
        try:
            await _run(source, data_dir, listener, listening, door.hook_secret)
        except* values.StoreUnavailable as group:
            reason, fix = _unavailable(group)
            raise CannotServeError(reason, fix) from None


async def _run(
    source: Source,
    data_dir: Path,
    listener: socket.socket,
    listening: Callable[[int], None],
    hook_secret: bytes,
) -> None:
    try:
        signer = signing.signer(data_dir)
    except signing.UnusableKeyError as error:
        raise CannotServeError(str(error), error.fix) from error
    async with Store.open(data_dir, encode=lambda event: encode(event.seq, event)) as store:
        reconciler = Reconciler(source, LoopJournal(store))
        plane = ReconcilerPlane(reconciler, signer.public)
        agents = ReconcilerAgents(reconciler, store)
        changes = ConfigRepo(source, plane.preview, signer.sign)
        past = SandboxPast(source.repository, plane, store.snapshots)
        journal = ApiJournal(store)
        ports = Ports(plane, journal, agents, changes, past, store.audit, hook_secret)
        app = create_app(ports)
        app.add_exception_handler(values.StoreUnavailable, _store_unavailable)
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=STOP_SECONDS,
            ws="websockets-sansio",
            ws_max_size=frames.MAX_FRAME,
            ws_ping_interval=10,
            ws_ping_timeout=10,
        )
        server = _Server(config, listening)
        async with asyncio.TaskGroup() as group:
            reconciling = group.create_task(reconciler.run(changes))
            forgetting = group.create_task(retention.forget(store, lambda: _history(reconciler)))
            await server.serve(sockets=[listener])
            forgetting.cancel()
            reconciling.cancel()
    log.info("stopped")


def _history(reconciler: Reconciler) -> datetime.timedelta | None:
    """Return how much of the past is kept; None before there is a platform that says so."""
    platform = reconciler.world().desired.platform
    return quantities.duration(platform.retention.history) if platform else None


class _Server(uvicorn.Server):
    """Ends in order on a signal: uvicorn's own would raise it again, past our clean-up."""

    def __init__(self, config: uvicorn.Config, listening: Callable[[int], None]) -> None:
        super().__init__(config)
        self._listening = listening

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        host, port = (sockets or [])[0].getsockname()[:2]
        log.info("listening", url=f"http://{host}:{port}")
        self._listening(port)

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


def _listener(host: str, port: int) -> socket.socket:
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError as error:
        raise CannotServeError(f"{host!r} is no address", "give --host 127.0.0.1") from error
    if not address.is_loopback:
        raise CannotServeError(
            f"{host} is not a loopback address, and there is no login yet: anybody who reaches it "
            "could change every sandbox",
            "give --host 127.0.0.1, and reach it from elsewhere through ssh -L",
        )
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET  # noqa: PLR2004
    try:
        return socket.create_server((str(address), port), family=family, backlog=2048)
    except OSError as error:
        raise CannotServeError(
            f"{host}:{port} can't be listened on: {error.strerror}",
            "stop what has the port, or give another --port",
        ) from error


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
