"""Eviction: which containers have to move because of their port. Pure.

A container that stopped, and whose port a stranger took meanwhile, can't start again; an allocated
port that somebody pins is given up. Such a container is not the one to keep any more: another one
takes its place on another port, beside it as in any update.
"""

import dataclasses

from sdp.reconciler.diff import Difference, Place, ServiceDifference, Version, rank
from sdp.reconciler.draft import World
from sdp.reconciler.ports import Lease, preempted, stranger

STOPPED = frozenset({"exited", "created", "dead"})


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
    if not isinstance(version, Version) or version.pinned is not None:
        return service
    standing = [Place(node, service.current)] if service.current else []
    every = (*standing, *service.others)
    kept = [
        each
        for each in every
        if (each.node, each.container.hash) == (node, version.hash) and not _moves(each, whole)
    ]
    current = min(kept, key=lambda place: rank(place.container), default=None)
    return dataclasses.replace(
        service,
        current=current.container if current else None,
        others=tuple(each for each in every if each is not current),
    )


def _moves(place: Place, whole: World) -> bool:
    stopped = place.container.state in STOPPED
    stolen = stopped and stranger(place.node, place.container.host_port, whole.observed)
    return bool(stolen) or gives_up(place, whole)


def _lease(place: Place) -> Lease:
    container = place.container
    return Lease(
        place.node, container.host_port, container.sandbox, container.service, container.hash
    )
