"""The VMs: listed, shown, and examined for what would fail before it fails."""

from fastapi import APIRouter

from sdp import clock
from sdp.api import enrolment, node_views
from sdp.api.agents import Sessions
from sdp.api.ports import Ports, Trust
from sdp.api.problems import missing
from sdp.protocol.report import Archive, Disk, EngineFacts, Fact, Keys, Tool
from sdp.reconciler.observed import Observed, ObservedNode
from sdp.spec import models


def router(ports: Ports, sessions: Sessions, version: str) -> APIRouter:
    """Return the routes about nodes; ``version`` is the control plane's own."""
    plane, trust = ports.plane, ports.trust
    routes = APIRouter(tags=["nodes"])

    @routes.get("/nodes")
    async def list_nodes() -> tuple[node_views.NodeView, ...]:
        """List the VMs, and what their agents last said."""
        return nodes(plane.platform, plane.observed, trust) if plane.platform else ()

    @routes.get("/nodes/{name}")
    async def show_node(name: str) -> node_views.NodeDetail:
        """Show one VM whole."""
        known = plane.platform.nodes if plane.platform else ()
        for each in known:
            if each.id == name:
                return node(each, plane.observed.get(name), trust)
        raise missing("node", name, "sdp nodes", [each.id for each in known])

    @routes.get("/doctor")
    async def examine() -> node_views.Examination:
        """Say what is wrong with nodes, and with what sandboxes want of them; each with its fix."""
        found = (
            *ports.exposed,
            *plane.examine(version),
            *enrolment.examine(plane, trust, sessions),
        )
        return node_views.Examination(
            version=version, signing_key=plane.signing_key, now=clock.now(), findings=found
        )

    return routes


def nodes(
    platform: models.Platform, observed: Observed, trust: Trust
) -> tuple[node_views.NodeView, ...]:
    """Return the nodes of a platform."""
    return tuple(_node(node, observed.get(node.id), trust) for node in platform.nodes)


def node(spec: models.Node, seen: ObservedNode | None, trust: Trust) -> node_views.NodeDetail:
    """Return one node whole."""
    bare = node_views.NodeDetail.model_validate(_node(spec, seen, trust).model_dump())
    if seen is None:
        return bare
    report = seen.report
    ours = {
        each.host_port: f"{each.sandbox}/{each.service}"
        for each in report.containers.values()
        if each.host_port
    }
    taken = {**{int(port): each.owner for port, each in report.listeners.items()}, **ours}
    return bare.model_copy(
        update={
            "ports": tuple(node_views.PortView(port=p, party=taken[p]) for p in sorted(taken)),
            "repositories": tuple(
                node_views.NodeRepository(
                    name=name,
                    branches=len(each.branches),
                    error=each.error,
                    checked_at=each.checked_at,
                    credentials=each.credentials,
                )
                for name, each in sorted(report.repositories.items())
            ),
            "facts": tuple(
                node_views.FactView(name=name, says=_said(fact))
                for name, fact in sorted(report.facts.items())
            ),
        }
    )


def _said(fact: Fact) -> str:
    match fact:
        case Tool(version=version):
            return version or "missing"
        case Disk():
            size = f"{fact.total_bytes / (1 << 30):.1f} GB"
            state = "" if fact.writable else ", read-only"
            return f"{fact.path}: {fact.free} % of {size} free, {fact.inodes} % of inodes{state}"
        case EngineFacts():
            room = f"room for {fact.networks} networks, {fact.strange} taken by others"
            return f"API {fact.api}, {room}"
        case Archive(images=images):
            return ", ".join(images) or "no images in it"
        case Keys(recipients=recipients, message=message):
            return ", ".join(recipients) or message


def _node(node: models.Node, seen: ObservedNode | None, trust: Trust) -> node_views.NodeView:
    belief = trust.belief(node.id)
    bare = node_views.NodeView(
        id=node.id,
        name=node.name,
        ip_address=node.ip_address,
        type=node.type,
        connected=False,
        trust=belief.state,
        trusted_since=belief.since,
    )
    if seen is None:
        return bare
    report = seen.report
    disks = [each for each in report.facts.values() if isinstance(each, Disk)]
    return bare.model_copy(
        update={
            "connected": seen.connected,
            "heard_at": seen.heard_at,
            "agent_version": seen.version,
            "engine_version": report.engine.version,
            "engine_error": report.engine.error,
            "containers": len(report.containers),
            "images": tuple(sorted(report.images)),
            "sandboxes": tuple(sorted({c.sandbox for c in report.containers.values()})),
            "disk_free": min((f.free for f in disks), default=None),
            "skew_seconds": seen.skew.seconds if seen.skew else None,
        }
    )
