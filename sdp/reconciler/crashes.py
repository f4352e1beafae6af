"""Crashes: how often a container fell, and was started again, of late. A fold over reports. Pure.

Only the engine's own restarts count: whoever starts a container by hand, or has it replaced,
begins anew.
"""

import dataclasses
import datetime
from collections.abc import Mapping
from typing import Final

from sdp.protocol.report import Container

WINDOW: Final = datetime.timedelta(minutes=10)
"""A container that stood so long is as good as one that never fell."""
SETTLED: Final = datetime.timedelta(minutes=1)
"""The engine's longest pause between two starts: what stands longer is out of its loop."""
LOOP: Final = 3
_KEPT: Final = 30
ENDED: Final = frozenset({"restarting", "exited", "dead"})


@dataclasses.dataclass(frozen=True, slots=True)
class Crashes:
    """When a container was started again of late, oldest first, and how it ended the last time.

    Attributes:
        exit_code: None where its end was too short to be seen.
    """

    times: tuple[datetime.datetime, ...] = ()
    exit_code: int | None = None
    oom_killed: bool = False

    def recent(self, now: datetime.datetime) -> int:
        """Return how many there were within the window."""
        return sum(now - each < WINDOW for each in self.times)


NONE: Final = Crashes()


def fold(
    known: Mapping[str, Crashes],
    before: Mapping[str, Container],
    after: Mapping[str, Container],
    now: datetime.datetime,
) -> Mapping[str, Crashes]:
    """Return the crashes of a node's containers, by id; of one that never fell there are none.

    Args:
        known: what was known.
        before: the containers as reported before.
        after: the containers as reported now.
        now: when.
    """
    return {
        key: _fold(known.get(key, NONE), before.get(key), container, now)
        for key, container in after.items()
        if container.restarts
    }


def _fold(
    known: Crashes, before: Container | None, container: Container, now: datetime.datetime
) -> Crashes:
    new: tuple[datetime.datetime, ...] = (now,)
    if before is None:  # it fell before we heard of it: only its last start is known
        new = (min(container.started_at or now, now),)
    elif container.restarts < before.restarts:
        known = NONE
    else:
        new = (now,) * min(container.restarts - before.restarts, _KEPT)
    times = tuple(each for each in (*known.times, *new) if now - each < WINDOW)[-_KEPT:]
    if container.state in ENDED:
        return Crashes(times, container.exit_code, container.oom_killed)
    exit_code = container.exit_code or known.exit_code  # older agents say 0 of what runs
    return Crashes(times, exit_code, known.oom_killed or container.oom_killed)
