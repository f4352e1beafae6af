"""The control plane put together: store, source, reconciler and API in one process.

Starts them, stops them, and says why it can't; ``adapters`` stand between them.
"""

import asyncio
import contextlib
import dataclasses
import datetime
import signal
import socket
import ssl
import sys
from collections.abc import Generator
from pathlib import Path

import structlog
import uvicorn
from fastapi import FastAPI
from sse_starlette.sse import AppStatus
from typing_extensions import override

from sdp import clock
from sdp.adapters import ApiJournal, ApiSessions, LoopJournal, ReconcilerAgents
from sdp.api.app import create_app
from sdp.api.broker import Broker
from sdp.api.config_repo import ConfigRepo
from sdp.api.door import CannotServeError, Door, check_proxy, exposed, listener, protection
from sdp.api.events import encode
from sdp.api.login_checks import LoginChecks
from sdp.api.past import SandboxPast
from sdp.api.patience import CONNECTIONS, LARGEST_HEADER, Patient
from sdp.api.plane import ReconcilerPlane
from sdp.api.ports import People, Ports
from sdp.api.prover import AgentProver
from sdp.api.sessions import Sessions
from sdp.process import keep_to_itself
from sdp.protocol import frames
from sdp.reconciler import signing
from sdp.reconciler.journal import StoreUnavailable
from sdp.reconciler.loop import Reconciler
from sdp.reconciler.source import Source
from sdp.service_credential import ServiceCredential
from sdp.spec import quantities
from sdp.store import retention
from sdp.store.store import Store
from sdp.trust.belief import TrustError
from sdp.trust.folder import Trust

STOP_SECONDS = 1

log = structlog.get_logger(__name__)


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
        except* StoreUnavailable as group:
            reason, fix = _unavailable(group)
            raise CannotServeError(reason, fix) from None


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


def _unavailable(group: BaseExceptionGroup[StoreUnavailable]) -> tuple[str, str]:
    first: BaseException = group
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    assert isinstance(first, StoreUnavailable)  # noqa: S101 -- the group's type
    return first.reason, first.fix


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
