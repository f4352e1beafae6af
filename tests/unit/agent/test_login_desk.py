"""Logins that are checked: an origin has to tell users apart, not only right secrets from wrong."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typing_extensions import override

from sdp import clock
from sdp.agent.git import LS_REMOTE_SECONDS, Clone
from sdp.agent.git_problem import GitProblem, problem
from sdp.agent.lent import Opener
from sdp.agent.login_desk import Checker
from sdp.protocol import sealed
from sdp.protocol.frames import CheckLogin
from sdp.protocol.secret import Credentials, Secret


class Bitbucket(Clone):
    """A clone whose origin takes whom it is told to."""

    def __init__(self, takes: Callable[[str, str], bool]) -> None:
        super().__init__(Path("/nowhere"), Path("/nowhere"))
        self._takes = takes
        self.asked: list[str] = []

    @override
    async def origin(self) -> str:
        return "https://git.company.example/account.git"

    @override
    async def ls_remote(
        self, credentials: Credentials | None = None, seconds: float = LS_REMOTE_SECONDS
    ) -> dict[str, str] | GitProblem:
        if credentials is not None:
            self.asked.append(credentials.user)
            if self._takes(credentials.user, credentials.secret.reveal()):
                return {}
        return problem("AuthenticationFailed", "Authentication failed")

    def clone(self, name: str) -> Clone:
        assert name == "account"
        return self


async def outcome(origin: Bitbucket) -> tuple[str, str]:
    opener, purpose = Opener(), sealed.checking("r-1", "account")
    mine = Credentials("achmad", Secret("token"))
    text = sealed.seal(mine, opener.recipient, purpose, clock.now())
    asked = CheckLogin(request="r-1", repository="account", credentials=text, timeout_seconds=5)
    told = await Checker(origin, opener).check(asked)
    return told.outcome, told.message


@pytest.mark.parametrize(
    ("takes", "comes"),
    [
        (lambda user, secret: (user, secret) == ("achmad", "token"), "Proved"),
        (lambda _, secret: secret == "token", "Open"),  # whoever says to be its owner
        (lambda *_: False, "Wrong"),
    ],
)
async def test_a_token_that_serves_whatever_name_proves_nobodys(takes, comes):
    found, message = await outcome(Bitbucket(takes))
    assert (found, "token" in message) == (comes, False)


async def test_who_is_wrong_is_asked_for_once():
    origin = Bitbucket(lambda *_: False)
    await outcome(origin)
    assert origin.asked == ["achmad"]
