"""The gate in front of every route: who sends a request, whether they may, and for how long.

A stream that is read by a session ends with it, not at the next request.
"""

import asyncio
import contextlib
import dataclasses
import hmac
import re
from http import HTTPStatus
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sdp import clock
from sdp.api import access, people
from sdp.api.audit import act
from sdp.api.people import NOBODY, Caller, known
from sdp.api.ports import Ports
from sdp.api.problems import ProblemError, response, unavailable
from sdp.api.sessions import Kind, Session, csrf
from sdp.reconciler.journal import StoreUnavailable
from sdp.spec.roles import OWNERS, may

COOKIE: Final = "sdp-session"
CSRF_HEADER: Final = "x-csrf-token"
GOODBYE_SECONDS: Final = 2.0
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_BEARER: Final = re.compile(r"bearer(?: +(\S*))?", re.IGNORECASE)


@dataclasses.dataclass(frozen=True, slots=True)
class _Carried:
    """A token, and how it is carried."""

    token: str
    kind: Kind

    @property
    def by_bearer(self) -> bool:
        """Whether no browser added it by itself."""
        return self.kind == "bearer" and bool(self.token)


class Gate:
    """Lets requests in with their caller, or answers why not."""

    def __init__(self, app: ASGIApp, ports: Ports) -> None:
        self._app = app
        self._plane = ports.plane
        self._sessions = ports.people.sessions
        self._audit = ports.audit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            # The one WebSocket is the agents', who prove who they are in their first frames.
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        what = access.asked(request.method, _path(scope))
        try:
            session = self._admitted(request, what)
        except ProblemError as error:
            told = await self._told(request, what, error)
            await response(told.document, told.headers)(scope, receive, send)
            return
        if session is None:
            await self._app(scope, receive, send)
        else:
            await self._serve(session, what, request, (scope, receive, send))

    def _admitted(self, request: Request, what: access.Asked) -> Session | None:
        """Return the session that may do what is asked for; None for what is public.

        Raises:
            ProblemError: nobody is logged in, or they may not.
        """
        carried = _carried(request)
        address = request.client.host if request.client else ""
        request.state.caller = dataclasses.replace(NOBODY, address=address)
        unsafe = request.method not in _SAFE
        if unsafe and not carried.by_bearer:
            _check_origin(request.headers)
        if not what.takes:
            return None
        session = self._sessions.known(carried.token, carried.kind, clock.now())
        if session is None:
            raise not_logged_in()
        who = known(session.user, self._plane.platform)
        request.state.caller = Caller(who, session.hash, address)
        if unsafe and carried.kind == "cookie":
            _check_token(request.headers, carried.token)
        owned = self._plane.sandbox(what.sandbox) if what.takes & OWNERS else None
        access.judge(who, what, owned.owner if owned else "")
        return session

    async def _told(
        self, request: Request, what: access.Asked, error: ProblemError
    ) -> ProblemError:
        """Return what to answer for a refusal; one of somebody who is known is recorded first."""
        caller = people.caller(request)
        if not caller.session:
            return error
        why = error.document.detail
        made = act(caller, "REFUSAL", "refused", what.route, what.sandbox, message=why)
        try:
            await self._audit.record([made])
        except StoreUnavailable as gone:
            return unavailable(gone)
        return error

    async def _serve(
        self,
        session: Session,
        what: access.Asked,
        request: Request,
        asgi: tuple[Scope, Receive, Send],
    ) -> None:
        scope, receive, send = asgi
        streams = False

        async def watched(message: Message) -> None:
            nonlocal streams
            streams = streams or _begins_stream(message)
            problem = getattr(request.state, "problem", None)
            if problem is not None and message.get("status") == HTTPStatus.FORBIDDEN:
                # What a change takes is known behind the gate alone.
                await self._told(request, what, problem)
            await send(message)

        def allowed() -> bool:
            who = known(session.user, self._plane.platform)
            return all(may(who, each) for each in what.takes)

        def end() -> None:
            if streams and limit.when() is None:
                limit.reschedule(asyncio.get_running_loop().time())

        limit = asyncio.timeout(None)
        try:
            async with limit:
                with self._sessions.reading(session.hash, allowed, end):
                    await self._app(scope, receive, watched)
        except TimeoutError:
            if not limit.expired():
                raise
            # One that does not read keeps nobody here.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GOODBYE_SECONDS):
                    await send({"type": "http.response.body", "body": b""})


def _path(scope: Scope) -> str:
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def _carried(request: Request) -> _Carried:
    """Return what a request carries: a bearer token counts before a cookie."""
    if bearer := _BEARER.fullmatch(request.headers.get("authorization", "").strip()):
        return _Carried(bearer[1] or "", "bearer")
    if cookie := request.cookies.get(COOKIE):
        return _Carried(cookie, "cookie")
    return _Carried("", "bearer")


def _check_origin(headers: Headers) -> None:
    """Refuse what a browser sends for another site's page."""
    site = headers.get("sec-fetch-site", "same-origin")
    if site != "same-origin":
        raise ProblemError(
            403,
            "cross-site",
            "Not from our page",
            f"The browser says that this comes from elsewhere: {site}.",
            "do it in the control plane's own page, or with sdp",
        )


def _check_token(headers: Headers, token: str) -> None:
    """Refuse what rides on a cookie without having read what only our page can."""
    shown = headers.get(CSRF_HEADER, "")
    if not hmac.compare_digest(shown.encode(), csrf(token).encode()):
        raise ProblemError(
            403,
            "csrf",
            "Not from our page",
            "A request with a cookie that changes something shows X-CSRF-Token, and this does not.",
            "take csrf of GET /api/session, and send it as X-CSRF-Token; or use a bearer token",
        )


def not_logged_in() -> ProblemError:
    """Return why nobody is let in who is not known."""
    return ProblemError(
        401,
        "not-logged-in",
        "Not logged in",
        "Nobody is logged in here: there is no session, or it ended.",
        "sdp login",
    ).with_headers(WWW_Authenticate='Bearer realm="sdp"')


def _begins_stream(message: Message) -> bool:
    if message["type"] != "http.response.start":
        return False
    return Headers(raw=message["headers"]).get("content-type", "").startswith("text/event-stream")
