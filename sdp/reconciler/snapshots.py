"""Snapshots: what a sandbox ran each time it came to be in sync, so that it can be brought back.

One is due whenever that differs from the newest; so what ran before any change is always there.
Pure; the store keeps them.
"""

import dataclasses
import datetime
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, TypeAlias

from sdp.protocol.identity import digest
from sdp.reconciler import desired
from sdp.reconciler.desired import Address, Branch, DesiredSandbox
from sdp.reconciler.diff import Difference, ServiceDifference, Version
from sdp.spec import models, names
from sdp.spec.models import PinnedGateway, PinnedService, Pins

KEPT: Final = 20
"""How many are kept of each sandbox."""


@dataclasses.dataclass(frozen=True, slots=True)
class Snapshot:
    """What a sandbox ran.

    Attributes:
        sandbox: lower-cased name.
        number: counts up for each sandbox, from 1.
        revision: the config commit that it was in sync with.
        contents: service → 12 digits that change with what it found in its environment.
    """

    sandbox: str
    number: int
    taken_at: datetime.datetime
    revision: str
    pins: Pins
    contents: Mapping[str, str]


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """What differs between two snapshots: the gateway, a service, or an environment."""

    what: str
    before: str
    after: str


_Looked: TypeAlias = tuple[DesiredSandbox | None, tuple[tuple[str, Mapping[str, str]], ...]]
"""What is meant, and the commits and fingerprints that this comes to: a look at it costs little."""


class Newest:
    """The newest snapshot of each sandbox, and at what it was last looked whether one is due."""

    def __init__(self) -> None:
        self._newest: dict[str, Snapshot] = {}
        self._looked: dict[str, _Looked] = {}

    def remember(self, known: Iterable[Snapshot]) -> None:
        """Take what outlived the process."""
        self._newest = {each.sandbox: each for each in known}

    def due(self, difference: Difference, now: datetime.datetime) -> Snapshot | None:
        """Return the snapshot of a sandbox in sync, where it differs from the newest."""
        meant = difference.desired
        name = meant.name.lower()
        looked = (desired.intent(meant), _versions(difference))
        if self._looked.get(name) == looked or (pins := _pins(difference)) is None:
            return None
        last = self._newest.get(name)
        number = last.number + 1 if last else 1
        made = Snapshot(name, number, now, meant.revision, pins, _contents(difference))
        if last is not None and _state(last) == _state(made):
            self._looked[name] = looked
            return None
        return made

    def kept(self, snapshot: Snapshot) -> None:
        """Take it that a snapshot that was due is kept now."""
        self._newest[snapshot.sandbox] = snapshot


def changes(before: Snapshot, after: Snapshot) -> tuple[Change, ...]:
    """Return what differs between two snapshots of a sandbox, in order."""
    return tuple(each for each in _compared(before, after) if each.before != each.after)


def pins_of(snapshot: models.Snapshot) -> Pins:
    """Return what a named snapshot pins, without its name."""
    return Pins.model_validate(snapshot.model_dump(include={*Pins.model_fields}))


def commits(
    pinned: Iterable[models.Snapshot], platform: models.Platform | None
) -> frozenset[tuple[str, str]]:
    """Return the commits that named snapshots pin, each with its repository."""
    if platform is None:
        return frozenset()
    found: set[tuple[str, str]] = set()
    for each in pinned:
        found.add((platform.gateway.repository, each.gateway.commit))
        for name, service in each.services.items():
            if service.commit is not None and name in platform.services:
                found.add((platform.services[name].repository, service.commit))
    return frozenset(found)


def _versions(difference: Difference) -> tuple[tuple[str, Mapping[str, str]], ...]:
    wanted = (each.wanted for each in (difference.gateway, *difference.services))
    return tuple((e.commit, e.fingerprints) for e in wanted if isinstance(e, Version))


def _pins(difference: Difference) -> Pins | None:
    """Return what a sandbox runs; None where it does not run what is wanted of it."""
    meant = difference.desired
    gateway = _running(difference.gateway)
    if gateway is None or meant.asleep:
        return None
    services: dict[str, PinnedService] = {}
    for each in difference.services:
        own = {"environment": meant.services[each.service].environment or None}
        match meant.services[each.service].target:
            case Branch():
                if (version := _running(each)) is None:
                    return None
                said = {"branch": version.branch or None, "commit": version.commit}
                services[each.service] = PinnedService.model_validate({**own, **said})
            case Address(url=url):
                services[each.service] = PinnedService.model_validate({**own, "url": url})
            case _:
                services[each.service] = PinnedService.model_validate({**own, "use_ocp": True})
    named = bool(meant.environment) or any(each.environment for each in services.values())
    return Pins(
        gateway=PinnedGateway(branch=gateway.branch or None, commit=gateway.commit),
        services=services,
        environment=meant.environment or None,
        environment_revision=(meant.environment_revision or meant.revision) if named else None,
    )


def _running(service: ServiceDifference) -> Version | None:
    wanted = service.wanted if isinstance(service.wanted, Version) else None
    return wanted if service.current is not None else None


def _contents(difference: Difference) -> dict[str, str]:
    """Return digests of what services find in their environments; of secrets, of fingerprints."""
    found: dict[str, str] = {}
    for each in difference.services:
        if isinstance(each.wanted, Version):
            said = difference.desired.services[each.service]
            parts = [dict(said.variables), dict(said.files), dict(each.wanted.fingerprints)]
            found[each.service] = digest(parts)
    return found


def _state(snapshot: Snapshot) -> tuple[Pins, Mapping[str, str]]:
    """Return what makes two snapshots the same: contents count, not since when they stand."""
    return snapshot.pins.model_copy(update={"environment_revision": None}), snapshot.contents


def _compared(before: Snapshot, after: Snapshot) -> Iterator[Change]:
    old, new = before.pins, after.pins
    yield Change(names.GATEWAY, *_words(old.gateway, new.gateway))
    for name in sorted(old.services.keys() | new.services.keys()):
        yield Change(name, *_words(old.services.get(name), new.services.get(name)))
    yield Change("environment", old.environment or "none", new.environment or "none")
    for name in sorted(old.services.keys() & new.services.keys()):
        was, now = old.services[name].environment, new.services[name].environment
        yield Change(f"{name} environment", was or "none", now or "none")
    both = before.contents.keys() & after.contents.keys()
    if any(before.contents[each] != after.contents[each] for each in both):
        was, now = (each.environment_revision or "" for each in (old, new))
        yield Change("variables, secrets or files", was[:7] or "none", now[:7] or "none")


def _words(
    before: PinnedGateway | PinnedService | None, after: PinnedGateway | PinnedService | None
) -> tuple[str, str]:
    """Return two targets in words; of a branch that stays, the commits alone."""
    if before and after and before.commit and after.commit and before.branch == after.branch:
        return before.commit[:7], after.commit[:7]
    return _target(before), _target(after)


def _target(pin: PinnedGateway | PinnedService | None) -> str:
    match pin:
        case PinnedService(url=str() as url):
            return url
        case PinnedGateway(commit=str() as commit) | PinnedService(commit=str() as commit):
            return f"{pin.branch or ''} @{commit[:7]}".strip()
        case PinnedService():
            return "OCP"
        case _:
            return "none"
