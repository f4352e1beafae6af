"""Rollout: how one service, or the gateway, gets from the containers it has to the wanted one.

A port of its own lets the new container stand beside the old one; a port that must stay (pinned,
or the gateway's) makes the old one stop first, and come back when the new one fails. Pure.
"""

from sdp.protocol.actions import (
    Admit,
    ContainerSpec,
    CopyGateway,
    Gate,
    Remove,
    Rename,
    Resume,
    StartGateway,
    StartService,
    Stop,
    Unseal,
)
from sdp.protocol.identity import digest
from sdp.protocol.report import Container, NodeReport
from sdp.reconciler import limits
from sdp.reconciler.borrowing import waits_to_fetch, waits_to_look
from sdp.reconciler.desired import Address, Branch, Ocp
from sdp.reconciler.diff import Difference, Obstacle, Place, ServiceDifference, Unread, Version
from sdp.reconciler.draft import Cause, Draft, Waiting, gateway_recipe, go_recipe, release
from sdp.reconciler.eviction import RUNS, STOPPED
from sdp.reconciler.history import CANCELLED, Failure
from sdp.reconciler.ports import Claim, blocked
from sdp.reconciler.room import no_room
from sdp.reconciler.routing import patchable
from sdp.spec import models, names

Keys = tuple[str, ...]


def serving(service: ServiceDifference) -> Container | None:
    """Return the container that may be routed to: admitted, running and healthy.

    The wanted version first; while it does not serve, a version before it goes on.
    """
    places = [place.container for place in service.others if place.node == service.node.id]
    candidates = [service.current] if service.current else []
    for container in [*candidates, *places]:
        if container.admitted and container.state == "running" and container.health == "healthy":
            return container
    return None


def routed(difference: Difference, service: ServiceDifference) -> Container | None:
    """Return the container that a service's route leads to: of one that sleeps, what is kept."""
    if not difference.desired.sleeps(service.service):
        return serving(service)
    places = [place.container for place in service.others if place.node == service.node.id]
    candidates = [service.current, *places] if service.current else places
    return next((each for each in candidates if each.admitted), None)


def service_rollout(
    draft: Draft, difference: Difference, service: ServiceDifference, networks: dict[str, Keys]
) -> Keys:
    """Plan one service's containers; return the keys that its route waits for."""
    version = _version(draft, service)
    if version is None:
        return _while_held(draft, service)
    if service.current is not None:
        return _tend(draft, service, service.current, version)
    if failure := draft.failure(service.service, version.hash):
        draft.hold_failure(service.service, failure)
        return _fall_back(draft, service)
    node = service.node.id
    if not _is_built(draft, node, version) and _lacks(draft, service.service, node, version):
        return _fall_back(draft, service)
    built = release(draft, service.service, node, version)
    addresses = _ocp_addresses(draft, difference, service)
    claim = _claim(draft, service, version)
    host_port = draft.port(claim, _ranges(draft).services)
    if host_port is None or addresses is None:
        return ()
    spec = _container(draft, service, version, host_port, _peers(difference, service.service))
    start = StartService(container=spec, repository=version.repository, recipe=go_recipe(version))
    stopped = _make_way(draft, service, host_port, built)
    after = (*networks[node], *built, *addresses, *stopped)
    return _bring_up(draft, service, start, _why(draft, service, version), after)


def gateway_rollout(draft: Draft, difference: Difference, networks: dict[str, Keys]) -> Keys:
    """Plan the gateway's copy and container; return the keys that routes wait for."""
    gateway = difference.gateway
    version = _version(draft, gateway)
    if version is None:
        return _while_held(draft, gateway)
    if gateway.current is not None and difference.wanted_copy is not None:
        return _tend(draft, gateway, gateway.current, version)
    if failure := draft.failure(gateway.service, version.hash):
        draft.hold_failure(gateway.service, failure)
        return _fall_back(draft, gateway)
    return _new_gateway(draft, difference, version, networks)


def _new_gateway(
    draft: Draft, difference: Difference, version: Version, networks: dict[str, Keys]
) -> Keys:
    gateway = difference.gateway
    node = gateway.node.id
    made = difference.wanted_copy is not None and _is_built(draft, node, version)
    if not made and _lacks(draft, gateway.service, node, version):
        return _fall_back(draft, gateway)
    built = release(draft, gateway.service, node, version)
    claim = Claim(node, draft.sandbox, gateway.service, version.hash, version.pinned)
    host_port = draft.port(claim, _ranges(draft).gateway)
    if host_port is None:
        return ()
    copied = built
    if difference.wanted_copy is None:
        copy = CopyGateway(
            sandbox=draft.sandbox,
            repository=version.repository,
            commit=version.commit,
            recipe=gateway_recipe(version),
            routes=_routes_now(difference),
        )
        cause = Cause("copy", "", f"gateway @ {version.commit[:7]}")
        copied = draft.do(node, gateway.service, copy, cause, version=version.hash, after=built)
    if gateway.current is not None:
        return copied
    spec = difference.desired.gateway.spec
    start = StartGateway(
        container=_container(draft, gateway, version, host_port, {}),
        mount=spec.mount,
        access_log=spec.access_log,
    )
    stopped = _make_way(draft, gateway, host_port, copied)
    after = (*networks[node], *copied, *stopped)
    return _bring_up(draft, gateway, start, _why(draft, gateway, version), after)


def _lacks(draft: Draft, service: str, node: str, version: Version) -> bool:
    """Say what keeps a version from being made on a node, where something does."""
    return no_room(draft, service, node, version) or waits_to_fetch(draft, service, node, version)


def _is_built(draft: Draft, node: str, version: Version) -> bool:
    return version.release in draft.world.observed[node].report.releases


def _version(draft: Draft, service: ServiceDifference) -> Version | None:
    match service.wanted:
        case Obstacle() as obstacle:
            if not waits_to_look(draft, service.service, service.node.id, obstacle):
                draft.hold(service.service, obstacle.reason, obstacle.message, obstacle.fix)
            return None
        case Unread() as unread:
            _unseal(draft, service, unread)
            return None
        case None:
            return None
        case version:
            return version if draft.known(service.node.id) else None


def _unseal(draft: Draft, service: ServiceDifference, unread: Unread) -> None:
    """Plan to open files; sandboxes on one node that use the same file share that."""
    node = service.node.id
    if not draft.known(node):
        return
    after: Keys = ()
    for file in unread.files:
        action = Unseal(sandbox=draft.sandbox, file=file)
        cause = Cause("encrypted", "", file.path)
        after += draft.do(node, service.service, action, cause, key=f"{node}/{file.digest}/unseal")
    paths = tuple(file.path for file in unread.files)
    draft.wait(Waiting(service.service, paths, bool(service.others), after))


def _ranges(draft: Draft) -> models.Ports:
    platform = draft.world.desired.platform
    assert platform is not None  # noqa: S101 -- nothing is desired without a platform
    return platform.ports


def _claim(draft: Draft, service: ServiceDifference, version: Version) -> Claim:
    """Return what a new container needs a port for: not the one of a twin that it stands beside."""
    node = service.node.id
    twins = (each.container for each in service.others if each.node == node)
    taken = frozenset(each.host_port for each in twins if each.hash == version.hash)
    return Claim(node, draft.sandbox, service.service, version.hash, version.pinned, taken)


def _why(draft: Draft, service: ServiceDifference, version: Version) -> Cause:
    """Return why a container is started: its port, drift, another version, or a new service."""
    applied = draft.world.history.applied.get((draft.sandbox, service.service))
    wanted = f"{version.branch} @ {version.commit[:7]}".lstrip(" @")
    if cause := limits.replacing(service, draft.world):
        return cause
    for place in service.others:
        if (place.node, place.container.hash) == (service.node.id, version.hash):
            port = draft.leased(service.service)
            return Cause("port", str(place.container.host_port), str(port))
    if applied == version.hash:
        return Cause("drift", "gone", wanted)
    before = next(iter(service.others), None)
    if before is None:
        return Cause("new", "", wanted)
    old = before.container
    if old.commit == version.commit:
        return Cause("definition", old.hash[:7], version.hash[:7])
    return Cause("commit", f"{old.branch} @ {old.commit[:7]}".lstrip(" @"), wanted)


def _bring_up(
    draft: Draft,
    service: ServiceDifference,
    start: StartService | StartGateway,
    cause: Cause,
    after: Keys,
) -> Keys:
    node, spec = service.node.id, start.container
    started = draft.do(node, service.service, start, cause, version=spec.hash, after=after)
    gate = Gate(sandbox=draft.sandbox, container=spec.name, probe=spec.probe)
    gated = draft.do(
        node,
        service.service,
        gate,
        Cause("started", "", spec.name),
        version=spec.hash,
        after=started,
    )
    if service.service == names.GATEWAY:
        return gated
    return _admit(draft, service, spec.name, spec.hash, gated)


def _admit(
    draft: Draft, service: ServiceDifference, container: str, version: str, after: Keys
) -> Keys:
    admit = Admit(
        sandbox=draft.sandbox,
        container=container,
        network=names.network(draft.sandbox),
        alias=service.service,
    )
    cause = Cause("healthy", "", container)
    return draft.do(service.node.id, service.service, admit, cause, version=version, after=after)


def _tend(draft: Draft, service: ServiceDifference, current: Container, version: Version) -> Keys:
    """Plan what a container of the wanted version still lacks."""
    node = service.node.id
    if version.pinned is not None and version.pinned != current.host_port:
        claim = Claim(node, draft.sandbox, service.service, version.hash, version.pinned)
        draft.wait_for_pin(claim, version.pinned)
    failure = draft.failure(service.service, version.hash)
    candidate = not current.admitted or service.service == names.GATEWAY
    if failure and candidate and _is_given_up(service, current, failure):
        draft.hold_failure(service.service, failure)
        return _give_up(draft, service, current)
    after: Keys = ()
    if current.state in STOPPED:
        if conflict := blocked(node, current.host_port, draft.world.observed):
            draft.hold_conflict(service.service, conflict)
            return ()
        # A version that is wanted again may find its port with the one that took its place.
        stopped = _make_way(draft, service, current.host_port, ())
        resume = Resume(sandbox=draft.sandbox, container=current.id)
        cause = Cause(_since_sync(draft), "stopped", "running")
        after = draft.do(node, service.service, resume, cause, version=version.hash, after=stopped)
    starting = current.health == "starting" and not _fell(draft, service, current)
    if after or starting or _unproven(current):
        gate = Gate(sandbox=draft.sandbox, container=current.id, probe=version.probe)
        cause = Cause("started", "", current.name)
        after = draft.do(node, service.service, gate, cause, version=version.hash, after=after)
    if not current.admitted:
        after = _admit(draft, service, current.id, version.hash, after)
    limits.adjust(draft, service, current)
    _name(draft, service, current)
    return after


def _since_sync(draft: Draft) -> str:
    """Return what a stopped container is: drift, or wanted by what was said since the last sync."""
    meant = draft.world.desired.sandboxes[draft.sandbox.lower()]
    said = draft.world.history.applied.get((draft.sandbox, ""), meant.intent_digest)
    return "drift" if said == meant.intent_digest else "wanted"


def _is_given_up(service: ServiceDifference, current: Container, failure: Failure) -> bool:
    """Whether a candidate goes: it is not healthy, or was cancelled before it was admitted."""
    cancelled = failure.reason == CANCELLED and service.service != names.GATEWAY
    return current.health != "healthy" or cancelled


def _fell(draft: Draft, service: ServiceDifference, current: Container) -> bool:
    """Whether a version that converged before fell: its engine starts it again, and no plan."""
    applied = draft.world.history.applied.get((draft.sandbox, service.service))
    return current.restarts > 0 and applied == current.hash


def _unproven(current: Container) -> bool:
    """Whether a container has yet to be found healthy for the first time."""
    return not current.admitted and current.health != "healthy"


def _name(draft: Draft, service: ServiceDifference, current: Container) -> None:
    """Plan the right name for the one container that is left."""
    name = names.container(draft.sandbox, service.service)
    if current.name == name or service.others or not current.admitted:
        return
    rename = Rename(sandbox=draft.sandbox, container=current.id, name=name)
    draft.do(service.node.id, service.service, rename, Cause("name", current.name, name))


def _give_up(draft: Draft, service: ServiceDifference, current: Container) -> Keys:
    """Remove a version that never became healthy, where there is one to fall back to."""
    if service.service == names.GATEWAY and not service.others:
        return ()
    remove = Remove(sandbox=draft.sandbox, container=current.id)
    cause = Cause("never healthy", "", current.name)
    key = f"{service.node.id}/{current.id}/remove"
    removed = draft.do(service.node.id, service.service, remove, cause, key=key)
    return _fall_back(draft, service, removed)


def _while_held(draft: Draft, service: ServiceDifference) -> Keys:
    """Start what there is again while nobody can say what is wanted, such as after it slept."""
    held = isinstance(service.wanted, Obstacle) and draft.known(service.node.id)
    return _fall_back(draft, service) if held else ()


def _fall_back(draft: Draft, service: ServiceDifference, after: Keys = ()) -> Keys:
    """Start the version before again, where it was stopped to make way."""
    here = [place for place in service.others if place.node == service.node.id]
    if not here or any(place.container.state == "running" for place in here):
        return ()
    last = max(here, key=lambda place: (str(place.container.started_at), place.container.id))
    resume = Resume(sandbox=draft.sandbox, container=last.container.id)
    cause = Cause("fall back", "", last.container.commit[:7])
    key = f"{last.node}/{last.container.id}/resume"
    return draft.do(last.node, service.service, resume, cause, after=after, key=key)


def _make_way(draft: Draft, service: ServiceDifference, port: int, after: Keys) -> Keys:
    """Stop the running container that has the port which the new one must have."""
    keys: Keys = ()
    for place in _on_port(service, port):
        stop = Stop(sandbox=draft.sandbox, container=place.container.id)
        cause = Cause("makes way on port", "", str(port))
        key = f"{place.node}/{place.container.id}/stop"
        keys += draft.do(place.node, service.service, stop, cause, after=after, key=key)
    return keys


def _on_port(service: ServiceDifference, port: int) -> list[Place]:
    return [
        place
        for place in service.others
        if place.node == service.node.id
        and place.container.host_port == port
        and place.container.state in RUNS
    ]


def _ocp_addresses(
    draft: Draft, difference: Difference, service: ServiceDifference
) -> Keys | None:
    """Return what must be done before OCP's addresses are known; None: nobody can tell yet."""
    targets = difference.desired.services
    asks = any(isinstance(each.target, Ocp) for each in targets.values())
    if not asks or difference.release is not None:
        return ()
    gateway = difference.gateway
    node, wanted = gateway.node.id, gateway.wanted
    if isinstance(wanted, Version) and draft.known(node):
        if not _lacks(draft, gateway.service, node, wanted):
            return release(draft, gateway.service, node, wanted)
        return None
    draft.hold(
        service.service,
        "WaitingForGateway",
        "it is told OCP's addresses, which are read from the gateway's config.php",
        f"see what the gateway of {draft.sandbox} waits for",
    )
    return None


def _peers(difference: Difference, service: str) -> dict[str, str]:
    """Return where a service finds each other one: inside the sandbox, else at OCP."""
    desired = difference.desired
    peers: dict[str, str] = {}
    for name, other in desired.services.items():
        match other.target:
            case _ if name == service:
                continue
            case Branch():
                peers[name] = f"http://{name}:{other.spec.port}"
            case Address(url):
                peers[name] = url
            case Ocp():
                key = desired.gateway.spec.key.replace("{service}", name)
                defaults = difference.release.defaults if difference.release else {}
                peers[name] = defaults.get(key, "")
    return peers


def _routes_now(difference: Difference) -> dict[str, str]:
    """Return the routes that a new copy is born with: only to what serves already."""
    spec = difference.desired.gateway.spec
    key = spec.key
    routes: dict[str, str] = {}
    for service in difference.services:
        target = difference.desired.services[service.service].target
        container = routed(difference, service)
        if isinstance(target, Address):
            routes[key.replace("{service}", service.service)] = target.url
        elif isinstance(target, Branch) and container is not None:
            url = f"http://{service.node.ip_address}:{container.host_port}"
            routes[key.replace("{service}", service.service)] = url
    release = difference.release
    return patchable(routes, spec.config, release) if release else routes


def _container(
    draft: Draft,
    service: ServiceDifference,
    version: Version,
    host_port: int,
    peers: dict[str, str],
) -> ContainerSpec:
    desired = draft.world.desired.sandboxes[draft.sandbox.lower()]
    urls = {names.peer_variable(name): url for name, url in sorted(peers.items()) if url}
    gateway = _gateway_url(draft)
    return ContainerSpec(
        name=_free_name(draft, service, version, host_port),
        image=version.image,
        sandbox=draft.sandbox,
        service=service.service,
        commit=version.commit,
        branch=version.branch,
        hash=version.hash,
        peers=digest(urls),
        generation=desired.revision,
        deployment="",
        network=names.network(draft.sandbox),
        container_port=version.port,
        host_port=host_port,
        environment={**urls, **version.environment, **gateway},
        files=dict(version.files),
        limits=service.limits,
        probe=version.probe,
        sealed=version.sealed,
    )


def _gateway_url(draft: Draft) -> dict[str, str]:
    """Tell a service its own sandbox's address, where it has one already (uffizzi#187)."""
    desired = draft.world.desired.sandboxes[draft.sandbox.lower()]
    leases = {**draft.world.leases}
    for lease in sorted([*leases.values(), *draft.plan().leases]):
        if (lease.sandbox, lease.service) == (draft.sandbox, names.GATEWAY):
            gateway = desired.gateway
            url = f"http://{gateway.node.ip_address}:{lease.port}{gateway.spec.path}"
            return {"SDP_GATEWAY_URL": url}
    return {}


def _free_name(draft: Draft, service: ServiceDifference, version: Version, host_port: int) -> str:
    """Return a name that no container has; two of one version differ in their ports."""
    name = names.container(draft.sandbox, service.service)
    node: NodeReport = draft.world.observed[service.node.id].report
    taken = {container.name for container in node.containers.values()}
    version_name = names.beside(name, version.hash)
    candidates = (name, version_name, f"{version_name}-{host_port}")
    return next(each for each in candidates if each not in taken or each == candidates[-1])
