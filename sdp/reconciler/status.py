"""Status: what a sandbox is now, in the words that people are shown. Pure.

Unknown beats green: what a silent node holds is never called healthy or in sync. Whoever shows a
sandbox shows this; nobody computes it a second time.
"""

import dataclasses
import datetime
from collections.abc import Collection, Iterable
from typing import Literal, TypeAlias

from sdp.protocol.report import Container
from sdp.reconciler import steady
from sdp.reconciler.desired import Address, Branch, DesiredSandbox, Ocp, Target
from sdp.reconciler.diff import Difference, ServiceDifference, Version, diff, places_of
from sdp.reconciler.draft import Hold, Plan, World
from sdp.reconciler.rollout import serving
from sdp.reconciler.routing import RouteProblem, problem
from sdp.spec import names

Sync: TypeAlias = Literal["Synced", "Pending", "Applying", "Held", "Failed", "Unknown"]
Health: TypeAlias = Literal[
    "Healthy", "Progressing", "Degraded", "Unhealthy", "Suspended", "Expired", "Unknown"
]
RouteState: TypeAlias = Literal["Verified", "Drift", "Unverified"]

_SYNC_FROM_WORST: tuple[Sync, ...] = (
    "Unknown",
    "Failed",
    "Held",
    "Applying",
    "Pending",
    "Synced",
)


@dataclasses.dataclass(frozen=True, slots=True)
class Condition:
    """Something that a person should know of a sandbox, and what to do about it."""

    type: str
    reason: str
    message: str
    fix: str
    since: datetime.datetime


@dataclasses.dataclass(frozen=True, slots=True)
class ServiceStatus:
    """One service, or the gateway.

    Attributes:
        target: where it comes from, in words.
        health: Unknown, too, of what is not run here; the reason says who serves it.
    """

    name: str
    target: str
    sync: Sync
    health: Health
    reason: str
    node: str
    container: str
    port: int | None
    commit: str
    restarts: int


@dataclasses.dataclass(frozen=True, slots=True)
class RouteStatus:
    """One route of the gateway: what config.php should say, what it was read to say, and when.

    Attributes:
        problem: what is to be known of its entry, also where it is in nobody's way now.
    """

    service: str
    wanted: str
    actual: str
    verified_at: datetime.datetime | None
    state: RouteState
    problem: RouteProblem | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class SandboxStatus:
    """A sandbox, whole.

    Attributes:
        revision: the config commit that its spec is taken from.
        observed_generation: the config commit that this status was made at.
        url: where its gateway answers; "" while it has no port.
        served: nonce of the last sync request that was served.
    """

    name: str
    owner: str
    environment: str
    path: str
    revision: str
    observed_generation: str
    url: str
    sync: Sync
    sync_since: datetime.datetime
    health: Health
    health_since: datetime.datetime
    services: tuple[ServiceStatus, ...]
    routes: tuple[RouteStatus, ...]
    conditions: tuple[Condition, ...]
    served: str = ""


def status(
    sandbox: str,
    whole: World,
    plan: Plan,
    busy: Collection[str],
    previous: SandboxStatus | None,
    served: str = "",
) -> SandboxStatus:
    """Return the status of a sandbox that is desired, or still there.

    Args:
        sandbox: lower-cased name.
        whole: everything as of now.
        plan: its plan.
        busy: keys of the actions in flight.
        previous: its status before; lends the times of what did not change.
        served: nonce of the last sync request that a round has served.
    """
    desired = whole.desired.sandboxes.get(sandbox)
    if desired is None:
        made = _leaving(sandbox, whole, plan, busy)
    else:
        made = _standing(desired, whole, plan, busy)
    return _since(dataclasses.replace(made, served=served), previous)


def _standing(
    desired: DesiredSandbox, whole: World, plan: Plan, busy: Collection[str]
) -> SandboxStatus:
    difference = diff(desired, whole.observed)
    services = tuple(
        _service(each, difference, whole, plan, busy)
        for each in (difference.gateway, *difference.services)
    )
    return SandboxStatus(
        name=desired.name,
        owner=desired.owner,
        environment=desired.environment,
        path=desired.path,
        revision=desired.revision,
        observed_generation=whole.desired.revision,
        url=_url(desired, difference, whole, plan),
        sync=_sync(plan, "", busy),
        sync_since=whole.now,
        health="Suspended" if desired.suspended else _overall(services, desired),
        health_since=whole.now,
        services=services,
        routes=_routes(difference, whole),
        conditions=_conditions(desired, whole, plan),
    )


def _leaving(sandbox: str, whole: World, plan: Plan, busy: Collection[str]) -> SandboxStatus:
    labels = [place.container.sandbox for place in places_of(sandbox, whole.observed)]
    sync = _sync(plan, "", busy)
    return SandboxStatus(
        name=next(iter(labels), sandbox),
        owner="",
        environment="",
        path="",
        revision="",
        observed_generation=whole.desired.revision,
        url="",
        sync=sync,
        sync_since=whole.now,
        health="Unknown" if sync == "Unknown" else "Progressing",
        health_since=whole.now,
        services=(),
        routes=(),
        conditions=_held(plan.holds, whole.now),
    )


def _sync(plan: Plan, service: str, busy: Collection[str]) -> Sync:
    """Return the sync state of a service, or with "" of the whole sandbox."""
    holds = [hold for hold in plan.holds if service in {"", hold.service}]
    planned = [each for each in plan.actions if service in {"", each.service}]
    found: set[Sync] = {"Synced"}
    for hold in holds:
        if hold.reason in {"NodeSilent", "EngineUnavailable"}:
            found.add("Unknown")
        else:
            found.add("Failed" if hold.failed else "Held")
    for each in planned:
        found.add("Applying" if each.key in busy else "Pending")
    return next(each for each in _SYNC_FROM_WORST if each in found)


def _service(
    service: ServiceDifference,
    difference: Difference,
    whole: World,
    plan: Plan,
    busy: Collection[str],
) -> ServiceStatus:
    target = _target(service.service, difference.desired)
    known = _known(whole, service.node.id)
    container = _shown(service)
    runs = isinstance(target, Branch)
    health, reason = _health(service, plan) if runs else _elsewhere(target)
    if runs and difference.desired.suspended:
        health, reason = "Suspended", "lifecycle.suspended is true"
    sync = _sync(plan, service.service, busy)
    if runs and not known:
        health, reason = "Unknown", f"node {service.node.id} does not report"
        sync = "Unknown"
    return ServiceStatus(
        name=service.service,
        target=_words(target, service.wanted),
        sync=sync,
        health=health,
        reason=reason,
        node=service.node.id if runs or container else "",
        container=container.name if container else "",
        port=(container.host_port or None) if container else None,
        commit=container.commit if container else "",
        restarts=container.restarts if container else 0,
    )


def _target(service: str, desired: DesiredSandbox) -> Target:
    if service == names.GATEWAY:
        return desired.gateway.branch
    return desired.services[service].target


def _words(target: Target, wanted: object) -> str:
    match target:
        case Ocp():
            return "OCP"
        case Address(url):
            return url
        case Branch(name, commit):
            at = wanted.commit if isinstance(wanted, Version) else commit or ""
            branch = f"branch {name}" if name else "commit"
            return f"{branch} @ {at[:7]}".removesuffix(" @ ")


def _elsewhere(target: Target) -> tuple[Health, str]:
    return "Unknown", "OCP serves it" if isinstance(target, Ocp) else "another address serves it"


def _known(whole: World, node: str) -> bool:
    seen = whole.observed.get(node)
    return seen is not None and seen.known


def _stands(service: ServiceDifference) -> Container | None:
    """Return the container that answers now, of whichever version."""
    if service.service != names.GATEWAY:
        return serving(service)
    places = [place.container for place in service.others if place.node == service.node.id]
    mine = [service.current, *places] if service.current else places
    return next((c for c in mine if c.state == "running" and c.health == "healthy"), None)


def _shown(service: ServiceDifference) -> Container | None:
    others = next((place.container for place in service.others), None)
    return _stands(service) or service.current or others


def _health(service: ServiceDifference, plan: Plan) -> tuple[Health, str]:
    stands, current = _stands(service), service.current
    failed = next((h for h in plan.holds if h.service == service.service and h.failed), None)
    if stands is not None and stands is current:
        return "Healthy", ""
    if stands is not None:
        why = failed.message if failed else "a newer version is on its way"
        return "Degraded" if failed else "Progressing", f"{stands.commit[:7]} serves: {why}"
    if failed is not None:
        return "Unhealthy", failed.message
    if current is not None and current.admitted and current.health != "starting":
        return "Unhealthy", current.reason or f"{current.name} is {current.state}"
    if plan.actions:
        return "Progressing", "it is being brought up"
    held = next((h for h in plan.holds if h.service in {"", service.service}), None)
    return "Unhealthy", held.message if held else "nothing runs"


def _overall(services: Iterable[ServiceStatus], desired: DesiredSandbox) -> Health:
    """Return the worst health that matters: what runs elsewhere does not."""
    run = {
        each.name: each.health
        for each in services
        if isinstance(_target(each.name, desired), Branch)
    }
    found = set(run.values())
    if "Unknown" in found:
        return "Unknown"
    if run[names.GATEWAY] == "Unhealthy" or found == {"Unhealthy"}:
        return "Unhealthy"
    if found & {"Unhealthy", "Degraded"}:
        return "Degraded"
    return "Progressing" if "Progressing" in found else "Healthy"


def _url(desired: DesiredSandbox, difference: Difference, whole: World, plan: Plan) -> str:
    gateway = desired.gateway
    stands = _shown(difference.gateway)
    leases = [*plan.leases, *whole.leases.values()]
    leased = next(
        (x.port for x in leases if (x.sandbox, x.service) == (desired.name, names.GATEWAY)), None
    )
    port = (stands.host_port if stands else None) or leased or gateway.port
    return f"http://{gateway.node.ip_address}:{port}{gateway.spec.path}" if port else ""


def _routes(difference: Difference, whole: World) -> tuple[RouteStatus, ...]:
    known = _known(whole, difference.gateway.node.id)
    routes = (_route(service, difference) for service in difference.services)
    return tuple(
        route if known else dataclasses.replace(route, state="Unverified") for route in routes
    )


def _route(service: ServiceDifference, difference: Difference) -> RouteStatus:
    key = difference.desired.gateway.spec.key.replace("{service}", service.service)
    copy = difference.serving_copy
    actual = copy.routes.get(key, "") if copy else ""
    wanted = _wanted_url(service, difference, copy.defaults.get(key, "") if copy else "")
    state: RouteState = "Verified" if wanted == actual else "Drift"
    found = problem(key, difference.desired.gateway.spec.config, copy) if copy else None
    doubtful = found is not None and found.blocking and state == "Verified"
    if copy is None or not wanted or doubtful:
        state = "Unverified"
    verified_at = copy.verified_at if copy else None
    return RouteStatus(service.service, wanted, actual, verified_at, state, found)


def _wanted_url(service: ServiceDifference, difference: Difference, default: str) -> str:
    match _target(service.service, difference.desired):
        case Ocp():
            return default
        case Address(url):
            return url
        case Branch():
            stands = serving(service)
            return f"http://{service.node.ip_address}:{stands.host_port}" if stands else ""


def _conditions(desired: DesiredSandbox, whole: World, plan: Plan) -> tuple[Condition, ...]:
    spec = tuple(
        Condition(
            "SpecInvalid",
            "SpecProblem",
            f"{problem}; the spec of {desired.revision[:7]} applies",
            f"mend {problem.path}: sdp validate",
            whole.now,
        )
        for problem in desired.problems
    )
    followed = (
        Condition(n.kind, n.reason, f"{n.service}: {n.message}", n.fix, whole.now)
        for n in steady.notes(desired, whole.observed)
    )
    return (*spec, *_held(plan.holds, whole.now), *followed)


def _held(holds: Iterable[Hold], now: datetime.datetime) -> tuple[Condition, ...]:
    return tuple(
        Condition(
            "Failed" if hold.failed else "Held",
            hold.reason,
            f"{hold.service}: {hold.message}" if hold.service else hold.message,
            hold.fix,
            now,
        )
        for hold in holds
    )


def _since(new: SandboxStatus, old: SandboxStatus | None) -> SandboxStatus:
    """Return the status with the times of the one before, where nothing changed."""
    if old is None:
        return new
    began = {(each.type, each.reason, each.message): each.since for each in old.conditions}
    return dataclasses.replace(
        new,
        sync_since=old.sync_since if new.sync == old.sync else new.sync_since,
        health_since=old.health_since if new.health == old.health else new.health_since,
        conditions=tuple(
            dataclasses.replace(
                each, since=began.get((each.type, each.reason, each.message), each.since)
            )
            for each in new.conditions
        ),
    )
