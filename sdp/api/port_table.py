"""The ports of all nodes as one view: who has which, what is free, and who is in the way. Pure."""

from collections.abc import Iterator

from sdp.api import node_views
from sdp.protocol.report import Container
from sdp.reconciler import ports
from sdp.reconciler.draft import World
from sdp.reconciler.ports import Lease
from sdp.spec import models

_RANGE_OF: dict[str, node_views.PortKind] = {"MICRO": "services", "GATEWAY": "gateway"}


def port_list(whole: World) -> node_views.PortList:
    """Return the ports as of one moment."""
    platform = whole.desired.platform
    ranges = tuple(_ranges(platform, whole)) if platform else ()
    return node_views.PortList(
        ports=tuple(sorted((*_leased(whole), *_waiting(whole)), key=_place)),
        ranges=ranges,
        strangers=tuple(_strangers(ranges, whole)),
    )


def _place(row: node_views.LeaseView) -> tuple[str, int, str]:
    return row.node, row.port, row.sandbox


def _leased(whole: World) -> Iterator[node_views.LeaseView]:
    for place, lease in whole.leases.items():
        container = _container(lease, whole)
        running = container is not None and container.state == "running"
        yield node_views.LeaseView(
            node=lease.node,
            port=lease.port,
            sandbox=lease.sandbox,
            service=lease.service,
            origin="pinned" if lease.party in whole.reserved.get(place, ()) else "allocated",
            use="running" if running else "stopped" if container else "reserved",
            container=container.name if container else "",
        )


def _container(lease: Lease, whole: World) -> Container | None:
    """Return the container that a lease stands for, the running one of several."""
    seen = whole.observed.get(lease.node)
    found = [
        each
        for each in (seen.report.containers.values() if seen else ())
        if (each.host_port, each.sandbox, each.service)
        == (lease.port, lease.sandbox, lease.service)
    ]
    return min(found, key=lambda each: (each.state != "running", each.name), default=None)


def _waiting(whole: World) -> Iterator[node_views.LeaseView]:
    """Yield the pins that have no lease, because nothing has needed it yet or somebody has it."""
    for node, port, sandbox, service in ports.pinned(whole.desired):
        lease = whole.leases.get((node, port))
        if lease is not None and (lease.sandbox, lease.service) == (sandbox, service):
            continue
        free = lease is None and not ports.stranger(node, port, whole.observed)
        use: node_views.PortUse = "reserved" if free else "waits"
        yield node_views.LeaseView(
            node=node, port=port, sandbox=sandbox, service=service, origin="pinned", use=use
        )


def _ranges(platform: models.Platform, whole: World) -> Iterator[node_views.RangeView]:
    for node in platform.nodes:
        kind = _RANGE_OF.get(node.type)
        if kind is None:
            continue
        limits = platform.ports.gateway if kind == "gateway" else platform.ports.services
        bare = node_views.RangeView(node=node.id, kind=kind, first=limits.first, last=limits.last)
        seen = whole.observed.get(node.id)
        if seen is None or not seen.known:
            yield bare
            continue
        free = [
            port
            for port in range(limits.first, limits.last + 1)
            if (node.id, port) not in whole.leases
            and (node.id, port) not in whole.reserved
            and str(port) not in seen.report.listeners
        ]
        yield bare.model_copy(update={"free": len(free), "lowest": next(iter(free), None)})


def _strangers(
    ranges: tuple[node_views.RangeView, ...], whole: World
) -> Iterator[node_views.StrangerView]:
    """Yield the strangers that are in anybody's way: in a range, or on a pinned port."""
    for node, seen in sorted(whole.observed.items()):
        mine = [each for each in ranges if each.node == node]
        listeners = seen.report.listeners
        for port in sorted(map(int, listeners)):
            inside = any(each.first <= port <= each.last for each in mine)
            if inside or (node, port) in whole.reserved:
                yield node_views.StrangerView(
                    node=node, port=port, owner=listeners[str(port)].owner
                )
