"""Render: plans as text for people and as values for programs. Pure; colour is the CLI's."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping

from pydantic import JsonValue

from sdp.protocol.actions import (
    Action,
    Admit,
    Build,
    CopyGateway,
    EnsureNetwork,
    Fetch,
    Gate,
    Remove,
    RemoveCopy,
    RemoveNetwork,
    RemoveRelease,
    Rename,
    Restart,
    Resume,
    Route,
    SetLimits,
    StartGateway,
    StartService,
    Stop,
    Unseal,
)
from sdp.protocol.identity import digest
from sdp.reconciler import steady
from sdp.reconciler.draft import Cause, Hold, Plan, Planned, Waiting, World
from sdp.spec import names

_WORD = 10
_CAUSE_COLUMN = 62
_STARTS = (StartService, StartGateway)


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """One change: sign ``+ ~ -``, the kind of thing, which one, and why or when."""

    sign: str
    word: str
    what: str
    note: str


@dataclasses.dataclass(frozen=True, slots=True)
class Summary:
    """How many changes of each kind a set of plans has."""

    add: int
    change: int
    destroy: int
    held: int


def text(plans: Mapping[str, Plan], whole: World, title: str = "") -> str:
    """Return plans as people read them; equal plans give equal text.

    Args:
        plans: by lower-cased sandbox name.
        whole: the world that they were made from; names what they are about.
        title: a first line, such as what is compared with what.
    """
    blocks = [[title]] if title else []
    for name, plan in sorted(plans.items()):
        if plan.actions:
            blocks.append(_sandbox(name, plan, whole))
    if holds := [hold for _, plan in sorted(plans.items()) for hold in plan.holds]:
        blocks.append(["  Held", *(line for hold in holds for line in _hold(hold))])
    if updates := [each for name in sorted(plans) for each in _updates(name, whole)]:
        blocks.append(["  Updates", *updates])
    total = summary(plans, whole)
    if total == Summary(0, 0, 0, 0):
        revision = whole.desired.revision[:7]
        blocks.append([f"Nothing to do: matches {revision}."])
    else:
        changes = f"{total.add} to add, {total.change} to change, {total.destroy} to destroy"
        blocks.append([f"Plan: {changes}, {total.held} held."])
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def _updates(name: str, whole: World) -> Iterator[str]:
    """Yield the newer commits that wait for a person."""
    if (sandbox := whole.desired.sandboxes.get(name)) is not None:
        for note in steady.notes(sandbox, whole.observed):
            if note.reason == "UpdateAvailable":
                yield f"    sandbox {sandbox.name} {note.service}   {note.message}: {note.fix}"


def lines(name: str, plan: Plan, whole: World) -> tuple[str, ...]:
    """Return one sandbox's actions as people read them, without its name."""
    return tuple(_sandbox(name, plan, whole)[1:]) if plan.actions else ()


def identity(plan: Plan) -> str:
    """Return 12 digits that change with what is done, why, at which versions and on which ports.

    Times are no part of it, and messages can tell some; nor is the commit of the config repo.
    """
    holds: list[JsonValue] = [
        [hold.service, hold.reason, hold.fix, hold.failed] for hold in plan.holds
    ]
    return digest([[_action(planned) for planned in plan.actions], holds])


def summary(plans: Mapping[str, Plan], whole: World) -> Summary:
    """Return how much there is to do."""
    # Sandboxes that need the same release share the key of its build: one change, not several.
    unique = {planned.key: planned for plan in plans.values() for planned in plan.actions}
    signs = [line.sign for line in _lines(unique.values(), _containers(whole))]
    signs += [_waiting("", each).sign for plan in plans.values() for each in plan.waiting]
    held = sum(len(plan.holds) for plan in plans.values())
    return Summary(signs.count("+"), signs.count("~"), signs.count("-"), held)


def as_json(plans: Mapping[str, Plan], whole: World) -> dict[str, JsonValue]:
    """Return plans as a JSON object; environments and files stay out of it."""
    return {
        "revision": whole.desired.revision,
        "summary": {**dataclasses.asdict(summary(plans, whole))},
        "sandboxes": {
            name: {
                "actions": [_action(planned) for planned in plan.actions],
                "holds": [_held(hold) for hold in plan.holds],
            }
            for name, plan in sorted(plans.items())
        },
    }


def _action(planned: Planned) -> JsonValue:
    said = planned.action.model_dump(mode="json")
    if isinstance(container := said.get("container"), dict):
        for left_out in ("environment", "files", "sealed", "generation", "deployment"):
            container.pop(left_out, None)
    if isinstance(file := said.get("file"), dict):
        file.pop("text", None)
    return {
        "key": planned.key,
        "node": planned.node,
        "service": planned.service,
        "version": planned.version,
        "after": list(planned.after),
        "cause": {
            "field": planned.cause.field,
            "from": planned.cause.before,
            "to": planned.cause.after,
        },
        "action": said,
    }


def _held(hold: Hold) -> JsonValue:
    return {
        "service": hold.service,
        "reason": hold.reason,
        "message": hold.message,
        "fix": hold.fix,
        "failed": hold.failed,
        "until": hold.until.isoformat() if hold.until else None,
    }


def _sandbox(name: str, plan: Plan, whole: World) -> list[str]:
    containers = _containers(whole)
    desired = whole.desired.sandboxes.get(name)
    lines = [f"  sandbox {desired.name if desired else plan.actions[0].sandbox}"]
    waiting = {each.service: each for each in plan.waiting}
    changing = [*(planned.service for planned in plan.actions), *waiting]
    for service in dict.fromkeys(changing):
        mine = [planned for planned in plan.actions if planned.service == service]
        shown = _lines(mine, containers)
        if service in waiting:
            shown.append(_waiting(plan.actions[0].sandbox, waiting[service]))
        if not shown:
            continue
        if service:
            signs = {line.sign for line in shown}
            sign = signs.pop() if len(signs) == 1 else "~"
            lines.append(
                f"  {sign} {service:<12} {_headline(mine, waiting.get(service))}".rstrip()
            )
        lines += [_aligned(line) for line in shown]
    held = {hold.service for hold in plan.holds} | set(changing)
    if desired and (same := [each for each in sorted(desired.services) if each not in held]):
        lines.append(f"    {', '.join(same)}  no change")
    return lines


def _waiting(sandbox: str, waiting: Waiting) -> Line:
    """Return what comes of a service's container once its files are open."""
    name = names.container(sandbox, waiting.service)
    opened = f"once {' and '.join(waiting.paths)} {'are' if len(waiting.paths) > 1 else 'is'} open"
    if waiting.stands:
        return Line("~", "container", name, f"may be replaced {opened}")
    return Line("+", "container", name, opened)


def _headline(mine: list[Planned], waiting: Waiting | None) -> str:
    if waiting is not None:
        return str(Cause("encrypted", "", ", ".join(waiting.paths)))
    starts = [planned for planned in mine if isinstance(planned.action, _STARTS)]
    routes = [planned for planned in mine if isinstance(planned.action, Route)]
    cause = (starts or routes or mine)[0].cause
    if cause.field == "commit":
        return f"{cause.before} → {cause.after}"
    return str(cause) if starts or not routes else cause.field


def _aligned(line: Line) -> str:
    start = f"      {line.sign} {line.word:<{_WORD}} {line.what}"
    return f"{start:<{_CAUSE_COLUMN}} {line.note}".rstrip() if line.note else start


def _hold(hold: Hold) -> list[str]:
    about = f"sandbox {hold.sandbox}" + (f" {hold.service}" if hold.service else "")
    later = f", tried again at {hold.until:%H:%M:%S} UTC" if hold.until else ""
    lines = [f"    {about}   {hold.reason}: {hold.message}{later}"]
    return [*lines, f"      fix: {hold.fix}"] if hold.fix else lines


def _lines(actions: Iterable[Planned], containers: Mapping[str, str]) -> list[Line]:
    """Return the lines of actions; what only follows from a start is part of its line."""
    planned = list(actions)
    starting = {
        (each.service, each.version) for each in planned if isinstance(each.action, _STARTS)
    }
    gated = {(each.service, each.version) for each in planned if isinstance(each.action, Gate)}
    lines: list[Line] = []
    for each in planned:
        follows = starting | (gated if isinstance(each.action, Admit) else set())
        if isinstance(each.action, Gate | Admit) and (each.service, each.version) in follows:
            continue
        lines.append(_line(each, containers))
    return lines


def _line(planned: Planned, containers: Mapping[str, str]) -> Line:  # noqa: C901, PLR0911, PLR0912 -- a kind each
    cause, short = str(planned.cause), _shown(planned.action, containers)
    match planned.action:
        case Unseal():
            return Line("~", "unseal", f"{short} on {planned.node}", "then its changes show")
        case EnsureNetwork():
            return Line("+", "network", f"{short} on {planned.node}", "")
        case Fetch():
            return Line("+", "fetch", f"{short} on {planned.node}", planned.cause.field)
        case Build():
            return Line("+", "build", f"{short} on {planned.node}", planned.cause.field)
        case CopyGateway():
            return Line("+", "copy", short, "")
        case StartService() | StartGateway():
            return Line("+", "container", short, "")
        case Resume():
            return Line("~", "container", f"{short} starts", cause)
        case Restart():
            return Line("~", "container", f"{short} restarts", cause)
        case Gate():
            return Line("~", "health", short, cause)
        case Admit():
            return Line("~", "alias", short, cause)
        case Route():
            when = "once healthy" if planned.after else _why_route(planned)
            return Line("~", "route", _route(planned, planned.action), when)
        case SetLimits():
            return Line("~", "limits", short, cause)
        case Rename():
            return Line("~", "name", short, cause)
        case Stop():
            return Line("~", "container", f"{short} stops", cause)
        case Remove():
            return Line("-", "container", short, cause)
        case RemoveNetwork():
            return Line("-", "network", f"{short} on {planned.node}", cause)
        case RemoveCopy():
            return Line("-", "copy", short, cause)
        case RemoveRelease():
            return Line("-", "release", f"{short} on {planned.node}", cause)


def _route(planned: Planned, route: Route) -> str:
    before, after = planned.cause.before, planned.cause.after or route.url
    if not after:
        return f"{route.key} → OCP"
    return f"{before} → {after}" if before else f"{route.key} → {after}"


def _why_route(planned: Planned) -> str:
    return "" if planned.cause.field == "route" else planned.cause.field


def _shown(action: Action, containers: Mapping[str, str]) -> str:  # noqa: PLR0911 -- a kind each
    """Return what an action is done to."""
    match action:
        case Unseal():
            return action.file.path
        case Fetch() | Build() | RemoveRelease():
            return f"{action.repository} @ {action.commit[:7]}"
        case CopyGateway() | RemoveCopy():
            return f"gateway @ {action.commit[:7]}"
        case StartService() | StartGateway():
            return f"{action.container.name} :{action.container.host_port}"
        case EnsureNetwork() | RemoveNetwork():
            return action.name
        case Route():
            return action.key
        case Resume() | Restart() | Gate() | Admit() | SetLimits() | Rename() | Stop() | Remove():
            return containers.get(action.container, action.container)


def _containers(whole: World) -> dict[str, str]:
    """Return the names of all containers by id."""
    return {
        identity: container.name
        for node in whole.observed.values()
        for identity, container in node.report.containers.items()
    }
