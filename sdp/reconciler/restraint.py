"""Restraint: how much of what is refused is written one by one. Pure.

The audit keeps all for good, and whoever is refused can come back as fast as they like: from one
address so many refusals and failures are written in a minute, and of the others their number.
"""

import dataclasses
import datetime
from collections.abc import Mapping
from typing import Final, TypeAlias

from sdp.reconciler.audit import Act

MINUTE: Final = datetime.timedelta(minutes=1)
MOST: Final = 60
"""Refusals and failures that are written in a minute, of one address."""
ADDRESSES: Final = 1_000
"""So many addresses are told apart; the one that was refused first longest ago is forgotten."""


@dataclasses.dataclass(frozen=True, slots=True)
class Refused:
    """What an address was refused since: how much was written, and how much was not."""

    since: datetime.datetime
    written: int = 0
    left_out: int = 0


Known: TypeAlias = Mapping[str, Refused]
"""By address, the one that began first before the others."""


def restrain(known: Known, act: Act) -> tuple[Known, tuple[Act, ...]]:
    """Return what is known then, and what to write of an act."""
    if act.status == "done":
        return known, (act,)
    before = known.get(act.address)
    if before is None or not datetime.timedelta(0) <= act.at - before.since < MINUTE:
        others = {key: each for key, each in known.items() if key != act.address}
        kept = dict([*others.items()][-(ADDRESSES - 1) :])
        told = (_left_out(before, act), act) if before and before.left_out else (act,)
        return {**kept, act.address: Refused(act.at, 1)}, told
    if before.written < MOST:
        more = dataclasses.replace(before, written=before.written + 1)
        return {**known, act.address: more}, (act,)
    more = dataclasses.replace(before, left_out=before.left_out + 1)
    return {**known, act.address: more}, ()


def _left_out(before: Refused, act: Act) -> Act:
    since = f"{before.since:%Y-%m-%d %H:%M:%S} UTC"
    message = f"{before.left_out} more in the minute from {since}, not written one by one"
    return Act(act.at, "REFUSAL", "refused", "", "too many refusals", act.address, message=message)
