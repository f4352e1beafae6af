"""Limits: how a container gets the limits that it should have. Pure.

In place, which interrupts nothing; the engine can't do one thing so: lower memory below what is in
use. When a node has said that, another container takes its place, as in any update.
"""

from typing import Final

from sdp.protocol.actions import Limits, SetLimits
from sdp.protocol.identity import digest
from sdp.protocol.report import Container
from sdp.reconciler.diff import ServiceDifference, Version
from sdp.reconciler.draft import Cause, Draft, World
from sdp.spec.limits import CPU, MEMORY

BELOW_USE: Final = "BelowUse"
"""The reason with which a node refuses to lower memory below what is in use."""


def adjust(draft: Draft, service: ServiceDifference, current: Container) -> None:
    """Plan the limits of a container that stays."""
    if current.limits != service.limits:
        action = SetLimits(sandbox=draft.sandbox, container=current.id, limits=service.limits)
        cause = changed(current.limits, service.limits)
        draft.do(service.node.id, service.service, action, cause, version=_key(service.limits))


def outgrown(container: Container, limits: Limits, whole: World) -> bool:
    """Whether a container uses more than it may from now on, so that it has to be replaced."""
    if container.limits == limits:
        return False
    failure = whole.history.failure(container.sandbox, container.service, _key(limits))
    return failure is not None and failure.reason == BELOW_USE


def replacing(service: ServiceDifference, whole: World) -> Cause | None:
    """Return why another container of the same version is started, where limits are why."""
    version = service.wanted.hash if isinstance(service.wanted, Version) else ""
    for place in service.others:
        mine = (place.node, place.container.hash) == (service.node.id, version)
        if mine and outgrown(place.container, service.limits, whole):
            cause = changed(place.container.limits, service.limits)
            return Cause(cause.field, cause.before, f"{cause.after}, which is below its use")
    return None


def changed(before: Limits, after: Limits) -> Cause:
    """Return what differs between limits, in people's units."""
    cpu = ("cpu", CPU.shown(before.cpu_milli), CPU.shown(after.cpu_milli))
    memory = ("memory", MEMORY.shown(before.memory_bytes), MEMORY.shown(after.memory_bytes))
    differs = [each for each in (cpu, memory) if each[1] != each[2]]
    if len(differs) == 1:
        key, old, new = differs[0]
        return Cause(f"resources.{key}", old, new)
    old, new = (", ".join(f"{each[0]} {each[i]}" for each in (cpu, memory)) for i in (1, 2))
    return Cause("resources", old, new)


def _key(limits: Limits) -> str:
    return digest(limits.model_dump())
