"""Line: the commits of a branch, one after the other, with what each changed. Reads only git."""

import stat
from collections.abc import Collection, Iterator
from typing import TypeAlias

from dulwich.object_store import BaseObjectStore
from dulwich.objects import S_ISGITLINK, Commit, ObjectID, Tree
from dulwich.repo import Repo

from sdp.reconciler.authority import Pushed
from sdp.reconciler.objects import commit_of, moment_of
from sdp.reconciler.turns import Turns
from sdp.spec.load import FOLDERS, is_spec

_Entry: TypeAlias = tuple[int, ObjectID]


def line(
    repo: Repo, revision: str, known: Collection[str], turns: Turns
) -> tuple[str, list[Pushed]]:
    """Return the commits up to one, oldest first, and the known one that they come after.

    Args:
        repo: the config repo.
        revision: the newest commit.
        known: where to end; where none of them is met, "" is returned, and the oldest has all its
            files as changes. A shallow clone ends where it ends; no number of commits is too
            many, or who pushes so many would have the oldest of their own trusted.
        turns: which parents of merges to take.

    Raises:
        KeyError: the repository has no such commit.
    """
    found: list[Commit] = []
    start, at = "", commit_of(repo, revision)
    while at.id.decode() not in known:
        found.append(at)
        before = _before(repo, at, turns)
        if before is None:
            break
        at = before
    else:
        start = at.id.decode()
    changes = _Changes(repo.object_store)
    trees = [each.tree for each in reversed(found)]
    base = commit_of(repo, start).tree if start else None
    pairs = zip([base, *trees], trees, strict=False)
    made = [dict(changes.between(old, new)) for old, new in pairs]
    return start, [_pushed(*each) for each in zip(reversed(found), made, strict=True)]


def _before(repo: Repo, commit: Commit, turns: Turns) -> Commit | None:
    """Return the commit that one came after: its first parent, if the branch was ever there.

    Who pulls merges others' commits into their own: then it is the others' line that goes on.
    """
    parents = [each for each in commit.parents if each in repo.object_store]
    if not parents or parents[0] != commit.parents[0]:
        return None
    first, *others = (commit_of(repo, each.decode()) for each in parents)
    if not others:
        return first
    pulled = (each for each in others if first.author == commit.author)
    usual = next((e for e in pulled if _own(repo, commit, first, e)), first)
    return turns.taken(repo, commit, (first, *others), usual)


def _own(repo: Repo, commit: Commit, first: Commit, other: Commit) -> bool:
    """Whether a merge's author made all that its first parent alone has, and not all else."""
    mine = repo.get_walker(include=[first.id], exclude=[other.id])
    theirs = repo.get_walker(include=[other.id], exclude=[first.id])
    return all(each.commit.author == commit.author for each in mine) and any(
        each.commit.author != commit.author for each in theirs
    )


class _Changes:
    """What specs differ between trees; a tree that was read last is not read again."""

    def __init__(self, store: BaseObjectStore) -> None:
        self._store = store
        self._read: dict[ObjectID, dict[str, _Entry]] = {}

    def between(
        self, old: ObjectID | None, new: ObjectID | None, folder: str = ""
    ) -> Iterator[tuple[str, str | None]]:
        """Yield the paths that differ, with the id of the new content; None: it is gone."""
        if old == new:
            return
        before, after = self._entries(old, folder), self._entries(new, folder)
        if new is not None:
            self._read[new] = after
        for name in sorted(before.keys() | after.keys()):
            one, other, path = before.get(name), after.get(name), folder + name
            if one == other or not (folder or path in FOLDERS or is_spec(path)):
                continue
            yield from self.between(_tree(one), _tree(other), f"{path}/")
            if is_spec(path) and _blob(one) != _blob(other):
                yield path, _blob(other)

    def _entries(self, sha: ObjectID | None, folder: str) -> dict[str, _Entry]:
        if sha is None:
            return {}
        if (known := self._read.pop(sha, None)) is not None:
            return known
        found = self._store[sha]
        assert isinstance(found, Tree), folder  # noqa: S101 -- its mode says so
        entries: dict[str, _Entry] = {}
        for name, mode, entry in found.iteritems():
            assert name is not None  # noqa: S101 -- entries of a read tree have all
            assert mode is not None  # noqa: S101
            assert entry is not None  # noqa: S101
            entries[name.decode(errors="surrogateescape")] = (mode, entry)
        return entries


def _tree(entry: _Entry | None) -> ObjectID | None:
    return entry[1] if entry and stat.S_ISDIR(entry[0]) else None


def _blob(entry: _Entry | None) -> str | None:
    if entry is None or stat.S_ISDIR(entry[0]) or S_ISGITLINK(entry[0]):
        return None
    return entry[1].decode()


def _pushed(commit: Commit, changes: dict[str, str | None]) -> Pushed:
    name, _, mail = commit.author.decode(errors="replace").partition("<")
    signature = commit.gpgsig or b""
    return Pushed(
        sha=commit.id.decode(),
        at=moment_of(commit.commit_time),
        name=name.strip(),
        mail=mail.partition(">")[0].strip(),
        message=commit.message.decode(errors="replace"),
        changes=changes,
        signature=signature,
        payload=commit.raw_without_sig() if signature else b"",
    )
