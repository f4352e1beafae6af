"""Logins that a control plane wants proven: origins are asked whether they take the credentials.

An origin that lets anybody read proves nothing, so it is first asked without any. One that looks at
a token alone, whatever the name, proves nobody's name, so it is last asked under one that nobody
has. All of it belongs to one connection and ends with it; credentials are opened here, and are gone
with the answer.
"""

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Literal, Protocol, TypeAlias

from sdp import askpass
from sdp.agent.git import Clone
from sdp.agent.git_problem import GitProblem, Reason
from sdp.agent.lent import Lent, Opener
from sdp.protocol import sealed
from sdp.protocol.frames import CheckLogin, FromAgent, LoginChecked
from sdp.protocol.secret import Credentials

AT_ONCE: Final = 4
"""Logins that are checked at the same time; so many again may wait for their turn."""
_FORBIDDEN: Final = re.compile(r"returned error: 403")
_FAILING: Final = re.compile(r"returned error: 5\d\d")

Outcome: TypeAlias = Literal[
    "Proved", "Wrong", "Open", "NoRepository", "Unreachable", "TimedOut", "Failed"
]
_OUTCOMES: Final[Mapping[Reason, Outcome]] = {
    "TimedOut": "TimedOut",
    "Unreachable": "Unreachable",
    "RepositoryMissing": "NoRepository",
    "CloneMissing": "NoRepository",
}
Answer: TypeAlias = tuple[Outcome, str]


class Clones(Protocol):
    def clone(self, name: str) -> Clone | GitProblem: ...


class Logins(Protocol):
    async def check(self, frame: CheckLogin) -> LoginChecked:
        """Return whether an origin takes a user's credentials, in the time that was given."""
        ...


class Checker:
    """Asks the origins of configured clones."""

    def __init__(self, clones: Clones, opener: Opener) -> None:
        self._clones = clones
        self._opener = opener

    async def check(self, frame: CheckLogin) -> LoginChecked:
        try:
            async with asyncio.timeout(frame.timeout_seconds):
                outcome, message = await self._check(frame)
        except TimeoutError:
            outcome = "TimedOut"
            message = f"its origin did not answer in {frame.timeout_seconds:g} s"
        return LoginChecked(request=frame.request, outcome=outcome, message=message)

    async def _check(self, frame: CheckLogin) -> Answer:
        clone = self._clones.clone(frame.repository)
        origin = clone if isinstance(clone, GitProblem) else await clone.origin()
        if isinstance(clone, GitProblem) or isinstance(origin, GitProblem):
            return "NoRepository", "its agent has no clone of it that has an origin"
        if askpass.site_of(origin) is None:
            return "Open", "its origin is asked by other means than http or https"
        purpose = sealed.checking(frame.request, frame.repository)
        account = self._opener.open(Lent(frame.credentials, purpose))
        if not isinstance(account, Credentials):
            return "Failed", account.message if account else "no credentials came with it"
        return await _proof(clone, account, frame.timeout_seconds)


class LoginDesk:
    """One connection's checks."""

    def __init__(self, logins: Logins, send: Callable[[FromAgent], Awaitable[None]]) -> None:
        self._logins = logins
        self._send = send
        self._waiting: asyncio.Queue[CheckLogin] = asyncio.Queue(AT_ONCE)

    async def run(self) -> None:
        """Check until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(self._work())

    async def check(self, frame: CheckLogin) -> None:
        """Take one in; too many at once are answered without a look."""
        try:
            self._waiting.put_nowait(frame)
        except asyncio.QueueFull:
            message = f"{2 * AT_ONCE} logins are being checked there already"
            await self._send(
                LoginChecked(request=frame.request, outcome="Failed", message=message)
            )

    async def _work(self) -> None:
        while True:
            await self._send(await self._logins.check(await self._waiting.get()))


async def _proof(clone: Clone, account: Credentials, seconds: float) -> Answer:
    anybody = await clone.ls_remote(None, seconds)
    if not isinstance(anybody, GitProblem):
        return "Open", "its origin lets anybody read"
    if anybody.reason != "AuthenticationFailed":
        return _why(anybody)
    told = await clone.ls_remote(account, seconds)
    if isinstance(told, GitProblem):
        return _why(told)
    stranger = Credentials(f"sdp-{secrets.token_hex(8)}", account.secret)
    told = await clone.ls_remote(stranger, seconds)
    if not isinstance(told, GitProblem):
        return "Open", "its origin takes this secret from whoever shows it, under any name"
    return ("Proved", "") if told.reason == "AuthenticationFailed" else _why(told)


def _why(problem: GitProblem) -> Answer:
    said = "\n".join((problem.message, *problem.lines))
    if _FORBIDDEN.search(said):
        return "Failed", "its origin answers 403: no right to read it, or a CAPTCHA is due"
    if problem.reason == "AuthenticationFailed":
        return "Wrong", "its origin does not take them"
    if _FAILING.search(said):
        return "Failed", problem.message
    return _OUTCOMES.get(problem.reason, "Failed"), problem.message
