"""What the engine forgets of a container that runs again is told all the same."""

import asyncio
from collections.abc import Callable, Mapping

from sdp.agent.engine import Draft
from sdp.agent.lent import NOTHING, Lent
from sdp.agent.observe import Disk, Observer
from sdp.agent.strangers import Strangers
from sdp.protocol.report import Container, Copy, Release, Repository, Sealed
from tests.fakes.engine import FakeEngine


class Nothing:
    """A node without clones, releases, copies and keys."""

    async def look(self, names: tuple[str, ...], lent: Lent = NOTHING) -> dict[str, Repository]:
        _ = names, lent
        return {}

    async def present(self, name: str) -> tuple[str, ...]:
        _ = name
        return ()

    async def learn(self, sandbox: str) -> None:
        _ = sandbox


class Releases(Nothing):
    def scan(self) -> Mapping[str, Release]:
        return {}


class Copies(Nothing):
    def scan(self) -> Mapping[str, Copy]:
        return {}


class Seals(Nothing):
    def scan(self) -> Mapping[str, Sealed]:
        return {}


async def until(observer: Observer, key: str, holds: Callable[[Container], bool]) -> Container:
    async with asyncio.timeout(4):
        while (found := observer.report.containers.get(key)) is None or not holds(found):
            await observer.changed.wait()
            observer.changed.clear()
    return found


async def test_the_exit_code_of_a_container_that_runs_again_is_told() -> None:
    engine = FakeEngine("mine")
    await engine.create_network("n", "s")
    key = await engine.create(Draft("a", "busybox:test", {"sdp.sandbox": "s"}, "n"))
    await engine.start(key)
    disk = Disk(Releases(), Copies(), Seals(), dict)
    observer = Observer(engine, Nothing(), disk, Strangers(engine), 60)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(observer.run())
        await until(observer, key, lambda found: found.state == "running")
        await engine.alter(key, state="restarting", exit_code=3, restarts=1)
        await engine.alter(key, state="running", exit_code=0)
        found = await until(observer, key, lambda found: found.restarts == 1)
        assert (found.state, found.exit_code) == ("running", 3)
        assert observer.seen[key].exit_code == 0
        running.cancel()
