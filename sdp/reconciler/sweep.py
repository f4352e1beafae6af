"""Sweep: when what nothing refers to is removed, and what is told of it. No I/O.

The plan is the platform's own, not a sandbox's. It is made where everything is planned anyway, is
begun at once, and is never kept: the next look may find somebody who wants the release.
"""

import dataclasses
import datetime
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Final

from pydantic import JsonValue

from sdp.protocol.actions import RemoveRelease
from sdp.protocol.frames import Cancelled, Failed, Outcome, Succeeded
from sdp.reconciler import garbage
from sdp.reconciler.disk import megabytes, shortage
from sdp.reconciler.dispatch import InFlight
from sdp.reconciler.draft import Cause, Plan, Planned, World
from sdp.reconciler.events import Event
from sdp.reconciler.garbage import Commit, Garbage, Unused, Where
from sdp.reconciler.observed import Observed
from sdp.spec import models, quantities

AT_ONCE: Final = 4
"""Removals in flight on one node: deployments never wait for cleaning."""
PAUSE: Final = datetime.timedelta(minutes=5)
"""After a node could not remove something."""


def unused_for(platform: models.Platform | None) -> datetime.timedelta:
    """Return how long a release stays that nothing refers to."""
    retention = platform.retention if platform else models.Retention.model_validate({})
    return quantities.duration(retention.unused)


def without(observed: Observed, going: Iterable[InFlight]) -> Observed:
    """Return the observation without the releases that are being removed.

    Who wants one of them plans to build it, and the node does so when it is gone.
    """
    left = dict(observed)
    for each in going:
        action = each.planned.action
        if isinstance(action, RemoveRelease) and each.planned.node in left:
            seen = left[each.planned.node]
            key = f"{action.repository}/{action.commit}/{action.recipe}"
            releases = {k: release for k, release in seen.report.releases.items() if k != key}
            report = seen.report.model_copy(update={"releases": releases})
            left[each.planned.node] = dataclasses.replace(seen, report=report)
    return left


class Sweeper:
    """Since when what is unused, what a person asked to remove now, and what was removed."""

    def __init__(self) -> None:
        self._found = Garbage()
        self._asked: set[Where] = set()
        self._later: dict[Where, datetime.datetime] = {}
        self._going: dict[str, Unused] = {}
        self._busy: Counter[str] = Counter()
        self._removed: dict[str, list[Unused]] = {}

    def look(
        self,
        whole: World,
        plans: Iterable[Plan],
        flying: Iterable[InFlight],
        pinned: Collection[Commit] = (),
    ) -> Garbage:
        """Return what nothing refers to as of now, and remember since when.

        Args:
            whole: everything, without what is being removed.
            plans: every sandbox's.
            flying: what nodes were told to do, silent ones too.
            pinned: commits that are kept wherever they are.
        """
        begun = {each.planned.key: each.planned.action for each in flying}
        doing = [each.action for plan in plans for each in plan.actions]
        doing += begun.values()
        self._found = garbage.find(whole, self._found.since, doing, pinned)
        there = {each.where for each in self._found.unused}
        self._asked &= there
        self._going = {key: each for key, each in self._going.items() if key in begun}
        self._busy = Counter(each.node for each in self._going.values())
        self._later = {k: at for k, at in self._later.items() if k in there and at > whole.now}
        return self._found

    def ask(self, where: Iterable[Where]) -> None:
        """Take a person's word: these go now, as long as nothing refers to them."""
        self._asked.update(where)

    def plan(self, whole: World) -> Plan:
        """Return what of the last look's is removed now: the longest unused first.

        Where a disk is low everything is, the largest first.
        """
        grace = unused_for(whole.desired.platform)
        low = {node for node, seen in whole.observed.items() if shortage(seen.report)}
        due = [
            each
            for each in self._found.unused
            if each.where not in self._later
            and (each.node in low or each.where in self._asked or each.since <= whole.now - grace)
        ]
        due.sort(key=lambda each: (-each.release.bytes if each.node in low else 0, each.since))
        for each in due:
            if self._busy[each.node] < AT_ONCE:
                self._busy[each.node] += 1
                self._going[_key(each)] = each
        chosen = (each for each in due if _key(each) in self._going)
        return Plan(actions=tuple(_removal(each) for each in chosen))

    def ended(
        self, done: Planned, outcome: Outcome, flying: Iterable[InFlight], now: datetime.datetime
    ) -> list[Event]:
        """Take how a removal ended; return what to tell: one event for all of a node's.

        Args:
            done: the removal.
            outcome: how it ended.
            flying: what is being done still.
            now: when.
        """
        found = self._going.pop(done.key, None)
        told: list[Event] = []
        match outcome:
            case Succeeded() if found is not None:
                self._removed.setdefault(done.node, []).append(found)
            case Failed(reason=reason, message=message, fix=fix) if found is not None:
                self._later[found.where] = now + PAUSE
                about: dict[str, JsonValue] = {"node": done.node, "fix": fix}
                failed = Event(now, "ACTION_FAILED", "", "", "", reason, message, about)
                told.append(failed)
            case Succeeded() | Failed() | Cancelled():
                pass
        left = (each for each in flying if isinstance(each.planned.action, RemoveRelease))
        if any(each.planned.node == done.node for each in left):
            return told
        removed = self._removed.pop(done.node, [])
        return [*told, *([_told(done.node, removed, now)] if removed else [])]


def _key(unused: Unused) -> str:
    return f"{unused.node}/{unused.key}/remove"


def _removal(unused: Unused) -> Planned:
    release = unused.release
    return Planned(
        key=_key(unused),
        node=unused.node,
        sandbox="",
        service=_key(unused),
        version="",
        action=RemoveRelease(
            repository=release.repository, commit=release.commit, recipe=release.recipe
        ),
        after=(),
        cause=Cause("unused since", "", f"{unused.since:%Y-%m-%d %H:%M} UTC"),
    )


def _told(node: str, removed: Collection[Unused], now: datetime.datetime) -> Event:
    taken = sum(each.release.bytes for each in removed)
    size = f", {megabytes(taken)}" if taken else ""
    keys: list[JsonValue] = [each.key for each in removed]
    noun = "release" if len(removed) == 1 else "releases"
    message = f"{len(removed)} {noun} on {node}{size}: nothing refers to them"
    data: dict[str, JsonValue] = {"node": node, "releases": keys, "bytes": taken}
    return Event(now, "RELEASES_REMOVED", message=message, data=data)
