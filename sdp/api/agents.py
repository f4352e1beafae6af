"""The agents' WebSocket: one session per node, the newest wins; frames are checked and handed on.

An agent that was replaced while it was there, and comes back, is a second one of the same node: it
is kept out for as long as the newer one is there, or the two would take turns for ever.

The only place of the API that catches Exception: what goes wrong in a session ends that session,
with a reason, and is logged once.
"""

import asyncio
import contextlib
import datetime
import uuid
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from typing import NoReturn

import structlog
from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from sdp import clock
from sdp.api import wire
from sdp.api.greeting import Greeter
from sdp.api.node_views import Finding
from sdp.api.ports import Agents, Ports
from sdp.api.wire import EndedError, EnrolledError, RefusedError
from sdp.protocol import frames
from sdp.reconciler.observed import Skew

MAX_QUEUED = 10_000
CLOCK_SECONDS = 30
MOST_TOLD = 64 << 20
"""Bytes of changes after which an agent has to report in full: so much at most is kept of it."""
LOG_PARTS = 4
"""Parts of one log that an agent may send before they are read here."""
_MOST_RIVALS = 16

log = structlog.get_logger(__name__)


def measured(told: frames.Time, now: datetime.datetime) -> Skew | None:
    """Return how far an agent's clock is ahead of ours, right but for half of the way there and back.

    Args:
        told: what the agent answered.
        now: when that arrived; a clock that was set back meanwhile tells nothing.
    """
    way = (now - told.asked).total_seconds()
    if way < 0:
        return None
    ahead = (told.now - told.asked).total_seconds() - way / 2
    return Skew(round(ahead, 3), round(way / 2, 3))


class Session:
    """One agent's connection, after it has proven who it is.

    ``rivals`` are the processes that this one took over from; ``rival`` is where one of them tried
    to come back from.
    """

    def __init__(self, socket: WebSocket, hello: frames.Hello, agents: Agents) -> None:
        self.hello = hello
        self.address = wire.address_of(socket)
        self.since = clock.now()
        self.rivals: tuple[str, ...] = ()
        self.rival = ""
        self._socket = socket
        self._agents = agents
        self._queue: deque[frames.ToAgent] = deque()
        self._stored = self._acknowledged = self._told = 0
        self._news = asyncio.Event()
        self._over: EndedError | None = None
        self._logs: dict[str, asyncio.Queue[frames.LogPart | frames.LogEnd | None]] = {}

    def end(self, ended: EndedError) -> None:
        """Make the session end now; nothing more of it is handed on."""
        self._over = self._over or ended
        self._news.set()

    async def send(self, frame: frames.ToAgent) -> None:
        """Queue a frame; an agent that does not read is cut. Async as its callers expect it."""
        self._queue.append(frame)
        if len(self._queue) > MAX_QUEUED:
            self.end(EndedError(wire.POLICY, "the agent does not read what is sent"))
        self._news.set()

    async def run(self) -> None:
        """Speak until either side ends."""
        hello = self.hello
        self._stored = self._acknowledged = await self._agents.stored(hello.node, hello.outbox)
        await self.send(frames.Welcome(protocol=hello.protocol, stored=self._stored))
        await self._agents.connected(hello, self.send)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._write())
                group.create_task(self._read())
                group.create_task(self._ask_time())
        finally:
            for parts in self._logs.values():
                parts.put_nowait(None)

    async def log(
        self, container: str, since: str, tail: int | None, *, follow: bool
    ) -> AsyncGenerator[frames.LogPart | frames.LogEnd, None]:
        """Yield a log's parts, and give leave for more as they are taken."""
        request = uuid.uuid4().hex
        parts = self._logs[request] = asyncio.Queue()
        part: frames.LogPart | frames.LogEnd | None = None
        try:
            await self.send(
                frames.FollowLog(
                    request=request,
                    container=container,
                    since=since,
                    tail=tail,
                    follow=follow,
                    parts=LOG_PARTS,
                )
            )
            while (part := await parts.get()) is not None:
                yield part
                if isinstance(part, frames.LogEnd):
                    return
                await self.send(frames.MoreLog(request=request, parts=1))
        finally:
            del self._logs[request]
            if not isinstance(part, frames.LogEnd):
                await self.send(frames.EndLog(request=request))

    async def _ask_time(self) -> None:
        while True:
            await self.send(frames.AskTime(asked=clock.now()))
            await asyncio.sleep(CLOCK_SECONDS)

    async def _read(self) -> None:
        while True:
            text = await wire.received(self._socket, frames.MAX_FRAME)
            frame = wire.parsed(text)
            if self._over is not None:
                raise self._over
            self._bound(frame, len(text))
            await self._take(frame)

    def _bound(self, frame: frames.FromAgent, size: int) -> None:
        """Bound what changes can pile up to; a report that is whole begins anew."""
        if isinstance(frame, frames.Report | frames.Change):
            self._told = size + (self._told if isinstance(frame, frames.Change) else 0)
        if self._told > MOST_TOLD:
            raise EndedError(wire.RETRY, "many changes: come again, report in full")

    async def _take(self, frame: frames.FromAgent) -> None:  # noqa: C901 -- one flat case per frame
        node = self.hello.node
        match frame:
            case frames.Report():
                await self._agents.reported(node, frame.report, frame.generation)
            case frames.Change():
                if not await self._agents.changed(node, frame.delta, frame.generation):
                    raise EndedError(wire.RETRY, "a change was missed: come again, report in full")
            case frames.Entry():
                if frame.seq > self._stored:
                    await self._agents.entry(self.hello, frame.seq, frame.body)
                    self._stored = frame.seq
                self._news.set()
            case frames.LogPart() | frames.LogEnd():
                self._take_log(frame)
            case frames.Time():
                if (skew := measured(frame, clock.now())) is not None:
                    await self._agents.timed(node, skew)
            case frames.Usage():
                await self._agents.measured(node, frame.samples)
            case frames.LoginChecked():
                await self._agents.checked(node, frame)
            case frames.Hello() | frames.Proof():
                raise EndedError(wire.POLICY, f"a second {frame.frame}")

    def _take_log(self, frame: frames.LogPart | frames.LogEnd) -> None:
        parts = self._logs.get(frame.request)
        if parts is None:
            return  # nobody reads it any more
        if isinstance(frame, frames.LogPart) and parts.qsize() > LOG_PARTS:
            raise EndedError(wire.POLICY, "more of a log than there was leave for")
        parts.put_nowait(frame)

    async def _write(self) -> None:
        """Send what is queued; of entries stored meanwhile, only the last is acknowledged."""
        while True:
            await self._news.wait()
            self._news.clear()
            if self._over is not None:
                raise self._over
            while self._queue:
                frame = self._queue.popleft()
                if isinstance(frame, frames.AskTime):  # its way begins now, not in the queue
                    frame = frames.AskTime(asked=clock.now())
                await self._socket.send_text(frame.model_dump_json())
            if self._stored > self._acknowledged:
                self._acknowledged = self._stored
                await self._socket.send_text(frames.Ack(seq=self._stored).model_dump_json())


class Sessions:
    """All agents' sessions, one per node."""

    def __init__(self, ports: Ports) -> None:
        self._agents = ports.agents
        self._greeter = Greeter(ports)
        self._sessions: dict[str, Session] = {}

    def has(self, node: str) -> bool:
        """Whether a node's agent is there."""
        return node in self._sessions

    async def log(
        self, node: str, container: str, since: str, tail: int | None, *, follow: bool
    ) -> AsyncGenerator[frames.LogPart | frames.LogEnd, None]:
        """Yield a log's parts; a LogEnd is the last, where the node does not fall silent first."""
        session = self._sessions.get(node)
        if session is not None:
            parts = session.log(container, since, tail, follow=follow)
            async with contextlib.aclosing(parts):
                async for part in parts:
                    yield part

    def end(self, node: str, why: str) -> None:
        """End the session of an agent that is not believed any more."""
        if (session := self._sessions.get(node)) is not None:
            session.end(RefusedError(why))

    def examine(self) -> Iterator[Finding]:
        """Yield what is wrong with connections."""
        for node, session in sorted(self._sessions.items()):
            if session.rival:
                yield _two(node, session)
            if session.hello.plain:
                yield _plain(node)

    async def serve(self, socket: WebSocket) -> None:
        """Serve one connection to its end."""
        await socket.accept()
        node = ""
        try:
            hello = await self._greeter.greet(socket)
            node = hello.node
            await self._serve(Session(socket, hello, self._agents))
        except* WebSocketDisconnect:
            log.info("agent disconnected", node=node)
        except* EndedError as group:
            ended = _first(group)
            assert isinstance(ended, EndedError)  # noqa: S101 -- the group's type
            if isinstance(ended, EnrolledError):
                self.end(ended.node, f"{ended.node} was enrolled again, with another key")
            else:
                log.warning("agent's session ended", node=node, why=str(ended))
            await wire.close(socket, ended)
        except* Exception:
            log.exception("agent's session failed", node=node)
            reason = "the control plane failed: its log says how"
            await wire.close(socket, EndedError(wire.BUG, reason))

    async def _serve(self, session: Session) -> None:
        node, run = session.hello.node, session.hello.run
        before = self._sessions.get(node)
        if before is not None:
            if run in before.rivals:
                await self._keep_out(session, before)
            if run != before.hello.run:
                session.rivals = (*before.rivals, before.hello.run)[-_MOST_RIVALS:]
            before.end(RefusedError(_taken_over(session)))
        self._sessions[node] = session
        try:
            await session.run()
        finally:
            if self._sessions.get(node) is session:
                del self._sessions[node]
            await self._agents.disconnected(session.hello, session.send)

    async def _keep_out(self, session: Session, there: Session) -> NoReturn:
        """Refuse a second agent of a node, and let people know of both."""
        there.rival = session.address
        why = _both(session.hello.node, there)
        node, address = session.hello.node, session.address
        await self._greeter.book.refused("second agent refused", node, address, why)
        raise RefusedError(why)


def _taken_over(by: Session) -> str:
    return f"another agent of {by.hello.node}, at {by.address}, took over"


def _both(node: str, there: Session) -> str:
    since = f"{there.since:%Y-%m-%d %H:%M:%S} UTC"
    return (
        f"two agents say that they are {node}: one at {there.address} since {since}, which is "
        f"served, and one at {there.rival}, which is kept out"
    )


def _two(node: str, session: Session) -> Finding:
    fix = (
        f"stop the one that should not be; if you don't know it, its key was stolen: "
        f"sdp nodes revoke {node}, then enrol it again: sdp nodes enroll {node}"
    )
    return Finding(
        severity="error", node=node, kind="agent", message=_both(node, session), fix=fix
    )


def _plain(node: str) -> Finding:
    message = f"the agent of {node} calls over plain ws://: who is between can read what is said"
    fix = f"write control_plane: wss://… in {node}'s agent.yaml, with ca: FILE where you have one"
    return Finding(severity="warning", node=node, kind="agent", message=message, fix=fix)


def router(sessions: Sessions) -> APIRouter:
    """Return the agents' endpoint."""
    routes = APIRouter()

    @routes.websocket("/ws/agent")
    async def agent(socket: WebSocket) -> None:
        await sessions.serve(socket)

    return routes


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return why: the first leaf of a group."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
