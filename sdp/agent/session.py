"""The agent's one connection to the control plane: it dials, reconnects, sends and obeys.

The only place of the agent that catches Exception: what goes wrong in a connection ends that
connection, is logged once, and is tried again.
"""

import asyncio
import random
from typing import Protocol

import structlog
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from sdp import clock
from sdp.agent import greeting, log_desk, usage
from sdp.agent.greeting import Identity, RefusedError
from sdp.agent.lent import Lent
from sdp.agent.log_desk import LogDesk
from sdp.agent.login_desk import LoginDesk, Logins
from sdp.agent.outbox import Outbox
from sdp.agent.trust import Trust, UntrustedError
from sdp.agent.usage import Meter
from sdp.protocol import frames, sealed
from sdp.protocol.report import NodeReport, difference

FIRST_BACKOFF = 0.2
LONGEST_BACKOFF = 5.0
REFUSED_SECONDS = 30.0
COALESCE_SECONDS = 0.02

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


class Session:
    def __init__(  # noqa: PLR0913, PLR0917 - one port per kind of frame
        self,
        identity: Identity,
        trust: Trust,
        outbox: Outbox,
        observer: Observer,
        desk: Desk,
        engine: Engine,
        logins: Logins,
    ) -> None:
        self._identity = identity
        self._trust = trust
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
        if self._identity.plain:
            log.warning("anybody on the way can read what is said", fix="control_plane: wss://…")
        pause = FIRST_BACKOFF
        while True:
            before = self._generation
            try:
                await self._connected()
            except Exception as error:  # noqa: BLE001 - see the module's docstring
                if self._generation != before:
                    pause = FIRST_BACKOFF
                if refusal := _refusal(error):
                    log.warning("refused", url=self._identity.url, reason=refusal)
                    pause = REFUSED_SECONDS
                else:
                    log.warning("disconnected", url=self._identity.url, error=_reason(error))
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 - spreads load
            pause = min(pause * 2, LONGEST_BACKOFF)

    async def _connected(self) -> None:
        self._trust.identity()  # without one, nobody is called
        async with greeting.dial(self._identity) as connection:
            welcome = await greeting.greet(
                connection, self._identity, self._trust, self._outbox.id
            )
            self._outbox.acknowledged(welcome.stored)
            self._sent = welcome.stored
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
                group.create_task(meter.run())

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
                case frames.Challenge() | frames.Enrolled() | frames.Welcome():
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


def _leaves(error: Exception) -> list[Exception]:
    if isinstance(error, ExceptionGroup):
        return [leaf for each in error.exceptions for leaf in _leaves(each)]
    return [error]


def _refusal(error: Exception) -> str:
    """Return why one side does not want the other; empty where it is not that.

    What is sent while the refusal is on its way may fail first; the close frame tells, too.
    """
    for each in _leaves(error):
        if isinstance(each, RefusedError | UntrustedError):
            return str(each)
        if isinstance(each, ConnectionClosed) and each.rcvd and each.rcvd.code == frames.REFUSED:
            return each.rcvd.reason
    return ""


def _reason(error: Exception) -> str:
    """Return why, in one line; of a group its first, which ended the others."""
    first = _leaves(error)[0]
    return f"{type(first).__name__}: {first}"
