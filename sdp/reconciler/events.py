"""Events: what happened, in the journal's words; and which planned actions heal a drift. Pure."""

import dataclasses
import datetime
from collections.abc import Iterator, Mapping

from pydantic import JsonValue

from sdp.protocol.actions import (
    EnsureNetwork,
    Gate,
    Rename,
    Resume,
    Route,
    SetLimits,
    StartGateway,
    StartService,
)
from sdp.protocol.frames import Noticed, StageEvent
from sdp.reconciler.diff import Difference, Version
from sdp.reconciler.draft import Plan, Planned, World
from sdp.reconciler.history import Attempt
from sdp.reconciler.rollout import beside
from sdp.spec import names


def _nothing() -> Mapping[str, JsonValue]:
    return {}


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. What does not apply is empty."""

    at: datetime.datetime
    kind: str
    sandbox: str = ""
    service: str = ""
    deployment: str = ""
    reason: str = ""
    message: str = ""
    data: Mapping[str, JsonValue] = dataclasses.field(default_factory=_nothing)


_STAGES = {"git fetch": "FETCH", "go build": "BUILD", "composer install": "BUILD"}
_STATES = {"started": "STARTED", "finished": "FINISHED", "failed": "FAILED"}


def of_stage(stage: StageEvent, sandbox: str, service: str) -> Event | None:
    """Return the event of a stage; starting a container is told by its own actions."""
    word = _STAGES.get(stage.stage)
    if word is None:
        return None
    kind = f"{word}_{_STATES[stage.state]}"
    return Event(stage.at, kind, sandbox, service, stage.deployment, message=stage.note)


def of_notice(notice: Noticed) -> Event:
    """Return the event of what an agent noticed."""
    about = (notice.sandbox, notice.service)
    return Event(notice.at, "NOTICED", *about, reason=notice.reason, message=notice.message)


def of_success(planned: Planned, deployment: str, now: datetime.datetime) -> Event | None:
    """Return the event of an action that succeeded, where people follow such."""
    match planned.action:
        case StartService(container=spec) | StartGateway(container=spec):
            kind, message = "CONTAINER_STARTED", f"{spec.name} on port {spec.host_port}"
        case Gate():
            kind, message = "HEALTHY", planned.service
        case Route(key=key, url=url):
            kind, message = "ROUTE_CHANGED", f"{key} → {url or planned.cause.after or 'OCP'}"
        case _:
            return None
    return Event(now, kind, planned.sandbox, planned.service, deployment, message=message)


def of_cancel(attempt: Attempt, deployment: str, now: datetime.datetime) -> Event:
    """Return the event of what a person cancelled."""
    about = (attempt.sandbox, attempt.service, deployment)
    return Event(now, "CANCELLED", *about, message=f"{attempt.action} of {attempt.service}")


def of_plan(plan: Plan, sandbox: str, now: datetime.datetime) -> Event:
    """Return the event of a new plan, with the cause of each action."""
    causes: list[JsonValue] = [
        {"service": each.service, "action": each.action.kind, "cause": str(each.cause)}
        for each in plan.actions
    ]
    message = f"{len(plan.actions)} actions, {len(plan.holds)} held"
    return Event(now, "PLANNED", sandbox, message=message, data={"actions": causes})


def drifts(
    plan: Plan,
    difference: Difference,
    whole: World,
    intent_changed: bool,  # noqa: FBT001 -- a fact
) -> dict[str, Event]:
    """Return what somebody changed behind the platform's back, by the key of the healing action.

    Args:
        plan: the sandbox's plan.
        difference: what it was made from.
        whole: the world, with what converged before.
        intent_changed: the spec is another than when the sandbox was last in sync.
    """
    versions = {
        service.service: service.wanted.hash
        for service in (difference.gateway, *difference.services)
        if isinstance(service.wanted, Version)
    }
    moving = {each.service for each in plan.actions if each.cause.field == "port"}
    converged = {
        service.service: service.node.id
        for service in (difference.gateway, *difference.services)
        if service.service in versions.keys() - moving
        and not service.others
        and whole.history.applied.get((difference.sandbox, service.service))
        == versions[service.service]
    }
    found: dict[str, Event] = {}
    for planned in plan.actions:
        name = names.container(planned.sandbox, planned.service)
        if planned.cause.before == beside(name, versions.get(planned.service, "")):
            continue  # the end of a move
        for message in _drift(planned, converged, intent_changed):
            about = (planned.sandbox, planned.service)
            found[planned.key] = Event(whole.now, "DRIFT", *about, reason="Drift", message=message)
    return found


def _drift(
    planned: Planned,
    converged: Mapping[str, str],
    intent_changed: bool,  # noqa: FBT001 -- a fact
) -> Iterator[str]:
    stood = planned.service in converged
    name = names.container(planned.sandbox, planned.service)
    match planned.action:
        case StartService() | StartGateway() if stood:
            yield f"container {name} is gone"
        case Resume() if stood and not (intent_changed or planned.cause.field == "fall back"):
            yield f"container {name} is stopped"
        case Rename() if stood:
            yield f"container {name} was renamed to {planned.cause.before}"
        case SetLimits() if stood and not intent_changed:
            yield f"the limits of {name} were changed to {planned.cause.before}"
        case Route() if "edited" in planned.cause.field:
            yield f"config.php of {planned.sandbox} was edited by hand"
        case Route() if stood and not intent_changed:
            said, meant = planned.cause.before, planned.cause.after
            yield f"the route of {planned.service} says {said}, not {meant}"
        case EnsureNetwork(name=network) if planned.node in converged.values():
            yield f"network {network} of {planned.node} is gone"
        case _:
            return
