"""Credentials: whose are at hand for git, as the loop asks. It never sees them, only sealed."""

import collections
import dataclasses
from collections.abc import Collection
from typing import Final, Protocol

from typing_extensions import override


class Lender(Protocol):
    """Who holds the credentials of the people that are logged in."""

    def live(self) -> frozenset[str]:
        """Return the lower-cased names of the users whose credentials are at hand."""
        ...

    def sealed(self, user: str, recipient: str, purpose: str) -> str:
        """Return a user's credentials sealed for one agent and one purpose; "": not at hand.

        Args:
            user: a name to log in with, in any case.
            recipient: the age public key of the agent.
            purpose: an action's id, or what else the agent is told with it.
        """
        ...


MOST_REFUSALS: Final = 3
"""Repositories whose origins did not take a user's credentials, after which none is asked."""


@dataclasses.dataclass(frozen=True, slots=True)
class Lenders:
    """Whose credentials are at hand, lower-cased; and which repositories refused those."""

    live: frozenset[str] = frozenset()
    refused: frozenset[tuple[str, str]] = frozenset()

    def of(self, repository: str) -> frozenset[str]:
        """Return whose credentials may be tried for a repository."""
        count = collections.Counter(user for user, _ in self.refused)
        return frozenset(
            user
            for user in self.live
            if (user, repository) not in self.refused and count[user] < MOST_REFUSALS
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Loan:
    """A user's credentials, as of one of their logins."""

    user: str
    login: int


NO_LENDERS: Final = Lenders()


class _Nobody(Lender):
    @override
    def live(self) -> frozenset[str]:
        return frozenset()

    @override
    def sealed(self, user: str, recipient: str, purpose: str) -> str:
        return ""


NOBODY: Final[Lender] = _Nobody()


def lent_by(candidates: Collection[str], live: frozenset[str]) -> str:
    """Return the first of these users whose credentials are at hand; "" for none."""
    return next((each for each in candidates if each and each.lower() in live), "")
