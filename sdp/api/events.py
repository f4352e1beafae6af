"""Server-sent events: the journal and deployments' logs, resumable by the id of the last one.

A journal's cursor that can't be continued gets a ``resync`` with the id to go on from, and the
stream goes on there: list again, and nothing is missed.
"""

import contextlib
import json
from collections.abc import AsyncGenerator
from typing import Annotated

from fastapi import APIRouter, Header, Query
from pydantic import BaseModel
from sse_starlette import EventSourceResponse, ServerSentEvent

from sdp.api import views
from sdp.api.ports import Gone, Journal, Ports
from sdp.api.problems import missing

PING_SECONDS = 15
_NO_CURSOR = -1
END = b"event: end\ndata: {}\n\n"
"""The last of a stream that ends: whoever follows need not come back."""

LastEventId = Annotated[str, Header(alias="Last-Event-ID")]
Cursor = Annotated[str, Query(alias="last_event_id", description="As the header, for first use.")]


def encode(seq: int, model: BaseModel) -> bytes:
    """Return a numbered value as the stream carries it."""
    return f"id: {seq}\ndata: {model.model_dump_json()}\n\n".encode()


def router(ports: Ports) -> APIRouter:
    """Return the streams."""
    routes = APIRouter(tags=["streams"])
    journal = ports.journal

    @routes.get(
        "/events",
        response_class=EventSourceResponse,
        responses={200: {"model": views.EventView, "description": "Events, each as its data."}},
    )
    async def events(
        last_event_id: LastEventId = "",
        cursor: Cursor = "",
        sandbox: str | None = None,
        *,
        follow: bool = True,
    ) -> EventSourceResponse:
        """Follow the journal: after a cursor, or from now on; or end at what is there now."""
        until = None if follow else await journal.latest()
        return streamed(_events(journal, last_event_id or cursor, sandbox, until))

    @routes.get(
        "/deployments/{identifier}/logs",
        response_class=EventSourceResponse,
        responses={200: {"model": views.LogLineView, "description": "Lines, each as its data."}},
    )
    async def logs(
        identifier: str,
        last_event_id: LastEventId = "",
        cursor: Cursor = "",
        *,
        follow: bool = True,
    ) -> EventSourceResponse:
        """Follow a deployment's log; ends when the deployment is done."""
        known = await journal.deployment(identifier)
        if known is None:
            raise missing("deployment", identifier, "sdp deployments")
        after = max(0, _number(last_event_id or cursor))
        return streamed(_log(journal, identifier, after, follow=follow and not known.done))

    return routes


async def _events(
    journal: Journal, asked: str, sandbox: str | None, until: int | None
) -> AsyncGenerator[bytes, None]:
    after = _number(asked) if asked else await journal.latest()
    if not asked:
        # Without data: not an event, but a cursor to come back with.
        yield f"id: {after}\n\n".encode()
    while True:
        reason = ""
        async with contextlib.aclosing(journal.follow(after, sandbox, until)) as items:
            async for item in items:
                if isinstance(item, Gone):
                    reason = item.reason
                    break
                yield item
        if not reason:
            if until is not None:
                yield END
            return
        after = await journal.latest()
        data = json.dumps({"reason": reason})
        yield f"id: {after}\nevent: resync\ndata: {data}\n\n".encode()


async def _log(
    journal: Journal, deployment: str, after: int, *, follow: bool
) -> AsyncGenerator[bytes, None]:
    async with contextlib.aclosing(journal.log(deployment, after, follow=follow)) as parts:
        async for lines in parts:
            yield b"".join(encode(line.seq, line) for line in lines)
    yield END


def _number(text: str) -> int:
    """Return a cursor's number; what is none is a cursor that can't be continued."""
    return int(text) if text.isdecimal() and text.isascii() else _NO_CURSOR


def streamed(content: AsyncGenerator[bytes, None]) -> EventSourceResponse:
    """Return a stream that says ping while nothing happens, and lets go of who does not read."""
    return EventSourceResponse(
        content,
        ping=PING_SECONDS,
        ping_message_factory=lambda: ServerSentEvent(event="ping", data="{}"),
        send_timeout=PING_SECONDS,
    )
