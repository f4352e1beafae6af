"""People, as the API asks for them: who calls, and who proves and keeps what they log in with."""

import dataclasses
from typing import Annotated, Final, Protocol, TypeAlias

from fastapi import Depends, Request

from sdp.protocol.secret import Secret
from sdp.spec.models import Platform
from sdp.spec.roles import Person, person


@dataclasses.dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, from where.

    Attributes:
        person: the user, and the role that they have now.
        session: the hash that names their session; "" without one.
        address: where they call from.
    """

    person: Person
    session: str = ""
    address: str = ""


NOBODY: Final = Caller(Person("", "VIEWER"))
"""Who is not known: a caller of what is public."""


@dataclasses.dataclass(frozen=True, slots=True)
class Proved:
    """An origin took the credentials."""

    repository: str
    node: str


@dataclasses.dataclass(frozen=True, slots=True)
class NotProved:
    """Why nobody can tell, or that they are wrong; as a problem document says it."""

    status: int
    kind: str
    title: str
    message: str
    fix: str


class Prover(Protocol):
    """Who has credentials proven by an agent."""

    async def prove(self, user: str, secret: Secret) -> Proved | NotProved:
        """Ask a configured repository's origin, in a bounded time."""
        ...


class Keeper(Protocol):
    """Who holds credentials in memory while a session lives."""

    def keep(self, session: str, user: str, secret: Secret) -> None:
        """Hold a session's credentials."""
        ...

    def drop(self, session: str) -> None:
        """Wipe them."""
        ...


def known(user: str, platform: Platform | None) -> Person:
    """Return a user with the role that they have now.

    Before a platform is loaded nobody knows who is bound to ADMIN, and so nobody is one.
    """
    return person(user, platform.roles) if platform else Person(user, "VIEWER")


def caller(request: Request) -> Caller:
    """Return who asks."""
    found: Caller = getattr(request.state, "caller", NOBODY)
    return found


Asking: TypeAlias = Annotated[Caller, Depends(caller)]
"""A route's parameter: who asks."""
