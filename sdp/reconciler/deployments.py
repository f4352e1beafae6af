"""Deployments: one service of one sandbox brought to one version, from queued to its end. Pure."""

import dataclasses
import datetime
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Literal, TypeAlias

from sdp.protocol.frames import Failed
from sdp.protocol.report import Container
from sdp.reconciler.diff import Difference, ServiceDifference, Version
from sdp.reconciler.draft import Plan, World
from sdp.reconciler.history import CANCELLED
from sdp.spec import names

DeploymentStatus: TypeAlias = Literal["QUEUED", "RUNNING", "FAILED", "STOPPED"]
Key: TypeAlias = tuple[str, str, str]
"""Sandbox, service, version."""

_MAKES = frozenset({"fetch", "build", "copy", "start-service", "start-gateway"})
STEPS = _MAKES | {"gate", "admit"}
"""Kinds of actions whose failure is the failure of a deployment."""
REMOVED = "Removed"
"""The reason of an end after which nothing of the service is wanted."""


@dataclasses.dataclass(frozen=True, slots=True)
class Deployment:
    """One service of one sandbox at one version. ``lines`` are an error's last ones."""

    id: str
    sandbox: str
    service: str
    node: str
    repository: str
    branch: str
    commit: str
    hash: str
    generation: str
    status: DeploymentStatus
    created_at: datetime.datetime
    cause: str = ""
    reason: str = ""
    message: str = ""
    lines: tuple[str, ...] = ()
    started_at: datetime.datetime | None = None
    finished_at: datetime.datetime | None = None

    @property
    def key(self) -> Key:
        """What it brings about."""
        return self.sandbox, self.service, self.hash


Known: TypeAlias = Mapping[Key, Deployment]


def queued(
    plan: Plan, difference: Difference, whole: World, known: Known, new_id: Callable[[], str]
) -> list[Deployment]:
    """Return the deployments that a plan begins."""
    return [
        made
        for service in (difference.gateway, *difference.services)
        if (made := _queued(plan, service, difference, whole, known, new_id))
    ]


def _queued(
    plan: Plan,
    service: ServiceDifference,
    difference: Difference,
    whole: World,
    known: Known,
    new_id: Callable[[], str],
) -> Deployment | None:
    version = service.wanted
    if not isinstance(version, Version):
        return None
    before = known.get((difference.sandbox, service.service, version.hash))
    mine = [
        each
        for each in plan.actions
        if (each.service, each.version) == (service.service, version.hash)
        and each.action.kind in _MAKES
    ]
    if not mine or (before is not None and before.status != "STOPPED"):
        return None
    starts = [each for each in mine if each.action.kind.startswith("start")]
    return Deployment(
        id=new_id(),
        sandbox=difference.sandbox,
        service=service.service,
        node=service.node.id,
        repository=version.repository,
        branch=version.branch,
        commit=version.commit,
        hash=version.hash,
        generation=difference.desired.revision,
        status="QUEUED",
        created_at=whole.now,
        cause=str((starts or mine)[0].cause),
    )


def begun(deployment: Deployment, now: datetime.datetime) -> Deployment:
    """Return a deployment of which an action starts; one that failed is tried again."""
    if deployment.status == "RUNNING":
        return deployment
    return dataclasses.replace(
        deployment,
        status="QUEUED",
        started_at=deployment.started_at or now,
        finished_at=None,
        reason="",
        message="",
        lines=(),
    )


def broken(deployment: Deployment, outcome: Failed, now: datetime.datetime) -> Deployment:
    """Return a deployment whose action failed."""
    return dataclasses.replace(
        deployment,
        status="FAILED",
        reason=outcome.reason,
        message=outcome.message,
        lines=outcome.lines,
        finished_at=now,
    )


def converged(plan: Plan, difference: Difference) -> list[ServiceDifference]:
    """Return the services, with the gateway, that run their version and lack nothing."""
    if difference.desired.asleep or any(hold.reason == "NodeSilent" for hold in plan.holds):
        return []
    busy = {each.service for each in plan.actions} | {hold.service for hold in plan.holds}
    return [
        service
        for service in (difference.gateway, *difference.services)
        if service.current is not None
        and service.current.health == "healthy"
        and service.current.admitted
        and service.current.state == "running"
        and service.service not in busy
    ]


def settled(
    plan: Plan, difference: Difference, known: Known, now: datetime.datetime
) -> Iterator[Deployment]:
    """Yield the deployments that now run, and those whose version is no longer wanted."""
    done = {each.service for each in converged(plan, difference)}
    for service in (difference.gateway, *difference.services):
        version = service.wanted.hash if isinstance(service.wanted, Version) else ""
        stands = {place.container.hash for place in service.others}
        for deployment in _of(known, difference.sandbox, service.service):
            if deployment.hash == version:
                if service.service in done and deployment.status != "RUNNING":
                    yield _running(deployment, now)
            elif _over(deployment, service, stands):
                yield _stopped(deployment, "Superseded" if version else REMOVED, now)


def _over(deployment: Deployment, service: ServiceDifference, stands: set[str]) -> bool:
    """Whether a version that is not the wanted one has come to its end."""
    if deployment.status == "QUEUED":
        return service.wanted is None or isinstance(service.wanted, Version)
    return deployment.status == "RUNNING" and deployment.hash not in stands


def removed(sandbox: str, known: Known, now: datetime.datetime) -> list[Deployment]:
    """Return the ends of all deployments of a sandbox that is gone."""
    live = (each for each in known.values() if each.sandbox.lower() == sandbox)
    return [_stopped(each, REMOVED, now) for each in live if each.status in {"QUEUED", "RUNNING"}]


def adopted(whole: World, known: Known, new_id: Callable[[], str]) -> list[Deployment]:
    """Return deployments for containers that no record explains: their labels do."""
    return [
        _adopted(container, node, whole, new_id)
        for node, seen in sorted(whole.observed.items())
        for container in seen.report.containers.values()
        if container.state == "running"
        and container.health == "healthy"
        and (container.sandbox, container.service, container.hash) not in known
    ]


def _adopted(
    container: Container, node: str, whole: World, new_id: Callable[[], str]
) -> Deployment:
    return Deployment(
        id=container.deployment or new_id(),
        sandbox=container.sandbox,
        service=container.service,
        node=node,
        repository=_repository(container.service, whole),
        branch=container.branch,
        commit=container.commit,
        hash=container.hash,
        generation=container.generation,
        status="RUNNING",
        created_at=container.started_at or whole.now,
        cause="adopted from its labels",
        started_at=container.started_at,
        finished_at=container.started_at,
    )


def _repository(service: str, whole: World) -> str:
    platform = whole.desired.platform
    if platform is None:
        return ""
    if service == names.GATEWAY:
        return platform.gateway.repository
    return platform.services[service].repository if service in platform.services else ""


def _of(known: Known, sandbox: str, service: str) -> Iterable[Deployment]:
    return [e for e in known.values() if (e.sandbox, e.service) == (sandbox, service)]


def cancelled(deployment: Deployment, now: datetime.datetime) -> Deployment:
    """Return a deployment that a person ended before it ran."""
    return _stopped(deployment, CANCELLED, now)


def _running(deployment: Deployment, now: datetime.datetime) -> Deployment:
    return dataclasses.replace(
        deployment, status="RUNNING", reason="", message="", lines=(), finished_at=now
    )


def _stopped(deployment: Deployment, reason: str, now: datetime.datetime) -> Deployment:
    return dataclasses.replace(deployment, status="STOPPED", reason=reason, finished_at=now)
