"""How long a connection may take to say what it wants: uvicorn itself would wait for ever.

A header that never ends, or a body that trickles, holds a socket of a server that has a bounded
number of them. Between requests uvicorn's own keep-alive counts.
"""

import asyncio
from typing import Final

import h11
from typing_extensions import override
from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_SECONDS: Final = 30.0
"""From the first byte, or the connection, to the whole request."""
LARGEST_HEADER: Final = 32 << 10
"""Bytes of a request's line and headers, cookies and all."""
CONNECTIONS: Final = 4000
"""How many at once; beyond them requests are answered with 503."""


class Patient(H11Protocol):
    """HTTP/1.1 with an end to waiting."""

    _deadline: asyncio.TimerHandle | None = None

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # uvicorn's own
        super().connection_made(transport)
        self._await_request()

    @override
    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.transport.get_protocol() is not self:
            return  # a WebSocket's from now on: to HTTP, a request that never ends
        if self.conn.their_state in {h11.IDLE, h11.SEND_BODY}:
            self._await_request()
        else:
            self._end_deadline()

    @override
    def on_response_complete(self) -> None:
        self._end_deadline()
        super().on_response_complete()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._end_deadline()
        super().connection_lost(exc)

    @override
    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        self._end_deadline()
        super().handle_websocket_upgrade(event)

    def _await_request(self) -> None:
        """Begin to wait; what trickles in does not prolong it."""
        if self._deadline is None:
            self._deadline = self.loop.call_later(REQUEST_SECONDS, self._too_late)

    def _end_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_late(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self.transport.abort()
