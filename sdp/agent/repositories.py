"""The node's configured clones: fetched into for deployments, and asked what they know."""

import asyncio
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Protocol

from sdp import askpass, clock
from sdp.agent.git import Clone
from sdp.agent.git_problem import GitProblem, problem
from sdp.protocol.actions import Fetch
from sdp.protocol.frames import Outcome, Succeeded
from sdp.protocol.report import Repository
from sdp.protocol.secret import Credentials
from sdp.service_credential import ServiceCredential, Unusable

STAGE = "git fetch"
NO_SERVICE = ServiceCredential()


class Journal(Protocol):
    """Where a deployment's stages and lines go."""

    def started(self, deployment: str, stage: str) -> None: ...
    def finished(self, deployment: str, stage: str, note: str = "") -> None: ...
    def failed(self, deployment: str, stage: str, note: str) -> None: ...
    def lines(self, deployment: str, stage: str, lines: tuple[str, ...]) -> None: ...


class Repositories:
    """``paths`` maps a repository's name to its clone; ``home`` is the HOME that git gets.

    A user's credentials come first, where they are lent; then the node's own ``service``.
    """

    def __init__(
        self,
        paths: Mapping[str, Path],
        home: Path,
        journal: Journal,
        service: ServiceCredential = NO_SERVICE,
    ) -> None:
        self._clones = {name: Clone(path, home) for name, path in paths.items()}
        self._locks = {name: asyncio.Lock() for name in paths}
        self._journal = journal
        self._service = service
        self._wanting: set[str] = set()

    def clone(self, name: str) -> Clone | GitProblem:
        """Return a configured clone."""
        found = self._clones.get(name)
        return found or problem(
            "CloneMissing", f"this node's agent has no repository named {name} in its file"
        )

    async def fetch(
        self, action: Fetch, deployment: str, lent: Credentials | None = None
    ) -> Outcome:
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

    async def look(
        self, names: tuple[str, ...], lent: Credentials | None = None
    ) -> dict[str, Repository]:
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
        own = {name: await self._own(self._clones[name]) for name in self._wanting}
        return tuple(name for name in self._clones if name not in own or own[name] is not None)

    async def _own(self, clone: Clone) -> Credentials | GitProblem | None:
        """Return the node's own account for a clone's origin, where it asks for one and has one."""
        origin = await clone.origin()
        if isinstance(origin, GitProblem):
            return origin
        site = askpass.site_of(origin)
        found = self._service.of(site) if site else None
        if isinstance(found, Unusable):
            return GitProblem("CredentialsUnusable", found.message, found.fix)
        return found

    async def _fetch(
        self, clone: Clone, action: Fetch, lent: Credentials | None
    ) -> GitProblem | None:
        account = lent or await self._own(clone)
        if isinstance(account, GitProblem):
            return account
        failed = await clone.fetch(action.branch, action.commit, account)
        return _with_whose(failed, account, lent) if failed else None

    async def _look(self, name: str, lent: Credentials | None) -> Repository:
        clone = self._clones[name]
        own = await self._own(clone)
        account = lent or own
        branches: dict[str, str] | GitProblem
        if isinstance(account, GitProblem):
            branches = account
        else:
            branches = await clone.ls_remote(account)
        present = await clone.present()
        asks = await self._asks(clone, branches, own, lent)
        (self._wanting.add if asks == "wanted" else self._wanting.discard)(name)
        if asks == "wanted" and account is None and not isinstance(present, GitProblem):
            return Repository(
                branches={}, present=present, error="", checked_at=None, credentials=asks
            )
        refused = isinstance(branches, GitProblem) and branches.reason == "AuthenticationFailed"
        if isinstance(branches, GitProblem) and not isinstance(account, GitProblem):
            branches = _with_whose(branches, account, lent)
        problems = [told for told in (branches, present) if isinstance(told, GitProblem)]
        error = next((": ".join(filter(None, (p.message, p.fix))) for p in problems), "")
        return Repository(
            branches={} if isinstance(branches, GitProblem) else branches,
            present=() if isinstance(present, GitProblem) else present,
            error=error,
            checked_at=clock.now(),
            credentials=asks,
            refused=lent.user if lent and refused else "",
        )

    async def _asks(
        self,
        clone: Clone,
        found: dict[str, str] | GitProblem,
        own: Credentials | GitProblem | None,
        lent: Credentials | None,
    ) -> Literal["", "served", "wanted"]:
        """Return whether a look tells that the origin asks for credentials, and who has them."""
        if isinstance(own, Credentials):
            return "served"
        reason = found.reason if isinstance(found, GitProblem) else ""
        if reason == "CredentialsUnusable":
            return "wanted"
        if reason != "AuthenticationFailed" and lent is None:
            return ""
        origin = await clone.origin()
        asks = isinstance(origin, str) and askpass.site_of(origin) is not None
        return "wanted" if asks else ""


def _with_whose(
    failed: GitProblem, account: Credentials | None, lent: Credentials | None
) -> GitProblem:
    """Return a refusal with whose credentials were refused, and who can mend that."""
    if failed.reason != "AuthenticationFailed":
        return failed
    if account is None:
        return failed
    if lent is None:
        whose, fix = (
            f"the service credential {account.user}",
            "correct the file credentials: names",
        )
    else:
        whose, fix = f"the credentials of {lent.user}", f"log in again as {lent.user}: sdp login"
    message = f"{failed.message} (with {whose})"
    return dataclasses.replace(failed, message=message, fix=fix)
