"""Commit: writing to the config repo. Compare-and-swap on the branch, never a forced push.

Takes the place of nothing that others committed: a base that moved is a value for the caller to
show. Starts ``git push`` as the one process outside the agents.
"""

import dataclasses
import os
import stat
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from dulwich.errors import NotTreeError
from dulwich.object_store import commit_tree_changes, tree_lookup_path
from dulwich.objects import Blob, Commit, ObjectID, Tree
from dulwich.refs import HEADREF, Ref
from dulwich.repo import Repo

from sdp import clock

_PUSH_TIMEOUT = 60.0
_FILE = stat.S_IFREG | 0o644


@dataclasses.dataclass(frozen=True, slots=True)
class Committed:
    """The commit is on the branch."""

    sha: str


@dataclasses.dataclass(frozen=True, slots=True)
class Moved:
    """The branch is no longer at the base: somebody committed meanwhile."""

    base: str
    tip: str

    @property
    def fix(self) -> str:
        """What to do, in an imperative sentence."""
        return f"look at {self.tip[:7]}, and make the change again on top of it"


@dataclasses.dataclass(frozen=True, slots=True)
class Unchanged:
    """The files already are what the commit would make them."""

    base: str


@dataclasses.dataclass(frozen=True, slots=True)
class Refused:
    """A path that can't be committed, and why."""

    path: str
    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class Pushed:
    """The remote's branch is at this commit."""

    sha: str


@dataclasses.dataclass(frozen=True, slots=True)
class PushFailed:
    """The remote did not take the commit."""

    reason: str
    message: str
    fix: str


Outcome: TypeAlias = Committed | Moved | Unchanged | Refused


def commit(repo: Path, paths: Iterable[str], message: str, author: str, base: str) -> Outcome:
    """Commit files of a working tree as they are now, and nothing else that differs in it.

    Args:
        repo: the working tree's root.
        paths: from there, with slashes; a file that is gone is removed.
        message: the commit's.
        author: as ``Name <mail>``.
        base: the commit that the files were edited at; "" for a repository's first commit.
    """
    wanted = sorted(set(paths))
    changes: dict[str, bytes | None] = {}
    for path in wanted:
        if reason := _refusal(repo, path):
            return Refused(path, reason)
        file = repo / path
        changes[path] = file.read_bytes() if file.is_file() else None
    outcome = write(repo, changes, message, author, base)
    if isinstance(outcome, Committed):
        with Repo(str(repo)) as opened:
            opened.get_worktree().stage(wanted)
    return outcome


def write(
    repo: Path, changes: Mapping[str, bytes | None], message: str, author: str, base: str
) -> Outcome:
    """Commit contents to the branch that HEAD names; touches neither index nor working tree.

    Args:
        repo: a repository, bare or not.
        changes: path → content; None removes the file.
        message: the commit's.
        author: as ``Name <mail>``.
        base: the commit that the changes were made at; "" for a repository's first commit.
    """
    for path in changes:
        if not _inside(path):
            return Refused(path, "it is not a path inside the repository")
    with Repo(str(repo)) as opened:
        ref = opened.refs.follow(HEADREF)[0][-1]
        tip = opened.refs.read_ref(ref)
        if (tip or b"").decode() != base:
            return Moved(base, (tip or b"").decode())
        made = _made(opened, changes, base)
        if base and made.tree == _tree_of(opened, base):
            return Unchanged(base)
        made.message = message.encode()
        made.author = made.committer = author.encode()
        made.commit_time = made.author_time = int(clock.now().timestamp())
        made.commit_timezone = made.author_timezone = 0
        made.encoding = b"UTF-8"
        opened.object_store.add_object(made)
        return _swap(opened, ref, base, made.id)


def push(repo: Path, remote: str, branch: str) -> Pushed | PushFailed:
    """Push a branch to the branch of the same name, without force. Blocks, for a minute at most.

    Args:
        repo: the repository.
        remote: a remote's name, or a URL without credentials.
        branch: its name, without refs/heads/.
    """
    ref = f"refs/heads/{branch}"
    command = ("git", "-C", str(repo), "push", "--porcelain", "--", remote, f"{ref}:{ref}")
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PUSH_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return PushFailed(
            "PushTimeout", f"{remote} did not answer in time", f"check that {remote} is reachable"
        )
    if done.returncode == 0:
        with Repo(str(repo)) as opened:
            return Pushed(opened.refs[Ref(ref.encode())].decode())
    return _push_failed(done.stdout + done.stderr, remote, branch)


def _push_failed(output: str, remote: str, branch: str) -> PushFailed:
    rejected = next((line for line in output.splitlines() if line.startswith("!")), "")
    if "(fetch first)" in rejected or "(non-fast-forward)" in rejected:
        return PushFailed(
            "BaseMoved",
            f"{branch} of {remote} has commits that are not here",
            f"git pull --rebase {remote} {branch}, look at the plan again, and push",
        )
    message = rejected.removeprefix("!").strip() or output.strip().rpartition("\n")[2]
    return PushFailed("PushFailed", message, f"check that you may push to {branch} of {remote}")


def _made(repo: Repo, changes: Mapping[str, bytes | None], base: str) -> Commit:
    entries: list[tuple[bytes, int | None, ObjectID | None]] = []
    for path, content in sorted(changes.items()):
        if content is None:
            if _has(repo, base, path):
                entries.append((path.encode(), None, None))
            continue
        blob = Blob.from_string(content)
        repo.object_store.add_object(blob)
        entries.append((path.encode(), _FILE, blob.id))
    made = Commit()
    made.tree = commit_tree_changes(repo.object_store, _tree_of(repo, base), entries)
    made.parents = [ObjectID(base.encode())] if base else []
    return made


def _tree_of(repo: Repo, base: str) -> ObjectID:
    if not base:
        return _empty(repo)
    found = repo.object_store[ObjectID(base.encode())]
    assert isinstance(found, Commit)  # noqa: S101 -- a branch's tip is one
    return ObjectID(found.tree)


def _swap(repo: Repo, ref: Ref, base: str, made: ObjectID) -> Outcome:
    if base:
        swapped = repo.refs.set_if_equals(ref, ObjectID(base.encode()), made)
    else:
        swapped = repo.refs.add_if_new(ref, made)
    if swapped:
        return Committed(made.decode())
    return Moved(base, (repo.refs.read_ref(ref) or b"").decode())


def _empty(repo: Repo) -> ObjectID:
    tree = Tree()
    repo.object_store.add_object(tree)
    return tree.id


def _has(repo: Repo, base: str, path: str) -> bool:
    try:
        tree_lookup_path(repo.object_store.__getitem__, _tree_of(repo, base), path.encode())
    except (KeyError, NotTreeError):
        return False
    return True


def _refusal(repo: Path, path: str) -> str:
    if not _inside(path):
        return "it is not a path inside the repository"
    steps = [repo / part for part in (PurePosixPath(path), *PurePosixPath(path).parents)]
    if any(step.is_symlink() for step in steps[:-1]):
        return "it is, or goes through, a symbolic link"
    return "it is a folder" if (repo / path).is_dir() else ""


def _inside(path: str) -> bool:
    parts = PurePosixPath(path).parts
    odd = path.startswith("/") or str(PurePosixPath(path)) != path or "\\" in path
    return bool(parts) and not odd and not any(p == ".." or p.lower() == ".git" for p in parts)
