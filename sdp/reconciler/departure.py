"""Departure: what git says of sandboxes that nobody desires any more. Pure.

Their files are gone, so the past is asked: whether their last spec protected them, whether they
left together with many, and what the commits since let go. Nothing of it is kept elsewhere, so it
outlives the process and the database.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Final

from sdp.reconciler.desired import DesiredSandbox, Revision, desire, is_empty
from sdp.spec import trailers

FEW: Final = 2
"""So many sandboxes may go at once whatever their share."""
SHARE: Final = 0.3
"""A larger share of all sandboxes does not go without a person's word."""


def is_mass(going: int, every: int) -> bool:
    """Whether so many of all sandboxes are too many to go at once."""
    return going > FEW and going > SHARE * every


def _nothing() -> Mapping[str, int]:
    return {}


@dataclasses.dataclass(frozen=True, slots=True)
class Departure:
    """What git says of a sandbox that nobody desires any more.

    Attributes:
        seen: the revision as of which this was read.
        explained: its last spec was found; if not, nobody can tell what it said.
        protected: its last spec said ``protect: true``.
        mass: the commit that removed it removed too many at once.
        emptied: the commit that removed it left neither a platform nor a sandbox.
        allowances: commits since it was desired whose messages let sandboxes go → how many.
    """

    seen: str
    _: dataclasses.KW_ONLY
    explained: bool = True
    protected: bool = False
    mass: bool = False
    emptied: bool = False
    allowances: Mapping[str, int] = dataclasses.field(default_factory=_nothing)


def departures(
    known: Mapping[str, Departure | None], history: Iterable[Revision]
) -> dict[str, Departure]:
    """Return what git says of sandboxes that nobody desires at the newest revision.

    Args:
        known: lower-cased name → what was read before, if anything.
        history: the newest revision and its ancestors; read only as far as needed.
    """
    walk = _Walk(known)
    for revision in history:
        walk.visit(revision)
        if not walk.rest:
            break
    return walk.ended()


class _Walk:
    """A walk back through the past until each sandbox's last spec was met."""

    def __init__(self, known: Mapping[str, Departure | None]) -> None:
        self.rest = dict(known)
        self._found: dict[str, Departure] = {}
        self._newest = ""
        self._allowances: dict[str, int] = {}
        self._later: frozenset[str] | None = None
        self._later_empty = False
        self._left: dict[str, Departure] = {}

    def visit(self, revision: Revision) -> None:
        """Take the next older revision."""
        self._newest = self._newest or revision.sha
        self._count(revision)
        last = _last_specs(self.rest, revision)
        for name, before in tuple(self.rest.items()):
            if before is not None and before.seen == revision.sha:
                self._settle(name, before)
            elif name in last:
                made = self._left.get(name, Departure(""))
                made = dataclasses.replace(made, protected=last[name].protect)
                self._settle(name, made)
        if number := trailers.allowed_deletes(revision.message):
            self._allowances[revision.sha] = number

    def ended(self) -> dict[str, Departure]:
        """Return what was found; who left before the walk's end keeps what was read before."""
        for name, before in tuple(self.rest.items()):
            self._settle(name, before or Departure("", explained=False))
        return self._found

    def _count(self, revision: Revision) -> None:
        """Note who left between this revision and the one after it, and with how many."""
        declared = _declared(revision)
        left = declared - (declared if self._later is None else self._later)
        made = Departure("", mass=is_mass(len(left), len(declared)), emptied=self._later_empty)
        for name in left & self.rest.keys():
            self._left.setdefault(name, made)
        self._later, self._later_empty = declared, is_empty(revision.tree)

    def _settle(self, name: str, made: Departure) -> None:
        both = {**made.allowances, **self._allowances}
        self._found[name] = dataclasses.replace(made, seen=self._newest, allowances=both)
        del self.rest[name]


def _declared(revision: Revision) -> frozenset[str]:
    """Return the names that a revision's sandbox files declare, those of broken files too."""
    tree = revision.tree
    broken = (name for name in tree.unloaded.values() if name is not None)
    named = (file.spec.sandbox for file in tree.sandboxes.values())
    return frozenset(name.lower() for name in (*named, *broken))


def _last_specs(names: Iterable[str], revision: Revision) -> Mapping[str, DesiredSandbox]:
    """Return these sandboxes as a revision desires them, where it does and they resolve."""
    if _declared(revision).isdisjoint(names):
        return {}
    return desire(revision.sha, revision.tree).sandboxes
