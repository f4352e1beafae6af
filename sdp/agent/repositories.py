"""The node's configured clones: fetched into for deployments, and asked what they know."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from sdp import clock
from sdp.agent.accounts import Account, Accounts
from sdp.agent.git import Clone
from sdp.agent.git_problem import GitProblem, problem
from sdp.agent.lent import NOTHING, Lent, Opener
from sdp.protocol.actions import Fetch
from sdp.protocol.frames import Outcome, Succeeded
from sdp.protocol.report import Repository
from sdp.protocol.secret import Credentials

STAGE = "git fetch"


class Journal(Protocol):
    """Where a deployment's stages and lines go."""

    def started(self, deployment: str, stage: str) -> None: ...
    def finished(self, deployment: str, stage: str, note: str = "") -> None: ...
    def failed(self, deployment: str, stage: str, note: str) -> None: ...
    def lines(self, deployment: str, stage: str, lines: tuple[str, ...]) -> None: ...


class Repositories:
    """``paths`` maps a repository's name to its clone; ``home`` is the HOME that git gets."""

    def __init__(
        self,
        paths: Mapping[str, Path],
        home: Path,
        journal: Journal,
        accounts: Accounts | None = None,
    ) -> None:
        self._clones = {name: Clone(path, home) for name, path in paths.items()}
        self._locks = {name: asyncio.Lock() for name in paths}
        self._journal = journal
        self._accounts = accounts or Accounts(Opener())
        self._wanting: set[str] = set()

    def clone(self, name: str) -> Clone | GitProblem:
        """Return a configured clone."""
        found = self._clones.get(name)
        return found or problem(
            "CloneMissing", f"this node's agent has no repository named {name} in its file"
        )

    async def fetch(self, action: Fetch, deployment: str, lent: Lent = NOTHING) -> Outcome:
        clone = self.clone(action.repository)
        if isinstance(clone, GitProblem):
            return clone.failed()
        self._journal.started(deployment, STAGE)
        try:
            async with self._locks[action.repository]:
                failed = await self._fetch(clone, action, lent)
        except asyncio.CancelledError:
            self._journal.failed(deployment, STAGE, "cancelled")
            raise
        if failed:
            self._journal.lines(deployment, STAGE, failed.lines)
            self._journal.failed(deployment, STAGE, failed.message)
            return failed.failed()
        self._journal.finished(deployment, STAGE, f"{action.branch} @ {action.commit[:7]}")
        return Succeeded()

    async def look(self, names: tuple[str, ...], lent: Lent = NOTHING) -> dict[str, Repository]:
        """Ask these repositories' origins; for none all, but those that wait to be lent a password."""
        chosen = names or await self._pollable()
        async with asyncio.TaskGroup() as group:
            looks = {
                name: group.create_task(self._look(name, lent))
                for name in chosen
                if name in self._clones
            }
        return {name: look.result() for name, look in looks.items()}

    async def present(self, name: str) -> tuple[str, ...]:
        """Return the commits that the clone has, without the network."""
        clone = self.clone(name)
        told = clone if isinstance(clone, GitProblem) else await clone.present()
        return () if isinstance(told, GitProblem) else told

    async def _pollable(self) -> tuple[str, ...]:
        """Return the repositories that can be looked at without a user's credentials."""
        own = {
            each: await self._accounts.at(self._clones[each], NOTHING) for each in self._wanting
        }
        return tuple(each for each in self._clones if each not in own or own[each].own)

    async def _fetch(self, clone: Clone, action: Fetch, lent: Lent) -> GitProblem | None:
        account = await self._accounts.at(clone, lent)
        if isinstance(account.chosen, GitProblem):
            return account.chosen
        failed = await clone.fetch(action.branch, action.commit, account.chosen)
        return account.blamed(failed) if failed else None

    async def _look(self, name: str, lent: Lent) -> Repository:
        clone = self._clones[name]
        account = await self._accounts.at(clone, lent)
        chosen = account.chosen
        branches = chosen if isinstance(chosen, GitProblem) else await clone.ls_remote(chosen)
        needs = account.needs(branches)
        if not needs and name in self._wanting and isinstance(branches, GitProblem):
            needs = "wanted"  # an origin that is away has not stopped asking
        (self._wanting.add if needs == "wanted" else self._wanting.discard)(name)
        told = _told(account, branches, await clone.present())
        return told.model_copy(update={"credentials": needs})


def _told(
    account: Account,
    branches: dict[str, str] | GitProblem,
    present: tuple[str, ...] | GitProblem,
) -> Repository:
    """Return what is reported after a look; one with nothing in hand tells of no branches."""
    refused = isinstance(branches, GitProblem) and branches.reason == "AuthenticationFailed"
    asked = not (refused and account.asks and account.chosen is None)
    problems = [account.blamed(branches)] if isinstance(branches, GitProblem) and asked else []
    problems += [present] if isinstance(present, GitProblem) else []
    return Repository(
        branches={} if isinstance(branches, GitProblem) else branches,
        present=() if isinstance(present, GitProblem) else present,
        error=next((": ".join(filter(None, (p.message, p.fix))) for p in problems), ""),
        checked_at=clock.now() if asked else None,
        refused=account.lent.user if refused and isinstance(account.lent, Credentials) else "",
    )
