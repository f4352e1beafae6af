"""Expiry: until when a sandbox lives that nobody uses. Pure.

Nothing of it is stored: use is what the gateway's access log, git and the deployments tell, so the
database may go, and an extension is a commit like any other. Where the log can't tell, nothing is
stopped for want of use, and what sleeps already sleeps on.
"""

import dataclasses
import datetime
from collections.abc import Iterator, Mapping
from typing import Final, Literal, TypeAlias, assert_never

from sdp.protocol.report import Activity
from sdp.reconciler.desired import Desired, DesiredSandbox, Expired
from sdp.reconciler.lifecycle import UNTOLD, Life, Lifecycle, Lives
from sdp.reconciler.observed import Observed, ObservedNode

WARNED_SHARE: Final = 0.2
"""So much of its time before the end a sandbox is said to expire soon, and at most a day."""
WARNED_MOST: Final = datetime.timedelta(days=1)
UNTOLD_MOST: Final = datetime.timedelta(minutes=1)
"""Agents tell of traffic once a minute: for so long after a request there may have been more."""
SKEW_MOST: Final = 300.0
"""Seconds by which clocks may differ before what one of them wrote tells nothing to the other."""

UNKNOWN: Final = "ExpiryUnknown"
"""The reason of what is held, or told, because nobody can say whether a sandbox is used."""
SOON: Final = "ExpiresSoon"


@dataclasses.dataclass(frozen=True, slots=True)
class Deadline:
    """When a sandbox was last used, and what follows from that.

    Attributes:
        used_at: a minute late at most, where the access log tells it.
        deletes_at: when its file is removed, where the spec says so.
    """

    used_at: datetime.datetime
    warns_at: datetime.datetime
    expires_at: datetime.datetime
    deletes_at: datetime.datetime | None


@dataclasses.dataclass(frozen=True, slots=True)
class Unsure:
    """It may be unused for so long that it expires, but that can't be known: why, and the fix."""

    message: str
    fix: str


Expiry: TypeAlias = Deadline | Unsure
Expiries: TypeAlias = Mapping[str, Expiry]
"""By lower-cased name; a sandbox that never expires is absent."""
Phase: TypeAlias = Literal["Unsure", "Used", "Warned", "Expired", "Due"]
Turn: TypeAlias = Literal["EXPIRES_SOON", "EXPIRED", "REVIVED"]
_TURNS: Final[Mapping[tuple[Phase, Phase], Turn]] = {
    ("Used", "Warned"): "EXPIRES_SOON",
    ("Used", "Expired"): "EXPIRED",
    ("Warned", "Expired"): "EXPIRED",
    ("Used", "Due"): "EXPIRED",
    ("Warned", "Due"): "EXPIRED",
    ("Expired", "Used"): "REVIVED",
    ("Expired", "Warned"): "REVIVED",
    ("Due", "Used"): "REVIVED",
    ("Due", "Warned"): "REVIVED",
}


def expiries(
    desired: Desired,
    observed: Observed,
    lives: Lives,
    deployed: Mapping[str, datetime.datetime],
    now: datetime.datetime,
) -> dict[str, Expiry]:
    """Return until when sandboxes live, of those that expire at all.

    Args:
        desired: all sandboxes.
        observed: what nodes report, access logs among it.
        lives: when each one's file was last changed.
        deployed: when the newest deployment began, by lower-cased name of the sandbox.
        now: as of when.
    """
    return {
        name: expiry(each, observed, lives.of.get(name, UNTOLD), deployed.get(name), now)
        for name, each in desired.sandboxes.items()
        if each.expire_after is not None and not each.protect and not each.suspended
    }


def expiry(
    sandbox: DesiredSandbox,
    observed: Observed,
    life: Life,
    deployed_at: datetime.datetime | None,
    now: datetime.datetime,
) -> Expiry:
    """Return until when one sandbox lives, whose spec says after how long it expires.

    While what is known without the access log keeps it alive, the log need not be readable.
    """
    changed_at = life.changed.at if life.changed else None
    times = [at for at in (changed_at, deployed_at) if at is not None]
    item = _activity(sandbox, observed)
    if not isinstance(item, Unsure):
        last = item.last_request_at
        return _deadline(sandbox, [*times, last + UNTOLD_MOST if last else item.since], now)
    known = _deadline(sandbox, times, now) if times else None
    return known if known is not None and now < known.expires_at else item


def asleep(desired: Desired, found: Expiries, now: datetime.datetime) -> Desired:
    """Return what is desired, with the sandboxes that have expired put to sleep."""
    expired = {
        name: dataclasses.replace(
            desired.sandboxes[name], expired=Expired(each.expires_at, each.used_at)
        )
        for name, each in found.items()
        if isinstance(each, Deadline) and each.expires_at <= now
    }
    return dataclasses.replace(desired, sandboxes={**desired.sandboxes, **expired})


def due(found: Expiries, desired: Desired, now: datetime.datetime) -> tuple[str, ...]:
    """Return the sandboxes whose files are to be removed, by lower-cased name."""
    return tuple(
        name
        for name, each in sorted(found.items())
        if isinstance(each, Deadline)
        and each.deletes_at is not None
        and each.deletes_at <= now
        and not desired.sandboxes[name].problems
    )


def turns(found: Expiries) -> Iterator[datetime.datetime]:
    """Yield when a sandbox's state changes by itself."""
    for each in found.values():
        if isinstance(each, Deadline):
            yield from (each.warns_at, each.expires_at)
            if each.deletes_at is not None:
                yield each.deletes_at


@dataclasses.dataclass(frozen=True, slots=True)
class Ages:
    """Until when sandboxes live, as of a moment."""

    found: Expiries
    at: datetime.datetime

    def phases(self) -> dict[str, Phase]:
        """Return what each one is in its life, by lower-cased name."""
        return {name: _phase(each, self.at) for name, each in self.found.items()}


def moved(before: Ages | None, after: Ages) -> frozenset[str]:
    """Return the sandboxes that are in another phase of their lives now, by lower-cased name."""
    old, new = before.phases() if before else {}, after.phases()
    return frozenset(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))


def turned(before: Ages | None, after: Ages) -> Iterator[tuple[str, Turn, Deadline]]:
    """Yield which sandboxes took a turn that people should hear of, by lower-cased name.

    What was unknown before took none: after a restart nobody is told again what was told.
    """
    old, new = before.phases() if before else {}, after.phases()
    for name in sorted(old.keys() & new.keys()):
        found, turn = after.found[name], _TURNS.get((old[name], new[name]))
        if turn is not None and isinstance(found, Deadline):
            yield name, turn, found


def told(made: Lifecycle, found: Expiry | None) -> Lifecycle:
    """Return a sandbox's lifecycle with its times."""
    if not isinstance(found, Deadline):
        return made
    return dataclasses.replace(
        made, used_at=found.used_at, expires_at=found.expires_at, deletes_at=found.deletes_at
    )


def _phase(found: Expiry, now: datetime.datetime) -> Phase:
    match found:
        case Unsure():
            return "Unsure"
        case Deadline(deletes_at=deletes_at) if deletes_at is not None and deletes_at <= now:
            return "Due"
        case Deadline(expires_at=expires_at) if expires_at <= now:
            return "Expired"
        case Deadline(warns_at=warns_at):
            return "Warned" if warns_at <= now else "Used"
        case _:
            assert_never(found)


def _deadline(
    sandbox: DesiredSandbox, used: list[datetime.datetime], now: datetime.datetime
) -> Deadline:
    assert sandbox.expire_after is not None  # noqa: S101 -- the caller has looked
    # What is still to come was written by a clock that was put back since: it was used till now.
    used_at = min(max(used), now)
    expires_at = used_at + sandbox.expire_after
    if sandbox.keep_until is not None:
        expires_at = max(expires_at, sandbox.keep_until)
    warned = min(sandbox.expire_after * WARNED_SHARE, WARNED_MOST)
    deletes_at = expires_at + sandbox.delete_after if sandbox.delete_after is not None else None
    return Deadline(used_at, expires_at - warned, expires_at, deletes_at)


def _activity(sandbox: DesiredSandbox, observed: Observed) -> Activity | Unsure:
    """Return what the gateway's node tells of use, or why that is nothing to go by."""
    node = sandbox.gateway.node.id
    seen = observed.get(node)
    if seen is None or not seen.connected:
        message = f"node {node} does not report whether it is used"
        return Unsure(message, f"look at its agent: sdp nodes {node}")
    if strange := _skew(seen):
        return Unsure(f"the clock of {node} is {strange} of ours", "set the clocks: sdp doctor")
    item = seen.report.activity.get(sandbox.name.lower())
    if item is None:
        return Unsure(f"no access log of its gateway is on {node}", _extend(sandbox))
    if item.error:
        return Unsure(f"its gateway's access log can't be read: {item.error}", _extend(sandbox))
    return item


def _skew(node: ObservedNode) -> str:
    if node.skew is None or abs(node.skew.seconds) <= SKEW_MOST + node.skew.margin:
        return ""
    ahead = "ahead" if node.skew.seconds > 0 else "behind"
    return f"{abs(node.skew.seconds):.0f} s {ahead}"


def _extend(sandbox: DesiredSandbox) -> str:
    return f"extend it: sdp extend {sandbox.name}"
