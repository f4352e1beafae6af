"""Performs actions: once each, within a deadline, one at a time per resource.

After an action a fresh observation is made before its result is written, so that no result
overtakes the report that shows its effect. Performers return outcomes; only a lost engine is
an exception, and becomes an outcome here.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Protocol, assert_never

from sdp import clock
from sdp.agent.allowed import Allowed, refused
from sdp.agent.containers import Containers
from sdp.agent.engine import EngineDown, EngineError
from sdp.agent.journal import Journal
from sdp.agent.lent import Lent
from sdp.agent.outbox import Outbox
from sdp.agent.releases import Mounted
from sdp.agent.seals import Plaintext
from sdp.protocol import actions, sealed
from sdp.protocol.actions import Action, Recipe, SealedFile
from sdp.protocol.frames import Cancelled, Failed, Outcome, Perform, Succeeded
from sdp.protocol.identity import release_key

START = "start container"
MOST_ACTIONS = 1000
"""Actions under way; a control plane plans a few per node at once, and more are no plan."""


class Repositories(Protocol):
    async def fetch(self, action: actions.Fetch, deployment: str, lent: Lent) -> Outcome: ...


class Releases(Protocol):
    def path(self, repository: str, commit: str, recipe: Recipe) -> Path: ...
    def held(self, place: Path) -> contextlib.AbstractContextManager[bool]: ...
    async def build(self, action: actions.Build, deployment: str) -> Outcome: ...
    async def remove(self, action: actions.RemoveRelease, mounted: Mounted) -> Outcome: ...


class Copies(Protocol):
    async def copy(self, action: actions.CopyGateway, deployment: str) -> Outcome: ...
    async def route(self, action: actions.Route) -> Outcome: ...
    async def remove(self, action: actions.RemoveCopy) -> Outcome: ...


class Seals(Protocol):
    async def unseal(self, action: actions.Unseal) -> Outcome: ...
    async def open(self, files: Iterable[SealedFile]) -> Plaintext | Failed: ...


class Looks(Protocol):
    """Who observes."""

    async def look(self, after: Action) -> None:
        """Observe now; whatever the action may have changed is read afresh."""
        ...


class Performers:
    """Whom each kind of action goes to."""

    def __init__(
        self,
        containers: Containers,
        repositories: Repositories,
        releases: Releases,
        copies: Copies,
        seals: Seals,
        allowed: Allowed,
    ) -> None:
        self.containers = containers
        self.repositories = repositories
        self.releases = releases
        self.copies = copies
        self.seals = seals
        self.allowed = allowed

    async def perform(self, frame: Perform) -> Outcome:  # noqa: C901, PLR0911, PLR0912 - one flat case per kind
        action, deployment = frame.action, frame.deployment
        if (no := refused(action, self.allowed)) is not None:
            return no
        match action:
            case actions.Unseal():
                return await self.seals.unseal(action)
            case actions.EnsureNetwork():
                return await self.containers.ensure_network(action)
            case actions.Fetch():
                purpose = sealed.performing(frame.action_id, action.repository)
                lent = Lent(frame.credentials, purpose)
                return await self.repositories.fetch(action, deployment, lent)
            case actions.Build():
                return await self.releases.build(action, deployment)
            case actions.CopyGateway():
                return await self.copies.copy(action, deployment)
            case actions.StartService():
                return await self._start_service(action)
            case actions.StartGateway():
                return await self.containers.start_gateway(action)
            case actions.Resume():
                return await self.containers.resume(action)
            case actions.Restart():
                return await self.containers.restart(action)
            case actions.Gate():
                return await self.containers.gate(action)
            case actions.Admit():
                return await self.containers.admit(action)
            case actions.Route():
                return await self.copies.route(action)
            case actions.SetLimits():
                return await self.containers.set_limits(action)
            case actions.Rename():
                return await self.containers.rename(action)
            case actions.Stop():
                return await self.containers.stop(action)
            case actions.Remove():
                return await self.containers.remove(action)
            case actions.RemoveNetwork():
                return await self.containers.remove_network(action)
            case actions.RemoveCopy():
                return await self.copies.remove(action)
            case actions.RemoveRelease():
                return await self.releases.remove(action, self.containers.mounted)
            case _:
                assert_never(action)

    async def _start_service(self, action: actions.StartService) -> Outcome:
        opened = await self.seals.open(action.container.sealed)
        if isinstance(opened, Failed):
            return opened
        try:
            release = self.releases.path(action.repository, action.container.commit, action.recipe)
        except ValueError as error:
            return Failed(reason="HostileName", message=str(error), terminal=True)
        try:
            with self.releases.held(release) as there:
                if not there:
                    return Failed(reason="ReleaseMissing", message="its release is being removed")
                outcome = await self.containers.start_service(action, release, opened)
        except EngineError as error:
            raise EngineError(opened.hidden(str(error))) from None
        if isinstance(outcome, Failed):
            return outcome.model_copy(update={"message": opened.hidden(outcome.message)})
        return outcome


def resource(action: Action) -> str:  # noqa: C901, PLR0911 - one flat case per kind
    """Return the name of what an action must have for itself."""
    match action:
        case actions.Fetch():
            return f"repository {action.repository}"
        case actions.Unseal():
            return f"environment {action.file.digest}"
        case actions.Build():
            return f"release {release_key(action.repository, action.commit, action.recipe)}"
        case actions.RemoveRelease():
            return f"release {action.repository}/{action.commit}/{action.recipe}"
        case actions.StartService() | actions.StartGateway():
            return f"container {action.container.name}"
        case actions.CopyGateway() | actions.RemoveCopy():
            return f"gateway copy of {action.sandbox}"
        case actions.Route():
            # Copies patches what is asked for together at once, under its own lock.
            return f"route {action.key} of {action.sandbox}"
        case actions.EnsureNetwork() | actions.RemoveNetwork():
            return f"network {action.name}"
        case _:
            return f"container {action.container}"


class Desk:
    """Takes actions in and sees each of them to its result."""

    def __init__(
        self, performers: Performers, outbox: Outbox, journal: Journal, observer: Looks
    ) -> None:
        self._performers = performers
        self._outbox = outbox
        self._journal = journal
        self._observer = observer
        self._locks: dict[str, asyncio.Lock] = {}
        self._waiting: dict[str, int] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._frames: dict[str, Perform] = {}
        self._cancelled: set[str] = set()
        self._outcomes: dict[str, Outcome] = {}
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Take actions until cancelled; then end those that run, and keep their outcomes."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                self._group = None

    def submit(self, frame: Perform) -> None:
        """Begin an action, unless its id is known, the agent is stopping, or there are too many."""
        if self._group is None or len(self._tasks) >= MOST_ACTIONS:
            return
        if self._outbox.begin(frame.action_id, clock.now().timestamp()) is None:
            task = self._group.create_task(self._see_through(frame))
            self._tasks[frame.action_id] = task
            self._frames[frame.action_id] = frame
            task.add_done_callback(lambda _: self._finish(frame))

    def cancel(self, action_id: str) -> None:
        """Stop an action; one that has ended, or was never heard of, is left alone.

        With it stops the same under other ids: a control plane that was away, or began anew, has
        forgotten those, and asked again.
        """
        meant = self._frames.get(action_id)
        if meant is None:
            return
        same = [key for key, each in self._frames.items() if each.action == meant.action]
        for each in same:
            self._cancelled.add(each)
            self._tasks[each].cancel()

    async def _see_through(self, frame: Perform) -> None:
        outcome = await self._within_deadline(frame)
        self._outcomes[frame.action_id] = outcome
        # An engine that is down, or a disk that can't be read, is told by the report itself.
        with contextlib.suppress(EngineDown, EngineError, OSError):
            await self._observer.look(frame.action)

    def _finish(self, frame: Perform) -> None:
        """Write the result; here, because a task that is cancelled early never runs at all."""
        outcome = self._outcomes.pop(frame.action_id, None)
        if outcome is None and frame.action_id in self._cancelled:
            outcome = Cancelled()
        if outcome is None:
            outcome = Failed(reason="AgentStopped", message="the agent ended during this action")
        self._close_stage(frame, outcome)
        self._outbox.finish(frame.action_id, outcome)
        self._tasks.pop(frame.action_id, None)
        self._frames.pop(frame.action_id, None)
        self._cancelled.discard(frame.action_id)

    async def _within_deadline(self, frame: Perform) -> Outcome:
        """The deadline covers the wait for the resource: no lock outlives it."""
        try:
            async with asyncio.timeout(frame.timeout_seconds):
                async with self._alone(resource(frame.action)):
                    return await self._attempt(frame)
        except TimeoutError:
            return Failed(
                reason="TimedOut",
                message=f"{frame.action.kind} did not end within {frame.timeout_seconds:g} s",
            )

    async def _attempt(self, frame: Perform) -> Outcome:
        if isinstance(frame.action, actions.StartService | actions.StartGateway):
            self._journal.started(frame.deployment, START)
        try:
            return await self._performers.perform(frame)
        except EngineDown as error:
            return Failed(
                reason="EngineDown",
                message=f"the Docker engine does not answer: {error}",
                fix="start it: systemctl start docker",
            )
        except EngineError as error:
            return Failed(reason="EngineRefused", message=str(error))

    def _close_stage(self, frame: Perform, outcome: Outcome) -> None:
        """Starting a container ends with its health gate, or with the first failure."""
        match frame.action, outcome:
            case actions.Gate(), Succeeded(note=note):
                self._journal.finished(frame.deployment, START, note)
            case (
                actions.StartService() | actions.StartGateway() | actions.Gate(),
                Failed(message=message),
            ):
                self._journal.failed(frame.deployment, START, message)
            case (
                actions.StartService() | actions.StartGateway() | actions.Gate(),
                Cancelled(),
            ):
                self._journal.failed(frame.deployment, START, "cancelled")
            case _:
                self._journal.flush()

    @contextlib.asynccontextmanager
    async def _alone(self, name: str) -> AsyncIterator[None]:
        lock = self._locks.setdefault(name, asyncio.Lock())
        self._waiting[name] = self._waiting.get(name, 0) + 1
        try:
            async with lock:
                yield
        finally:
            self._waiting[name] -= 1
            if not self._waiting[name]:
                del self._waiting[name], self._locks[name]
