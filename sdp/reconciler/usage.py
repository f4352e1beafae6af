"""Usage: the last samples of what a container uses, and whether it is at its limits. Pure.

2,000 containers take 16 MB, and 20 ms of CPU every ten seconds. A strain begins at a high mark and ends at a lower one, so that what swings around the high one is
told once.
"""

import dataclasses
import datetime
import types
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from sdp.protocol.actions import Limits

Strain: TypeAlias = Literal["memory", "cpu"]

KEPT: Final = 60
MINUTE: Final = datetime.timedelta(minutes=1)
HIGH: Final[Mapping[Strain, int]] = types.MappingProxyType({"memory": 90, "cpu": 95})
"""Per cent of the limit at which a strain begins; for CPU on average of a minute."""
LOW: Final = 80


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """What a container used at a moment; CPU in thousandths of a core, since the one before."""

    at: datetime.datetime
    cpu_milli: int
    memory_bytes: int


@dataclasses.dataclass(frozen=True, slots=True)
class Usage:
    """The last samples, oldest first, and per strain how many per cent it began with."""

    samples: tuple[Sample, ...] = ()
    strains: Mapping[Strain, int] = dataclasses.field(default_factory=dict)


def fold(known: Usage, sample: Sample, limits: Limits) -> Usage:
    """Return the usage with one more sample, of a container with these limits."""
    samples = (*known.samples, sample)[-KEPT:]
    shares: dict[Strain, int] = {
        "memory": _share(sample.memory_bytes, limits.memory_bytes),
        "cpu": _share(_last_minute(samples), limits.cpu_milli),
    }
    strains = {
        strain: known.strains.get(strain, share)
        for strain, share in shares.items()
        if share >= (LOW if strain in known.strains else HIGH[strain])
    }
    return Usage(samples, strains)


def _last_minute(samples: tuple[Sample, ...]) -> int:
    """Return the average CPU of the last minute; 0 before it was watched for one."""
    now = samples[-1].at
    if now - samples[0].at < MINUTE:
        return 0
    recent = [each.cpu_milli for each in samples if now - each.at < MINUTE]
    return sum(recent) // len(recent)


def _share(amount: int, limit: int) -> int:
    return amount * 100 // limit if limit else 0
