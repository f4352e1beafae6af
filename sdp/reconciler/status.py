"""Status: what a sandbox is now, in the words that people are shown. Pure.

Unknown beats green: what a silent node holds is never called healthy or in sync. Whoever shows a
sandbox shows this; nobody computes it a second time.
"""

import dataclasses
import datetime
from collections.abc import Collection, Iterable, Iterator
from typing import Literal, TypeAlias

from sdp.reconciler import health, steady
from sdp.reconciler.desired import Address, Branch, DesiredSandbox, Ocp, Target
from sdp.reconciler.diff import Difference, ServiceDifference, Version, diff, places_of
from sdp.reconciler.draft import Hold, Plan, World
from sdp.reconciler.expiry import SOON, UNKNOWN, Deadline, Unsure, due, told
from sdp.reconciler.health import Health, Verdict
from sdp.reconciler.lifecycle import AWAKE, UNTOLD, Lifecycle, lifecycle
from sdp.reconciler.routes import RouteStatus, routes
from sdp.spec import names

Sync: TypeAlias = Literal["Synced", "Pending", "Applying", "Held", "Failed", "Unknown"]

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
        health: Unknown, too, of what is not run here; the message says who serves it.
        reason: why, in one word that stays the same while the numbers in the message change.
        since: when health or reason became what they are.
        until: when the health changes by itself, if nothing else happens.
    """

    name: str
    target: str
    sync: Sync
    health: Health
    reason: str
    message: str
    fix: str
    since: datetime.datetime
    until: datetime.datetime | None
    node: str
    container: str
    port: int | None
    commit: str
    restarts: int


@dataclasses.dataclass(frozen=True, slots=True)
class SandboxStatus:
    """A sandbox, whole.

    Attributes:
        revision: the config commit that its spec is taken from.
        observed_generation: the config commit that this status was made at.
        url: where its gateway answers; "" while it has no port.
        served: nonce of the last sync request that was served.
        lifecycle: whether it is awake, since when, by whom and why.
        queued: its number among those who wait for a quota; 0: it does not.
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
    health_reason: str
    health_message: str
    services: tuple[ServiceStatus, ...]
    routes: tuple[RouteStatus, ...]
    conditions: tuple[Condition, ...]
    served: str = ""
    lifecycle: Lifecycle = AWAKE
    queued: int = 0


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


def turns_at(made: SandboxStatus) -> datetime.datetime | None:
    """Return when a sandbox's health changes by itself."""
    return min((each.until for each in made.services if each.until is not None), default=None)


def _standing(
    desired: DesiredSandbox, whole: World, plan: Plan, busy: Collection[str]
) -> SandboxStatus:
    difference = diff(desired, whole.observed)
    led = routes(difference, whole.observed)
    route_of = {each.service: each for each in led}
    verdicts = {
        each.service: health.health(each, desired, plan, whole, route_of.get(each.service))
        for each in (difference.gateway, *difference.services)
    }
    queued = whole.admission.queue.get(desired.name.lower())
    services = tuple(
        _service(each, verdicts[each.service], difference, whole, _sync(plan, each.service, busy))
        for each in (difference.gateway, *difference.services)
    )
    whole_health = health.overall(verdicts, desired, whole)
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
        health=whole_health.health,
        health_since=whole.now,
        health_reason=whole_health.reason,
        health_message=whole_health.message,
        services=services,
        routes=led,
        conditions=_conditions(desired, whole, plan),
        lifecycle=told(
            lifecycle(desired, whole.lives.of.get(desired.name.lower(), UNTOLD)),
            whole.expiries.get(desired.name.lower()),
        ),
        queued=queued.number if queued else 0,
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
        health_reason="Leaving",
        health_message="nobody desires it any more",
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
    service: ServiceDifference, verdict: Verdict, difference: Difference, whole: World, sync: Sync
) -> ServiceStatus:
    target = health.target_of(service.service, difference.desired)
    container = health.shown(service)
    runs = isinstance(target, Branch)
    known = not runs or health.known(whole, service.node.id)
    return ServiceStatus(
        name=service.service,
        target=_words(target, service.wanted),
        sync=sync if known else "Unknown",
        health=verdict.health,
        reason=verdict.reason,
        message=verdict.message,
        fix=verdict.fix,
        since=whole.now,
        until=verdict.until,
        node=service.node.id if runs or container else "",
        container=container.name if container else "",
        port=(container.host_port or None) if container else None,
        commit=container.commit if container else "",
        restarts=container.restarts if container else 0,
    )


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


def _url(desired: DesiredSandbox, difference: Difference, whole: World, plan: Plan) -> str:
    gateway = desired.gateway
    stands = health.shown(difference.gateway)
    leases = [*plan.leases, *whole.leases.values()]
    leased = next(
        (x.port for x in leases if (x.sandbox, x.service) == (desired.name, names.GATEWAY)), None
    )
    port = (stands.host_port if stands else None) or leased or gateway.port
    return f"http://{gateway.node.ip_address}:{port}{gateway.spec.path}" if port else ""


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
    withheld = (
        Condition("Held", each.reason, each.message, each.fix, each.at)
        for each in whole.desired.withheld.values()
        if each.about(desired.name, desired.path)
    )
    held, ends = _held(plan.holds, whole.now), _ends(desired, whole, plan)
    return (*spec, *withheld, *held, *_over_quota(desired, whole), *followed, *ends)


def _ends(desired: DesiredSandbox, whole: World, plan: Plan) -> Iterator[Condition]:
    """Yield what is to be known of a sandbox that nobody uses, or perhaps nobody."""
    extend = f"sdp extend {desired.name}"
    match whole.expiries.get(desired.name.lower()):
        case Unsure(message, fix) if all(hold.reason != UNKNOWN for hold in plan.holds):
            said = f"it does not expire for now: {message}"
            yield Condition("Warning", UNKNOWN, said, fix, whole.now)
        case Deadline(used_at, warns_at, at) if warns_at <= whole.now < at:
            said = f"not used since {_minute(used_at)}; it expires {_minute(at)}"
            yield Condition("Warning", SOON, said, extend, whole.now)
        case _ if whole.unremoved and desired.name.lower() in due(
            whole.expiries, whole.desired, whole.now
        ):
            said = f"its file is to be removed, but {whole.unremoved}"
            yield Condition("Failed", "RemovalFailed", said, extend, whole.now)
        case _:
            return


def _minute(at: datetime.datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _over_quota(desired: DesiredSandbox, whole: World) -> Iterator[Condition]:
    if (note := whole.admission.over.get(desired.name.lower())) is not None:
        yield Condition("Warning", note.reason, note.message, note.fix, whole.now)


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
        services=tuple(_service_since(each, old) for each in new.services),
        conditions=tuple(
            dataclasses.replace(
                each, since=began.get((each.type, each.reason, each.message), each.since)
            )
            for each in new.conditions
        ),
    )


def _service_since(new: ServiceStatus, old: SandboxStatus) -> ServiceStatus:
    before = next((each for each in old.services if each.name == new.name), None)
    same = before is not None and (before.health, before.reason) == (new.health, new.reason)
    return dataclasses.replace(new, since=before.since) if before and same else new
