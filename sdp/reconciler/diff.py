"""Diff: one sandbox as desired against what the nodes hold of it. Decides nothing.

For each service that the sandbox runs: which version is wanted, which containers are that version
and which are others; for each route: what config.php should say and what it says.
"""

import dataclasses
import datetime
from collections.abc import Mapping

from sdp.protocol.actions import GatewayRecipe, GoRecipe, Limits, Probe, SealedFile
from sdp.protocol.identity import digest, release_key
from sdp.protocol.report import Container, Copy, Release, Repository, Sealed
from sdp.reconciler import observed as observation
from sdp.reconciler.desired import Branch, DesiredGateway, DesiredSandbox, DesiredService
from sdp.reconciler.observed import Observed
from sdp.spec import models, names


@dataclasses.dataclass(frozen=True, slots=True)
class Version:
    """A version of a service: everything that its container is made from, by hash.

    Attributes:
        sealed: environment files that are opened when it starts.
        fingerprints: name of what is taken from them → keyed hash of its value.
    """

    repository: str
    branch: str
    commit: str
    recipe: GoRecipe | GatewayRecipe
    image: str
    port: int
    environment: Mapping[str, str]
    files: Mapping[str, str]
    probe: Probe
    pinned: int | None
    sealed: tuple[SealedFile, ...] = ()
    fingerprints: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def hash(self) -> str:
        """12 digits that change with anything that needs another container; limits do not.

        Of what is encrypted the values count, not how they are written: to encrypt them anew
        changes nothing.
        """
        return digest(
            [
                release_key(self.repository, self.commit, self.recipe),
                self.image,
                self.port,
                dict(self.environment),
                dict(self.files),
                self.probe.path,
                self.pinned,
                *([dict(self.fingerprints)] if self.fingerprints else []),
            ]
        )

    @property
    def release(self) -> str:
        """Key of the release that it runs."""
        return release_key(self.repository, self.commit, self.recipe)


@dataclasses.dataclass(frozen=True, slots=True)
class Obstacle:
    """Why something can't even be wanted exactly yet; ``repository``: a look at its origin may tell."""

    reason: str
    message: str
    fix: str
    repository: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Unread:
    """What is wanted shows only when the node has opened these files."""

    files: tuple[SealedFile, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """A container and the node that it is on."""

    node: str
    container: Container


@dataclasses.dataclass(frozen=True, slots=True)
class ServiceDifference:
    """One service (or the gateway): the version wanted on a node, and the containers there are."""

    service: str
    node: models.Node
    limits: Limits
    wanted: Version | Obstacle | Unread | None
    current: Container | None
    others: tuple[Place, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """One sandbox: everything that planning needs, nothing decided.

    Attributes:
        serving_copy: the copy under the gateway container that stands; its routes are the live ones.
        wanted_copy: the copy of the wanted commit.
        release: the wanted gateway's release; knows OCP's addresses.
    """

    sandbox: str
    desired: DesiredSandbox
    gateway: ServiceDifference
    serving_copy: Copy | None
    wanted_copy: Copy | None
    release: Release | None
    services: tuple[ServiceDifference, ...]


def diff(desired: DesiredSandbox, observed: Observed) -> Difference:
    """Return how a desired sandbox differs from what is."""
    places = places_of(desired.name, observed)
    gateway = _gateway(desired, observed, places)
    node = observed.get(gateway.node.id)
    copies = {
        copy.commit: copy
        for copy in observation.held(observed, gateway.node.id, desired.name).copies
    }
    standing = gateway.current or next((p.container for p in gateway.others if _runs(p)), None)
    wanted = gateway.wanted if isinstance(gateway.wanted, Version) else None
    services = tuple(
        _service(service, desired, observed, places) for service in desired.services.values()
    )
    return Difference(
        sandbox=desired.name,
        desired=desired,
        gateway=gateway,
        serving_copy=copies.get(standing.commit) if standing else None,
        wanted_copy=copies.get(wanted.commit) if wanted else None,
        release=node.report.releases.get(wanted.release) if node and wanted else None,
        services=services,
    )


def _runs(place: Place) -> bool:
    return place.container.state == "running"


def places_of(sandbox: str, observed: Observed) -> tuple[Place, ...]:
    """Return all containers of a sandbox, with their nodes, in a fixed order."""
    return tuple(
        Place(node, container)
        for node in sorted(observed)
        for container in observation.held(observed, node, sandbox).containers
    )


def _gateway(
    sandbox: DesiredSandbox, observed: Observed, places: tuple[Place, ...]
) -> ServiceDifference:
    gateway = sandbox.gateway
    commit = resolve_commit(gateway.branch, gateway.spec.repository, gateway.node.id, observed)
    wanted = commit if isinstance(commit, Obstacle) else _gateway_version(sandbox, gateway, commit)
    return _matched(names.GATEWAY, gateway.node, gateway.limits, wanted, places)


def _gateway_version(sandbox: DesiredSandbox, gateway: DesiredGateway, commit: str) -> Version:
    spec = gateway.spec
    return Version(
        repository=spec.repository,
        branch=gateway.branch.name,
        commit=commit,
        recipe=GatewayRecipe(config=spec.config, key=spec.key, branch=gateway.branch.name),
        image=spec.image,
        port=spec.port,
        environment={"CI_ENV": spec.environment, "SDP_SANDBOX": sandbox.name},
        files={},
        probe=gateway.probe,
        pinned=gateway.port,
    )


def _service(
    service: DesiredService,
    sandbox: DesiredSandbox,
    observed: Observed,
    places: tuple[Place, ...],
) -> ServiceDifference:
    wanted: Version | Obstacle | Unread | None = None
    if isinstance(service.target, Branch):
        wanted = _service_version(service, service.target, sandbox, observed)
    return _matched(service.name, service.node, service.limits, wanted, places)


def _service_version(
    service: DesiredService, target: Branch, sandbox: DesiredSandbox, observed: Observed
) -> Version | Obstacle | Unread:
    commit = resolve_commit(target, service.spec.repository, service.node.id, observed)
    if isinstance(commit, Obstacle):
        return commit
    fingerprints = _fingerprints(service, sandbox, observed)
    if isinstance(fingerprints, Obstacle | Unread):
        return fingerprints
    build = service.spec.build
    return Version(
        repository=service.spec.repository,
        branch=target.name,
        commit=commit,
        recipe=GoRecipe(
            service=service.name,
            package=build.package,
            flags=build.flags,
            environment=dict(build.environment),
        ),
        image=service.spec.image,
        port=service.spec.port,
        environment={
            **service.variables,
            "PORT": str(service.spec.port),
            "SDP_SANDBOX": sandbox.name,
        },
        files=service.files,
        probe=service.probe,
        pinned=service.port,
        sealed=service.sealed,
        fingerprints=fingerprints,
    )


def _fingerprints(
    service: DesiredService, sandbox: DesiredSandbox, observed: Observed
) -> Mapping[str, str] | Obstacle | Unread:
    """Return what is known of the encrypted values that a service takes, by name."""
    node = service.node.id
    seen = observed.get(node)
    told = seen.report.sealed if seen else {}
    for file in service.sealed:
        if file.digest in told and told[file.digest].reason:
            return _unopened(file, told[file.digest], node, sandbox)
    if unread := tuple(file for file in service.sealed if file.digest not in told):
        return Unread(unread)
    taken: dict[str, str] = {}
    for file in service.sealed:
        known = told[file.digest].fingerprints
        taken.update({name: known.get(name, "") for name in (*file.variables, *file.files)})
    return taken


def _unopened(file: SealedFile, told: Sealed, node: str, sandbox: DesiredSandbox) -> Obstacle:
    fixes = {
        "NoIdentity": f"on {node}: sdp env keygen -o /etc/sdp/identity.txt, and name that file as "
        f"identity: in agent.yaml; its public key is recipient: of {node} in platform.yaml; "
        f"then sdp env rotate {file.environment}",
        "WrongKey": f"make the public key of {node} its recipient: in platform.yaml; "
        f"then sdp env rotate {file.environment}",
        "Tampered": f"bring back the last sound version: git log {file.path}; "
        "encrypted values are changed with sdp env or sops only",
    }
    message = f"{file.path} can't be opened on {node}: {told.message}"
    if (
        revision := sandbox.environment_revision
    ) and not told.fix:  # nothing changes what was committed then
        fix = f"take today's environment: sdp set {sandbox.name} environment_revision=null"
        return Obstacle(told.reason, f"{message}, as it stood at {revision[:7]}", fix)
    fix = told.fix or fixes.get(told.reason, f"write it anew: sdp env rotate {file.environment}")
    return Obstacle(told.reason, message, fix)


def resolve_commit(
    target: Branch, repository: str, node: str, observed: Observed
) -> str | Obstacle:
    """Return the commit that a branch stands for, as its node sees the repository's origin."""
    if (fixed := target.commit or (target.stay.commit if target.stay else None)) is not None:
        return fixed
    seen = observed.get(node)
    known = seen.report.repositories.get(repository) if seen else None
    if seen is None or not seen.connected:
        return Obstacle(
            "NodeSilent",
            f"node {node} has not reported",
            f"start its agent: sdp agent --config agent.yaml on {node}",
        )
    if known is None:
        return Obstacle(
            "RepositoryUnknown",
            f"node {node} has no repository {repository}",
            f"add {repository}: /path/of/its/clone to repositories: in agent.yaml on {node}",
        )
    if (commit := known.branches.get(target.name)) is not None:
        return commit
    return _untold(target.name, repository, node, known)


def _untold(branch: str, repository: str, node: str, known: Repository) -> Obstacle:
    """Return why a branch's tip is not known."""
    if known.error:
        return Obstacle("RepositoryUnavailable", known.error, f"mend {repository} on {node}")
    if known.unseen:
        return Obstacle(
            "NotLooked",
            f"the origin of {repository} asks for a password, and was not looked at yet",
            f"log in: sdp login; or give the agent of {node} a service credential",
            repository,
        )
    return Obstacle(
        "BranchMissing",
        f"{repository} has no branch {branch}{_age(known.checked_at)}",
        f"push {branch}, or name another branch",
        repository,
    )


def _age(checked_at: datetime.datetime | None) -> str:
    return f" (looked at {checked_at:%H:%M:%S} UTC)" if checked_at else " (not looked yet)"


def _matched(
    service: str,
    node: models.Node,
    limits: Limits,
    wanted: Version | Obstacle | Unread | None,
    places: tuple[Place, ...],
) -> ServiceDifference:
    mine = [place for place in places if place.container.service == service]
    version = wanted.hash if isinstance(wanted, Version) else ""
    same = [each for each in mine if each.node == node.id and each.container.hash == version]
    same.sort(key=lambda place: rank(place.container))
    current = same[0] if same else None
    others = tuple(each for each in mine if each is not current)
    return ServiceDifference(
        service, node, limits, wanted, current.container if current else None, others
    )


def rank(container: Container) -> tuple[bool, bool, bool, str]:
    """Order containers of one version: the one to keep first."""
    return (
        not container.admitted,
        container.state != "running",
        container.health != "healthy",
        container.id,
    )
