"""Revisions: what commits of the config repo hold, read from git's object store. Writes nothing."""

import contextlib
import dataclasses
import datetime
import difflib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from dulwich.errors import NotTreeError
from dulwich.graph import find_merge_base
from dulwich.object_store import BaseObjectStore, tree_lookup_path
from dulwich.objects import Blob, Commit, ObjectID
from dulwich.objectspec import parse_commit
from dulwich.repo import Repo

from sdp.reconciler.authority import Standing
from sdp.reconciler.lifecycle import LastChange, Moment
from sdp.reconciler.objects import blobs, commit_of, moment_of
from sdp.spec.change import CannotChangeError, Files

MOST_SHOWN: Final = 20
MOST_PAST: Final = 100


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


def moments(repo: Path, standing: Standing) -> Iterator[Moment]:
    """Yield a commit and its ancestors, newest first, with the ids of the specs that count.

    A moment can be read until the next one is asked for.
    """
    with Repo(str(repo)) as opened:
        store = opened.object_store
        counted: Mapping[str, str] | None = None
        files: Mapping[str, str] = {}
        for judged, accepted in standing.back():
            if accepted is not counted:
                counted, lived = accepted, _lived(accepted)
                files = files if lived == files else lived
            commit = commit_of(opened, judged.sha)
            root = not commit.parents
            yield Moment(_change(commit), files, lambda blob: _content(store, blob), root)


def _lived(files: Mapping[str, str]) -> dict[str, str]:
    """Return what of a commit's files says how sandboxes live."""
    return {
        path: blob
        for path, blob in files.items()
        if path.partition("/")[0] not in {"environments", "snapshots"}
    }


def _content(store: BaseObjectStore, blob: str) -> bytes:
    return store[ObjectID(blob.encode())].as_raw_string()


def _change(commit: Commit) -> LastChange:
    author, _, mail = commit.author.decode(errors="replace").partition("<")
    return LastChange(
        sha=commit.id.decode(),
        at=moment_of(commit.commit_time),
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
        at=moment_of(commit.author_time),
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
