"""Loans: which credentials were lent for what, and which of them an origin did not take.

What was refused is not tried again with the same credentials, so that nobody is locked out by us; a
new login of that user counts as new. No I/O: the loop seals and sends.
"""

import collections
import datetime
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from sdp.protocol.report import Repository
from sdp.reconciler import borrowing
from sdp.reconciler.credentials import Lender, Lenders, Loan
from sdp.reconciler.draft import World
from sdp.reconciler.observed import Observed
from sdp.reconciler.updates import Look

EVERY: Final = datetime.timedelta(seconds=60)
"""Between two looks at an origin with somebody's credentials."""


class Loans:
    """What the loop remembers of what it lent."""

    def __init__(self, lender: Lender) -> None:
        self._lender = lender
        self._logins: collections.Counter[str] = collections.Counter()
        self._refused: set[tuple[str, str]] = set()
        self._looks: dict[Look, tuple[datetime.datetime, Loan]] = {}
        self._hurried: set[Look] = set()
        self._awaited: set[str] = set()

    @property
    def lenders(self) -> Lenders:
        """Whose credentials are at hand, and which of them were refused."""
        return Lenders(self._lender.live(), frozenset(self._refused))

    def came(self, user: str) -> None:
        """Take it that a user logged in: what was refused before was something else."""
        self._logins[user.lower()] += 1
        self._refused = {each for each in self._refused if each[0] != user.lower()}
        self._awaited.add(user.lower())

    def loan(self, user: str) -> Loan:
        """Return what is lent of a user now."""
        return Loan(user.lower(), self._logins[user.lower()])

    def sealed(self, user: str, recipient: str, purpose: str) -> str:
        """Return a user's credentials, sealed; "" where they are not at hand."""
        return self._lender.sealed(user, recipient, purpose)

    def refused(self, loan: Loan, repository: str) -> None:
        """Take it that an origin did not take what was lent."""
        if loan == self.loan(loan.user):
            self._refused.add((loan.user, repository))

    def looked(self, node: str, found: Mapping[str, Repository | None]) -> None:
        """Take what a node says of origins that it looked at."""
        for name, told in found.items():
            asked = self._looks.get(Look(node, name))
            if told is not None and asked is not None and told.refused.lower() == asked[1].user:
                self.refused(asked[1], name)

    def hurry(self, node: str, repositories: Iterable[str], observed: Observed) -> tuple[str, ...]:
        """Have origins looked at with the next round; return those that need no loan for it."""
        plain: list[str] = []
        for name in repositories:
            known = borrowing.needs(node, name, observed)
            if known is not None and known.credentials == "wanted":
                self._hurried.add(Look(node, name))
            else:
                plain.append(name)
        return tuple(plain)

    def lendable(self, looks: Collection[Look], whole: World) -> frozenset[Look]:
        """Return the looks that are made without a loan, or for which there is one."""
        lent = {look for look, _ in borrowing.looks(whole)}
        known = {
            each: borrowing.needs(each.node, each.repository, whole.observed) for each in looks
        }
        wanting = {each for each, told in known.items() if told and told.credentials == "wanted"}
        return frozenset(looks) - (wanting - lent)

    def due(self, whole: World) -> Collection[tuple[Look, str]]:
        """Return the looks that are to be made now, and with whose credentials."""
        due: list[tuple[Look, str]] = []
        for look, user in borrowing.looks(whole):
            last = self._looks.get(look)
            fresh = last is not None and whole.now - last[0] < EVERY
            if fresh and look not in self._hurried and user not in self._awaited:
                continue
            self._looks[look] = whole.now, self.loan(user)
            due.append((look, user))
        self._hurried.clear()
        self._awaited.clear()
        return due
