"""The configured clones: their origins' branches, fetching, and what a commit holds.

Only fetched into: the checked-out files of a clone, which may be somebody's, are never touched.
Branch names and paths are data; every call ends its options before them.
"""

import asyncio
import dataclasses
import tarfile
from collections.abc import Mapping
from pathlib import Path

from sdp import clock
from sdp.agent import runner
from sdp.agent.journal import Journal
from sdp.protocol.actions import Fetch
from sdp.protocol.frames import Failed, Outcome, Succeeded
from sdp.protocol.report import Repository

LOOK_SECONDS = 30.0
FETCH_SECONDS = 570.0
FETCH = "git fetch"

_CONFIG = (
    "credential.helper=",
    "core.hooksPath=/dev/null",
    "safe.directory=*",
    "protocol.ext.allow=never",
    "gc.auto=0",
)
_ENVIRONMENT = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh",
    "GIT_SSH_COMMAND": "ssh -oBatchMode=yes",
    "HOME": "/nonexistent",
}

_KNOWN = (
    ("Authentication failed", "AuthenticationFailed", "check the user name and password"),
    ("could not read Username", "AuthenticationFailed", "the origin asks for credentials"),
    ("Permission denied", "AuthenticationFailed", "give this VM's key access to the origin"),
    ("not appear to be a git repository", "RepositoryMissing", "check the clone's origin URL"),
    ("does not exist", "RepositoryMissing", "check the clone's origin URL"),
    ("not found", "RepositoryMissing", "check the clone's origin URL"),
    ("couldn't find remote ref", "BranchMissing", "push the branch, or name another"),
    ("Could not resolve host", "Unreachable", "check the origin's address and the network"),
    ("Failed to connect", "Unreachable", "check the origin's address and the network"),
    ("unable to access", "Unreachable", "check the origin's address and the network"),
    ("No space left on device", "DiskFull", "free disk space on this VM"),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Trouble:
    """Why git did not do what it was asked."""

    reason: str
    message: str
    fix: str

    def failed(self) -> Failed:
        """Return it as an action's outcome: git's troubles pass, so they are tried again."""
        return Failed(reason=self.reason, message=self.message, fix=self.fix)


def explain(finished: runner.Finished, clone: Path) -> Trouble:
    """Return what went wrong, from what git said."""
    said = " ".join(finished.lines[-5:])
    if finished.timed_out:
        return Trouble("TimedOut", f"git did not end in time in {clone}", "check the origin")
    for phrase, reason, fix in _KNOWN:
        if phrase in said:
            return Trouble(reason, f"git in {clone}: {said}", fix)
    return Trouble("GitFailed", f"git in {clone}: {said}", f"run it by hand in {clone}")


class Clones:
    """The repositories that this agent's own file names."""

    def __init__(self, paths: Mapping[str, Path], journal: Journal) -> None:
        self._paths = paths
        self._journal = journal
        self._asked: dict[str, set[str]] = {name: set() for name in paths}

    async def look(self, names: tuple[str, ...]) -> dict[str, Repository]:
        """Ask these repositories' origins for their branches, all of them for none."""
        wanted = [name for name in names or self._paths if name in self._paths]
        async with asyncio.TaskGroup() as group:
            tasks = {name: group.create_task(self._look(name)) for name in wanted}
        return {name: task.result() for name, task in tasks.items()}

    async def present(self, name: str) -> tuple[str, ...]:
        """Return the commits that a clone has at its refs, and those that were asked for."""
        finished = await self.git(
            name, "for-each-ref", "--format=%(objectname)", "refs/remotes", "refs/heads"
        )
        tips = finished.output.decode().split() if finished.ok else []
        return tuple(sorted({*tips, *self._asked[name]}))

    async def fetch(self, action: Fetch, deployment: str) -> Outcome:
        """Bring a commit into the clone; one that is there is not asked for again."""
        name = action.repository
        if name not in self._paths:
            return Failed(
                reason="RepositoryUnknown",
                message=f"this node has no repository {name}",
                fix=f"add {name}: /path/of/its/clone to repositories: in agent.yaml",
                terminal=True,
            )
        self._journal.started(deployment, FETCH)
        trouble = await self._bring(action, deployment)
        if trouble is not None:
            self._journal.failed(deployment, FETCH, trouble.message)
            return trouble.failed()
        self._asked[name].add(action.commit)
        self._journal.finished(deployment, FETCH)
        return Succeeded()

    async def has(self, name: str, commit: str) -> bool:
        """Whether the clone has a commit."""
        return (await self.git(name, "cat-file", "-e", f"{commit}^{{commit}}")).ok

    async def checkout(self, name: str, commit: str, target: Path) -> Trouble | None:
        """Write a commit's files below an empty folder; links that lead out of it are refused."""
        archive = target.with_name(target.name + ".tar")
        finished = await self.git(
            name, "archive", "--format=tar", f"--output={archive}", commit, seconds=FETCH_SECONDS
        )
        if not finished.ok:
            return explain(finished, self._paths[name])
        try:
            await asyncio.to_thread(_unpack, archive, target)
        except (OSError, tarfile.TarError) as error:
            message = f"{name} at {commit[:7]} can't be written: {error}"
            return Trouble("CheckoutFailed", message, "see what the message names")
        finally:
            archive.unlink(missing_ok=True)
        return None

    async def git(
        self, name: str, *arguments: str, seconds: float = LOOK_SECONDS
    ) -> runner.Finished:
        """Run git in a clone."""
        return await runner.run(
            _argv(self._paths[name], arguments), timeout_seconds=seconds, env=_ENVIRONMENT
        )

    async def _look(self, name: str) -> Repository:
        path = self._paths[name]
        if (trouble := await self._usable(name)) is None:
            finished = await self.git(name, "ls-remote", "--heads", "--", "origin")
            trouble = None if finished.ok else explain(finished, path)
        else:
            finished = None
        branches = _heads(finished.output) if finished is not None and finished.ok else {}
        return Repository(
            branches=branches,
            present=await self.present(name) if path.is_dir() else (),
            error=trouble.message if trouble else "",
            checked_at=clock.now(),
        )

    async def _usable(self, name: str) -> Trouble | None:
        path = self._paths[name]
        if not path.is_dir():
            fix = f"clone it there, or correct repositories: {name}: in agent.yaml"
            return Trouble("RepositoryMissing", f"{path} is not there; {fix}", fix)
        finished = await self.git(name, "config", "--get", "remote.origin.url")
        url = finished.output.decode("utf-8", "replace").strip()
        if "@" in url.partition("://")[2].partition("/")[0] and ":" in url.partition("://")[2]:
            fix = f"git -C {path} remote set-url origin URL, without user name and password"
            message = f"the origin of {path} has credentials in its URL; {fix}"
            return Trouble("CredentialsInUrl", message, fix)
        return None

    async def _bring(self, action: Fetch, deployment: str) -> Trouble | None:
        name, commit = action.repository, action.commit
        if await self.has(name, commit):
            return None
        finished: runner.Finished | None = None
        for wanted in (_tracking(action.branch), commit):
            if wanted:
                finished = await runner.run(
                    _argv(
                        self._paths[name],
                        ("fetch", "--no-tags", "--no-write-fetch-head", "--", "origin", wanted),
                    ),
                    timeout_seconds=FETCH_SECONDS,
                    env=_ENVIRONMENT,
                    tell=lambda line: self._journal.lines(deployment, FETCH, (line,)),
                )
            if await self.has(name, commit):
                return None
        if finished is None or finished.ok:
            message = f"{name} has no commit {commit[:7]} on {action.branch} any more"
            return Trouble("CommitMissing", message, "push it, or name another commit")
        return explain(finished, self._paths[name])


def _argv(clone: Path, arguments: tuple[str, ...]) -> list[str]:
    options = [option for each in _CONFIG for option in ("-c", each)]
    return ["git", *options, "-C", str(clone), *arguments]


def _tracking(branch: str) -> str:
    return f"+refs/heads/{branch}:refs/remotes/origin/{branch}" if branch else ""


def _heads(output: bytes) -> dict[str, str]:
    heads: dict[str, str] = {}
    for line in output.decode("utf-8", "replace").splitlines():
        sha, _, ref = line.partition("\t")
        heads[ref.removeprefix("refs/heads/")] = sha
    return heads


def _unpack(archive: Path, target: Path) -> None:
    target.mkdir(parents=True)
    with tarfile.open(archive) as tar:
        tar.extractall(target, filter="data")
