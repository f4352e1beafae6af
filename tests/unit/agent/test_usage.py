"""What containers use is measured from where it was left, and told without those that are gone."""

import asyncio
import dataclasses
import datetime
from collections.abc import Mapping

import pytest

from sdp.agent import usage
from sdp.agent.cgroup import used
from sdp.agent.engine import Draft, EngineDown, Inspected, Used
from sdp.agent.usage import Meter
from sdp.protocol.frames import Sample, Usage
from tests.fakes.engine import FakeEngine

START = datetime.datetime(2026, 11, 25, 9, 0, tzinfo=datetime.UTC)
CPU = 1_000_000_000


@pytest.fixture(autouse=True)
def short_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "ROUND_SECONDS", 0.001)


class Counters:
    """An engine whose counters say what was put there, one answer for each question."""

    def __init__(self, *answers: Used | EngineDown | None) -> None:
        self.answers = [*answers]

    async def used(self, container: Inspected) -> Used | None:
        _ = container
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, EngineDown):
            raise answer
        return answer


@dataclasses.dataclass
class Observer:
    seen: Mapping[str, Inspected]


async def running(started_at: datetime.datetime = START, **changes: object) -> Inspected:
    engine = FakeEngine("mine")
    await engine.create_network("n", "s")
    key = await engine.create(Draft("a", "busybox:test", {}, "n"))
    found = await engine.inspect(key)
    assert found is not None
    found = dataclasses.replace(found, state="running", started_at=started_at)
    return dataclasses.replace(found, **changes)  # type: ignore[arg-type]


async def told(observer: Observer, engine: Counters, count: int) -> list[Sample]:
    """Run rounds until so many frames came; return their samples."""
    frames: asyncio.Queue[Usage] = asyncio.Queue()
    meter = Meter(engine, observer, frames.put)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(meter.run())
        found = [await frames.get() for _ in range(count)]
        task.cancel()
    return [sample for frame in found for sample in frame.samples]


def at(seconds: int, cpu: int, memory: int = 1) -> Used:
    return Used(START + datetime.timedelta(seconds=seconds), cpu, memory)


async def test_cpu_is_counted_from_the_start_and_then_from_the_time_before():
    container = await running()
    engine = Counters(at(10, 5 * CPU), at(20, 6 * CPU, 7))
    found = await told(Observer({"a": container}), engine, 2)
    assert [(each.cpu_milli, each.memory_bytes) for each in found] == [(500, 1), (100, 7)]


async def test_a_container_that_was_started_again_is_counted_from_its_new_start():
    observer = Observer({"a": await running()})

    class Restarted(Counters):
        async def used(self, container: Inspected) -> Used | None:
            if len(self.answers) == 1:
                later = START + datetime.timedelta(seconds=15)
                assert container.started_at == later
            answer = await super().used(container)
            later = START + datetime.timedelta(seconds=15)
            observer.seen = {"a": dataclasses.replace(container, started_at=later)}
            return answer

    found = await told(observer, Restarted(at(10, 5 * CPU), at(20, CPU)), 2)
    assert [each.cpu_milli for each in found] == [500, 200]


async def test_what_is_gone_or_can_not_be_asked_is_left_out():
    container = await running()
    engine = Counters(None, EngineDown("away"), at(10, CPU))
    (sample,) = await told(Observer({"a": container}), engine, 1)
    assert sample.container == container.id


ID = "f" * 64


def test_a_group_of_the_second_version_is_read(tmp_path):
    group = tmp_path / "cgroup" / "system.slice" / f"docker-{ID}.scope"
    group.mkdir(parents=True)
    (group / "memory.current").write_text("3000\n")
    (group / "memory.stat").write_text("anon 1500\ninactive_file 1000\n")
    (group / "cpu.stat").write_text("usage_usec 42\nuser_usec 40\n")
    process = tmp_path / "proc" / "7"
    process.mkdir(parents=True)
    (process / "cgroup").write_text(f"0::/system.slice/docker-{ID}.scope\n")
    assert used(7, ID, tmp_path / "cgroup", tmp_path / "proc") == (42_000, 2000)
    assert used(7, "0" * 64, tmp_path / "cgroup", tmp_path / "proc") is None
    assert used(8, ID, tmp_path / "cgroup", tmp_path / "proc") is None


def test_groups_of_the_first_version_are_read(tmp_path):
    memory = tmp_path / "cgroup" / "memory" / "docker" / ID
    cpu = tmp_path / "cgroup" / "cpuacct" / "docker" / ID
    for folder in (memory, cpu, tmp_path / "proc" / "7"):
        folder.mkdir(parents=True)
    (memory / "memory.usage_in_bytes").write_text("3000\n")
    (memory / "memory.stat").write_text("cache 1\ntotal_inactive_file 1000\n")
    (cpu / "cpuacct.usage").write_text("42\n")
    told = f"4:memory:/docker/{ID}\n3:cpu,cpuacct:/docker/{ID}\n0::/docker/{ID}\n"
    (tmp_path / "proc" / "7" / "cgroup").write_text(told)
    assert used(7, ID, tmp_path / "cgroup", tmp_path / "proc") == (42, 2000)
