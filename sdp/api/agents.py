"""The agents' WebSocket: one session per node, the newest wins; frames are checked and handed on.

The only place of the API that catches Exception: what goes wrong in a session ends that session,
with a reason, and is logged once.
"""

import asyncio
import contextlib
import datetime
import uuid
from collections import deque
from collections.abc import AsyncGenerator

import structlog
from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from pydantic import ValidationError

from sdp import clock
from sdp.api.ports import Agents, Ports
from sdp.protocol import frames
from sdp.protocol.text import inert
from sdp.reconciler.observed import Skew
from sdp.spec.models import Platform

HELLO_SECONDS = 10
MAX_QUEUED = 10_000
CLOCK_SECONDS = 30
MOST_TOLD = 64 << 20
"""Bytes of changes after which an agent has to report in full: so much at most is kept of it."""
LOG_PARTS = 4
"""Parts of one log that an agent may send before they are read here."""
_POLICY = 1008
_BUG = 1011
_RETRY = 1013
_MAX_REASON = 120  # bytes that a close frame has room for, less a margin

log = structlog.get_logger(__name__)


class EndedError(Exception):
    """A session is over; code and reason are the close frame's."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def refusal(hello: frames.Hello, platform: Platform) -> str:
    """Return why an agent can't be taken; empty when it can."""
    taken = {frames.VERSION, frames.VERSION - 1}
    if hello.protocol not in taken:
        spoken = " or ".join(map(str, sorted(taken)))
        return f"protocol {hello.protocol} is not spoken here, {spoken} is: update sdp on both"
    if hello.instance != platform.platform:
        return f"this is the control plane of {platform.platform}, not of {hello.instance}"
    if hello.node not in {node.id for node in platform.nodes}:
        return f"platform.yaml has no node {hello.node}: add it there, or correct agent.yaml"
    return ""


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
    """One agent's connection, after its Hello was accepted."""

    def __init__(self, socket: WebSocket, hello: frames.Hello, agents: Agents) -> None:
        self.hello = hello
        self._socket = socket
        self._agents = agents
        self._queue: deque[frames.ToAgent] = deque()
        self._stored = self._acknowledged = self._told = 0
        self._news = asyncio.Event()
        self._over: EndedError | None = None
        self._logs: dict[str, asyncio.Queue[frames.LogPart | frames.LogEnd | None]] = {}

    def end(self, code: int, reason: str) -> None:
        """Make the session end now; nothing more of it is handed on."""
        self._over = self._over or EndedError(code, reason)
        self._news.set()

    async def send(self, frame: frames.ToAgent) -> None:
        """Queue a frame; an agent that does not read is cut. Async as its callers expect it."""
        self._queue.append(frame)
        if len(self._queue) > MAX_QUEUED:
            self.end(_POLICY, "the agent does not read what is sent")
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
            frame, size = await receive(self._socket)
            if self._over is not None:
                raise self._over
            self._bound(frame, size)
            await self._take(frame)

    def _bound(self, frame: frames.FromAgent, size: int) -> None:
        """Bound what changes can pile up to; a report that is whole begins anew."""
        if isinstance(frame, frames.Report | frames.Change):
            self._told = size + (self._told if isinstance(frame, frames.Change) else 0)
        if self._told > MOST_TOLD:
            raise EndedError(_RETRY, "many changes: come again, report in full")

    async def _take(self, frame: frames.FromAgent) -> None:  # noqa: C901 -- one flat case per frame
        node = self.hello.node
        match frame:
            case frames.Report():
                await self._agents.reported(node, frame.report, frame.generation)
            case frames.Change():
                if not await self._agents.changed(node, frame.delta, frame.generation):
                    raise EndedError(_RETRY, "a change was missed: come again, report in full")
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
                raise EndedError(_POLICY, "a login that nobody asked about")
            case frames.Hello():
                raise EndedError(_POLICY, "a second hello")

    def _take_log(self, frame: frames.LogPart | frames.LogEnd) -> None:
        parts = self._logs.get(frame.request)
        if parts is None:
            return  # nobody reads it any more
        if isinstance(frame, frames.LogPart) and parts.qsize() > LOG_PARTS:
            raise EndedError(_POLICY, "more of a log than there was leave for")
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
        self._plane = ports.plane
        self._agents = ports.agents
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

    async def serve(self, socket: WebSocket) -> None:
        """Serve one connection to its end."""
        await socket.accept()
        hello: frames.Hello | None = None
        try:
            hello = await self._greeted(socket)
            await self._serve(Session(socket, hello, self._agents))
        except* WebSocketDisconnect:
            log.info("agent disconnected", node=hello.node if hello else "")
        except* EndedError as group:
            ended = _first(group)
            log.warning("agent's session ended", node=hello.node if hello else "", why=str(ended))
            code = ended.code if isinstance(ended, EndedError) else _BUG
            await _close(socket, code, str(ended))
        except* Exception:
            log.exception("agent's session failed", node=hello.node if hello else "")
            await _close(socket, _BUG, "the control plane failed: its log says how")

    async def _greeted(self, socket: WebSocket) -> frames.Hello:
        try:
            async with asyncio.timeout(HELLO_SECONDS):
                hello, _ = await receive(socket)
        except TimeoutError as error:
            raise EndedError(_POLICY, f"no hello in {HELLO_SECONDS} s") from error
        if not isinstance(hello, frames.Hello):
            raise EndedError(_POLICY, f"expected hello first, got {hello.frame}")
        if self._plane.platform is None:
            raise EndedError(_RETRY, "no platform.yaml is loaded yet")
        if reason := refusal(hello, self._plane.platform):
            await socket.send_text(frames.Refuse(reason=reason).model_dump_json())
            raise EndedError(_POLICY, reason)
        return hello

    async def _serve(self, session: Session) -> None:
        node = session.hello.node
        before = self._sessions.get(node)
        self._sessions[node] = session
        if before is not None:
            before.end(_POLICY, "a newer session of this node took over")
        try:
            await session.run()
        finally:
            if self._sessions.get(node) is session:
                del self._sessions[node]
            await self._agents.disconnected(session.hello, session.send)


def router(sessions: Sessions) -> APIRouter:
    """Return the agents' endpoint."""
    routes = APIRouter()

    @routes.websocket("/ws/agent")
    async def agent(socket: WebSocket) -> None:
        await sessions.serve(socket)

    return routes


async def receive(socket: WebSocket) -> tuple[frames.FromAgent, int]:
    """Return the next frame, and its length.

    Raises:
        EndedError: it is none of an agent's frames.
        WebSocketDisconnect: the agent is gone.
    """
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1005), message.get("reason"))
    text = message.get("text") or ""
    if len(text) > frames.MAX_FRAME:
        raise EndedError(1009, f"a frame of more than {frames.MAX_FRAME} bytes")
    try:
        return frames.from_agent.validate_json(text), len(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise EndedError(_POLICY, inert(f"a bad frame: {where} {first['msg']}")) from error


async def _close(socket: WebSocket, code: int, reason: str) -> None:
    try:
        text = reason.encode()[:_MAX_REASON].decode(errors="ignore")
        await socket.close(code, text)
    except (RuntimeError, WebSocketDisconnect):
        log.debug("the agent was gone already")


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return why: the first leaf of a group."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
