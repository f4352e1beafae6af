"""Login and logout: who proves who they are gets a session, until it ends or is ended."""

import contextlib
from collections.abc import Sequence
from typing import Final

from fastapi import APIRouter, Request, Response

from sdp import clock
from sdp.api.attempts import Attempts
from sdp.api.audit import act
from sdp.api.gate import COOKIE, not_logged_in
from sdp.api.people import Asking, Caller, NotProved, Proved, known
from sdp.api.ports import Ports
from sdp.api.problems import ProblemError
from sdp.api.session_views import (
    Ended,
    LoginRequest,
    LoginView,
    LogoutRequest,
    RevokeRequest,
    SessionSummary,
    SessionView,
)
from sdp.api.sessions import LASTS, Session, csrf
from sdp.protocol.secret import Secret
from sdp.reconciler.audit import Act, ActStatus
from sdp.spec.roles import TABLE, Person

MAX_BODY: Final = 16 << 10
"""Bytes of the largest body that is taken of whoever is not logged in."""


def router(ports: Ports) -> APIRouter:
    """Return the routes of logins and sessions."""
    routes = APIRouter(tags=["people"])
    desk = Desk(ports)

    @routes.post("/login", max_body_size=MAX_BODY)
    async def login(
        body: LoginRequest, request: Request, response: Response, caller: Asking
    ) -> LoginView:
        """Begin a session with Bitbucket's user name and password or token.

        An agent proves them with a configured repository. 401 where its origin does not take them,
        429 with `Retry-After` after too many attempts.
        """
        token, view = await desk.login(body, caller.address)
        if body.kind == "bearer":
            return view.model_copy(update={"token": token})
        response.set_cookie(
            COOKIE,
            token,
            max_age=int(LASTS.total_seconds()),
            path=_root(request),
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )
        return view.model_copy(update={"csrf": csrf(token)})

    @routes.post("/logout", max_body_size=MAX_BODY)
    async def logout(
        request: Request, response: Response, caller: Asking, body: LogoutRequest | None = None
    ) -> Ended:
        """End this session, or all of one's own."""
        response.delete_cookie(COOKIE, path=_root(request), httponly=True, samesite="strict")
        return await desk.logout(caller, everywhere=bool(body and body.everywhere))

    @routes.get("/session")
    async def whoami(request: Request, caller: Asking) -> SessionView:
        """Say who is logged in with this, and what they may do."""
        session = ports.people.sessions.get(caller.session)
        if session is None:
            raise not_logged_in()  # it ended since the gate
        shown = csrf(request.cookies.get(COOKIE, "")) if session.kind == "cookie" else ""
        return desk.view(session, caller.person).model_copy(update={"csrf": shown})

    @routes.get("/sessions")
    async def sessions() -> tuple[SessionSummary, ...]:
        """List who is logged in, the oldest session first."""
        return tuple(
            SessionSummary(
                user=each.user,
                kind=each.kind,
                created_at=each.created_at,
                expires_at=each.expires_at,
            )
            for each in ports.people.sessions.all()
        )

    @routes.post("/sessions/revoke", max_body_size=MAX_BODY)
    async def revoke(body: RevokeRequest, caller: Asking) -> Ended:
        """End all sessions of a user."""
        return await desk.revoke(caller, body.user)

    return routes


class Desk:
    """What the routes do."""

    def __init__(self, ports: Ports) -> None:
        self._plane = ports.plane
        self._people = ports.people
        self._audit = ports.audit
        self._attempts = Attempts()

    async def login(self, asked: LoginRequest, address: str) -> tuple[str, LoginView]:
        """Return a token of a new session, and what is said of it.

        Raises:
            ProblemError: the credentials are not proven, or there were too many attempts.
        """
        user, secret = asked.username, Secret(asked.password.get_secret_value())
        with contextlib.ExitStack() as unless_kept:
            unless_kept.callback(secret.wipe)
            by = await self._proved(user, secret, address)
            said = f"the origin of {by.repository} took it, asked by {by.node}"
            await self._record(_login("done", user, address, said))
            token, session = await self._people.sessions.open(
                user, secret, asked.kind, clock.now()
            )
            unless_kept.pop_all()
        view = self.view(session, known(user, self._plane.platform))
        return token, LoginView.model_validate(view.model_dump())

    async def _proved(self, user: str, secret: Secret, address: str) -> Proved:
        try:
            with self._attempts.made(user, address):
                outcome = await self._people.prover.prove(user, secret)
        except ProblemError as error:
            await self._record(_login("refused", user, address, error.document.detail))
            raise
        if isinstance(outcome, NotProved):
            await self._record(_login("failed", user, address, outcome.message))
            raise _not_proved(outcome)
        self._attempts.succeeded(user, address)
        return outcome

    async def logout(self, caller: Caller, *, everywhere: bool) -> Ended:
        """End a session, or all of its user."""
        every = [each.hash for each in self._people.sessions.of(caller.person.user)]
        return await self._end(caller, every if everywhere else [caller.session], "logout")

    async def revoke(self, caller: Caller, user: str) -> Ended:
        """End all sessions of a user."""
        every = [each.hash for each in self._people.sessions.of(user)]
        return await self._end(caller, every, f"revoke the sessions of {user}")

    async def _end(self, caller: Caller, ended: Sequence[str], action: str) -> Ended:
        await self._people.sessions.end(ended)
        await self._record(act(caller, "LOGOUT", "done", action, message=f"{len(ended)} ended"))
        return Ended(sessions=len(ended))

    async def _record(self, act: Act) -> None:
        await self._audit.record([act])

    def view(self, session: Session, who: Person) -> SessionView:
        """Return what is said of a session."""
        return SessionView(
            user=session.user,
            role=who.role,
            permissions=tuple(sorted(TABLE[who.role])),
            kind=session.kind,
            expires_at=session.expires_at,
            credentials=session.user.lower() in self._people.lender.live(),
        )


def _login(status: ActStatus, user: str, address: str, message: str) -> Act:
    return Act(clock.now(), "LOGIN", status, user, "login", address=address, message=message)


def _not_proved(why: NotProved) -> ProblemError:
    return ProblemError(why.status, why.kind, why.title, why.message, why.fix)


def _root(request: Request) -> str:
    root: str = request.scope.get("root_path", "")
    return root or "/"
