"""Bounds in front of everything: how much one caller may ask for, and how many streams are open.

Generous: whoever meets one has a program that has gone wild. They count before anybody is asked
who it is, so a flood costs no look-ups. Bodies are bounded by each route, connections by
``sdp.api.patience``.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sdp import clock
from sdp.api.problems import ProblemError, response

TOO_LARGE: Final = 413
LONGEST_TARGET: Final = 8 << 10
"""Bytes of a path with its query."""
PER_SESSION: Final = RateLimitItemPerMinute(3000, namespace="session")
PER_ADDRESS: Final = RateLimitItemPerMinute(6000, namespace="address")
STREAMS_PER_SESSION: Final = 200
STREAMS_PER_ADDRESS: Final = 1000
STREAMS: Final = 2000
SOCKETS_PER_ADDRESS: Final = 200
SOCKETS: Final = 500
"""Agents' connections, those that have not said yet who they are among them."""
_CREDENTIALS: Final = (b"authorization", b"cookie")
_WAIT: Final = 5
_AGAIN: Final = 1013

Held: TypeAlias = tuple[str, str]
"""Something of which there is so much, and whose it is; of all, ""."""


class Bounds:
    """Answers who asks for too much; all others pass."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._limiter = FixedWindowRateLimiter(MemoryStorage())
        self._held: Counter[Held] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        held: list[Held] = []
        try:
            held = self._let_in(scope)
        except ProblemError as error:
            if scope["type"] == "http":
                await response(error.document, error.headers)(scope, receive, send)
            else:
                await send({"type": "websocket.close", "code": _AGAIN})
            return
        try:
            await self._app(scope, receive, _explaining(scope, receive, send))
        finally:
            self._let_go(held)

    def _let_in(self, scope: Scope) -> list[Held]:
        """Count a request, and return what it holds while it is served.

        Raises:
            ProblemError: it is too much.
        """
        session, address = _session(scope), _address(scope)
        _check_target(scope)
        if scope["type"] == "websocket":
            return self._hold("socket", [("", SOCKETS), (address, SOCKETS_PER_ADDRESS)])
        self._check_rate(session, address)
        if not _is_stream(scope):
            return []
        bounds = [("", STREAMS), (address, STREAMS_PER_ADDRESS), (session, STREAMS_PER_SESSION)]
        return self._hold("stream", bounds)

    def _check_rate(self, session: str, address: str) -> None:
        for limit, key in ((PER_ADDRESS, address), (PER_SESSION, session)):
            if key and not self._limiter.hit(limit, key):
                raise self._too_fast(limit, key)

    def _too_fast(self, limit: RateLimitItem, key: str) -> ProblemError:
        ends = self._limiter.get_window_stats(limit, key).reset_time
        left = max(1, math.ceil(ends - clock.now().timestamp()))
        detail = f"More than {limit.amount} requests came from this {limit.namespace} in a minute."
        return _too_many("requests", detail, left)

    def _hold(self, what: str, bounds: Sequence[tuple[str, int]]) -> list[Held]:
        """Hold one thing for the control plane, for its caller's address, and for the session."""
        for key, most in bounds:
            if self._held[what, key] >= most:
                raise _too_many(f"{what}s", f"{most} {what}s are open already.", _WAIT)
        held = [(what, key) for key, _ in bounds]
        self._held.update(held)
        return held

    def _let_go(self, held: Iterable[Held]) -> None:
        for key in held:
            self._held[key] -= 1
            if not self._held[key]:
                del self._held[key]


def _session(scope: Scope) -> str:
    """Return what tells one set of credentials from another, right or wrong; "" for none."""
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    carried = b"\n".join(value for name, value in headers if name in _CREDENTIALS)
    return hashlib.sha256(carried).hexdigest()[:32] if carried else ""


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""


def _is_stream(scope: Scope) -> bool:
    path: str = scope["path"]
    return path.endswith(("/api/events", "/logs"))


def _explaining(scope: Scope, receive: Receive, send: Send) -> Send:
    """Return what sends an answer; of a body beyond its bound the framework says so in plain text."""
    replaced = False

    async def sending(message: Message) -> None:
        nonlocal replaced
        if _is_plain(message, TOO_LARGE):
            replaced = True
            await response(_too_large().document)(scope, receive, send)
        elif not replaced:
            await send(message)

    return sending


def _is_plain(message: Message, status: int) -> bool:
    if message["type"] != "http.response.start" or message["status"] != status:
        return False
    return Headers(raw=message["headers"]).get("content-type", "").startswith("text/plain")


def _too_large() -> ProblemError:
    detail = "The body is larger than what is taken here."
    fix = "send the spec files alone, or less of them at once"
    return ProblemError(TOO_LARGE, "too-large", "Too large", detail, fix)


def _check_target(scope: Scope) -> None:
    raw: bytes = scope.get("raw_path") or b""
    query: bytes = scope["query_string"]
    if len(raw) + len(query) > LONGEST_TARGET:
        raise ProblemError(
            414,
            "too-long",
            "Address too long",
            f"An address has at most {LONGEST_TARGET} bytes.",
            "Ask for less at once.",
        )


def _too_many(what: str, detail: str, seconds: int) -> ProblemError:
    fix = f"wait {seconds} s, and look which program asks so often"
    return ProblemError(429, f"too-many-{what}", f"Too many {what}", detail, fix).with_headers(
        Retry_After=str(seconds)
    )
