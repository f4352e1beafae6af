"""One configured clone, through the git CLI: asked, fetched into, read from; never checked out.

The clone's files and index may be somebody's and are left alone: fetches write remote-tracking
refs and ``refs/sdp/`` only, checkouts go elsewhere with an index of their own. What a user chose
(branches, commits, paths) reaches git only where it can't be taken for an option.
"""

import asyncio
import dataclasses
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from sdp import askpass, durable
from sdp.agent import runner
from sdp.agent.git_problem import GitProblem, Reason, classify, problem
from sdp.agent.runner import Command, Finished, NotStarted, OutOfMemory, TimedOut
from sdp.protocol.secret import Credentials

COMMIT = re.compile(r"[0-9a-f]{40}")
KEEP = "refs/sdp/"
"""Refs of this name keep commits that no branch of the origin has at its tip."""

LOCAL_SECONDS = 120.0
LS_REMOTE_SECONDS = 60.0
FETCH_SECONDS = 1800.0

_PASSWORD = re.compile(r"[a-z+]+://[^/@\s]*:[^/@\s]*@", re.IGNORECASE)
_OPTIONS = (
    "credential.helper=",
    "core.askPass=",  # only what is lent answers
    "safe.directory=*",  # the clone may belong to another user
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.sparseCheckout=false",
    "core.autocrlf=false",
    "core.symlinks=true",
    "protocol.ext.allow=never",
    "gc.auto=0",
    "maintenance.auto=false",
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=60",
)


def environment(home: Path) -> dict[str, str]:
    """Return what git gets: no configuration but the clone's, no prompts, known transports."""
    return {
        **runner.basics(home),
        "LC_ALL": "C",  # messages are read
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": "file:https:http:ssh:git",
        "GIT_SSH_COMMAND": "ssh -oBatchMode=yes",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_OPTIONAL_LOCKS": "0",
    }


@dataclasses.dataclass(frozen=True, slots=True)
class _Lent:
    """Whose credentials a process may have, and for which origin."""

    origin: str
    credentials: Credentials | None


class Clone:
    """A clone on this machine. What fails comes back as a ``GitProblem``."""

    def __init__(self, path: Path, home: Path) -> None:
        self._path = path
        self._environment = environment(home)

    async def origin(self) -> str | GitProblem:
        """Return the address that is fetched from, as the clone's configuration rewrites it."""
        if refused := await self._origin_problem():
            return refused
        told = await self._git(f"reading {self._path}", "remote", "get-url", "origin")
        return told if isinstance(told, GitProblem) else _text(told).rstrip("\n")

    async def ls_remote(
        self, credentials: Credentials | None = None, seconds: float = LS_REMOTE_SECONDS
    ) -> dict[str, str] | GitProblem:
        """Return the origin's branches: name → commit at the tip.

        Args:
            credentials: lent for this call alone.
            seconds: the longest that it may take.
        """
        origin = await self.origin()
        if isinstance(origin, GitProblem):
            return origin
        what = f"asking the origin of {self._path}"
        argv = ("ls-remote", "--heads", "--", "origin")
        lent = _Lent(origin, credentials)
        told = await self._git(what, *argv, seconds=seconds, lent=lent)
        return told if isinstance(told, GitProblem) else _branches(told)

    async def fetch(
        self, branch: str, commit: str, credentials: Credentials | None = None
    ) -> GitProblem | None:
        """Bring a commit here by its branch, or by itself where the branch no longer has it."""
        if not COMMIT.fullmatch(commit):
            return problem("HostileName", f"{commit!r} is no commit")
        if refused := await self._branch_problem(branch):
            return refused
        if not await self.has(commit):
            origin = await self.origin()
            if isinstance(origin, GitProblem):
                return origin
            lent = _Lent(origin, credentials)
            refspec = f"+refs/heads/{branch}:refs/remotes/origin/{branch}"
            failed = await self._fetch(refspec, f"fetching {branch}", lent)
            if failed and failed.reason not in {"BranchMissing", "RefConflict"}:
                return failed
            if not await self.has(commit):
                refspec = f"+{commit}:{KEEP}{commit}"
                gone = await self._fetch(refspec, f"fetching {commit}", lent)
                if gone:
                    return _left_behind(branch, commit, failed, gone)
        return await self._keep(commit)

    async def present(self) -> tuple[str, ...] | GitProblem:
        """Return the commits at the tips of this clone's refs."""
        argv = ("for-each-ref", "--format=%(objectname)", "refs/remotes/origin", KEEP.rstrip("/"))
        told = await self._git(f"reading {self._path}", *argv)
        return told if isinstance(told, GitProblem) else tuple(sorted(set(_text(told).split())))

    async def has(self, commit: str) -> bool:
        """Return whether a commit is here."""
        argv = ("cat-file", "-e", f"{commit}^{{commit}}")
        return COMMIT.fullmatch(commit) is not None and not isinstance(
            await self._git(f"looking for {commit}", *argv), GitProblem
        )

    async def show(self, commit: str, path: str) -> bytes | GitProblem:
        """Return a file's content at a commit."""
        if not COMMIT.fullmatch(commit):
            return problem("HostileName", f"{commit!r} is no commit")
        what = f"reading {path} at {commit[:7]}"
        told = await self._git(what, "cat-file", "blob", f"{commit}:{path}")
        if isinstance(told, GitProblem) and told.reason in {"GitFailed", "CommitMissing"}:
            return problem("FileMissing", f"{path} is not a file at {commit[:7]}", told.lines)
        return told

    async def checkout(self, commit: str, target: Path) -> GitProblem | None:
        """Write a commit's files into a new folder; what was begun is removed when it fails."""
        if not COMMIT.fullmatch(commit):
            return problem("HostileName", f"{commit!r} is no commit")
        await asyncio.to_thread(target.mkdir, parents=True)
        done = False
        try:
            failed = await self._write_tree(commit, target)
            failed = failed or await asyncio.to_thread(_escaping, target)
            done = failed is None
        finally:
            if not done:
                shutil.rmtree(target, ignore_errors=True)
        return failed

    async def _write_tree(self, commit: str, target: Path) -> GitProblem | None:
        what = f"checking out {commit[:7]}"
        folder = await self._git(what, "rev-parse", "--absolute-git-dir")
        if isinstance(folder, GitProblem):
            return folder
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=durable.TEMPORARY) as index:
            places = {
                "GIT_DIR": _text(folder).rstrip("\n"),
                "GIT_WORK_TREE": str(target),
                "GIT_INDEX_FILE": str(Path(index, "index")),
            }
            read = await self._git(what, "read-tree", commit, more=places)
            if isinstance(read, GitProblem):
                return read
            argv = ("checkout-index", "--all", "--force", "--quiet")
            written = await self._git(what, *argv, more=places, seconds=FETCH_SECONDS, at=target)
            return written if isinstance(written, GitProblem) else None

    async def _fetch(self, refspec: str, what: str, lent: _Lent) -> GitProblem | None:
        argv = (
            "fetch",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-recurse-submodules",
            "--no-prune",
            "--refmap=",  # nothing but this refspec, whatever the clone's configuration maps
            "--end-of-options",
            "origin",
            refspec,
        )
        told = await self._git(what, *argv, seconds=FETCH_SECONDS, lent=lent)
        return told if isinstance(told, GitProblem) else None

    async def _keep(self, commit: str) -> GitProblem | None:
        """Hold a commit that is no ref's tip, so that it is reported and never collected."""
        present = await self.present()
        if isinstance(present, GitProblem):
            return present
        if commit in present:
            return None
        argv = ("update-ref", "--end-of-options", KEEP + commit, commit)
        kept = await self._git(f"keeping {commit[:7]}", *argv)
        return kept if isinstance(kept, GitProblem) else None

    async def _branch_problem(self, branch: str) -> GitProblem | None:
        """A name with ``:`` in it would write other refs than the branch's."""
        ref = f"refs/heads/{branch}"
        if isinstance(await self._git("", "check-ref-format", ref), GitProblem):
            return problem("HostileName", f"{branch!r} is no name of a branch")
        return None

    async def _origin_problem(self) -> GitProblem | None:
        told = await self._git(f"reading {self._path}", "config", "--get-all", "remote.origin.url")
        if isinstance(told, GitProblem):
            unset = told.reason == "GitFailed"  # git says nothing where nothing is set
            return problem("RepositoryMissing", f"{self._path} has no origin") if unset else told
        if _PASSWORD.search(_text(told)):
            return problem("PasswordInUrl", f"the origin's address in {self._path} has a password")
        return None

    async def _git(
        self,
        what: str,
        *argv: str,
        seconds: float = LOCAL_SECONDS,
        more: Mapping[str, str] | None = None,
        at: Path | None = None,
        lent: _Lent | None = None,
    ) -> bytes | GitProblem:
        options = tuple(word for option in _OPTIONS for word in ("-c", option))
        lent = lent or _Lent("", None)
        with askpass.lending(lent.origin, lent.credentials) as way:
            ended = await runner.run(
                Command(
                    argv=("git", "--no-pager", *options, *way.options, *argv),
                    cwd=at or self._path,
                    environment={**self._environment, **(more or {}), **way.environment},
                    timeout_seconds=seconds,
                    cap_bytes=64 << 20,
                    redact=way.hidden,
                    descriptors=way.descriptors,
                )
            )
        match ended:
            case Finished(returncode=0, truncated=False, stdout=stdout):
                return stdout
            case Finished(lines=lines):
                return classify(what, lines)
            case TimedOut(seconds=passed, lines=lines):
                return problem("TimedOut", f"{what} did not end within {passed:g} s", lines)
            case OutOfMemory(lines=lines):
                return problem("GitFailed", f"{what} took too much memory", lines)
            case NotStarted(message=message):
                here = self._path.is_dir()
                reason: Reason = "GitMissing" if here else "CloneMissing"
                return problem(reason, message if here else f"{self._path} is no folder")


def _text(told: bytes) -> str:
    return os.fsdecode(told)


def _branches(told: bytes) -> dict[str, str]:
    pairs = (line.split("\t", 1) for line in _text(told).splitlines() if "\t" in line)
    return {ref.removeprefix("refs/heads/"): commit for commit, ref in pairs}


def _left_behind(
    branch: str, commit: str, failed: GitProblem | None, gone: GitProblem
) -> GitProblem:
    """Say what became of the branch where the commit itself can't be had either."""
    if gone.reason in {"CommitMissing", "GitFailed"}:
        where = failed.message if failed else f"branch {branch} no longer has it"
        message = f"{commit[:7]} can't be fetched: {where}, and the origin does not give it alone"
        reason = failed.reason if failed else "CommitMissing"
        return problem(reason, message, gone.lines)
    return gone


def _escaping(tree: Path) -> GitProblem | None:
    """Links are followed as the file system does it: by way of other links too."""
    root = tree.resolve()
    for folder, folders, files in os.walk(tree):
        for path in (Path(folder, name) for name in (*folders, *files)):
            if path.is_symlink() and not _inside(path, root):
                shown = path.relative_to(tree)
                message = f"the symbolic link {shown} points outside: {path.readlink()}"
                return problem("EscapingSymlink", message)
    return None


def _inside(link: Path, root: Path) -> bool:
    if link.readlink().is_absolute():
        return False
    return Path(os.path.realpath(link)).is_relative_to(root)
