"""How much CPU and memory running containers use: measured one after the other, told by the round.

A round is spread over its ten seconds, and begins only while a control plane listens. What is
told is lossy, and no part of the report: no plan depends on it.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from sdp.agent.engine import EngineDown, EngineError, Inspected, Used
from sdp.protocol import frames

ROUND_SECONDS = 10.0


class Engine(Protocol):
    async def used(self, container: Inspected) -> Used | None: ...


class Observer(Protocol):
    @property
    def seen(self) -> Mapping[str, Inspected]: ...


class Meter:
    def __init__(
        self,
        engine: Engine,
        observer: Observer,
        send: Callable[[frames.Usage], Awaitable[None]],
    ) -> None:
        self._engine = engine
        self._observer = observer
        self._send = send
        self._before: dict[str, Used] = {}

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            running = [each for each in self._observer.seen.values() if each.state == "running"]
            samples: list[frames.Sample] = []
            for container in running:
                await asyncio.sleep(ROUND_SECONDS / len(running))
                if (sample := await self._sample(container)) is not None:
                    samples.append(sample)
            if not running:
                await asyncio.sleep(ROUND_SECONDS)
            known = {each.id for each in running}
            self._before = {k: used for k, used in self._before.items() if k in known}
            if samples:
                await self._send(frames.Usage(samples=tuple(samples)))

    async def _sample(self, container: Inspected) -> frames.Sample | None:
        used: Used | None = None
        with contextlib.suppress(EngineDown, EngineError):  # the report says so
            used = await self._engine.used(container)
        if used is None or container.started_at is None:
            return None
        since = self._before.get(container.id)
        if since is None or since.at < container.started_at:  # the kernel counts from the start
            since = Used(container.started_at, 0, 0)
        self._before[container.id] = used
        seconds = max((used.at - since.at).total_seconds(), 0.001)
        milli = max(0, used.cpu_nanoseconds - since.cpu_nanoseconds) / 1e6 / seconds
        return frames.Sample(
            container=container.id, cpu_milli=round(milli), memory_bytes=used.memory_bytes
        )
