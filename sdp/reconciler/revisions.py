"""Revisions: what commits of the config repo hold, read from git's object store. Writes nothing."""

import contextlib
import dataclasses
import datetime
import difflib
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, TypeAlias

from dulwich.errors import NotTreeError
from dulwich.graph import find_merge_base
from dulwich.object_store import BaseObjectStore, tree_lookup_path
from dulwich.objects import S_ISGITLINK, Blob, Commit, ObjectID, Tree
from dulwich.objectspec import parse_commit
from dulwich.repo import Repo

from sdp.reconciler.lifecycle import LastChange, Moment
from sdp.reconciler.objects import blobs, commit_of
from sdp.spec.change import CannotChangeError, Files
from sdp.spec.load import is_spec

MOST_SHOWN: Final = 20
MOST_PAST: Final = 100
MOST_MOMENTS: Final = 5000

_Entry: TypeAlias = tuple[bytes, int, ObjectID]


@dataclasses.dataclass(frozen=True, slots=True)
class CommitSummary:
    """A commit, as a list shows it."""

    sha: str
    author: str
    at: datetime.datetime
    subject: str


def files_at(repo: Path, commit: str) -> Files:
    """Return the specs of a commit; "" for none."""
    if not commit:
        return {}
    with Repo(str(repo)) as opened:
        found = opened.object_store[ObjectID(commit.encode())]
        assert isinstance(found, Commit)  # noqa: S101 -- a branch's tip is one
        return {
            blob.path: blob.content.decode(errors="surrogateescape")
            for blob in blobs(opened, found)
        }


def past(repo: Path, commit: str, path: str) -> Iterator[str]:
    """Yield what a file held in the commits up to one, newest first."""
    with Repo(str(repo)) as opened:
        walker = opened.get_walker(
            include=[ObjectID(commit.encode())], paths=[path.encode()], max_entries=MOST_PAST
        )
        for entry in walker:
            if (text := _text(opened, entry.commit, path)) is not None:
                yield text


def _text(repo: Repo, commit: Commit, path: str) -> str | None:
    """Return what a file holds in a commit, without reading the others."""
    try:
        _, sha = tree_lookup_path(repo.object_store.__getitem__, commit.tree, path.encode())
    except (KeyError, NotTreeError):
        return None
    found = repo.object_store[sha]
    if not isinstance(found, Blob):
        return None
    return found.as_raw_string().decode(errors="surrogateescape")


def moments(repo: Path, revision: str) -> Iterator[Moment]:
    """Yield a commit and its ancestors, by first parents, newest first, with their specs' ids.

    A shallow clone ends where it ends. A moment can be read until the next one is asked for.

    Raises:
        KeyError: the repository has no such commit.
    """
    with Repo(str(repo)) as opened:
        store, at = opened.object_store, ObjectID(revision.encode())
        entries: list[_Entry] = []
        files: Mapping[str, str] = {}
        for _ in range(MOST_MOMENTS):
            commit = store[at]
            assert isinstance(commit, Commit)  # noqa: S101 -- revisions are commits
            before, entries = entries, [*_lived(store, commit.tree)]
            files = files if entries == before else dict(_ids(store, entries, ""))
            root = not commit.parents
            yield Moment(_change(commit), files, lambda blob: _content(store, blob), root)
            if root or commit.parents[0] not in store:
                return
            at = commit.parents[0]


def _lived(store: BaseObjectStore, tree: ObjectID) -> Iterator[_Entry]:
    """Yield what of a commit's tree says how sandboxes live."""
    for entry in _entries(store, tree):
        name = entry[0].decode(errors="surrogateescape")
        if name in {"sandboxes", "templates"} or is_spec(name):
            yield entry


def _ids(
    store: BaseObjectStore, entries: Iterable[_Entry], folder: str
) -> Iterator[tuple[str, str]]:
    for name, mode, sha in entries:
        path = folder + name.decode(errors="surrogateescape")
        if stat.S_ISDIR(mode):
            yield from _ids(store, _entries(store, sha), f"{path}/")
        elif is_spec(path) and not S_ISGITLINK(mode):
            yield path, sha.decode()


def _entries(store: BaseObjectStore, tree: ObjectID) -> Iterator[_Entry]:
    found = store[tree]
    assert isinstance(found, Tree)  # noqa: S101 -- its mode says so
    for name, mode, sha in found.iteritems():
        assert name is not None  # noqa: S101 -- entries of a read tree have all
        assert mode is not None  # noqa: S101
        assert sha is not None  # noqa: S101
        yield name, mode, sha


def _content(store: BaseObjectStore, blob: str) -> bytes:
    return store[ObjectID(blob.encode())].as_raw_string()


def _change(commit: Commit) -> LastChange:
    author, _, mail = commit.author.decode(errors="replace").partition("<")
    return LastChange(
        sha=commit.id.decode(),
        at=datetime.datetime.fromtimestamp(commit.commit_time, datetime.UTC),
        author=author.strip(),
        message=commit.message.decode(errors="replace"),
        mail=mail.partition(">")[0].strip(),
    )


def diff(before: Files, after: Mapping[str, str | None]) -> str:
    """Return a unified diff of the files that differ; None is a file that is gone."""
    parts: list[str] = []
    for path, text in sorted(after.items()):
        old = before.get(path)
        parts += difflib.unified_diff(
            (old or "").splitlines(keepends=True),
            (text or "").splitlines(keepends=True),
            "/dev/null" if old is None else f"a/{path}",
            "/dev/null" if text is None else f"b/{path}",
        )
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in parts)


def named(repo: Path, commit: str) -> tuple[str, str, str]:
    """Return a commit's SHA, its first parent's, and its subject.

    Raises:
        CannotChangeError: nothing here has that name, or the first digits of a SHA; or no commit.
    """
    with Repo(str(repo)) as opened:
        try:
            found = parse_commit(opened, commit)
        except (KeyError, ValueError) as error:
            raise CannotChangeError(
                f"there is no commit {commit!r}", "look it up: git log --oneline"
            ) from error
        parent = found.parents[0].decode() if found.parents else ""
        return found.id.decode(), parent, _summary(found).subject


def summaries(repo: Path, shas: Iterable[str]) -> dict[str, CommitSummary]:
    """Return what commits are, by SHA, of those that are there."""
    found: dict[str, CommitSummary] = {}
    with Repo(str(repo)) as opened:
        for sha in shas:
            with contextlib.suppress(KeyError):
                found[sha] = _summary(commit_of(opened, sha))
    return found


def between(repo: Path, base: str, tip: str, paths: Iterable[str]) -> tuple[CommitSummary, ...]:
    """Return the commits since a base that touched these files, newest first."""
    with Repo(str(repo)) as opened:
        walker = opened.get_walker(
            include=[ObjectID(tip.encode())],
            exclude=[ObjectID(base.encode())] if base else [],
            paths=[path.encode() for path in paths],
            max_entries=MOST_SHOWN,
        )
        return tuple(_summary(entry.commit) for entry in walker)


def _summary(commit: Commit) -> CommitSummary:
    return CommitSummary(
        sha=commit.id.decode(),
        author=commit.author.decode(errors="replace"),
        at=datetime.datetime.fromtimestamp(commit.author_time, datetime.UTC),
        subject=commit.message.decode(errors="replace").partition("\n")[0],
    )


def parted(repo: Path, one: str, other: str) -> str:
    """Return the last commit that two have in common; "" for none."""
    if not one or not other:
        return ""
    with Repo(str(repo)) as opened:
        found = find_merge_base(opened, [ObjectID(one.encode()), ObjectID(other.encode())])
        return found[0].decode() if found else ""


def contains(repo: Path, tip: str, commit: str) -> bool:
    """Whether a commit is an ancestor of a tip, or the tip."""
    if not commit or commit == tip:
        return True
    with Repo(str(repo)) as opened:
        walker = opened.get_walker(
            include=[ObjectID(commit.encode())],
            exclude=[ObjectID(tip.encode())] if tip else [],
            max_entries=1,
        )
        return next(iter(walker), None) is None
