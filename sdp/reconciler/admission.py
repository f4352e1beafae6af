"""Admission: which sandboxes have a place to run, by the platform's quotas, and which wait. Pure.

Who has a place keeps it as long as it is meant to run: a lower quota stops nobody. The others come
in first come, first served: in their owner's quota, then in everybody's. Who waits for a quota lets
nobody pass who waits for the same, unless it could never fit.
"""

import dataclasses
import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from sdp.reconciler import observed as observation
from sdp.reconciler import queue
from sdp.reconciler.desired import Branch, Desired, DesiredSandbox
from sdp.reconciler.observed import Observed
from sdp.reconciler.quota import (
    EVERYBODY,
    KINDS,
    NO_QUOTAS,
    Admission,
    Claimant,
    Kind,
    Note,
    Place,
    Queued,
    Scope,
    Use,
)
from sdp.spec import models

RUNNING: Final = frozenset({"running", "restarting", "paused"})
"""States of a container that takes memory, or does so again in a moment."""


def admission(
    desired: Desired, observed: Observed, before: Mapping[str, Place], now: datetime.datetime
) -> Admission:
    """Return who may run, as of now.

    Args:
        desired: says who is meant to, and the quotas.
        observed: shows who does.
        before: what is remembered of the last time, by lower-cased name.
        now: when.
    """
    quotas = desired.platform.quotas if desired.platform else models.Quotas()
    if quotas == models.Quotas():
        return NO_QUOTAS
    return admit(quotas, tuple(claimants(desired, observed)), before, now)


def claimants(desired: Desired, observed: Observed) -> Iterator[Claimant]:
    """Yield the sandboxes that quotas are about, by name."""
    for name in sorted(desired.sandboxes.keys() | observation.sandboxes(observed)):
        running = [
            container
            for node in sorted(observed)
            for container in observation.held(observed, node, name).containers
            if container.state in RUNNING
        ]
        if (sandbox := desired.sandboxes.get(name)) is not None:
            wants = not sandbox.asleep
            unheard = next((each for each in _nodes(sandbox) if each not in observed), "")
            yield Claimant(
                sandbox.name, sandbox.owner, wants, bool(running), _memory(sandbox), unheard
            )
        elif running:
            memory = sum(each.limits.memory_bytes for each in running)
            yield Claimant(running[0].sandbox, "", wants=False, runs=True, memory=memory)


def admit(
    quotas: models.Quotas,
    claiming: Sequence[Claimant],
    before: Mapping[str, Place],
    now: datetime.datetime,
) -> Admission:
    """Return which claimants have a place, and who waits."""
    ledger = _Ledger(quotas)
    places: dict[str, Place] = {}
    asking: list[_Asking] = []
    for each in claiming:
        known = before.get(each.name.lower())
        place = _kept(each, known)
        if place is not None or (each.wants and each.unheard):
            memory = (place.memory if place else each.memory) or 0
            ledger.take(place.owner if place else each.owner, each.name, memory)
        if each.wants and (place is None or (place.memory or 0) < (each.memory or 0)):
            since = known.since if known and known.since else now
            asking.append(_Asking(since, each, place.memory if place else None))
        elif place is not None:
            places[each.name.lower()] = place
    waiting: list[_Waiting] = []
    for asked in sorted(asking, key=lambda each: (each.since, each.claimant.name)):
        refusal = ledger.ask(asked)
        if refusal is not None:
            waiting.append(_Waiting(asked, refusal))
        places[asked.claimant.name.lower()] = asked.place(refused=refusal is not None)
    uses = {scope: ledger.use(scope) for scope in sorted(ledger.scopes, key=_by_owner)}
    queued = {each.asked.claimant.name.lower(): each for each in waiting}
    return Admission(
        places,
        uses,
        {name: each.queued(waiting, uses) for name, each in queued.items()},
        {name: note for name, note in _over(claiming, places, uses) if name not in queued},
    )


def _nodes(sandbox: DesiredSandbox) -> list[str]:
    services = sandbox.services.values()
    here = {each.node.id for each in services if isinstance(each.target, Branch)}
    return sorted(here | {sandbox.gateway.node.id})


def _memory(sandbox: DesiredSandbox) -> int | None:
    """Return a sandbox's ceiling, else the sum of its containers' limits, if each has one."""
    if sandbox.ceiling.memory_bytes:
        return sandbox.ceiling.memory_bytes
    services = sandbox.services.values()
    here = [each.limits for each in services if isinstance(each.target, Branch)]
    amounts = [each.memory_bytes for each in (sandbox.gateway.limits, *here)]
    return sum(amounts) if all(amounts) else None


def _kept(each: Claimant, known: Place | None) -> Place | None:
    """Return the place that a claimant has already: it had it before, or something of it runs."""
    had = known.memory if known else None
    if not each.wants:
        if not each.runs:
            return None
        owner = known.owner if known else each.owner
        return Place(owner, (each.memory or 0) if had is None else had)
    if had is None and not each.runs:
        return None
    # Less counts at once, more is asked for; what was never limited, or is found, counts as it is.
    return Place(each.owner, min(had, each.memory or 0) if had else each.memory or 0)


@dataclasses.dataclass(frozen=True, slots=True)
class _Asking:
    """A claimant that asks for a place, or for more memory than it ``had``."""

    since: datetime.datetime
    claimant: Claimant
    had: int | None

    def more(self, kind: Kind) -> int:
        if kind == "running":
            return int(self.had is None)
        return (self.claimant.memory or 0) - (self.had or 0)

    def place(self, *, refused: bool) -> Place:
        if refused:
            return Place(self.claimant.owner, self.had, self.since)
        return Place(self.claimant.owner, self.claimant.memory or 0)


@dataclasses.dataclass(frozen=True, slots=True)
class _Full:
    """The quota that a claimant waits for; ``first`` is who waits for it first."""

    scope: Scope
    kind: Kind
    first: str


@dataclasses.dataclass(frozen=True, slots=True)
class _Waiting:
    """A claimant that waits: for a quota, or for what the note says."""

    asked: _Asking
    refusal: _Full | Note

    def queued(self, every: Sequence["_Waiting"], uses: Mapping[Scope, Use]) -> Queued:
        claimant, refusal = self.asked.claimant, self.refusal
        if isinstance(refusal, Note):
            return Queued(claimant.name, claimant.owner, self.asked.since, 0, refusal)
        same = [each for each in every if _scope(each) == refusal.scope]
        number = same.index(self) + 1
        note = queue.full(
            refusal.scope,
            refusal.kind,
            uses[refusal.scope],
            self.asked.more("memory"),
            before="" if number == 1 else refusal.first,
            number=number,
            of=len(same),
        )
        return Queued(claimant.name, claimant.owner, self.asked.since, number, note)


def _scope(waiting: _Waiting) -> Scope | None:
    return waiting.refusal.scope if isinstance(waiting.refusal, _Full) else None


class _Ledger:
    """How much of each quota is taken, in the course of letting in."""

    def __init__(self, quotas: models.Quotas) -> None:
        self._quotas = quotas
        self._has: dict[Scope, dict[str, int]] = {EVERYBODY: {}}
        self._first: dict[Scope, tuple[str, Kind]] = {}

    @property
    def scopes(self) -> Iterable[Scope]:
        """Those in which anything is taken or was asked for."""
        return self._has.keys()

    def use(self, scope: Scope) -> Use:
        """Return how much is taken now."""
        quota = self._quotas if scope == EVERYBODY else self._quotas.per_owner
        return Use(quota, dict(self._has.setdefault(scope, {})))

    def take(self, owner: str, name: str, memory: int) -> None:
        """Give a place, or another amount of memory."""
        for scope in (Scope(owner), EVERYBODY):
            self._has.setdefault(scope, {})[name] = memory

    def ask(self, asked: _Asking) -> _Full | Note | None:
        """Return why a claimant must wait; or let it in."""
        claimant = asked.claimant
        if claimant.unheard:
            return queue.unheard(claimant.unheard)
        uses = {scope: self.use(scope) for scope in (Scope(claimant.owner), EVERYBODY)}
        for scope, use in uses.items():
            if (limit := use.limit("memory")) is not None and (
                claimant.memory or limit + 1
            ) > limit:
                known = claimant.memory
                return queue.too_large(scope, use, known) if known else queue.unlimited(scope)
        for scope, use in uses.items():
            full = [kind for kind in KINDS if (n := asked.more(kind)) > 0 and use.over(kind, n)]
            if full or scope in self._first:
                kind = full[0] if full else self._first[scope][1]
                first, _ = self._first.setdefault(scope, (claimant.name, kind))
                return _Full(scope, kind, first)
        self.take(claimant.owner, claimant.name, claimant.memory or 0)
        return None


def _by_owner(scope: Scope) -> tuple[bool, str]:
    return scope.owner is not None, scope.owner or ""


def _over(
    claiming: Iterable[Claimant], places: Mapping[str, Place], uses: Mapping[Scope, Use]
) -> Iterator[tuple[str, Note]]:
    """Yield what those are told who have more than there may be, or can't be counted."""
    for each in claiming:
        place = places.get(each.name.lower())
        if place is None or place.memory is None or not each.wants:
            continue
        for scope in (Scope(each.owner), EVERYBODY):
            exceeded = [kind for kind in KINDS if uses[scope].over(kind)]
            if exceeded:
                yield each.name.lower(), queue.over(scope, exceeded[0], uses[scope])
                break
            if each.memory is None and uses[scope].limit("memory") is not None:
                yield each.name.lower(), queue.unlimited(scope)
                break
