"""Drift: which planned actions undo what somebody changed behind the platform's back. Pure.

Where the spec says ``heal: report`` they are held instead, with all that only serves them; what
people commit is done all the same.
"""

import dataclasses
from collections.abc import Collection, Iterator, Sequence

from sdp.protocol.actions import (
    EnsureNetwork,
    Rename,
    Resume,
    Route,
    SetLimits,
    StartGateway,
    StartService,
)
from sdp.reconciler.diff import Difference, ServiceDifference, Unread, Version
from sdp.reconciler.draft import Drift, Hold, Plan, Planned, World
from sdp.spec import names

INTENT = ""
"""In place of a service's name: as what the whole sandbox was last in sync."""


def with_drifts(plan: Plan, difference: Difference, whole: World) -> Plan:
    """Return the plan with its drifts named, and held where the spec says so.

    Args:
        plan: all that would be done.
        difference: what it was made from.
        whole: the world, with what converged before.
    """
    found = _found(plan, difference, whole)
    plan = dataclasses.replace(plan, drifts=found)
    reported = difference.desired.heal == "report"
    if not found or not reported or difference.sandbox.lower() in whole.healing:
        return plan
    fix = f"sdp sync {difference.sandbox} heals it once; or set heal: auto"
    held = [Hold(difference.sandbox, each.service, "Drift", each.message, fix) for each in found]
    holds = sorted((*plan.holds, *held), key=lambda hold: (hold.service, hold.reason))
    actions = _without(plan.actions, found)
    return dataclasses.replace(plan, actions=actions, holds=tuple(holds))


def _found(plan: Plan, difference: Difference, whole: World) -> tuple[Drift, ...]:
    if not plan.actions:
        return ()
    applied = whole.history.applied
    versions = {
        service.service: service.wanted.hash
        for service in (difference.gateway, *difference.services)
        if isinstance(service.wanted, Version)
    }
    # The same version as what converged last, so a container that lacks was there.
    converged = {
        service.service: service.node.id
        for service in (difference.gateway, *difference.services)
        if service.service in versions
        and applied.get((difference.sandbox, service.service)) == versions[service.service]
        and not _moves(service, versions[service.service])
    }
    same = applied.get((difference.sandbox, INTENT)) == difference.desired.intent_digest
    meant = frozenset(converged) if same else frozenset[str]()
    stood = {*converged.values(), *_unread(difference, whole)}
    return tuple(
        Drift(planned.key, planned.service, message)
        for planned in plan.actions
        if not _ends_a_move(planned, versions.get(planned.service, ""))
        for message in _message(planned, converged.keys(), meant, stood)
    )


def _unread(difference: Difference, whole: World) -> Iterator[str]:
    """Yield where something stood of which nobody knows yet which version is wanted."""
    for each in difference.services:
        stood = (difference.sandbox, each.service) in whole.history.applied
        if stood and isinstance(each.wanted, Unread):
            yield each.node.id


def _moves(service: ServiceDifference, version: str) -> bool:
    """Whether another container of the same version makes way, because of its port."""
    return any(place.container.hash == version for place in service.others)


def _ends_a_move(planned: Planned, version: str) -> bool:
    name = names.container(planned.sandbox, planned.service)
    return bool(version) and planned.cause.before.startswith(names.beside(name, version))


def _message(
    planned: Planned, stood: Collection[str], meant: Collection[str], nodes: Collection[str]
) -> Iterator[str]:
    """Yield what an action would undo, if it undoes anything.

    Args:
        planned: the action.
        stood: services whose wanted version stood before.
        meant: those of them about which nothing else was said since.
        nodes: where they stood.
    """
    service = planned.service
    name = names.container(planned.sandbox, service)
    match planned.action:
        case StartService() | StartGateway() if service in stood:
            yield f"container {name} is gone"
        case Resume() if service in meant and planned.cause.field != "fall back":
            yield f"container {name} is stopped"
        case Rename() if service in stood:
            yield f"container {name} was renamed to {planned.cause.before}"
        case SetLimits() if service in meant:
            yield f"the limits of {name} were changed to {planned.cause.before}"
        case Route() if "edited" in planned.cause.field:
            yield f"config.php of {planned.sandbox} was edited by hand"
        case Route() if service in meant:
            said, wanted = planned.cause.before, planned.cause.after
            yield f"the route of {service} says {said}, not {wanted}"
        case EnsureNetwork(name=network) if planned.node in nodes:
            yield f"network {network} of {planned.node} is gone"
        case _:
            return


def _without(actions: Sequence[Planned], held: Sequence[Drift]) -> tuple[Planned, ...]:
    """Return the actions without those that heal, what comes after, and what is only for them."""
    out, services = {each.key for each in held}, {each.service for each in held}
    for planned in actions:  # in order: each comes after what it waits for
        if not out.isdisjoint(planned.after):
            out.add(planned.key)
    for planned in reversed(actions):
        users = [each.key for each in actions if planned.key in each.after]
        if planned.service in services and users and out.issuperset(users):
            out.add(planned.key)
    return tuple(planned for planned in actions if planned.key not in out)
