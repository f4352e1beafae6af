"""Observed: what the nodes report, as one frozen value. A silent node's part is unknown."""

import dataclasses
import datetime
import types
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from sdp.protocol import frames
from sdp.protocol.report import Container, Copy, Delta, Network, NodeReport
from sdp.protocol.report import fold as fold_report
from sdp.reconciler import crashes, usage
from sdp.reconciler.crashes import Crashes
from sdp.reconciler.disk import shortage
from sdp.reconciler.usage import Sample, Usage


@dataclasses.dataclass(frozen=True, slots=True)
class Held:
    """What a node holds for one sandbox."""

    containers: tuple[Container, ...] = ()
    copies: tuple[Copy, ...] = ()
    networks: tuple[Network, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Skew:
    """How many seconds a node's clock is ahead of ours, give or take ``margin``."""

    seconds: float
    margin: float


@dataclasses.dataclass(frozen=True, slots=True)
class ObservedNode:
    """A node as last heard.

    Attributes:
        connected: its agent has a session and has reported in it.
        heard_at: when it last said anything.
        held: what it holds, by lower-cased sandbox name.
        skew: its clock's; None until it was asked.
        crashes: of those of its containers that the engine had to start again, by id.
        used: what its containers used of late, by id; measured beside the report.
    """

    report: NodeReport
    generation: int
    connected: bool
    heard_at: datetime.datetime
    version: str
    held: Mapping[str, Held]
    skew: Skew | None = None
    crashes: Mapping[str, Crashes] = dataclasses.field(default_factory=dict)
    used: Mapping[str, Usage] = dataclasses.field(default_factory=dict)

    @property
    def known(self) -> bool:
        """Whether the report may be acted upon: agent and engine both answer."""
        return self.connected and not self.report.engine.error


Observed: TypeAlias = Mapping[str, ObservedNode]
"""By node id; a node that never reported is absent."""

NOTHING: Observed = types.MappingProxyType({})
_NOTHING_HELD = Held()


def report(
    observed: Observed, node: str, new: NodeReport, generation: int, now: datetime.datetime
) -> Observed:
    """Return the observation with a node's full report in place of what was known of it."""
    known = observed.get(node)
    before = known.report.containers if known else {}
    fresh = ObservedNode(
        new,
        generation,
        connected=True,
        heard_at=now,
        version=known.version if known else "",
        held=_held(new),
        skew=known.skew if known else None,
        crashes=crashes.fold(known.crashes if known else {}, before, new.containers, now),
        used=known.used if known else {},
    )
    return {**observed, node: fresh}


def fold(
    observed: Observed, node: str, delta: Delta, generation: int, now: datetime.datetime
) -> Observed:
    """Return the observation with a node's delta applied."""
    known = observed[node]
    merged = fold_report(known.report, delta)
    moved = delta.containers or delta.copies or delta.networks
    fresh = dataclasses.replace(known, report=merged, generation=generation, heard_at=now)
    if moved:
        before, after = known.report.containers, merged.containers
        fallen = crashes.fold(known.crashes, before, after, now)
        fresh = dataclasses.replace(fresh, held=_held(merged), crashes=fallen)
    return {**observed, node: fresh}


def measured(
    observed: Observed, node: str, samples: Iterable[frames.Sample], now: datetime.datetime
) -> tuple[Observed, frozenset[str]]:
    """Return the observation with what containers use, and whose strain began or ended.

    Returns:
        Of a node that never reported nothing is taken; else the lower-cased names of sandboxes.
    """
    if node not in observed:
        return observed, frozenset()
    known = observed[node]
    containers = known.report.containers
    used = {key: each for key, each in known.used.items() if key in containers}
    turned: set[str] = set()
    for told in samples:
        if (container := containers.get(told.container)) is None:
            continue
        before = used.get(container.id, Usage())
        sample = Sample(now, told.cpu_milli, told.memory_bytes)
        used[container.id] = usage.fold(before, sample, container.limits)
        if before.strains.keys() != used[container.id].strains.keys():
            turned.add(container.sandbox.lower())
    fresh = dataclasses.replace(known, used=used, heard_at=now)
    return {**observed, node: fresh}, frozenset(turned)


def timed(observed: Observed, node: str, skew: Skew) -> Observed:
    """Return the observation with a node's clock compared; of one that never reported, nothing."""
    if node not in observed:
        return observed
    return {**observed, node: dataclasses.replace(observed[node], skew=skew)}


def silent(observed: Observed, node: str) -> Observed:
    """Return the observation with a node's agent gone; what it last said is kept, as unknown."""
    if node not in observed:
        return observed
    return {**observed, node: dataclasses.replace(observed[node], connected=False)}


def touched(node_report: NodeReport, delta: Delta) -> frozenset[str] | None:
    """Return the lower-cased names of sandboxes that a delta is about; None: maybe all."""
    if delta.engine or delta.images or delta.releases or delta.repositories or delta.listeners:
        return None
    if delta.sealed or _room_changes(node_report, delta):
        return None
    names: set[str] = set()
    for key, container in delta.containers.items():
        about = container or node_report.containers.get(key)
        names.update({about.sandbox.lower()} if about else set())
    for key, network in delta.networks.items():
        holder = network or node_report.networks.get(key)
        names.update({holder.sandbox.lower()} if holder else set())
    names.update(key.split("/")[0].lower() for key in delta.copies)
    names.update(delta.activity)
    return frozenset(names)


def has_room_again(node_report: NodeReport, delta: Delta) -> bool:
    """Whether a delta tells that the disk is not low any more."""
    return bool(shortage(node_report)) and _room_changes(node_report, delta)


def _room_changes(node_report: NodeReport, delta: Delta) -> bool:
    if not delta.facts:
        return False
    return bool(shortage(node_report)) != bool(shortage(fold_report(node_report, delta)))


def sandboxes(observed: Observed) -> frozenset[str]:
    """Return the lower-cased names of all sandboxes that any node holds something of."""
    return frozenset(name for node in observed.values() for name in node.held)


def held(observed: Observed, node: str, sandbox: str) -> Held:
    """Return what a node holds for a sandbox."""
    known = observed.get(node)
    return known.held.get(sandbox.lower(), _NOTHING_HELD) if known else _NOTHING_HELD


def _held(node_report: NodeReport) -> Mapping[str, Held]:
    containers: dict[str, list[Container]] = {}
    copies: dict[str, list[Copy]] = {}
    networks: dict[str, list[Network]] = {}
    for container in node_report.containers.values():
        containers.setdefault(container.sandbox.lower(), []).append(container)
    for copy in node_report.copies.values():
        copies.setdefault(copy.sandbox.lower(), []).append(copy)
    for network in node_report.networks.values():
        networks.setdefault(network.sandbox.lower(), []).append(network)
    return {
        name: Held(
            tuple(sorted(containers.get(name, ()), key=lambda each: (each.name, each.id))),
            tuple(sorted(copies.get(name, ()), key=lambda each: each.commit)),
            tuple(sorted(networks.get(name, ()), key=lambda each: each.name)),
        )
        for name in containers.keys() | copies.keys() | networks.keys()
    }
