"""Acts: which events are somebody's doing, told in the audit's words. Pure.

Never what git, a compiler or a container said: only reasons' names, and words of our own.
"""

import dataclasses
import re
from collections.abc import Iterator
from typing import Final

from sdp.reconciler.audit import Act, ActKind, ActStatus
from sdp.reconciler.events import Event

_REASON: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,59}")


def acts_of(event: Event) -> Iterator[Act]:
    """Yield what an event has to say to the audit; most say nothing."""
    match event.kind:
        case "DEPLOYED":
            yield _deployment(event, "done", "deployed")
        case "DEPLOY_STOPPED":
            yield _deployment(event, "done", "stopped", _reason(event))
        case "DEPLOY_FAILED" if "user" in event.data and event.data["attempt"] == 1:
            yield _deployment(event, "failed", "deploy", _reason(event))
        case "ROUTE_CHANGED":
            before, after = _text(event, "from"), _text(event, "to")
            # Of a sandbox that goes it is known where its routes lead then, and no more.
            message = f"{before} → {after}" if before != after else f"→ {after}"
            yield _act(event, "ROUTE_CHANGE", "done", "route switched", message)
        case "CHANGE":
            yield from _changes(event)
        case "CHANGE_REFUSED":
            takes = _text(event, "permission")
            about = f"{_text(event, 'path')}: {_reason(event)}"
            message = f"{about}, takes: {takes}" if takes else about
            yield _act(event, "CHANGE", "refused", "change held", message)
        case _:
            return


def _deployment(event: Event, status: ActStatus, action: str, message: str = "") -> Act:
    return _act(event, "DEPLOYMENT", status, action, message)


def _changes(event: Event) -> Iterator[Act]:
    """Yield a commit's changes: one for each sandbox and environment, and one for all else."""
    secrets, environments = {*_texts(event, "secrets")}, {*_texts(event, "environments")}
    sandboxes = _texts(event, "sandboxes")
    for sandbox in sandboxes:
        made = _act(event, "CHANGE", "done", "sandbox changed")
        yield dataclasses.replace(made, sandbox=sandbox)
    for name in sorted(environments - secrets):
        made = _act(event, "CHANGE", "done", "environment changed")
        yield dataclasses.replace(made, environment=name)
    for name in sorted(secrets):
        made = _act(event, "SECRET_CHANGE", "done", "secrets changed")
        yield dataclasses.replace(made, environment=name)
    named = ("sandboxes/", "environments/") if {*sandboxes, *environments, *secrets} else ()
    if others := [each for each in _texts(event, "paths") if not each.startswith(named)]:
        yield _act(event, "CHANGE", "done", "files changed", ", ".join(others))


def _act(event: Event, kind: ActKind, status: ActStatus, action: str, message: str = "") -> Act:
    return Act(
        at=event.at,
        kind=kind,
        status=status,
        user=_text(event, "user"),
        action=action,
        repository=_text(event, "repository"),
        branch=_text(event, "branch"),
        commit=_text(event, "commit"),
        environment=_text(event, "environment"),
        sandbox=event.sandbox,
        service=event.service,
        message=message,
    )


def _reason(event: Event) -> str:
    """Return a reason's name; what is none was made up by who told it."""
    return event.reason if _REASON.fullmatch(event.reason) else ""


def _text(event: Event, key: str) -> str:
    found = event.data.get(key)
    return found if isinstance(found, str) else ""


def _texts(event: Event, key: str) -> list[str]:
    found = event.data.get(key)
    return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []
