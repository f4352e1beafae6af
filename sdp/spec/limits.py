"""Limits: what each container of a sandbox may take, and what says so. Pure.

A container's own limit counts, else the platform's for it. Those that have neither share what is
left of the sandbox's ceiling, equally: together they never take more than the ceiling.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Final, Literal

from sdp.spec import models, names, quantities

SHARE: Final = "share"
"""In place of a leaf's path: the limit is a share of the ceiling."""
PLATFORM: Final = "platform:"
"""Before a leaf's path: it stands in platform.yaml, outside of the defaults."""


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """What is limited: how it is read and shown, in which steps it is shared, and the least."""

    key: Literal["cpu", "memory"]
    parse: Callable[[str], int]
    shown: Callable[[int], str]
    step: int
    least: int

    def said(self, resources: models.Resources | None) -> int:
        """Return the amount that is written; 0 where none is."""
        text = getattr(resources, self.key) if resources else None
        return self.parse(text) if text else 0


CPU: Final = Kind("cpu", quantities.cpu, quantities.cpu_text, 1, 10)
MEMORY: Final = Kind("memory", quantities.memory, quantities.memory_text, 1 << 20, 16 << 20)
KINDS: Final = (CPU, MEMORY)


@dataclasses.dataclass(frozen=True, slots=True)
class Amount:
    """How much of a kind a container may take, 0 for all there is; and what says so.

    ``path`` is of a leaf, the sandbox's or with PLATFORM before it the platform's; or SHARE.
    """

    value: int = 0
    path: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Limit:
    """A container's limits."""

    cpu: Amount
    memory: Amount


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """Why limits do not go together; ``paths`` are the leaves that it is about."""

    paths: tuple[str, ...]
    message: str


def limits(body: models.Body, platform: models.Platform) -> dict[str, Limit]:
    """Return the limits of each container that a sandbox runs, by service.

    Where ``faults`` has something to say, the shares are 0 or below.
    """
    cpu, memory = (_amounts(kind, body, platform) for kind in KINDS)
    return {name: Limit(cpu[name], memory[name]) for name in cpu}


def faults(body: models.Body, platform: models.Platform) -> Iterator[Fault]:
    """Yield why a sandbox's ceiling can't be kept."""
    for kind in KINDS:
        if ceiling := kind.said(body.resources):
            yield from _faults(kind, ceiling, _amounts(kind, body, platform))


def _amounts(kind: Kind, body: models.Body, platform: models.Platform) -> dict[str, Amount]:
    own = {name: _own(kind, name, *said) for name, said in _containers(body, platform).items()}
    sharing = [name for name, each in own.items() if not each.path]
    ceiling = kind.said(body.resources)
    if not ceiling or not sharing:
        return own
    left = ceiling - sum(each.value for each in own.values())
    share = Amount(left // len(sharing) // kind.step * kind.step, SHARE)
    return {**own, **dict.fromkeys(sharing, share)}


def _containers(
    body: models.Body, platform: models.Platform
) -> Mapping[str, tuple[models.Resources | None, models.Resources | None]]:
    """Return what a sandbox runs: the resources that it names, and the platform's."""
    gateway = body.gateway.resources if body.gateway else None
    running = {names.GATEWAY: (gateway, platform.gateway.resources)}
    for name, target in sorted((body.services or {}).items()):
        if target is not None and (target.branch is not None or target.commit is not None):
            running[name] = (target.resources, platform.services[name].resources)
    return running


def _own(
    kind: Kind, name: str, said: models.Resources | None, default: models.Resources | None
) -> Amount:
    path = name if name == names.GATEWAY else f"services.{name}"
    if value := kind.said(said):
        return Amount(value, f"{path}.resources.{kind.key}")
    if value := kind.said(default):
        return Amount(value, f"{PLATFORM}{path}.resources.{kind.key}")
    return Amount()


def _faults(kind: Kind, ceiling: int, amounts: Mapping[str, Amount]) -> Iterator[Fault]:
    own = {name: each for name, each in amounts.items() if each.path != SHARE}
    sharing = [name for name in amounts if name not in own]
    taken = sum(each.value for each in own.values())
    paths = (f"resources.{kind.key}", *(each.path for each in own.values()))
    told = ", ".join(f"{name} {kind.shown(each.value)}" for name, each in own.items())
    if taken > ceiling:
        yield Fault(
            paths,
            f"its containers' limits ({told}) come to {kind.key} {kind.shown(taken)}, and the "
            f"sandbox's ceiling is {kind.shown(ceiling)}; lower one, or raise resources: "
            f"{{{kind.key}: {kind.shown(taken + kind.least * len(sharing))}}}",
        )
    elif sharing and amounts[sharing[0]].value < kind.least:
        needed = taken + kind.least * len(sharing)
        yield Fault(
            paths,
            f"{', '.join(sharing)} share {kind.key} {kind.shown(ceiling - taken)} of the "
            f"sandbox's ceiling of {kind.shown(ceiling)}, less than {kind.shown(kind.least)} "
            f"each; lower the limit of another, or raise resources: "
            f"{{{kind.key}: {kind.shown(needed)}}}",
        )
