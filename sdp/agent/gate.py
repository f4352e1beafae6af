"""The health gate of a started container: its lines are told while it is waited for."""

import asyncio
import contextlib
import datetime
from typing import Protocol

from sdp import clock
from sdp.agent import probe
from sdp.agent.engine import PORT, Engine, EngineDown, EngineError, Inspected
from sdp.protocol.actions import Probe
from sdp.protocol.frames import Failed, Outcome, Succeeded

STAGE = "start container"
LAST_LINES = 50
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 0.25


class Lines(Protocol):
    """Where a deployment's log lines go."""

    def lines(self, deployment: str, stage: str, lines: tuple[str, ...]) -> None: ...


class Gatekeeper:
    def __init__(self, engine: Engine, journal: Lines) -> None:
        self._engine = engine
        self._journal = journal

    async def gate(self, container: str, told: Probe) -> Outcome:
        found = await self._engine.inspect(container)
        if found is None:
            return Failed(reason="ContainerGone", message=f"container {container} is not there")
        async with asyncio.TaskGroup() as group:
            follower = group.create_task(self._tell(found))
            outcome = await self._waited(found.id, told)
            follower.cancel()
        if isinstance(outcome, EngineDown | EngineError):
            raise outcome
        return outcome

    async def _waited(self, container: str, told: Probe) -> Outcome | EngineDown | EngineError:
        """Return what stops the wait as a value: a task group would make another of it."""
        try:
            return await self._wait(container, told)
        except (EngineDown, EngineError) as error:
            return error

    async def _tell(self, found: Inspected) -> None:
        deployment = found.labels.get("sdp.deployment", "")
        lines = self._engine.follow(found.id)
        with contextlib.suppress(EngineDown, EngineError):  # the wait beside this one says so
            async with contextlib.aclosing(lines):
                async for line in lines:
                    self._journal.lines(deployment, STAGE, (line,))

    async def _wait(self, container: str, told: Probe) -> Outcome:
        pause = FIRST_PAUSE
        while True:
            found = await self._engine.inspect(container)
            if found is None:
                return Failed(reason="ContainerGone", message="the container was removed")
            if found.state != "running" or found.restarts > 0:
                return await self._crashed(found)
            answer = await probe.ask(int(found.labels.get(PORT, "0")), told.path)
            if answer.healthy:
                return Succeeded(note=answer.said)
            if clock.now() > _deadline(found, told):
                return await self._never(found, told, answer)
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)

    async def _crashed(self, found: Inspected) -> Failed:
        return Failed(
            reason="Crashed",
            message=f"{found.name} ended with exit code {found.exit_code} before it was healthy",
            fix="read its last lines, and commit a version that stays up",
            terminal=True,
            lines=await self._engine.tail(found.id, LAST_LINES),
        )

    async def _never(self, found: Inspected, told: Probe, answer: probe.Answer) -> Failed:
        return Failed(
            reason="NeverHealthy",
            message=f"{found.name} did not answer GET {told.path} within "
            f"{told.deadline_seconds:g} s; last: {answer.said}",
            fix="read its last lines; if it needs longer, raise the health deadline",
            terminal=True,
            lines=await self._engine.tail(found.id, LAST_LINES),
        )


def _deadline(found: Inspected, told: Probe) -> datetime.datetime:
    """The clock starts when the container does, not when somebody comes to look."""
    started = found.started_at or clock.now()
    return started + datetime.timedelta(seconds=told.deadline_seconds)
