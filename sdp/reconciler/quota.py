"""Quota: the values of who may run and who waits. Decided by ``admission``, told by ``queue``."""

import dataclasses
import datetime
import types
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from sdp.spec import models
from sdp.spec.limits import MEMORY

Kind: TypeAlias = Literal["running", "memory"]
KINDS: Final[tuple[Kind, ...]] = ("running", "memory")


@dataclasses.dataclass(frozen=True, slots=True)
class Claimant:
    """A sandbox that is meant to run, or of which something runs.

    Attributes:
        wants: it is meant to run.
        runs: a container of it runs.
        memory: what it may take, in bytes; None: nothing limits it.
        unheard: a node that it needs and that has not reported yet: who knows what runs there.
    """

    name: str
    owner: str
    wants: bool
    runs: bool
    memory: int | None
    unheard: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """What is remembered of a sandbox from one round to the next.

    Attributes:
        memory: the bytes that it was let in with, 0 for no limit; None: it has no place.
        since: since when it waits, for a place or for more memory; None: it does not.
    """

    owner: str
    memory: int | None
    since: datetime.datetime | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Scope:
    """Whose quota: an owner's, or with None everybody's."""

    owner: str | None

    def path(self, kind: Kind) -> str:
        """Return where the quota stands in platform.yaml."""
        return f"quotas.{kind}" if self.owner is None else f"quotas.per_owner.{kind}"


EVERYBODY: Final = Scope(None)


@dataclasses.dataclass(frozen=True, slots=True)
class Use:
    """How much of a quota is taken, and by whom: bytes by the sandbox's name."""

    quota: models.OwnerQuota
    has: Mapping[str, int]

    def limit(self, kind: Kind) -> int | None:
        """Return the quota: sandboxes, or bytes; None: there is none."""
        if kind == "running":
            return self.quota.running
        return MEMORY.parse(self.quota.memory) if self.quota.memory else None

    def used(self, kind: Kind) -> int:
        """Return how much is taken of it."""
        return len(self.has) if kind == "running" else sum(self.has.values())

    def over(self, kind: Kind, more: int = 0) -> bool:
        """Whether it is too much, with so much more."""
        limit = self.limit(kind)
        return limit is not None and self.used(kind) + more > limit


@dataclasses.dataclass(frozen=True, slots=True)
class Note:
    """Something that a person should know of a sandbox and a quota, and what to do about it."""

    reason: str
    message: str
    fix: str


@dataclasses.dataclass(frozen=True, slots=True)
class Queued:
    """A sandbox that waits; ``number``: among those who wait for the same quota, 0 for none."""

    name: str
    owner: str
    since: datetime.datetime
    number: int
    note: Note


@dataclasses.dataclass(frozen=True, slots=True)
class Admission:
    """Who may run and who waits, by lower-cased name; the queue is in its order.

    ``over``: those who together have more than a quota that was lowered, or who are not counted.
    """

    places: Mapping[str, Place]
    uses: Mapping[Scope, Use]
    queue: Mapping[str, Queued]
    over: Mapping[str, Note]


NO_QUOTAS: Final = Admission(*(types.MappingProxyType({}) for _ in range(4)))


def moved(before: Admission, after: Admission) -> frozenset[str]:
    """Return the sandboxes of which something else is said now, by lower-cased name."""
    old, new = ({**each.over, **each.queue} for each in (before, after))
    return frozenset(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
