"""Events: what happened, in the journal's words. Pure."""

import dataclasses
import datetime
from collections.abc import Mapping
from typing import assert_never

from pydantic import JsonValue

from sdp.protocol.actions import Gate, Restart, Route, StartGateway, StartService
from sdp.protocol.frames import Noticed, StageEvent
from sdp.reconciler.draft import Drift, Plan, Planned
from sdp.reconciler.expiry import Deadline, Turn
from sdp.reconciler.history import Attempt, Failure
from sdp.reconciler.updates import Update


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


def of_success(
    planned: Planned, deployment: str, whose: Mapping[str, JsonValue], now: datetime.datetime
) -> Event | None:
    """Return the event of an action that succeeded, where people follow such.

    Args:
        planned: the action.
        deployment: what it is part of, if of one.
        whose: who is behind it, and in which environment.
        now: when.
    """
    data: Mapping[str, JsonValue] = {}
    match planned.action:
        case StartService(container=spec) | StartGateway(container=spec):
            kind, message = "CONTAINER_STARTED", f"{spec.name} on port {spec.host_port}"
        case Gate():
            kind, message = "HEALTHY", planned.service
        case Restart():
            kind, message = "RESTARTED", planned.service
        case Route(key=key, url=url):
            wanted = url or planned.cause.after or "OCP"
            kind, message = "ROUTE_CHANGED", f"{key} → {wanted}"
            data = {**whose, "from": planned.cause.before or "OCP", "to": wanted}
        case _:
            return None
    about = (planned.sandbox, planned.service, deployment)
    return Event(now, kind, *about, message=message, data=data)


def of_failure(
    kind: str, failure: Failure, deployment: str, whose: Mapping[str, JsonValue]
) -> Event:
    """Return the event of an action that failed.

    Args:
        kind: whether a deployment failed so, or something else.
        failure: how, and the how many-th time.
        deployment: what it is part of, if of one.
        whose: who is behind it, where a deployment ended so.
    """
    about = (failure.attempt.sandbox, failure.attempt.service, deployment)
    lines: list[JsonValue] = [*failure.lines]
    data = {**whose, "attempt": failure.count, "fix": failure.fix, "lines": lines}
    return Event(failure.at, kind, *about, failure.reason, failure.message, data)


def of_cancel(attempt: Attempt, deployment: str, now: datetime.datetime) -> Event:
    """Return the event of what a person cancelled."""
    about = (attempt.sandbox, attempt.service, deployment)
    return Event(now, "CANCELLED", *about, message=f"{attempt.action} of {attempt.service}")


def of_update(update: Update, now: datetime.datetime) -> Event:
    """Return the event of a newer commit that a person let in."""
    about = (update.sandbox, update.service)
    message = f"{update.branch} {update.before[:7]} → {update.after[:7]}"
    return Event(now, "UPDATE", *about, message=message)


def of_turn(sandbox: str, turn: Turn, deadline: Deadline, now: datetime.datetime) -> Event:
    """Return the event of a sandbox that nobody uses, or that is used again."""
    used = f"not used since {deadline.used_at:%Y-%m-%d %H:%M} UTC"
    ends = f"{deadline.expires_at:%Y-%m-%d %H:%M} UTC"
    match turn:
        case "EXPIRES_SOON":
            return Event(now, turn, sandbox, message=f"{used}; it expires {ends}")
        case "EXPIRED":
            return Event(now, turn, sandbox, message=used)
        case "REVIVED":
            return Event(now, turn, sandbox, message=f"it expires {ends}")
        case _:
            assert_never(turn)


def of_plan(plan: Plan, sandbox: str, now: datetime.datetime) -> Event:
    """Return the event of a new plan, with the cause of each action."""
    causes: list[JsonValue] = [
        {"service": each.service, "action": each.action.kind, "cause": str(each.cause)}
        for each in plan.actions
    ]
    noun = "action" if len(plan.actions) == 1 else "actions"
    message = f"{len(plan.actions)} {noun}, {len(plan.holds)} held"
    return Event(now, "PLANNED", sandbox, message=message, data={"actions": causes})


def of_drift(drift: Drift, sandbox: str, now: datetime.datetime) -> Event:
    """Return the event of something that was changed behind the platform's back."""
    return Event(now, "DRIFT", sandbox, drift.service, reason="Drift", message=drift.message)
