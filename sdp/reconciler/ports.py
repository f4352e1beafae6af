"""Ports: who has which port of which node, and the next free one. Pure; leases are values.

Pins are reserved first; the rest get the lowest free port, and keep it while their container
stands or is wanted.
"""

import dataclasses
from collections.abc import Mapping
from typing import TypeAlias

from sdp.reconciler.desired import Desired
from sdp.reconciler.observed import Observed
from sdp.spec import models, names


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Lease:
    """A port of a node, given to one version of one service. A gateway's holds for all versions."""

    node: str
    port: int
    sandbox: str
    service: str
    hash: str

    @property
    def party(self) -> str:
        """Who holds it, in words."""
        return f"{self.sandbox}/{self.service}"


Leases: TypeAlias = Mapping[tuple[str, int], Lease]
"""By node and port."""


@dataclasses.dataclass(frozen=True, slots=True)
class Conflict:
    """Why no port can be given: who has it, or that the range is used up."""

    message: str
    fix: str


@dataclasses.dataclass(frozen=True, slots=True)
class Claim:
    """What a container needs a port for."""

    node: str
    sandbox: str
    service: str
    hash: str
    pinned: int | None

    @property
    def party(self) -> str:
        """Who asks, in words."""
        return f"{self.sandbox}/{self.service}"


def pins(desired: Desired) -> Mapping[tuple[str, int], str]:
    """Return who pinned which port of which node; of several, the first by name."""
    reserved: dict[tuple[str, int], str] = {}
    for _, sandbox in sorted(desired.sandboxes.items()):
        if sandbox.gateway.port is not None:
            party = f"{sandbox.name}/{names.GATEWAY}"
            reserved.setdefault((sandbox.gateway.node.id, sandbox.gateway.port), party)
        for service in sandbox.services.values():
            if service.port is not None:
                party = f"{sandbox.name}/{service.name}"
                reserved.setdefault((service.node.id, service.port), party)
    return reserved


def rebuild(leases: Leases, observed: Observed) -> Leases:
    """Return the leases with those that containers prove; a container is right over a record."""
    proved = {
        (node, container.host_port): Lease(
            node, container.host_port, container.sandbox, container.service, container.hash
        )
        for node, seen in sorted(observed.items())
        for container in seen.report.containers.values()
        if container.host_port
    }
    return {**leases, **proved}


def take(
    claim: Claim,
    leases: Leases,
    reserved: Mapping[tuple[str, int], str],
    observed: Observed,
    ports: models.PortRange,
) -> Lease | Conflict:
    """Return the lease that a claim has or gets, or who is in the way.

    Args:
        claim: who asks.
        leases: what is given out.
        reserved: pins of the specs.
        observed: shows which ports strangers listen on.
        ports: the range to allocate from.
    """
    if claim.pinned is not None:
        return _pinned(claim, claim.pinned, leases, reserved, observed)
    for lease in sorted(leases.values()):
        if _same(lease, claim) and not _stranger(claim.node, lease.port, observed):
            return lease
    for port in range(ports.first, ports.last + 1):
        place = (claim.node, port)
        taken = place in leases or place in reserved or _stranger(*place, observed)
        if not taken:
            return Lease(claim.node, port, claim.sandbox, claim.service, claim.hash)
    return Conflict(
        f"no port is free on {claim.node} in {ports.first}-{ports.last}",
        "widen ports: in platform.yaml, or delete sandboxes that nobody uses",
    )


def _same(lease: Lease, claim: Claim) -> bool:
    mine = (lease.node, lease.sandbox, lease.service)
    if mine != (claim.node, claim.sandbox, claim.service):
        return False
    return lease.hash == claim.hash or claim.service == names.GATEWAY


def _pinned(
    claim: Claim,
    port: int,
    leases: Leases,
    reserved: Mapping[tuple[str, int], str],
    observed: Observed,
) -> Lease | Conflict:
    holder = leases.get((claim.node, port))
    if holder is not None and holder.party != claim.party:
        return Conflict(
            f"port {port} of {claim.node} is {holder.party}'s",
            "pin another port, or none to have one allocated",
        )
    first = reserved.get((claim.node, port), claim.party)
    if holder is None and first != claim.party:
        return Conflict(
            f"port {port} of {claim.node} is pinned by {first} too",
            "pin another port in one of the two",
        )
    if stranger := _stranger(claim.node, port, observed):
        return Conflict(
            f"port {port} of {claim.node} is taken by {stranger}",
            f"stop it, or pin another port than {port}",
        )
    return Lease(claim.node, port, claim.sandbox, claim.service, claim.hash)


def _stranger(node: str, port: int, observed: Observed) -> str:
    seen = observed.get(node)
    listener = seen.report.listeners.get(str(port)) if seen else None
    return listener.owner if listener else ""
