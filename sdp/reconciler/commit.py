"""Commit: writing to the config repo. Compare-and-swap on the branch, never a forced push.

Takes the place of nothing that others committed: a base that moved is a value for the caller to
show.
"""

import dataclasses
import stat
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from dulwich.errors import NotTreeError
from dulwich.object_store import commit_tree_changes, tree_lookup_path
from dulwich.objects import Blob, Commit, ObjectID, Tree
from dulwich.refs import HEADREF, Ref
from dulwich.repo import Repo

from sdp import clock
from sdp.reconciler import git
from sdp.spec.finding import CannotChangeError

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


Outcome: TypeAlias = Committed | Moved | Unchanged | Refused

Sign: TypeAlias = Callable[[bytes], bytes]
"""Returns the armored signature of a commit."""


def commit(
    repo: Path, changes: Mapping[str, bytes | None], message: str, author: str, base: str
) -> Outcome:
    """Commit contents in a working tree, and nothing else that differs in it.

    The index follows; the files stay as they are, which may be more than what is committed.

    Args:
        repo: the working tree's root.
        changes: path from there, with slashes → content; None removes the file.
        message: the commit's.
        author: as ``Name <mail>``.
        base: the commit that the files were edited at; "" for a repository's first commit.
    """
    for path in sorted(changes):
        if reason := _refusal(repo, path):
            return Refused(path, reason)
    outcome = write(repo, changes, message, author, base)
    if isinstance(outcome, Committed):
        # By git itself: it sees to files that were edited in the second in which they were staged.
        git.run(repo, "--literal-pathspecs", "reset", "--quiet", "--", *sorted(changes))
    return outcome


def mark(repo: Path, message: str, author: str, base: str) -> Committed | Moved:
    """Commit a message alone, which says something about the files as they are."""
    with Repo(str(repo)) as opened:
        ref = opened.refs.follow(HEADREF)[0][-1].decode()
    return swap(repo, ref, base, say(repo, message, author, base).sha)


def say(repo: Path, message: str, author: str, base: str, sign: Sign | None = None) -> Committed:
    """Make a commit of a message alone, and leave every branch where it is."""
    with Repo(str(repo)) as opened:
        return _stored(opened, _made(opened, {}, base), message, author, sign)


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
    with Repo(str(repo)) as opened:
        ref = opened.refs.follow(HEADREF)[0][-1]
        tip = (opened.refs.read_ref(ref) or b"").decode()
        if tip != base:
            return Moved(base, tip)
    made = make(repo, changes, message, author, base)
    return swap(repo, ref.decode(), base, made.sha) if isinstance(made, Committed) else made


def make(
    repo: Path,
    changes: Mapping[str, bytes | None],
    message: str,
    author: str,
    base: str,
    sign: Sign | None = None,
) -> Committed | Unchanged | Refused:
    """Make a commit on a base, and leave every branch where it is; arguments as of ``write``."""
    for path in changes:
        if not _inside(path):
            return Refused(path, "it is not a path inside the repository")
    with Repo(str(repo)) as opened:
        made = _made(opened, changes, base)
        if base and made.tree == _tree_of(opened, base):
            return Unchanged(base)
        return _stored(opened, made, message, author, sign)


def swap(repo: Path, ref: str, base: str, made: str) -> Committed | Moved:
    """Put a branch at a commit, if it still is at its base.

    Args:
        repo: the repository.
        ref: the branch's, such as refs/heads/main.
        base: where it is; "" where it is not there yet.
        made: where it is to be.
    """
    name = Ref(ref.encode())
    with Repo(str(repo)) as opened:
        if base:
            wanted = ObjectID(base.encode())
            swapped = opened.refs.set_if_equals(name, wanted, ObjectID(made.encode()))
        else:
            swapped = opened.refs.add_if_new(name, ObjectID(made.encode()))
        if swapped:
            return Committed(made)
        return Moved(base, (opened.refs.read_ref(name) or b"").decode())


def _stored(repo: Repo, made: Commit, message: str, author: str, sign: Sign | None) -> Committed:
    made.message = message.encode()
    made.author = made.committer = author.encode()
    made.commit_time = made.author_time = int(clock.now().timestamp())
    made.commit_timezone = made.author_timezone = 0
    made.encoding = b"UTF-8"
    if sign is not None:
        made.gpgsig = sign(made.as_raw_string())
    elif repo.get_config_stack().get_boolean((b"commit",), b"gpgsign", default=False):
        return _signed_by_git(repo, made)
    repo.object_store.add_object(made)
    return Committed(made.id.decode())


def _signed_by_git(repo: Repo, made: Commit) -> Committed:
    """Let git make a commit, and sign it as its settings say: it knows keys and programs.

    Raises:
        CannotChangeError: it can't.
    """
    name, _, mail = made.author.decode().removesuffix(">").partition(" <")
    who = {"NAME": name, "EMAIL": mail, "DATE": f"@{made.commit_time} +0000"}
    told = {f"GIT_{role}_{k}": v for role in ("AUTHOR", "COMMITTER") for k, v in who.items()}
    parents = [word for each in made.parents for word in ("-p", each.decode())]
    words = ("commit-tree", "-S", made.tree.decode(), *parents, "-F", "-")
    ended = git.run(Path(repo.path), *words, told=told, text=made.message.decode())
    if ended is None or ended.returncode != 0:
        said = ended.stderr.strip().rpartition("\n")[2] if ended else "no answer in time"
        raise CannotChangeError(
            f"git can't sign the commit: {said}",
            "look at user.signingkey and gpg.format, and try: git commit --allow-empty -S -m x",
        )
    return Committed(ended.stdout.strip())


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
