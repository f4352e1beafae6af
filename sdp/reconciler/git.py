"""Git, the program: for remotes, working trees and signatures. The one process outside the agents.

It asks nobody for a password: what it may use is lent to it for one call, and shown in no output.
"""

import dataclasses
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from dulwich.refs import Ref
from dulwich.repo import Repo

from sdp import askpass
from sdp.askpass import NO_WAY, Way
from sdp.protocol.secret import Credentials

_SECONDS = 60.0
_NO_PROGRAM = 127

MOVED = "BaseMoved"
"""Why a push fails that would take the place of others' commits."""


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


def run(
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
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
    except FileNotFoundError:
        return subprocess.CompletedProcess(command, _NO_PROGRAM, "", "git is missing: install it")


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
    ended = run(tree, "merge", "--ff-only", "--quiet", commit)
    if ended is None:
        return "git merge did not end in time"
    return "" if ended.returncode == 0 else (ended.stderr or ended.stdout).strip()


def _remotely(
    repo: Path, remote: str, lent: Credentials | None, *words: str
) -> subprocess.CompletedProcess[str] | None:
    """Run git against a remote, which may ask for what is lent; nothing of that is shown."""
    address = remote
    if lent is not None and askpass.site_of(remote) is None:
        found = run(repo, "remote", "get-url", "--", remote)
        address = found.stdout.strip() if found else ""
    with askpass.lending(address, lent) as way:
        ended = run(repo, *words, way=way)
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
