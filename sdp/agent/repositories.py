"""The node's configured clones: fetched into for deployments, and asked what they know."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from sdp import clock
from sdp.agent.git import Clone
from sdp.agent.git_problem import GitProblem, problem
from sdp.protocol.actions import Fetch
from sdp.protocol.frames import Outcome, Succeeded
from sdp.protocol.report import Repository

STAGE = "git fetch"


class Journal(Protocol):
    """Where a deployment's stages and lines go."""

    def started(self, deployment: str, stage: str) -> None: ...
    def finished(self, deployment: str, stage: str, note: str = "") -> None: ...
    def failed(self, deployment: str, stage: str, note: str) -> None: ...
    def lines(self, deployment: str, stage: str, lines: tuple[str, ...]) -> None: ...


class Repositories:
    """``paths`` maps a repository's name to its clone; ``home`` is the HOME that git gets."""

    def __init__(self, paths: Mapping[str, Path], home: Path, journal: Journal) -> None:
        self._clones = {name: Clone(path, home) for name, path in paths.items()}
        self._locks = {name: asyncio.Lock() for name in paths}
        self._journal = journal

    def clone(self, name: str) -> Clone | GitProblem:
        """Return a configured clone."""
        found = self._clones.get(name)
        return found or problem(
            "CloneMissing", f"this node's agent has no repository named {name} in its file"
        )

    async def fetch(self, action: Fetch, deployment: str) -> Outcome:
        clone = self.clone(action.repository)
        if isinstance(clone, GitProblem):
            return clone.failed()
        self._journal.started(deployment, STAGE)
        try:
            async with self._locks[action.repository]:
                failed = await clone.fetch(action.branch, action.commit)
        except asyncio.CancelledError:
            self._journal.failed(deployment, STAGE, "cancelled")
            raise
        if failed:
            self._journal.lines(deployment, STAGE, failed.lines)
            self._journal.failed(deployment, STAGE, failed.message)
            return failed.failed()
        self._journal.finished(deployment, STAGE, f"{action.branch} @ {action.commit[:7]}")
        return Succeeded()

    async def look(self, names: tuple[str, ...]) -> dict[str, Repository]:
        """Ask these repositories' origins, all of them for none."""
        async with asyncio.TaskGroup() as group:
            looks = {
                name: group.create_task(self._look(self._clones[name]))
                for name in names or tuple(self._clones)
                if name in self._clones
            }
        return {name: look.result() for name, look in looks.items()}

    async def present(self, name: str) -> tuple[str, ...]:
        """Return the commits that the clone has, without the network."""
        clone = self.clone(name)
        told = clone if isinstance(clone, GitProblem) else await clone.present()
        return () if isinstance(told, GitProblem) else told

    async def _look(self, clone: Clone) -> Repository:
        branches, present = await clone.ls_remote(), await clone.present()
        problems = [told for told in (branches, present) if isinstance(told, GitProblem)]
        error = next((": ".join(filter(None, (p.message, p.fix))) for p in problems), "")
        return Repository(
            branches={} if isinstance(branches, GitProblem) else branches,
            present=() if isinstance(present, GitProblem) else present,
            error=error,
            checked_at=clock.now(),
        )
