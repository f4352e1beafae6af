"""Loans: what the loop lends of people's credentials, for what, and which an origin did not take.

What was refused is not tried again with the same credentials, so that nobody is locked out by us; a
new login of that user counts as new. No I/O: who holds the credentials seals them.
"""

import collections
import dataclasses
import datetime
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Final, TypeAlias

from sdp.protocol.actions import Fetch
from sdp.protocol.frames import Failed, Refresh
from sdp.protocol.report import Repository
from sdp.protocol.sealed import looking, performing
from sdp.reconciler import borrowing
from sdp.reconciler.credentials import Lender, Lenders, Loan
from sdp.reconciler.draft import Planned, World
from sdp.reconciler.observed import Observed
from sdp.reconciler.updates import Look

EVERY: Final = datetime.timedelta(seconds=60)
"""Between two looks at an origin with somebody's credentials."""
REFUSED: Final = "AuthenticationFailed"
"""Why an action fails whose credentials an origin does not take."""

Recipients: TypeAlias = Callable[[str], str]
"""Returns the public key that a node's agent is lent to; "" where nothing can be."""


class Loans:
    """What the loop remembers of what it lent."""

    def __init__(self, lender: Lender, recipients: Recipients) -> None:
        self._lender = lender
        self._recipients = recipients
        self._logins: collections.Counter[str] = collections.Counter()
        self._refused: set[tuple[str, str]] = set()
        self._looks: dict[Look, tuple[datetime.datetime, Loan]] = {}
        self._hurried: set[Look] = set()
        self._awaited: set[str] = set()

    def lenders(self) -> Lenders:
        """Return whose credentials are at hand, and which of them were refused."""
        return Lenders(self._lender.live(), frozenset(self._refused))

    def came(self, user: str) -> None:
        """Take it that a user logged in: what was refused before was something else."""
        self._logins[user.lower()] += 1
        self._refused = {each for each in self._refused if each[0] != user.lower()}
        self._awaited.add(user.lower())

    # What is lent with actions.

    def lend(self, planned: Planned, action_id: str, whole: World) -> tuple[str, Loan | None]:
        """Return what goes with an action: sealed credentials, and whose; "" and None for nothing."""
        action, node = planned.action, planned.node
        if not isinstance(action, Fetch):
            return "", None
        if borrowing.needs(node, action.repository, whole.observed) is None:
            return "", None
        user = borrowing.lender(planned.sandbox, action.repository, whole)
        text = self._sealed(user, node, performing(action_id, action.repository))
        return text, self._loan(user) if text else None

    def failed(self, planned: Planned, loan: Loan | None, outcome: Failed, whole: World) -> Failed:
        """Return how an action failed: what somebody else's credentials may mend is no end."""
        action = planned.action
        if outcome.reason != REFUSED or loan is None or not isinstance(action, Fetch):
            return outcome
        self._refuse(loan, action.repository)
        left = dataclasses.replace(whole, lenders=self.lenders())
        known = borrowing.needs(planned.node, action.repository, whole.observed)
        served = known is not None and known.credentials == "served"
        if served or borrowing.lender(planned.sandbox, action.repository, left):
            return outcome.model_copy(update={"terminal": False})
        return outcome

    # What is lent with looks.

    def hurry(self, node: str, repositories: Iterable[str], observed: Observed) -> tuple[str, ...]:
        """Have origins looked at with the next round; return those that need no loan for it."""
        plain: list[str] = []
        for name in repositories:
            if _wanting(Look(node, name), observed):
                self._hurried.add(Look(node, name))
            else:
                plain.append(name)
        return tuple(plain)

    def lendable(self, looks: Collection[Look], whole: World) -> frozenset[Look]:
        """Return the looks that are made without a loan, or for which there is one."""
        lent = {look for look, _ in borrowing.looks(whole)}
        return frozenset(e for e in looks if e in lent or not _wanting(e, whole.observed))

    def looks(self, whole: World) -> Iterator[tuple[str, Refresh]]:
        """Yield the looks that nodes are to make now with somebody's credentials."""
        for look, user in borrowing.looks(whole):
            last = self._looks.get(look)
            fresh = last is not None and whole.now - last[0] < EVERY
            if fresh and look not in self._hurried and user not in self._awaited:
                continue
            names = (look.repository,)
            if text := self._sealed(user, look.node, looking(names)):
                self._looks[look] = whole.now, self._loan(user)
                yield look.node, Refresh(repositories=names, credentials=text)
        self._hurried.clear()
        self._awaited.clear()

    def looked(self, node: str, found: Mapping[str, Repository | None]) -> None:
        """Take what a node says of origins that it looked at."""
        for name, told in found.items():
            asked = self._looks.get(Look(node, name))
            if told is not None and asked is not None and told.refused.lower() == asked[1].user:
                self._refuse(asked[1], name)

    def _refuse(self, loan: Loan, repository: str) -> None:
        if loan == self._loan(loan.user):  # else they have logged in anew meanwhile
            self._refused.add((loan.user, repository))

    def _loan(self, user: str) -> Loan:
        return Loan(user.lower(), self._logins[user.lower()])

    def _sealed(self, user: str, node: str, purpose: str) -> str:
        recipient = self._recipients(node)
        return self._lender.sealed(user, recipient, purpose) if user and recipient else ""


def _wanting(look: Look, observed: Observed) -> bool:
    known = borrowing.needs(look.node, look.repository, observed)
    return known is not None and known.credentials == "wanted"
