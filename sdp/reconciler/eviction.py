"""Eviction: which containers have to make room for another of their version. Pure.

A container that stopped, and whose port a stranger took meanwhile, can't start again; an allocated
port that somebody pins is given up; and what had to start elsewhere moves to its pinned port as
soon as that is free. Such a container is not the one to keep any more: another one takes its place
on another port, beside it as in any update; so it does where limits can't be changed in place.
"""

import dataclasses

from sdp.reconciler import limits
from sdp.reconciler.diff import Difference, Place, ServiceDifference, Version, rank
from sdp.reconciler.draft import World
from sdp.reconciler.ports import Claim, Conflict, Lease, pin, preempted, stranger

STOPPED = frozenset({"exited", "created", "dead"})
RUNS = frozenset({"running", "restarting", "paused"})
"""States in which a container has its memory, or will have it again by itself."""


def evict(difference: Difference, whole: World) -> Difference:
    """Return the difference with containers that have to move among the others."""
    return dataclasses.replace(
        difference,
        gateway=_evict(difference.gateway, whole),
        services=tuple(_evict(each, whole) for each in difference.services),
    )


def gives_up(place: Place, whole: World) -> bool:
    """Whether somebody pinned the port that was allocated to a container."""
    return preempted(_lease(place), whole.reserved)


def _evict(service: ServiceDifference, whole: World) -> ServiceDifference:
    version, node = service.wanted, service.node.id
    if not isinstance(version, Version):
        return service
    standing = [Place(node, service.current)] if service.current else []
    every = (*standing, *service.others)
    alone = all(each.container.hash == version.hash for each in every)
    kept = [
        each
        for each in every
        if (each.node, each.container.hash) == (node, version.hash)
        and not _moves(each, version.pinned, whole, alone=alone)
        and not limits.outgrown(each.container, service.limits, whole)
    ]
    current = min(kept, key=lambda place: rank(place.container), default=None)
    return dataclasses.replace(
        service,
        current=current.container if current else None,
        others=tuple(each for each in every if each is not current),
    )


def _moves(place: Place, pinned: int | None, whole: World, *, alone: bool) -> bool:
    """Whether a container is on a port where it can't stay; to its pin when no older one is left."""
    port = place.container.host_port
    if port == pinned:
        return False
    if pinned is not None and alone and isinstance(_pin(place, pinned, whole), Lease):
        return True
    stopped = place.container.state in STOPPED
    stolen = stopped and stranger(place.node, port, whole.observed)
    return bool(stolen) or gives_up(place, whole)


def _pin(place: Place, pinned: int, whole: World) -> Lease | Conflict:
    has = _lease(place)
    claim = Claim(has.node, has.sandbox, has.service, has.hash, pinned)
    return pin(claim, pinned, whole.leases, whole.reserved, whole.observed)


def _lease(place: Place) -> Lease:
    container = place.container
    return Lease(
        place.node, container.host_port, container.sandbox, container.service, container.hash
    )
