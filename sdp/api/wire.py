"""An agent's socket: frames come in, bounded and checked, and how it ends."""

import contextlib

import structlog
from fastapi import WebSocket, WebSocketDisconnect
from pydantic import ValidationError

from sdp.protocol import frames
from sdp.protocol.text import inert

OVER = 1000
POLICY = 1008
BUG = 1011
RETRY = 1013
_TOO_BIG = 1009
_MAX_REASON = 120  # bytes that a close frame has room for, less a margin

log = structlog.get_logger(__name__)


class EndedError(Exception):
    """A session is over; code and reason are the close frame's."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class RefusedError(EndedError):
    """An agent is not taken, or no longer: it is told so, and comes back slowly."""

    def __init__(self, reason: str) -> None:
        super().__init__(frames.REFUSED, reason)


class EnrolledError(EndedError):
    """An agent was enrolled: it comes again with its new key, and any with an older one goes."""

    def __init__(self, node: str) -> None:
        super().__init__(OVER, "enrolled")
        self.node = node


async def received(socket: WebSocket, most: int) -> str:
    """Return the next frame's text.

    Args:
        socket: the agent's.
        most: bytes that it may have.

    Raises:
        EndedError: it has more.
        WebSocketDisconnect: the agent is gone.
    """
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1005), message.get("reason"))
    text: str = message.get("text") or ""
    if len(text) > most:
        raise EndedError(_TOO_BIG, f"a frame of more than {most} bytes")
    return text


def parsed(text: str) -> frames.FromAgent:
    """Return the frame that a text is; raises EndedError when it is none of an agent's."""
    try:
        return frames.from_agent.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise EndedError(POLICY, inert(f"a bad frame: {where} {first['msg']}")) from error


async def close(socket: WebSocket, ended: EndedError) -> None:
    """End a connection, and say why."""
    text = ended.reason.encode()[:_MAX_REASON].decode(errors="ignore")
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # it is gone already
        if isinstance(ended, RefusedError):
            await socket.send_text(frames.Refuse(reason=ended.reason).model_dump_json())
        await socket.close(ended.code, text)


def address_of(socket: WebSocket) -> str:
    """Return where an agent calls from."""
    return socket.client.host if socket.client else ""
