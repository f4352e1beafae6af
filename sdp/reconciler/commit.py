"""Commit: writing to the config repo. Compare-and-swap on the branch, never a forced push.

Takes the place of nothing that others committed: a base that moved is a value for the caller to
show. Starts git, as the one process outside the agents: to fetch, to push, and to bring a working
tree forward.
"""

import dataclasses
import os
import stat
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from dulwich.errors import NotTreeError
from dulwich.object_store import commit_tree_changes, tree_lookup_path
from dulwich.objects import Blob, Commit, ObjectID, Tree
from dulwich.refs import HEADREF, Ref
from dulwich.repo import Repo

from sdp import askpass, clock
from sdp.askpass import NO_WAY, Way
from sdp.protocol.secret import Credentials
from sdp.spec.finding import CannotChangeError

_GIT_SECONDS = 60.0
_NO_PROGRAM = 127
_FILE = stat.S_IFREG | 0o644

MOVED = "BaseMoved"
"""Why a push fails that would take the place of others' commits."""


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
class RemoteAt:
    """The remote's branch is at this commit; "" where there is no such branch yet."""

    sha: str


@dataclasses.dataclass(frozen=True, slots=True)
class RemoteFailed:
    """The remote could not be asked, or did not take the commit."""

    reason: str
    message: str
    fix: str


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
        _git(repo, "--literal-pathspecs", "reset", "--quiet", "--", *sorted(changes))
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


def push(
    repo: Path, remote: str, branch: str, commit: str = "", lent: Credentials | None = None
) -> RemoteAt | RemoteFailed:
    """Push to the branch of that name, without force. Blocks, for a minute at most.

    Args:
        repo: the repository.
        remote: a remote's name, or a URL without credentials.
        branch: its name, without refs/heads/.
        commit: what to push; "" for the branch of the same name.
        lent: with whose credentials; None: git's own ways to get at some.
    """
    ref = f"refs/heads/{branch}"
    words = ("push", "--porcelain", "--", remote, f"{commit or ref}:{ref}")
    ended = _remotely(repo, remote, lent, *words)
    if ended is None:
        return _no_answer(remote)
    if ended.returncode == 0:
        with Repo(str(repo)) as opened:
            return RemoteAt(commit or opened.refs[Ref(ref.encode())].decode())
    if _is_refused(ended.stderr):
        return _refused(remote, lent)
    return _push_failed(ended.stdout + ended.stderr, remote, branch)


def fetch(
    repo: Path, remote: str, branch: str, lent: Credentials | None = None
) -> RemoteAt | RemoteFailed:
    """Bring a remote's branch here, and return where it is; arguments as of ``push``."""
    ref = f"refs/heads/{branch}"
    ended = _remotely(repo, remote, lent, "fetch", "--quiet", "--no-tags", "--", remote, ref)
    if ended is None:
        return _no_answer(remote)
    if ended.returncode == 0:
        with Repo(str(repo)) as opened:
            told = Path(opened.controldir(), "FETCH_HEAD").read_text(encoding="utf-8")
        return RemoteAt(told.split()[0])
    if "couldn't find remote ref" in ended.stderr:
        return RemoteAt("")
    if _is_refused(ended.stderr):
        return _refused(remote, lent)
    said = ended.stderr.strip().rpartition("\n")[2]
    return RemoteFailed("FetchFailed", f"can't fetch {branch} of {remote}: {said}", _reach(remote))


def forward(tree: Path, commit: str) -> str:
    """Bring a working tree and its branch forward to a commit; return why not, or ""."""
    ended = _git(tree, "merge", "--ff-only", "--quiet", commit)
    if ended is None:
        return "git merge did not end in time"
    return "" if ended.returncode == 0 else (ended.stderr or ended.stdout).strip()


def _remotely(
    repo: Path, remote: str, lent: Credentials | None, *words: str
) -> subprocess.CompletedProcess[str] | None:
    """Run git against a remote, which may ask for what is lent; nothing of that is shown."""
    address = remote
    if lent is not None and askpass.site_of(remote) is None:
        found = _git(repo, "remote", "get-url", "--", remote)
        address = found.stdout.strip() if found else ""
    with askpass.lending(address, lent) as way:
        ended = _git(repo, *words, way=way)
    if ended is not None:
        for secret in way.hidden:
            ended.stderr = ended.stderr.replace(secret, "***")
            ended.stdout = ended.stdout.replace(secret, "***")
    return ended


def _is_refused(said: str) -> bool:
    signs = ("Authentication failed", "could not read Username", "could not read Password")
    return any(sign in said for sign in signs)


def _refused(remote: str, lent: Credentials | None) -> RemoteFailed:
    if lent is None:
        message, fix = f"{remote} asks for a password, and none is at hand", "log in: sdp login"
    else:
        message = f"{remote} does not take the credentials of {lent.user}"
        fix = f"log in again with an account that may use it: sdp login --user {lent.user}"
    return RemoteFailed("AuthenticationFailed", message, fix)


def _git(
    repo: Path,
    *words: str,
    told: Mapping[str, str] | None = None,
    text: str = "",
    way: Way = NO_WAY,
) -> subprocess.CompletedProcess[str] | None:
    """Run git without a terminal; None when it did not end in time.

    Args:
        repo: where.
        words: its arguments.
        told: more of its environment.
        text: what it reads.
        way: how it gets at credentials.
    """
    command = ("git", "-C", str(repo), *way.options, *words)
    environment = {**os.environ, **(told or {}), "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    environment |= way.environment
    try:
        return subprocess.run(
            command,
            env=environment,
            pass_fds=way.descriptors,
            input=text,
            capture_output=True,
            text=True,
            timeout=_GIT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
    except FileNotFoundError:
        return subprocess.CompletedProcess(command, _NO_PROGRAM, "", "git is missing: install it")


def _no_answer(remote: str) -> RemoteFailed:
    return RemoteFailed("RemoteTimeout", f"{remote} did not answer in time", _reach(remote))


def _reach(remote: str) -> str:
    return f"check that {remote} is reachable, and that you may use it: git ls-remote {remote}"


def _push_failed(output: str, remote: str, branch: str) -> RemoteFailed:
    rejected = next((line for line in output.splitlines() if line.startswith("!")), "")
    if "(fetch first)" in rejected or "(non-fast-forward)" in rejected:
        return RemoteFailed(
            MOVED,
            f"{branch} of {remote} has commits that are not here",
            f"git pull --rebase {remote} {branch}, look at the plan again, and push",
        )
    message = rejected.removeprefix("!").strip() or output.strip().rpartition("\n")[2]
    return RemoteFailed("PushFailed", message, f"check that you may push to {branch} of {remote}")


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
    ended = _git(Path(repo.path), *words, told=told, text=made.message.decode())
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
