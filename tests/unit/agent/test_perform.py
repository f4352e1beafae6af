"""Actions are performed once, within their deadline, and their results come last."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sdp.agent.allowed import Allowed
from sdp.agent.containers import Containers, Place
from sdp.agent.engine import Draft, EngineError
from sdp.agent.identity import IdentityFile
from sdp.agent.journal import Journal
from sdp.agent.lent import Lent
from sdp.agent.outbox import Outbox
from sdp.agent.perform import Desk, Performers
from sdp.agent.seals import Seals
from sdp.agent.strangers import Strangers
from sdp.protocol import actions
from sdp.protocol.actions import Action
from sdp.protocol.frames import Cancelled, Failed, Outcome, Perform, Result, Succeeded
from tests.fakes.engine import FakeEngine


class Disk:
    """Stands for clones, releases and copies; fetching waits until it is let go."""

    def __init__(self) -> None:
        self.fetching = asyncio.Event()
        self.go = asyncio.Event()
        self.fetches = 0

    async def fetch(self, action: actions.Fetch, deployment: str, lent: Lent) -> Outcome:
        self.fetches += 1
        self.lent = lent
        self.fetching.set()
        await self.go.wait()
        return Succeeded(note=f"{action.commit} {deployment}")

    def path(self, repository: str, commit: str, recipe: actions.Recipe) -> Path:
        return Path("/releases") / repository / commit / recipe.kind

    def held(self, place: Path) -> contextlib.AbstractContextManager[bool]:
        return contextlib.nullcontext(enter_result=place.is_absolute())

    async def build(self, action: actions.Build, deployment: str) -> Outcome:
        return Succeeded(note=f"{action.commit} {deployment}")

    async def copy(self, action: actions.CopyGateway, deployment: str) -> Outcome:
        return Succeeded(note=f"{action.commit} {deployment}")

    async def route(self, action: actions.Route) -> Outcome:
        return Succeeded(note=action.key)

    async def remove(
        self, action: actions.RemoveCopy | actions.RemoveRelease, _mounted: object = None
    ) -> Outcome:
        return Succeeded(note=action.commit)


class Looking:
    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self.results_before: list[int] = []

    async def look(self, after: Action) -> None:
        assert after.kind
        self.results_before.append(len(results(self.outbox)))


class Bench:
    def __init__(self, folder: Path) -> None:
        self.engine = FakeEngine("mine")
        self.disk = Disk()
        self.seals = Seals(IdentityFile(None), folder)
        self.outbox = Outbox(folder / "outbox.sqlite")
        journal = Journal(self.outbox)
        place = Place("micro-92", "mine", folder, folder, folder)
        containers = Containers(self.engine, place, journal, Strangers(self.engine))
        self.observer = Looking(self.outbox)
        self.desk = Desk(
            Performers(containers, self.disk, self.disk, self.disk, self.seals, Allowed()),
            self.outbox,
            journal,
            self.observer,
        )

    async def result(self, count: int = 1) -> tuple[Outcome, ...]:
        async with asyncio.timeout(3):
            while len(told := results(self.outbox)) < count:
                self.outbox.grown.clear()
                await self.outbox.grown.wait()
        return told


def results(outbox: Outbox) -> tuple[Outcome, ...]:
    bodies = [entry.body for entry in outbox.pending(0)]
    return tuple(body.outcome for body in bodies if isinstance(body, Result))


def perform(action: Action, action_id: str = "one", seconds: float = 5) -> Perform:
    return Perform(action_id=action_id, deployment="d", timeout_seconds=seconds, action=action)


FETCH = actions.Fetch(repository="account", branch="main", commit="c1")
NETWORK = actions.EnsureNetwork(sandbox="s", name="sandbox-s")


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(made.desk.run())
        await asyncio.sleep(0)
        yield made
        running.cancel()
    made.outbox.close()


async def test_same_action_id_performs_once(bench: Bench) -> None:
    bench.desk.submit(perform(FETCH))
    await bench.disk.fetching.wait()
    bench.desk.submit(perform(FETCH))
    bench.disk.go.set()
    assert await bench.result() == (Succeeded(note="c1 d"),)
    bench.desk.submit(perform(FETCH))
    assert bench.disk.fetches == 1


async def test_observation_comes_before_the_result(bench: Bench) -> None:
    bench.desk.submit(perform(NETWORK))
    await bench.result()
    assert bench.observer.results_before == [0]
    assert await bench.engine.networks() == {"sandbox-s": "s"}


async def test_deadline_ends_the_action_and_frees_its_resource(bench: Bench) -> None:
    bench.desk.submit(perform(FETCH, "one", 0.02))
    (outcome,) = await bench.result()
    assert isinstance(outcome, Failed)
    assert (outcome.reason, outcome.terminal) == ("TimedOut", False)
    bench.disk.go.set()
    bench.desk.submit(perform(FETCH, "two"))
    assert (await bench.result(2))[1] == Succeeded(note="c1 d")


async def test_cancelled_action_ends_at_once(bench: Bench) -> None:
    bench.desk.submit(perform(FETCH))
    await bench.disk.fetching.wait()
    bench.desk.cancel("one")
    assert await bench.result() == (Cancelled(),)


async def test_action_cancelled_before_it_began_has_a_result_too(bench: Bench) -> None:
    bench.desk.submit(perform(FETCH))
    bench.desk.cancel("one")
    assert await bench.result() == (Cancelled(),)
    assert bench.disk.fetches == 0


async def test_the_same_action_under_a_forgotten_id_is_cancelled_with_it(bench: Bench) -> None:
    bench.desk.submit(perform(FETCH, "forgotten"))
    await bench.disk.fetching.wait()
    bench.desk.submit(perform(FETCH, "asked again"))
    bench.desk.submit(perform(NETWORK, "another"))
    bench.desk.cancel("asked again")
    told = await bench.result(3)
    assert sorted(each.kind for each in told) == ["cancelled", "cancelled", "succeeded"]


async def test_a_container_that_goes_during_its_gate_is_a_failure_and_no_crash(
    bench: Bench,
) -> None:
    await bench.engine.create_network("sandbox-s", "s")
    draft = Draft("c", "busybox:test", {}, "sandbox-s", command=("sh", "-c", "exit 3"))
    await bench.engine.start(await bench.engine.create(draft))
    bench.engine.refusals["tail"] = EngineError("dead or marked for removal")
    gate = actions.Gate(
        sandbox="s", container="c", probe=actions.Probe(path="/", deadline_seconds=5)
    )
    bench.desk.submit(perform(gate))
    (outcome,) = await bench.result()
    assert isinstance(outcome, Failed)
    assert (outcome.reason, outcome.message) == ("EngineRefused", "dead or marked for removal")


async def test_lost_engine_is_retryable_and_says_how_to_fix_it(bench: Bench) -> None:
    bench.engine.down = True
    bench.desk.submit(perform(NETWORK))
    (outcome,) = await bench.result()
    assert isinstance(outcome, Failed)
    assert (outcome.reason, outcome.terminal) == ("EngineDown", False)
    assert outcome.fix
