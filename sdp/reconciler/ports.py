"""Ports: who has which port of which node, and the next free one. Pure; leases are values.

Pins are reserved first; the rest get the lowest free port, and keep it while their container
stands or is wanted.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

from sdp.reconciler.desired import Branch, Desired
from sdp.reconciler.observed import Observed
from sdp.spec import models, names

NAMED: Final = 5
"""So many of those who use a range up are named."""


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

Pins: TypeAlias = Mapping[tuple[str, int], tuple[str, ...]]
"""By node and port: the parties; there is a conflict where there are several."""


@dataclasses.dataclass(frozen=True, slots=True)
class Conflict:
    """Why no port can be given: who has it, or that the range is used up."""

    message: str
    fix: str


@dataclasses.dataclass(frozen=True, slots=True)
class Claim:
    """What a container needs a port for.

    ``avoids``: ports of the same version's, which it has to stand beside.
    """

    node: str
    sandbox: str
    service: str
    hash: str
    pinned: int | None
    avoids: frozenset[int] = frozenset()

    @property
    def party(self) -> str:
        """Who asks, in words."""
        return f"{self.sandbox}/{self.service}"


def pins(desired: Desired) -> Pins:
    """Return who pinned which port of which node, by name; any port may be pinned."""
    reserved: dict[tuple[str, int], tuple[str, ...]] = {}
    for node, port, sandbox, service in pinned(desired):
        reserved[node, port] = (*reserved.get((node, port), ()), f"{sandbox}/{service}")
    return reserved


def pinned(desired: Desired) -> Iterator[tuple[str, int, str, str]]:
    """Yield node, port, sandbox and service of every pin of what runs here, by sandbox."""
    for _, sandbox in sorted(desired.sandboxes.items()):
        gateway = sandbox.gateway
        if gateway.port is not None:
            yield gateway.node.id, gateway.port, sandbox.name, names.GATEWAY
        for service in sandbox.services.values():
            if service.port is not None and isinstance(service.target, Branch):
                yield service.node.id, service.port, sandbox.name, service.name


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
    reserved: Pins,
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
        found = pin(claim, claim.pinned, leases, reserved, observed)
        if isinstance(found, Lease) or not _goes_first(claim.party, leases, reserved):
            return found
    for lease in sorted(leases.values()):
        kept = claim.pinned is None and not preempted(lease, reserved)
        if not _same(lease, claim) or not (kept or (lease.node, lease.port) not in reserved):
            continue
        if not stranger(lease.node, lease.port, observed):
            return lease
    for port in range(ports.first, ports.last + 1):
        place = (claim.node, port)
        if place not in leases and place not in reserved and not stranger(*place, observed):
            return Lease(claim.node, port, claim.sandbox, claim.service, claim.hash)
    return _exhausted(claim.node, leases, reserved, observed, ports)


def preempted(lease: Lease, reserved: Pins) -> bool:
    """Whether an allocated port is given up because somebody else pinned it.

    A gateway keeps its port: testers have it in their phones.
    """
    pinners = reserved.get((lease.node, lease.port), ())
    return bool(pinners) and lease.party not in pinners and lease.service != names.GATEWAY


def stranger(node: str, port: int, observed: Observed) -> str:
    """Return what has a port of a node without being ours, in words; "" for nothing."""
    seen = observed.get(node)
    listener = seen.report.listeners.get(str(port)) if seen else None
    return listener.owner if listener else ""


def blocked(node: str, port: int, observed: Observed) -> Conflict | None:
    """Return the conflict with a stranger who has a port that must not move."""
    who = stranger(node, port, observed)
    if not who:
        return None
    return Conflict(
        f"port {port} of {node} is taken by {who}",
        f"stop it, or pin another port than {port}: sdp ports shows which are free",
    )


def _same(lease: Lease, claim: Claim) -> bool:
    mine = (lease.node, lease.sandbox, lease.service)
    if mine != (claim.node, claim.sandbox, claim.service) or lease.port in claim.avoids:
        return False
    return lease.hash == claim.hash or claim.service == names.GATEWAY


def pin(
    claim: Claim,
    port: int,
    leases: Leases,
    reserved: Pins,
    observed: Observed,
) -> Lease | Conflict:
    """Return the lease of a pinned port, or who is in the way."""
    place = (claim.node, port)
    holder, pinners = leases.get(place), reserved.get(place, (claim.party,))
    if holder is not None and holder.party != claim.party:
        return _held_by(holder, place, reserved)
    if holder is None and pinners[0] != claim.party:
        return _twice(place, pinners[0])
    return blocked(*place, observed) or Lease(
        claim.node, port, claim.sandbox, claim.service, claim.hash
    )


def _goes_first(party: str, leases: Leases, reserved: Pins) -> bool:
    """Whether parties that exchange their pinned ports wait for this one: the first by name.

    It goes by way of an allocated port, so that none of them stops serving meanwhile.
    """
    wants = {each: place for place, pinners in reserved.items() for each in pinners}
    circle = [party]
    while (place := wants.get(circle[-1])) is not None and place in leases:
        holder = leases[place].party
        if holder in circle:
            return holder == party == min(circle) and len(circle) > 1
        circle.append(holder)
    return False


def _held_by(holder: Lease, place: tuple[str, int], reserved: Pins) -> Conflict:
    """Return why a pinned port that somebody else has a lease of can't be had."""
    if holder.party in reserved.get(place, ()):
        return _twice(place, holder.party)
    said = f"port {holder.port} of {holder.node} is {holder.party}'s"
    moves = any(holder.party in pinners for pinners in reserved.values())
    if holder.service == names.GATEWAY and not moves:
        return Conflict(
            f"{said}, and a gateway keeps the port that it was given",
            "pin another port: sdp ports shows which are free",
        )
    return Conflict(
        f"{said}, which is to give it up",
        f"wait; sdp explain {holder.sandbox} says what that waits for",
    )


def _twice(place: tuple[str, int], other: str) -> Conflict:
    node, port = place
    return Conflict(
        f"port {port} of {node} is pinned by {other} too",
        "pin another port in one of the two: sdp ports shows which are free",
    )


def _exhausted(
    node: str,
    leases: Leases,
    reserved: Pins,
    observed: Observed,
    ports: models.PortRange,
) -> Conflict:
    """Return who has all the ports of a range, the first of them by name."""
    holders: list[str] = []
    for port in range(ports.first, ports.last + 1):
        lease, pinners = leases.get((node, port)), reserved.get((node, port), ())
        parties = (lease.party,) if lease else pinners[:1]
        holders += parties or (stranger(node, port, observed),)
    every = list(dict.fromkeys(holders))
    told = ", ".join(every[:NAMED])
    if len(every) > NAMED:
        told += f" and {len(every) - NAMED} more"
    return Conflict(
        f"no port is free on {node} in {ports.first}-{ports.last}: {told} have them",
        "widen ports: in platform.yaml, or delete a sandbox that nobody uses",
    )
