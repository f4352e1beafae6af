"""Logins, proven by an agent: it asks a configured repository's origin with the user's credentials.

The gateway's repository is asked first, on its node, then the services'. One whose origin lets
anybody read proves nothing, and is passed over.
"""

import asyncio
from collections.abc import Iterator
from typing import Final, Protocol

from typing_extensions import override

from sdp.api.people import NotProved, Proved, Prover
from sdp.protocol.frames import LoginChecked
from sdp.protocol.secret import Credentials, Secret
from sdp.spec.models import Gateway, Platform, Service

LOGIN_SECONDS: Final = 10.0
"""How long a login may take, whomever it is asked of."""

_ON_NODE: Final = "look at the node and its agent: sdp nodes"


class Plane(Protocol):
    @property
    def platform(self) -> Platform | None: ...


class Agents(Protocol):
    def proves(self, node: str) -> bool:
        """Whether a node's agent is there, and can prove logins."""
        ...

    async def check(
        self, node: str, repository: str, credentials: Credentials, seconds: float
    ) -> LoginChecked | None:
        """Have an agent ask a repository's origin; None: it did not say in time."""
        ...


class AgentProver(Prover):
    """Has logins proven by whichever agent can."""

    def __init__(self, plane: Plane, agents: Agents) -> None:
        self._plane = plane
        self._agents = agents

    @override
    async def prove(self, user: str, secret: Secret) -> Proved | NotProved:
        platform = self._plane.platform
        places = [each for each in _places(platform) if self._agents.proves(each[0])]
        if platform is None or not places:
            return _nobody(platform)
        deadline = asyncio.get_running_loop().time() + LOGIN_SECONDS
        open_origins: list[str] = []
        for node, repository in places:
            left = deadline - asyncio.get_running_loop().time()
            told = None
            if left > 0:
                credentials = Credentials(user, secret)
                told = await self._agents.check(node, repository, credentials, left)
            if told is None:
                return _timed_out(node, repository)
            match told.outcome:
                case "Proved":
                    return Proved(repository, node)
                case "Open" | "NoRepository":
                    open_origins.append(f"{repository} on {node}: {told.message}")
                case _:
                    return _answer(told, user, node, repository)
        return _unproven(open_origins)


def _places(platform: Platform | None) -> Iterator[tuple[str, str]]:
    """Yield nodes and repositories in the order in which they are asked, each once."""
    if platform is None:
        return
    believed = platform.roles.login_nodes
    seen: set[tuple[str, str]] = set()
    specs: list[Service | Gateway] = [platform.gateway, *platform.services.values()]
    for each in specs:
        place = each.node, each.repository
        if place not in seen and (not believed or each.node in believed):
            seen.add(place)
            yield place


def _answer(told: LoginChecked, user: str, node: str, repository: str) -> NotProved:
    """Return what an outcome that ends the login says to who tries."""
    match told.outcome:
        case "Wrong":
            return NotProved(
                401,
                "login-failed",
                "LOGIN FAILED",
                f"LOGIN FAILED: the origin of {repository} does not take this password of {user}.",
                "check name and password; where Bitbucket wants an app password or a token, "
                "give that: sdp login",
            )
        case "TimedOut":
            return _timed_out(node, repository)
        case "Unreachable":
            return NotProved(
                502,
                "origin-unreachable",
                "Bitbucket is not reached",
                f"{node} does not reach the origin of {repository}: {told.message}.",
                f"check the network between {node} and Bitbucket, then log in again",
            )
        case _:
            return NotProved(
                502,
                "origin-failed",
                "Bitbucket fails",
                f"Asked by {node}, the origin of {repository} gave no answer to go by: "
                f"{told.message}.",
                "try again in a while; if it stays so, ask who runs Bitbucket",
            )


def _timed_out(node: str, repository: str) -> NotProved:
    return NotProved(
        504,
        "login-timeout",
        "Login timed out",
        f"The origin of {repository}, asked by {node}, did not answer in {LOGIN_SECONDS:g} s.",
        "try again; if it stays so, look whether Bitbucket answers",
    )


def _nobody(platform: Platform | None) -> NotProved:
    if platform is None:
        message, fix = "No platform.yaml is loaded yet.", "commit one that loads: sdp validate"
    else:
        nodes = ", ".join(dict.fromkeys(node for node, _ in _places(platform)))
        message = f"No agent is connected that could ask an origin: none of {nodes}."
        fix = _ON_NODE
    return NotProved(503, "no-agent", "Nobody can prove the login", message, fix)


def _unproven(places: list[str]) -> NotProved:
    return NotProved(
        503,
        "nothing-proves-logins",
        "Nothing proves logins",
        f"No repository's origin tells users from strangers ({'; '.join(places)}).",
        "let one repository of platform.yaml have an https origin that asks for a password",
    )
