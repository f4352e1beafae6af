"""Restraint: how much of what is refused is written one by one. Pure.

The audit keeps all for good, and whoever is refused can come back as fast as they like: from one
address so many refusals and failures are written in a minute, and of the others their number,
with whatever act comes first after that.
"""

import dataclasses
import datetime
from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

from sdp.reconciler.audit import Act

MINUTE: Final = datetime.timedelta(minutes=1)
MOST: Final = 60
"""Refusals and failures that are written in a minute, of one address."""
ADDRESSES: Final = 1_000
"""So many addresses are told apart; the one that was refused first longest ago is forgotten."""


@dataclasses.dataclass(frozen=True, slots=True)
class Count:
    """Of one address, since when: how much was written, and how much was not."""

    since: datetime.datetime
    written: int = 0
    left_out: int = 0


Known: TypeAlias = Mapping[str, Count]
"""By address, the one that began first before the others."""


def restrain(known: Known, act: Act) -> tuple[Known, tuple[Act, ...]]:
    """Return what is known then, and what to write: of minutes that are over, and of an act."""
    over = frozenset(_over(known, act))
    told = [
        _left_out(key, known[key], act) for key in known if key in over and known[key].left_out
    ]
    left = {key: each for key, each in known.items() if key not in over}
    if act.status == "done":
        return left, (*told, act)
    before = left.get(act.address, Count(act.at))
    if before.written < MOST:
        more = dataclasses.replace(before, written=before.written + 1)
        return {**left, act.address: more}, (*told, act)
    more = dataclasses.replace(before, left_out=before.left_out + 1)
    return {**left, act.address: more}, tuple(told)


def _over(known: Known, act: Act) -> Iterator[str]:
    """Yield the addresses that are counted no longer: their minute is over, or others come."""
    comes = act.status != "done" and act.address not in known
    spare = len(known) + comes - ADDRESSES
    for number, (address, count) in enumerate(known.items()):
        if number < spare or not datetime.timedelta(0) <= act.at - count.since < MINUTE:
            yield address


def _left_out(address: str, count: Count, act: Act) -> Act:
    since = f"{count.since:%Y-%m-%d %H:%M:%S} UTC"
    message = f"{count.left_out} more in the minute from {since}, not written one by one"
    return Act(act.at, "REFUSAL", "refused", "", "too many refusals", address, message=message)
