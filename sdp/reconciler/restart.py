"""Restart: a person's word to stop containers and start them again, once. Pure.

The word is kept as when each container had started, and counts as long as that is so: its effect
is seen, like everything else's. Meanwhile nothing else is planned of a service.
"""

import dataclasses
import datetime
from collections.abc import Iterator, Mapping

from sdp.protocol.actions import Restart
from sdp.protocol.report import Container
from sdp.reconciler.desired import DesiredSandbox
from sdp.reconciler.diff import Place, ServiceDifference, diff
from sdp.reconciler.draft import Cause, Draft, Restarts, World
from sdp.reconciler.eviction import RUNS
from sdp.reconciler.lifecycle import UNTOLD, of_service, words
from sdp.reconciler.observed import Observed
from sdp.reconciler.refusal import Refusal
from sdp.spec import names


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """What is to be restarted: services, and their containers by id."""

    services: tuple[str, ...]
    containers: Restarts


def ask(desired: DesiredSandbox, service: str, whole: World) -> Asked | Refusal:
    """Return what a restart of a sandbox, or of one service of it, comes to.

    Args:
        desired: the sandbox.
        service: the gateway is one; "" means all that is awake.
        whole: everything as of now.
    """
    what = f"{service} of {desired.name}" if service else desired.name
    if desired.sleeps(service):
        told = of_service(desired, service, whole.lives.of.get(desired.name.lower(), UNTOLD))
        whom = desired.name if desired.suspended else f"{desired.name}/{service}"
        if desired.expired is not None:
            message = f"{desired.name} expired {words(told)}"
            return Refusal("Expired", message, f"wake it: sdp extend {desired.name}")
        message = f"{what} is suspended {words(told)}".rstrip()
        return Refusal("Suspended", message, f"wake it: sdp resume {whom}")
    if (queued := whole.admission.queue.get(desired.name.lower())) is not None:
        note = queued.note
        return Refusal(note.reason, f"{desired.name} waits, as it is: {note.message}", note.fix)
    difference = diff(desired, whole.observed)
    mine = [
        each
        for each in (difference.gateway, *difference.services)
        if service in {"", each.service} and not desired.sleeps(each.service)
    ]
    found = {each.service: place for each in mine if (place := _serving(each)) is not None}
    for place in found.values():
        seen = whole.observed[place.node]
        if not seen.known:
            message = f"node {place.node} does not report, so nothing can be restarted there"
            return Refusal("NodeSilent", message, f"look at its agent: sdp nodes {place.node}")
    if not found:
        return Refusal(
            "NotRunning", f"nothing of {what} runs here", f"see: sdp status {desired.name}"
        )
    containers = [place.container for place in found.values()]
    return Asked(tuple(found), {each.id: each.started_at for each in containers})


def pending(asked: Restarts, observed: Observed) -> Restarts:
    """Return of what was asked that which is not seen yet."""
    return {each.id: each.started_at for each in _containers(observed) if _is_meant(each, asked)}


def restart(draft: Draft, service: ServiceDifference) -> tuple[str, ...]:
    """Plan the restart of a service, where one is asked for; return its keys."""
    keys: tuple[str, ...] = ()
    for place in _places(service):
        container = place.container
        if not _is_meant(container, draft.world.restarts) or not draft.known(place.node):
            continue
        if failure := draft.failure(service.service, "restart"):
            draft.hold_failure(service.service, failure)
        else:
            action = Restart(
                sandbox=draft.sandbox, container=container.id, started_at=container.started_at
            )
            cause = Cause("restart", "", "asked for")
            key = f"{place.node}/{container.id}/restart"
            keys += draft.do(place.node, service.service, action, cause, key=key)
    return keys


def _is_meant(container: Container, asked: Mapping[str, datetime.datetime | None]) -> bool:
    return container.id in asked and asked[container.id] == container.started_at


def _places(service: ServiceDifference) -> Iterator[Place]:
    if service.current is not None:
        yield Place(service.node.id, service.current)
    yield from service.others


def _serving(service: ServiceDifference) -> Place | None:
    """Return the container that serves, or should: the wanted version's before an older one."""
    runs = [
        place
        for place in _places(service)
        if place.container.state in RUNS
        and (place.container.admitted or service.service == names.GATEWAY)
    ]
    return next(iter(runs), None)


def _containers(observed: Observed) -> Iterator[Container]:
    for node in observed.values():
        yield from node.report.containers.values()
