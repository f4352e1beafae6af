"""The agent's one connection to the control plane: it dials, reconnects, sends and obeys.

The only place of the agent that catches Exception: what goes wrong in a connection ends that
connection, is logged once, and is tried again.
"""

import asyncio
import dataclasses
import random
from collections.abc import Mapping
from typing import Protocol

import structlog
from websockets.asyncio.client import ClientConnection, connect

from sdp import clock
from sdp.agent import log_desk, usage
from sdp.agent.lent import Lent
from sdp.agent.log_desk import LogDesk
from sdp.agent.login_desk import LoginDesk, Logins
from sdp.agent.outbox import Outbox
from sdp.agent.usage import Meter
from sdp.protocol import frames, sealed
from sdp.protocol.report import NodeReport, difference

FIRST_BACKOFF = 0.2
LONGEST_BACKOFF = 5.0
REFUSED_SECONDS = 30.0
COALESCE_SECONDS = 0.02
KEEP_ALIVE_SECONDS = 10

log = structlog.get_logger(__name__)


class Observer(usage.Observer, Protocol):
    changed: asyncio.Event
    report: NodeReport

    def refresh(self, repositories: tuple[str, ...], lent: Lent) -> None: ...


class Desk(Protocol):
    def submit(self, frame: frames.Perform) -> None: ...
    def cancel(self, action_id: str) -> None: ...


class Engine(log_desk.Containers, usage.Engine, Protocol):
    """What is looked at while a control plane asks for it."""


class RefusedError(Exception):
    """The control plane does not want this agent."""


@dataclasses.dataclass(frozen=True, slots=True)
class Identity:
    """Who this agent is, and whom it calls. ``headers`` may hold a token: never logged."""

    url: str
    node: str
    instance: str
    version: str
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    recipient: str = ""


class Session:
    def __init__(
        self,
        identity: Identity,
        outbox: Outbox,
        observer: Observer,
        desk: Desk,
        engine: Engine,
        logins: Logins,
    ) -> None:
        self._identity = identity
        self._outbox = outbox
        self._observer = observer
        self._desk = desk
        self._engine = engine
        self._logins = logins
        self._wake = asyncio.Event()
        self._generation = 0
        self._sent = 0

    async def run(self) -> None:
        """Stay connected until cancelled."""
        pause = FIRST_BACKOFF
        while True:
            before = self._generation
            try:
                await self._connected()
            except RefusedError as refusal:
                log.warning("refused", url=self._identity.url, reason=str(refusal))
                pause = REFUSED_SECONDS
            except Exception as error:  # noqa: BLE001 - see the module's docstring
                log.warning("disconnected", url=self._identity.url, error=_reason(error))
            if self._generation != before:
                pause = FIRST_BACKOFF
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 - spreads load
            pause = min(pause * 2, LONGEST_BACKOFF)

    async def _connected(self) -> None:
        async with connect(
            self._identity.url,
            additional_headers=dict(self._identity.headers),
            proxy=None,
            compression=None,
            open_timeout=10,
            close_timeout=1,
            ping_interval=KEEP_ALIVE_SECONDS,
            ping_timeout=KEEP_ALIVE_SECONDS,
            max_size=frames.MAX_FRAME,
        ) as connection:
            spoken = await self._greet(connection)
            log.info("connected", url=self._identity.url, node=self._identity.node)

            async def send(frame: frames.FromAgent) -> None:
                await connection.send(frame.model_dump_json())

            logs = LogDesk(self._engine, send)
            logins = LoginDesk(self._logins, send)
            meter = Meter(self._engine, self._observer, send)
            async with asyncio.TaskGroup() as group:
                group.create_task(logs.run())
                group.create_task(logins.run())
                group.create_task(self._listen(connection, logs, logins))
                group.create_task(self._relay(self._observer.changed))
                group.create_task(self._relay(self._outbox.grown))
                group.create_task(self._tell(connection))
                if spoken >= frames.LIFE_SINCE:
                    group.create_task(meter.run())

    async def _greet(self, connection: ClientConnection) -> int:
        """Say who this is; return the protocol that both speak."""
        hello = frames.Hello(
            protocol=frames.VERSION,
            node=self._identity.node,
            instance=self._identity.instance,
            version=self._identity.version,
            outbox=self._outbox.id,
            recipient=self._identity.recipient,
        )
        await connection.send(hello.model_dump_json())
        async with asyncio.timeout(KEEP_ALIVE_SECONDS):
            answer = frames.to_agent.validate_json(await connection.recv())
        match answer:
            case frames.Welcome(stored=stored, protocol=protocol):
                self._outbox.acknowledged(stored)
                self._sent = stored
                return protocol
            case frames.Refuse(reason=reason):
                raise RefusedError(reason)
            case _:
                raise RefusedError(f"expected welcome, got {answer.frame}")

    async def _listen(  # noqa: C901 - one flat case per frame
        self, connection: ClientConnection, logs: LogDesk, logins: LoginDesk
    ) -> None:
        while True:
            frame = frames.to_agent.validate_json(await connection.recv())
            match frame:
                case frames.Ack(seq=seq):
                    self._outbox.acknowledged(seq)
                case frames.Perform():
                    self._desk.submit(frame)
                case frames.Cancel(action_id=action_id):
                    self._desk.cancel(action_id)
                case frames.Refresh(repositories=repositories, credentials=credentials):
                    lent = Lent(credentials, sealed.looking(repositories))
                    self._observer.refresh(repositories, lent)
                case frames.CheckLogin():
                    await logins.check(frame)
                case frames.FollowLog():
                    logs.follow(frame)
                case frames.MoreLog(request=request, parts=parts):
                    logs.more(request, parts)
                case frames.EndLog(request=request):
                    logs.end(request)
                case frames.AskTime(asked=asked):
                    told = frames.Time(asked=asked, now=clock.now())
                    await connection.send(told.model_dump_json())
                case frames.Refuse(reason=reason):
                    raise RefusedError(reason)
                case frames.Welcome():
                    log.warning("unexpected", frame=frame.frame)

    async def _relay(self, event: asyncio.Event) -> None:
        while True:
            await event.wait()
            event.clear()
            self._wake.set()

    async def _tell(self, connection: ClientConnection) -> None:
        """Send what changed, then entries: a result never overtakes the report of its effect.

        Entries are taken before the report is, so that the report is never the older one.
        """
        told: NodeReport | None = None
        while True:
            self._wake.clear()
            entries = self._outbox.pending(self._sent)
            now = self._observer.report
            await self._tell_report(connection, told, now)
            told = now
            for entry in entries:
                await connection.send(entry.model_dump_json())
                self._sent = entry.seq
            if not entries:
                await self._wake.wait()
                await asyncio.sleep(COALESCE_SECONDS)

    async def _tell_report(
        self, connection: ClientConnection, told: NodeReport | None, now: NodeReport
    ) -> None:
        if told is None:
            self._generation += 1
            frame = frames.Report(generation=self._generation, report=now)
            await connection.send(frame.model_dump_json())
            return
        delta = difference(told, now)
        if delta is not None:
            self._generation += 1
            change = frames.Change(generation=self._generation, delta=delta)
            await connection.send(change.model_dump_json())


def _reason(error: Exception) -> str:
    """Return why, in one line; of a group its first, which ended the others."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"
