"""Containers' logs as a stream, read from their node while somebody listens; nothing is stored.

A stream belongs to a service, not to a container: when an update puts another one in its place, it
goes on with that one, and says so. Its ids name the container, the engine's timestamp and how many
lines had it, so that a cut stream goes on where it was.
"""

import asyncio
import contextlib
import dataclasses
import datetime
import json
import re
from collections.abc import AsyncGenerator, Mapping
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query
from pydantic import AwareDatetime
from sse_starlette import EventSourceResponse
from typing_extensions import override

from sdp.api import views
from sdp.api.events import Cursor, LastEventId, streamed
from sdp.api.ports import Plane
from sdp.api.problems import ProblemError
from sdp.api.sandboxes import service_of
from sdp.api.standing import Absent, Nodes, Standing, over, silent, standing
from sdp.protocol import frames

OPEN_SECONDS: Final = 10.0
LOOK_SECONDS: Final = 0.5
"""Pause between looks at what stands, while nothing that could be read does."""
MAX_TAIL: Final = 100_000
ID: Final = 12
"""Digits of a container's id that tell it apart."""
_POSITION = re.compile(r"([0-9a-f]{12}):(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z)?:(\d{1,9})")
_CANNOT = 409


@dataclasses.dataclass(frozen=True, slots=True)
class Open:
    """A log that is being read: its first part, and those that follow."""

    standing: Standing
    first: frames.LogPart
    rest: AsyncGenerator[frames.LogPart | frames.LogEnd, None]


@dataclasses.dataclass(frozen=True, slots=True)
class Position:
    """How far a log was read: so many lines with this timestamp, of this container."""

    container: str = ""
    at: str = ""
    count: int = 0

    @classmethod
    def parse(cls, text: str) -> "Position":
        """Return the position that an id names; what names none is the beginning."""
        found = _POSITION.fullmatch(text)
        if found is None or not _is_moment(found[2]):
            return cls()
        return cls(found[1], found[2] or "", int(found[3]))

    @override
    def __str__(self) -> str:
        return f"{self.container}:{self.at}:{self.count}"

    def after(self, line: frames.LogLine) -> "Position":
        """Return the position behind a line."""
        count = self.count + 1 if line.at == self.at else 1
        return Position(self.container, line.at, count)


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """What of a log somebody wants to read."""

    since: str
    tail: int | None
    follow: bool


def asked_for(
    since: Annotated[AwareDatetime | None, Query(description="Only lines from then on.")] = None,
    tail: Annotated[
        int | None, Query(ge=0, le=MAX_TAIL, description="Only the last ones.")
    ] = None,
    *,
    follow: Annotated[bool, Query(description="Go on with what it says from now on.")] = False,
) -> Asked:
    """Return what a request asks for."""
    return Asked(_stamp(since), tail, follow)


def router(plane: Plane, nodes: Nodes) -> APIRouter:
    """Return the route of containers' logs."""
    routes = APIRouter(tags=["streams"])

    @routes.get(
        "/sandboxes/{name}/services/{service}/logs",
        response_class=EventSourceResponse,
        responses={200: {"model": views.ContainerLine, "description": "Lines, each as its data."}},
    )
    async def container_log(
        name: str,
        service: str,
        asked: Annotated[Asked, Depends(asked_for)],
        last_event_id: LastEventId = "",
        cursor: Cursor = "",
    ) -> EventSourceResponse:
        """Read what a service's container says; ``gateway`` is a service too."""
        position = Position.parse(last_event_id or cursor)
        # Whoever was cut goes on as soon as that is possible, whatever came between.
        resumes = asked.follow and position.container != ""
        known = None if resumes else service_of(plane, name, service)
        about = (known.name if known else name, service)
        reading = Reading(plane, nodes, about, asked, position)
        opened = await reading.open()
        if isinstance(opened, Absent) and not resumes:
            raise ProblemError(_CANNOT, opened.kind, "No log", f"{opened.reason}.", opened.fix)
        return streamed(reading.told(opened))

    return routes


class Reading:
    """One reader's way through a service's log, over the containers that come one after another."""

    def __init__(
        self,
        plane: Plane,
        nodes: Nodes,
        about: tuple[str, str],
        asked: Asked,
        position: Position,
    ) -> None:
        self._plane = plane
        self._nodes = nodes
        self._sandbox, self._service = about
        self._asked = asked
        self._position = position
        self._told = 0
        """Lines with the position's timestamp that come once more, read again from there on."""
        self._ended = ""

    async def open(self) -> Open | Absent:
        """Begin to read what stands now, where the last reading ended."""
        found = standing(self._plane, self._nodes, self._sandbox, self._service)
        if isinstance(found, Absent):
            return found
        container = found.container
        if container.id == self._ended and container.state != "running":
            return over(self._plane, self._sandbox, container)
        rest = self._begin(found)
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                first = await anext(rest, None)
        except TimeoutError:
            first = None
        if isinstance(first, frames.LogPart):
            return Open(found, first, rest)
        await rest.aclose()
        match first:
            case frames.LogEnd(reason=reason, message=message):
                return Absent("no-log", message or reason, "try again in a moment")
            case None:
                return silent(found.node)

    def _begin(self, found: Standing) -> AsyncGenerator[frames.LogPart | frames.LogEnd, None]:
        identity, follow = found.container.id, self._asked.follow
        since, tail, self._told = self._asked.since, self._asked.tail, 0
        if self._position.container and self._position.container != identity[:ID]:
            since, tail = "", None
        elif self._position.at:
            since, tail, self._told = self._position.at, None, self._position.count
        return self._nodes.log(found.node, identity, since, tail, follow=follow)

    async def told(self, opened: Open | Absent) -> AsyncGenerator[bytes, None]:
        """Yield the log as a stream carries it."""
        waits = ""
        while True:
            match opened:
                case Absent(reason=reason, final=final):
                    if final or not self._asked.follow:
                        yield _event("end", {"reason": reason})
                        return
                    if reason != waits:
                        yield _event("note", {"message": f"{reason}; waiting"})
                    waits = reason
                case Open():
                    waits = ""
                    async for piece in self._read(opened):
                        yield piece
                    if not self._asked.follow:
                        return
            await asyncio.sleep(LOOK_SECONDS)
            opened = await self.open()

    async def _read(self, opened: Open) -> AsyncGenerator[bytes, None]:
        """Yield one container's lines, and how that ended where nobody follows."""
        container = opened.standing.container
        if self._position.container != container.id[:ID]:
            replaced = bool(self._position.container)
            self._position = Position(container.id[:ID])
            arrival = _event("container", _arrival(opened.standing, replaced=replaced))
            yield f"id: {self._position}\n".encode() + arrival
        async with contextlib.aclosing(opened.rest):
            yield self._lines(opened.first)
            async for part in opened.rest:
                if isinstance(part, frames.LogPart):
                    yield self._lines(part)
                    continue
                self._ended = container.id
                if not self._asked.follow:
                    yield _event("end", {"reason": part.message or part.reason})
                return
        if not self._asked.follow:
            yield _event("end", {"reason": silent(opened.standing.node).reason})

    def _lines(self, part: frames.LogPart) -> bytes:
        pieces = []
        for line in part.lines:
            if self._told and line.at == self._position.at:
                self._told -= 1
                continue
            self._told = 0
            self._position = self._position.after(line)
            data = views.ContainerLine(at=line.at, text=line.text).model_dump_json()
            pieces.append(f"id: {self._position}\ndata: {data}\n\n")
        return "".join(pieces).encode()


def _arrival(found: Standing, *, replaced: bool) -> dict[str, str]:
    container = found.container
    what = f"{container.name} @ {container.commit[:7]} on {found.node}"
    message = f"the container was replaced: {what} goes on" if replaced else what
    return {"container": container.name, "node": found.node, "message": message}


def _is_moment(stamp: str | None) -> bool:
    """Whether a stamp of the right form is a moment, too; none at all is the beginning."""
    try:
        return stamp is None or bool(datetime.datetime.fromisoformat(stamp))
    except ValueError:
        return False


def _stamp(since: datetime.datetime | None) -> str:
    """Return a time as the engine writes it, which is how they are compared."""
    if since is None:
        return ""
    try:
        moment = since.astimezone(datetime.UTC).replace(tzinfo=None)
    except OverflowError as error:
        raise ProblemError(
            422,
            "invalid-request",
            "Invalid request",
            f"{since} is out of range.",
            "Give a later since.",
        ) from error
    return f"{moment.isoformat(timespec='microseconds')}000Z"


def _event(kind: str, data: Mapping[str, str]) -> bytes:
    return f"event: {kind}\ndata: {json.dumps(data)}\n\n".encode()
