"""The past of a sandbox, as the API tells it: snapshots, the commits they stand for, and files."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from dulwich.errors import NotGitRepository

from sdp.api.ports import Plane
from sdp.api.problems import ProblemError, missing
from sdp.api.snapshot_views import NamedSnapshotView, PinChange, RollbackTarget, SnapshotView
from sdp.api.views import CommitView
from sdp.reconciler.revisions import CommitSummary, contains, files_at, named, summaries
from sdp.reconciler.snapshots import Snapshot, changes, pins_of
from sdp.spec.finding import CannotChangeError, find
from sdp.spec.tree import Tree

Kept = Callable[[str], Awaitable[Sequence[Snapshot]]]
"""A sandbox's lower-cased name → its snapshots, newest first."""
LONGEST_NUMBER = 6
"""Digits; a commit is abbreviated to seven or more."""


class SandboxPast:
    """What sandboxes ran, from the store and the config repo."""

    def __init__(self, repository: Path, plane: Plane, kept: Kept) -> None:
        self._repository = repository
        self._plane = plane
        self._kept = kept

    def named(self, sandbox: str | None = None) -> Sequence[NamedSnapshotView]:
        """Return the named snapshots, of one sandbox or all, by name."""
        found = named_in(self._plane.tree) if self._plane.tree else ()
        return [each for each in found if sandbox is None or same(each.sandbox, sandbox)]

    async def snapshots(self, name: str) -> Sequence[SnapshotView]:
        """Return what a sandbox ran, newest first; also of one that is gone."""
        kept = await self._kept(name.lower())
        commits = await asyncio.to_thread(self._commits, {each.revision for each in kept})
        known = self._plane.sandbox(name)
        asleep = known is None or known.sync != "Synced" or known.lifecycle.state != "ACTIVE"
        names = self.named(name)
        return [
            SnapshotView(
                number=each.number,
                sandbox=known.name if known else name,
                taken_at=each.taken_at,
                revision=each.revision,
                commit=commits.get(each.revision),
                changes=_changes(before, each),
                names=tuple(one.name for one in names if one.pins == each.pins),
                current=not asleep and each is kept[0],
                pins=each.pins,
            )
            for each, before in itertools.zip_longest(kept, kept[1:])
        ]

    async def target(self, name: str, word: str) -> RollbackTarget:
        """Return what a word for a rollback means: a name, a number, or a config commit.

        Raises:
            ProblemError: there is nothing of that name, or it is another sandbox's.
        """
        for each in self.named():
            if same(each.name, word):
                return _named(each, name)
        kept = await self._kept(name.lower())
        digits = word.removeprefix("#")
        if digits.isdecimal() and (word != digits or len(digits) <= LONGEST_NUMBER):
            return _numbered(name, int(digits), kept)
        try:
            return await asyncio.to_thread(self._at, name, word, kept)
        except CannotChangeError as error:
            raise ProblemError(
                404, "no-such-snapshot", "No such snapshot", str(error), error.fix
            ) from error
        except (NotGitRepository, OSError) as error:
            away = f"The config repo can't be read now: {error}"
            fix = "See GET /readyz, and the control plane's log."
            raise ProblemError(503, "config-repo", "Config repo unavailable", away, fix) from error

    def _at(self, name: str, commit: str, kept: Sequence[Snapshot]) -> RollbackTarget:
        """Return what ran when a config commit was applied, or its file of then."""
        try:
            sha, _, _ = named(self._repository, commit)
        except CannotChangeError as error:
            listed = f"see what there is: sdp history {name}; sdp snapshot --list {name}"
            message = f"there is no snapshot {commit!r} of {name}, and no such commit"
            raise CannotChangeError(message, listed) from error
        there = summaries(self._repository, {each.revision for each in kept})
        for each in kept:
            if each.revision in there and contains(self._repository, sha, each.revision):
                return RollbackTarget(to=f"{sha[:7]} (#{each.number})", pins=each.pins)
        try:
            _, text = find(files_at(self._repository, sha), "sandbox", name)
        except CannotChangeError as error:
            message = f"{name} was not there at {sha[:7]}"
            raise CannotChangeError(message, f"name a later commit: sdp history {name}") from error
        note = (
            f"no snapshot of {name} is kept from {sha[:7]}: this is its file as it was then, and "
            "branches are at their tips of now"
        )
        return RollbackTarget(to=sha[:7], note=note, text=text)

    def _commits(self, revisions: set[str]) -> Mapping[str, CommitView]:
        try:
            found = summaries(self._repository, revisions)
        except (NotGitRepository, OSError):
            return {}
        return {sha: _commit(each) for sha, each in found.items()}


def named_in(tree: Tree) -> tuple[NamedSnapshotView, ...]:
    """Return the named snapshots of a tree, by name."""
    return tuple(
        NamedSnapshotView(
            name=file.spec.snapshot,
            path=file.path,
            sandbox=file.spec.sandbox,
            taken_at=file.spec.taken_at,
            revision=file.spec.revision,
            pins=pins_of(file.spec),
        )
        for _, file in sorted(tree.snapshots.items())
    )


def same(one: str, other: str) -> bool:
    """Whether two names are the same, in any case."""
    return one.lower() == other.lower()


def _named(found: NamedSnapshotView, name: str) -> RollbackTarget:
    if not same(found.sandbox, name):
        raise ProblemError(
            409,
            "another-sandbox",
            "Another sandbox's snapshot",
            f"The snapshot {found.name} was taken of {found.sandbox}, not of {name}.",
            f"make a sandbox that runs it: sdp new NAME --snapshot {found.name}",
        )
    return RollbackTarget(to=found.name, pins=found.pins)


def _numbered(name: str, number: int, kept: Sequence[Snapshot]) -> RollbackTarget:
    for each in kept:
        if each.number == number:
            return RollbackTarget(to=f"#{number}", pins=each.pins)
    raise missing(
        "snapshot", f"#{number}", f"sdp history {name}", [f"#{each.number}" for each in kept]
    )


def _changes(before: Snapshot | None, after: Snapshot) -> tuple[PinChange, ...]:
    found = changes(before, after) if before else ()
    return tuple(PinChange(what=e.what, before=e.before, after=e.after) for e in found)


def _commit(found: CommitSummary) -> CommitView:
    return CommitView(sha=found.sha, author=found.author, at=found.at, subject=found.subject)
