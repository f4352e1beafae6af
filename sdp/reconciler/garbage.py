"""Garbage: which releases on the nodes nothing refers to, and of which that can't be told. Pure.

A release is referred to by the version that a sandbox wants, by a container in any state, by a
sandbox's copy of the gateway, by what is planned or being done, and by what is pinned. While any
of these can't be known, nothing that it could refer to is garbage.
"""

import dataclasses
import datetime
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TypeAlias

from sdp.protocol.actions import Action, Build, CopyGateway, Fetch, StartService
from sdp.protocol.report import Release
from sdp.reconciler.diff import Obstacle, Unread, Version, diff
from sdp.reconciler.draft import World
from sdp.reconciler.observed import ObservedNode
from sdp.spec import names

Where: TypeAlias = tuple[str, str]
"""A node, and the key of a release in its report."""
Commit: TypeAlias = tuple[str, str]
"""A repository and a commit."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Want:
    """What a party, a sandbox's service, wants to run on a node."""

    party: str
    node: str
    repository: str
    wanted: Version | Obstacle | Unread


@dataclasses.dataclass(frozen=True, slots=True)
class Unused:
    """A release that nothing refers to, as far as was seen since a time."""

    node: str
    key: str
    release: Release
    since: datetime.datetime

    @property
    def where(self) -> Where:
        return self.node, self.key


@dataclasses.dataclass(frozen=True, slots=True)
class Doubt:
    """Why nothing of a repository, or with "" of all, is garbage on a node."""

    node: str
    repository: str
    message: str
    fix: str


@dataclasses.dataclass(frozen=True, slots=True)
class Garbage:
    """What nothing refers to, and why it is not known of the rest.

    ``since`` also has what was found unused before and is in doubt now: doubts pass.
    """

    unused: tuple[Unused, ...] = ()
    doubts: tuple[Doubt, ...] = ()
    since: Mapping[Where, datetime.datetime] = dataclasses.field(default_factory=dict)


def find(
    whole: World,
    before: Mapping[Where, datetime.datetime],
    doing: Iterable[Action],
    pinned: Collection[Commit] = (),
) -> Garbage:
    """Return what nothing refers to.

    Args:
        whole: everything as of now.
        before: ``since`` of the look before.
        doing: what is planned, or being done.
        pinned: commits that are kept wherever they are.
    """
    kept = {*pinned, *(commit for action in doing if (commit := _made_of(action)))}
    candidates = _candidates(whole, kept)
    if not candidates:
        return Garbage(doubts=tuple(_blind(whole)))
    wants = _wants(whole)
    doubts = (*_blind(whole), *_unresolved(wants, whole))
    doubted = {(each.node, each.repository) for each in doubts}
    needed = {(w.node, w.wanted.release) for w in wants if isinstance(w.wanted, Version)}
    since: dict[Where, datetime.datetime] = {}
    unused: list[Unused] = []
    for where, release in candidates.items():
        node, _ = where
        if where in needed:
            continue
        if (node, "") in doubted or (node, release.repository) in doubted:
            since.update({where: before[where]} if where in before else {})
            continue
        since[where] = before.get(where, whole.now)
        unused.append(Unused(*where, release, since[where]))
    return Garbage(tuple(unused), doubts, since)


def _candidates(whole: World, kept: Collection[Commit]) -> dict[Where, Release]:
    """Return the releases that are neither kept nor of a commit that stands on their node.

    Containers say their commit and not how it was built: whatever was built of it stays.
    """
    found: dict[Where, Release] = {}
    for node, seen in sorted(whole.observed.items()):
        report = seen.report
        standing = {each.commit for each in report.containers.values()}
        standing |= {each.commit for each in report.copies.values()}
        for key, release in sorted(report.releases.items()):
            if release.commit not in standing and (release.repository, release.commit) not in kept:
                found[node, key] = release
    return found


def _wants(whole: World) -> list[_Want]:
    """Return what the sandboxes want to run of their own, suspended ones too."""
    found: list[_Want] = []
    for sandbox in whole.desired.sandboxes.values():
        difference = diff(sandbox, whole.observed)
        repositories = {name: each.spec.repository for name, each in sandbox.services.items()}
        repositories[names.GATEWAY] = sandbox.gateway.spec.repository
        for service in (difference.gateway, *difference.services):
            if service.wanted is not None:
                party = f"{sandbox.name}/{service.service}"
                repository = repositories[service.service]
                found.append(_Want(party, service.node.id, repository, service.wanted))
    return found


def _made_of(action: Action) -> Commit | None:
    match action:
        case Fetch(repository=repository, commit=commit):
            return repository, commit
        case Build(repository=repository, commit=commit):
            return repository, commit
        case CopyGateway(repository=repository, commit=commit):
            return repository, commit
        case StartService(repository=repository, container=container):
            return repository, container.commit
        case _:
            return None


def _blind(whole: World) -> Iterator[Doubt]:
    """Yield the nodes of which nothing is known, or everything could be wanted."""
    desired = whole.desired
    broken = ", ".join(desired.unreadable)
    if desired.platform is None or desired.emptied:
        broken = broken or "platform.yaml"
    meant = {node.id for node in desired.platform.nodes} if desired.platform else set()
    for node in sorted(meant | whole.observed.keys()):
        if broken:
            said = f"{broken} does not load and could want any release"
            yield Doubt(node, "", said, f"mend {broken}: sdp validate")
        elif told := _unknown(node, whole.observed.get(node)):
            yield Doubt(node, "", *told)


def _unknown(node: str, seen: ObservedNode | None) -> tuple[str, str] | None:
    """Return why a node can't be asked, and what to do."""
    if seen is None or not seen.connected:
        return f"node {node} does not report", f"look at its agent: sdp nodes, then {node} itself"
    if error := seen.report.engine.error:
        fix = f"start the engine of {node}: systemctl start docker"
        return f"the engine of {node} does not answer: {error}", fix
    return None


def _unresolved(wants: Iterable[_Want], whole: World) -> Iterator[Doubt]:
    """Yield, once each, the repositories of which somebody wants one can't tell what."""
    told: set[tuple[str, str]] = set()
    for want in wants:
        place = (want.node, want.repository)
        why = _open_question(want, whole)
        if why and place not in told:
            told.add(place)
            message, fix = why
            yield Doubt(*place, f"{want.party} waits: {message}", fix)


def _open_question(want: _Want, whole: World) -> tuple[str, str] | None:
    """Return why it can't be told what is wanted, and what to do."""
    match want.wanted:
        case Version():
            return None
        case Obstacle(reason="BranchMissing") if _was_asked(want, whole):
            return None  # an answer: nothing of a branch that is gone is wanted
        case Obstacle(message=message, fix=fix):
            return message, fix
        case Unread(files=files):
            return f"{files[0].path} was not opened yet", "wait: its node opens it by itself"


def _was_asked(want: _Want, whole: World) -> bool:
    known = whole.observed[want.node].report.repositories.get(want.repository)
    return known is not None and known.checked_at is not None
