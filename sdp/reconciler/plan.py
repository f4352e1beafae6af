"""Plan: what to do about each sandbox, made from the difference of desired and observed. Pure.

Up: network → fetch → build → start → healthy → admitted → routed → the predecessor removed.
Down: routed to OCP → containers removed → copies and networks removed. Whatever is on a silent
node stays as it is, with a hold that says so.
"""

import dataclasses

from sdp.protocol.actions import (
    EnsureNetwork,
    Remove,
    RemoveCopy,
    RemoveNetwork,
    Route,
    Stop,
)
from sdp.protocol.report import Copy
from sdp.reconciler import observed as observation
from sdp.reconciler.desired import Address, Branch, DesiredSandbox, Ocp
from sdp.reconciler.diff import Difference, Place, ServiceDifference, Version, diff, places_of
from sdp.reconciler.draft import Cause, Draft, Hold, Plan, Planned, World, world
from sdp.reconciler.drift import with_drifts
from sdp.reconciler.eviction import RUNS, STOPPED, evict, gives_up
from sdp.reconciler.expiry import UNKNOWN, Unsure
from sdp.reconciler.restart import restart
from sdp.reconciler.rollout import Keys, gateway_rollout, service_rollout, serving
from sdp.reconciler.routing import RouteProblem, problem
from sdp.spec import names

__all__ = ["Cause", "Hold", "Plan", "Planned", "World", "plan", "plan_all", "world"]


def plan_all(whole: World) -> dict[str, Plan]:
    """Return the plan of every sandbox that is desired or observed, by lower-cased name."""
    sandboxes = whole.desired.sandboxes.keys() | observation.sandboxes(whole.observed)
    plans: dict[str, Plan] = {}
    for sandbox in sorted(sandboxes):
        plans[sandbox] = plan(sandbox, whole)
        taken = {(lease.node, lease.port): lease for lease in plans[sandbox].leases}
        whole = dataclasses.replace(whole, leases={**whole.leases, **taken})
    return plans


def plan(sandbox: str, whole: World) -> Plan:
    """Return the plan of one sandbox.

    Args:
        sandbox: lower-cased name.
        whole: everything as of one moment.
    """
    desired = whole.desired.sandboxes.get(sandbox)
    if desired is not None:
        return _wanted(desired, whole)
    return _unwanted(sandbox, whole)


def _wanted(desired: DesiredSandbox, whole: World) -> Plan:
    draft = Draft(desired.name, whole)
    for node in _needed_nodes(desired, whole):
        _hold_unknown(draft, node)
    difference = evict(diff(desired, whole.observed), whole)
    if _rests(draft, desired):
        return draft.plan()
    if (queued := whole.admission.queue.get(desired.name.lower())) is not None:
        draft.hold("", queued.note.reason, queued.note.message, queued.note.fix)
        _give_up_ports(draft, places_of(desired.name, whole.observed))
        return draft.plan()
    networks = _networks(draft, desired)
    restarting = restart(draft, difference.gateway)
    gateway = restarting or gateway_rollout(draft, difference, networks)
    for service in difference.services:
        if desired.sleeps(service.service):
            _suspend_service(draft, service)
            continue
        if restart(draft, service):
            continue
        rolled = service_rollout(draft, difference, service, networks)
        routed = _route(draft, difference, service, gateway, rolled)
        _retire(draft, difference, service, routed)
    if not restarting:
        _retire_gateway(draft, difference, gateway)
    return with_drifts(draft.plan(), difference, whole)


def _needed_nodes(desired: DesiredSandbox, whole: World) -> list[str]:
    """Return the nodes that a sandbox runs on, or should."""
    needed = {desired.gateway.node.id}
    for service in desired.services.values():
        if isinstance(service.target, Branch):
            needed.add(service.node.id)
    needed.update(place.node for place in places_of(desired.name, whole.observed))
    return sorted(needed)


def _hold_unknown(draft: Draft, node: str) -> None:
    """Say why what a node holds is unknown and left as it is, where that is so."""
    seen = draft.world.observed.get(node)
    if seen is None or not seen.connected:
        heard = f" (last heard at {seen.heard_at:%H:%M:%S} UTC)" if seen else ""
        draft.hold(
            "",
            "NodeSilent",
            f"node {node} does not report{heard}; what it holds is unknown and left as it is",
            f"look at its agent: sdp nodes, then {node} itself",
        )
    elif seen.report.engine.error:
        draft.hold(
            "",
            "EngineUnavailable",
            f"the engine of {node} does not answer: {seen.report.engine.error}",
            f"start the engine of {node}: systemctl start docker",
        )


def _rests(draft: Draft, desired: DesiredSandbox) -> bool:
    """Plan for one that is to sleep, or sleeps and may have expired; tell whether it does."""
    places = places_of(desired.name, draft.world.observed)
    if desired.asleep:
        _suspend(draft, places, _sleep(desired))
        return True
    unsure = draft.world.expiries.get(desired.name.lower())
    stopped = bool(places) and all(place.container.state in STOPPED for place in places)
    if not isinstance(unsure, Unsure) or not stopped:
        return False
    draft.hold("", UNKNOWN, f"whether it has expired is unknown: {unsure.message}", unsure.fix)
    return True


def _sleep(desired: DesiredSandbox) -> Cause:
    if desired.expired is None:
        return Cause("lifecycle.suspended", "", "true")
    return Cause("lifecycle.expire_after", "", f"unused since {desired.expired.used_at:%Y-%m-%d}")


def _suspend_service(draft: Draft, service: ServiceDifference) -> None:
    """Stop one service; its route stays as it is, and whatever it has is kept."""
    name = service.service
    places = places_of(draft.sandbox, draft.world.observed)
    mine = tuple(place for place in places if place.container.service == name)
    _suspend(draft, mine, Cause(f"services.{name}.suspended", "", "true"))


def _suspend(draft: Draft, places: tuple[Place, ...], cause: Cause) -> None:
    """Stop containers and keep them; only one that has to give its port up can't be kept."""
    _give_up_ports(draft, places)
    for place in places:
        if draft.known(place.node) and place.container.state in RUNS:
            stop = Stop(sandbox=draft.sandbox, container=place.container.id)
            draft.do(place.node, place.container.service, stop, cause, key=_key(place, "stop"))


def _give_up_ports(draft: Draft, places: tuple[Place, ...]) -> None:
    """Remove what is stopped on a port that somebody pinned; it comes back on another one."""
    for place in places:
        if place.container.state in STOPPED and gives_up(place, draft.world):
            cause = Cause("its port is pinned by", "", _pinners(place, draft.world))
            _remove(draft, (place,), cause, ())


def _pinners(place: Place, whole: World) -> str:
    return ", ".join(whole.reserved[place.node, place.container.host_port])


def _networks(draft: Draft, desired: DesiredSandbox) -> dict[str, Keys]:
    """Plan the sandbox's network on each node where it runs something; return what to be after."""
    runs_on = {desired.gateway.node.id}
    for service in desired.services.values():
        if isinstance(service.target, Branch):
            runs_on.add(service.node.id)
    after: dict[str, Keys] = {}
    for node in sorted(runs_on):
        held = observation.held(draft.world.observed, node, desired.name)
        after[node] = ()
        if not held.networks and draft.known(node):
            action = EnsureNetwork(sandbox=desired.name, name=names.network(desired.name))
            after[node] = draft.do(node, "", action, Cause("sandbox", "", desired.name))
    return after


def _route(
    draft: Draft, difference: Difference, service: ServiceDifference, gateway: Keys, rolled: Keys
) -> Keys:
    """Plan the route of one service; return the keys that its predecessors' removal waits for."""
    copy, node = difference.serving_copy, difference.gateway.node.id
    after = (*gateway, *rolled)
    url = _wanted_url(draft, difference, service, rolled)
    nowhere = copy is None and not (url and gateway)  # no gateway has it, and none is on its way
    if not draft.known(node) or url is None or nowhere:
        return after
    key = difference.desired.gateway.spec.key.replace("{service}", service.service)
    if copy is not None and (found := _blocked(difference, key, copy)):
        if url:
            said = f"config.php at {copy.commit[:7]} can't route {service.service} by {key}"
            words = f"{said}: {found.message} ({found.kind})"
            draft.hold(service.service, "RouteNotPatchable", words, found.fix)
        return after
    edited = copy is not None and copy.edited
    if copy is not None and key not in copy.routes and not edited:
        return after  # it could not be read just now
    actual = copy.routes.get(key, "") if copy else ""
    wanted = url or (copy.defaults[key] if copy else "")
    if actual == wanted and not edited:
        return after
    action = Route(sandbox=difference.sandbox, service=service.service, key=key, url=url or None)
    cause = Cause("config.php was edited by hand" if edited else "route", actual, wanted)
    return (*after, *draft.do(node, service.service, action, cause, version=wanted, after=after))


def _wanted_url(
    draft: Draft, difference: Difference, service: ServiceDifference, rolled: Keys
) -> str | None:
    """Return the URL that a service's route should have; "" is OCP's, None leaves it as it is.

    A container is routed to once it is healthy and admitted: the route comes after what rolls it
    out. While none stands, the route stays.
    """
    match difference.desired.services[service.service].target:
        case Ocp():
            return ""
        case Address(url):
            return url
        case Branch():
            stands = service.current if rolled else serving(service)
            port = stands.host_port if stands else draft.leased(service.service)
            if port is None or not (rolled or stands):
                return None
            return f"http://{service.node.ip_address}:{port}"


def _blocked(difference: Difference, key: str, copy: Copy) -> RouteProblem | None:
    found = problem(key, difference.desired.gateway.spec.config, copy)
    return found if found and found.blocking else None


def _retire(draft: Draft, difference: Difference, service: ServiceDifference, after: Keys) -> None:
    """Remove what a service no longer needs, once what replaces it is routed to."""
    if not draft.known(difference.gateway.node.id):
        return
    if service.wanted is None:
        cause = Cause(f"services.{service.service}", "sandbox", "elsewhere")
        _remove(draft, service.others, cause, after)
    elif service.current is not None and service.current == serving(service):
        cause = Cause("replaced by", "", service.current.commit[:7])
        _remove(draft, service.others, cause, after)


def _retire_gateway(draft: Draft, difference: Difference, after: Keys) -> None:
    gateway = difference.gateway
    current = gateway.current
    if current is not None and current.state == "running" and current.health == "healthy":
        _remove(draft, gateway.others, Cause("replaced by", "", current.commit[:7]), after)
    if isinstance(gateway.wanted, Version) and draft.known(gateway.node.id):
        _retire_copies(draft, difference, gateway.wanted)


def _retire_copies(draft: Draft, difference: Difference, wanted: Version) -> None:
    """Remove the copies that no container has and that are not wanted: of updates that failed, too."""
    gateway, node = difference.gateway, difference.gateway.node.id
    in_use = {wanted.commit, *(place.container.commit for place in gateway.others)}
    for copy in observation.held(draft.world.observed, node, difference.sandbox).copies:
        if copy.commit not in in_use:
            action = RemoveCopy(sandbox=difference.sandbox, commit=copy.commit)
            cause = Cause("no longer used", "", copy.commit[:7])
            draft.do(node, names.GATEWAY, action, cause, version=copy.commit)


def _remove(draft: Draft, places: tuple[Place, ...], cause: Cause, after: Keys) -> Keys:
    keys: Keys = ()
    for place in places:
        if draft.known(place.node):
            action = Remove(sandbox=draft.sandbox, container=place.container.id)
            key = _key(place, "remove")
            service = place.container.service
            keys += draft.do(place.node, service, action, cause, after=after, key=key)
    return keys


def _key(place: Place, verb: str) -> str:
    return f"{place.node}/{place.container.id}/{verb}"


def _unwanted(sandbox: str, whole: World) -> Plan:
    """Plan the end of a sandbox that is not desired any more."""
    places = places_of(sandbox, whole.observed)
    label = _label(sandbox, whole)
    draft = Draft(label, whole)
    if whole.desired.platform is None or whole.desired.unreadable:
        broken = ", ".join(whole.desired.unreadable) or "platform.yaml"
        draft.hold(
            "",
            "DeletionHeld",
            f"nobody desires {label}, but {broken} does not load and could be about it",
            f"mend {broken}: sdp validate",
        )
        return draft.plan()
    cause = Cause("removed from git", "", "")
    gateways = tuple(p for p in places if p.container.service == names.GATEWAY)
    services = tuple(p for p in places if p.container.service != names.GATEWAY)
    routed = _to_ocp(draft, gateways, cause)
    gone = _remove(draft, services, cause, routed)
    gone += _remove(draft, gateways, cause, gone)
    _sweep(draft, cause, gone)
    return draft.plan()


def _label(sandbox: str, whole: World) -> str:
    """Return the name of an observed sandbox as it was written."""
    for node in sorted(whole.observed):
        held = observation.held(whole.observed, node, sandbox)
        names_seen = [
            *(container.sandbox for container in held.containers),
            *(copy.sandbox for copy in held.copies),
            *(network.sandbox for network in held.networks),
        ]
        if names_seen:
            return names_seen[0]
    return sandbox


def _to_ocp(draft: Draft, gateways: tuple[Place, ...], cause: Cause) -> Keys:
    keys: Keys = ()
    running = {(p.node, p.container.commit) for p in gateways if p.container.state == "running"}
    for node, commit in sorted(running):
        for copy in observation.held(draft.world.observed, node, draft.sandbox).copies:
            if copy.commit != commit or not draft.known(node):
                continue
            for key, default in sorted(copy.defaults.items()):
                if copy.routes.get(key) != default:
                    action = Route(sandbox=draft.sandbox, service=key, key=key, url=None)
                    keys += draft.do(node, key, action, cause, version=default)
    return keys


def _sweep(draft: Draft, cause: Cause, after: Keys) -> None:
    """Remove what is left of a sandbox when its containers are gone."""
    for node in sorted(draft.world.observed):
        if not draft.known(node):
            draft.hold(
                "",
                "NodeSilent",
                f"node {node} does not report; if it holds anything of {draft.sandbox}, it stays",
                f"start the agent of {node}, or take {node} out of platform.yaml",
            )
            continue
        held = observation.held(draft.world.observed, node, draft.sandbox)
        for copy in held.copies:
            action = RemoveCopy(sandbox=draft.sandbox, commit=copy.commit)
            draft.do(node, names.GATEWAY, action, cause, version=copy.commit, after=after)
        for network in held.networks:
            removal = RemoveNetwork(sandbox=draft.sandbox, name=network.name)
            draft.do(node, "", removal, cause, after=after)
