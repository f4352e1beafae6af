"""Objects: specs as git's object store has them, at any commit. Reads, and decides nothing."""

import contextlib
import datetime
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from dulwich.errors import NotTreeError
from dulwich.object_store import BaseObjectStore, tree_lookup_path
from dulwich.objects import S_ISGITLINK, Commit, ObjectID
from dulwich.objects import Blob as GitBlob
from dulwich.objects import Tree as GitTree
from dulwich.repo import Repo

from sdp.spec.load import FOLDERS, Past, is_spec
from sdp.spec.tree import Blob

_ENVIRONMENTS: Final = "environments"


def commit_of(repo: Repo, revision: str) -> Commit:
    """Return a commit.

    Raises:
        KeyError: the repository has no such commit.
    """
    found = repo.object_store[ObjectID(revision.encode())]
    if not isinstance(found, Commit):
        raise KeyError(revision)
    return found


def moment_of(seconds: int) -> datetime.datetime:
    """Return a commit's time; the beginning of time for one that no calendar has."""
    with contextlib.suppress(ValueError, OverflowError, OSError):
        return datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return datetime.datetime.fromtimestamp(0, datetime.UTC)


def contents(repo: Repo, files: Mapping[str, str]) -> Iterator[Blob]:
    """Yield specs by path → id of their content."""
    for path, sha in files.items():
        yield Blob(path, sha, repo.object_store[ObjectID(sha.encode())].as_raw_string())


def text_of(repo: Repo, sha: str) -> str:
    """Return a content as text, by its id."""
    found = repo.object_store[ObjectID(sha.encode())].as_raw_string()
    return found.decode(errors="surrogateescape")


def blobs(repo: Repo, commit: Commit) -> Iterator[Blob]:
    """Yield the specs of a commit."""
    yield from _blobs(repo.object_store, _tree(repo, commit.tree), "")


def environments(repo: Repo, revision: str) -> tuple[Blob, ...] | None:
    """Return the environment files of a commit; None: there is no such commit."""
    try:
        commit = commit_of(repo, revision)
    except KeyError:
        return None
    folder = _ENVIRONMENTS.encode()
    try:
        _, sha = tree_lookup_path(repo.object_store.__getitem__, commit.tree, folder)
        found = _tree(repo, sha)
    except (KeyError, NotTreeError):
        return ()
    return tuple(_blobs(repo.object_store, found, f"{_ENVIRONMENTS}/"))


def is_environment(path: str) -> bool:
    """Tell whether a spec is an environment."""
    return path.startswith(f"{_ENVIRONMENTS}/")


def past_of(repository: Path) -> Past:
    """Return who looks up the environments that commits of a repository have."""

    def past(revision: str) -> tuple[Blob, ...] | None:
        with Repo(str(repository)) as repo:
            return environments(repo, revision)

    return past


def _tree(repo: Repo, sha: ObjectID) -> GitTree:
    found = repo.object_store[sha]
    if not isinstance(found, GitTree):
        raise NotTreeError(sha)
    return found


def _blobs(store: BaseObjectStore, tree: GitTree, folder: str) -> Iterator[Blob]:
    for name, mode, sha in tree.iteritems():
        assert name is not None  # noqa: S101 -- entries of a read tree have both
        assert sha is not None  # noqa: S101
        path = folder + name.decode(errors="surrogateescape")
        if folder or path in FOLDERS or is_spec(path):
            if S_ISGITLINK(mode):
                continue  # a submodule's commit is in another repository
            match found := store[sha]:
                case GitTree():
                    yield from _blobs(store, found, f"{path}/")
                case GitBlob() if is_spec(path):
                    yield Blob(path, sha.decode(), found.as_raw_string())
                case _:
                    continue
