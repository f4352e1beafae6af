"""Containers' logs that somebody is reading: a few at once, as fast as they are read.

A reader gives leave for so many parts. Without leave nothing is taken from the engine, which
keeps the log: a slow reader costs a bounded buffer, holds up nobody, and misses nothing. All of it
belongs to one connection and ends with it.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Literal, Protocol, TypeAlias

from sdp.agent.engine import EngineDown, EngineError, Line, NotFound, NotOurs
from sdp.protocol.frames import FollowLog, FromAgent, LogEnd, LogLine, LogPart

AT_ONCE = 16
"""Logs that are read at the same time; each takes a thread and a connection to the engine."""
READ_AHEAD = 256
PART_CHARACTERS = 64 << 10


Refusal: TypeAlias = Literal["ContainerGone", "NotOurs", "EngineDown", "EngineRefused"]


class Containers(Protocol):
    """Whoever has the logs: the engine."""

    def log(
        self, container: str, since: str, tail: int | None, *, follow: bool
    ) -> AsyncGenerator[Line | None, None]: ...


class LogDesk:
    def __init__(
        self, containers: Containers, send: Callable[[FromAgent], Awaitable[None]]
    ) -> None:
        self._containers = containers
        self._send = send
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._leave: dict[str, asyncio.Semaphore] = {}
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Read for others until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                self._group = None

    def follow(self, frame: FollowLog) -> None:
        if self._group is None or frame.request in self._tasks:
            return
        if len(self._tasks) >= AT_ONCE:
            said = f"{AT_ONCE} logs are being read on this node already"
            refused = LogEnd(request=frame.request, reason="TooMany", message=said)
            self._group.create_task(self._tell(refused))
            return
        self._leave[frame.request] = asyncio.Semaphore(frame.parts)
        task = self._group.create_task(self._read(frame))
        self._tasks[frame.request] = task
        task.add_done_callback(lambda _: self._forget(frame.request))

    def more(self, request: str, parts: int) -> None:
        if (leave := self._leave.get(request)) is not None:
            for _ in range(parts):
                leave.release()

    def end(self, request: str) -> None:
        if (task := self._tasks.get(request)) is not None:
            task.cancel()

    def _forget(self, request: str) -> None:
        del self._tasks[request], self._leave[request]

    async def _tell(self, frame: FromAgent) -> None:
        await self._send(frame)

    async def _read(self, frame: FollowLog) -> None:
        said: asyncio.Queue[Line | LogEnd | None] = asyncio.Queue(READ_AHEAD)
        leave = self._leave[frame.request]
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(self._take(frame, said))
            end: LogEnd | None = None
            while end is None:
                await leave.acquire()
                lines, end = await _gathered(said)
                if lines or end is None:
                    await self._send(LogPart(request=frame.request, lines=lines))
            await reading
            await self._send(end)

    async def _take(self, frame: FollowLog, into: asyncio.Queue[Line | LogEnd | None]) -> None:
        end = LogEnd(request=frame.request, reason="Ended")
        try:
            lines = self._containers.log(
                frame.container, frame.since, frame.tail, follow=frame.follow
            )
            async with contextlib.aclosing(lines):
                async for line in lines:
                    await into.put(line)
        except (EngineDown, EngineError) as error:
            end = LogEnd(request=frame.request, reason=_reason(error), message=str(error))
        await into.put(end)


async def _gathered(
    said: asyncio.Queue[Line | LogEnd | None],
) -> tuple[tuple[LogLine, ...], LogEnd | None]:
    """Return what is there, at least one thing, and the end where that is reached."""
    lines: list[LogLine] = []
    characters = 0
    item = await said.get()
    while True:
        match item:
            case LogEnd():
                return tuple(lines), item
            case Line(at=at, text=text):
                lines.append(LogLine(at=at, text=text))
                characters += len(text)
            case None:  # it is open, whether or not anything was said
                return (), None
        if said.empty() or characters > PART_CHARACTERS:
            return tuple(lines), None
        item = said.get_nowait()


def _reason(
    error: EngineDown | EngineError,
) -> Refusal:
    match error:
        case EngineDown():
            return "EngineDown"
        case NotOurs():
            return "NotOurs"
        case NotFound():
            return "ContainerGone"
        case EngineError():
            return "EngineRefused"
