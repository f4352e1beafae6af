"""Credentials: whose are at hand for git, as the loop asks. It never sees them, only sealed."""

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
