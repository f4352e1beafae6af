"""The engine contract: the same obligations for the fake and for a real engine."""

import asyncio
import contextlib
import os
import socket
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import docker
import pytest

from sdp.agent.dockerd import DockerEngine
from sdp.agent.engine import (
    BelowUse,
    Draft,
    Engine,
    EngineDown,
    EngineError,
    Line,
    Mount,
    NotFound,
    NotOurs,
)
from sdp.protocol.actions import Limits
from tests.fakes.engine import FakeEngine

URL = os.environ.get("SDP_TEST_ENGINE", "unix:///var/run/docker.sock")
IMAGE = os.environ.get("SDP_TEST_IMAGE", "sdp-testbed/runtime:1")

pytestmark = pytest.mark.timeout(60)


class World:
    """An engine with one network; a second instance on it, the stranger; and another node."""

    def __init__(self, engine: Engine, other: Engine, node: Engine, image: str) -> None:
        self.engine = engine
        self.other = other
        self.node = node
        self.image = image
        self.prefix = f"sdp-test-{uuid.uuid4().hex[:10]}"
        self.network = f"{self.prefix}-net"

    def draft(self, script: str = "sleep 600", **changes: object) -> Draft:
        values: dict[str, object] = {
            "name": f"{self.prefix}-a",
            "image": self.image,
            "labels": {"sdp.sandbox": "s"},
            "network": self.network,
            "command": ("/bin/sh", "-c", script),
            **changes,
        }
        return Draft(**values)  # type: ignore[arg-type]


async def sweep(engine: Engine) -> None:
    for key in await engine.containers():
        with contextlib.suppress(NotFound):
            await engine.remove(key)
    for name in await engine.networks():
        with contextlib.suppress(NotFound):
            await engine.remove_network(name)


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.docker)])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    if request.param == "fake":
        fake = FakeEngine("mine")
        theirs, beside = fake.as_seen_by("theirs"), fake.as_seen_by("mine", "micro-93")
        made = World(fake, theirs, beside, "busybox:test")
        await fake.create_network(made.network, "s")
        yield made
        return
    names = [f"test-{uuid.uuid4().hex[:10]}" for _ in range(2)]
    engine, other = (DockerEngine(URL, name, "micro-92") for name in names)
    node = DockerEngine(URL, names[0], "micro-93")
    made = World(engine, other, node, IMAGE)
    await engine.create_network(made.network, "s")
    try:
        yield made
    finally:
        await sweep(other)
        await sweep(engine)
        engine.close()
        other.close()
        node.close()


async def test_created_container_runs_only_when_started(world: World) -> None:
    key = await world.engine.create(world.draft())
    created = await world.engine.inspect(key)
    assert created is not None
    assert (created.state, created.started_at) == ("created", None)
    await world.engine.start(key)
    started = await world.engine.inspect(world.draft().name)
    assert started is not None
    assert started.state == "running"
    assert started.started_at is not None
    assert started.labels["sdp.sandbox"] == "s"


async def test_list_holds_this_instances_containers_only(world: World) -> None:
    mine = await world.engine.create(world.draft())
    theirs = await world.other.create(world.draft(name=f"{world.prefix}-b"))
    assert set(await world.engine.containers()) == {mine}
    assert set(await world.other.containers()) == {theirs}


async def test_published_ports_are_told_with_their_containers(world: World) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    key = await world.other.create(world.draft(name=f"{world.prefix}-b", ports={80: port}))
    assert port not in await world.engine.published()
    await world.other.start(key)
    told = (await world.engine.published())[port]
    assert (told.name, told.image, told.ours) == (f"{world.prefix}-b", world.image, False)
    assert told.name in str(told)
    assert told.instance in str(told)
    assert (await world.other.published())[port].ours
    await world.other.remove(key)
    assert port not in await world.engine.published()


async def test_nothing_of_another_instance_is_touched(world: World) -> None:
    theirs = await world.other.create(world.draft(name=f"{world.prefix}-b"))
    await world.other.start(theirs)
    before = await world.engine.inspect(theirs)
    for attempt in (
        world.engine.stop(theirs, 1),
        world.engine.remove(theirs),
        world.engine.rename(theirs, f"{world.prefix}-c"),
        world.engine.limit(theirs, Limits(cpu_milli=100)),
        world.engine.start(theirs),
        world.engine.put(theirs, {"/x": ""}),
        world.engine.disconnect(world.network, theirs),
        world.engine.execute(theirs, ("/bin/sh", "-c", "exit 0")),
        world.other.remove_network(world.network),
    ):
        with pytest.raises(NotOurs):
            await attempt
    assert await world.engine.inspect(theirs) == before


async def test_name_taken_is_refused(world: World) -> None:
    await world.engine.create(world.draft())
    with pytest.raises(EngineError, match="already in use"):
        await world.engine.create(world.draft())


async def test_missing_bind_source_is_refused_and_not_created(
    world: World, tmp_path: Path
) -> None:
    source = tmp_path / "absent"
    with pytest.raises(EngineError, match="does not exist"):
        await world.engine.create(world.draft(mounts=(Mount(source, "/src"),)))
    assert not source.exists()


async def test_what_containers_have_mounted_is_listed_of_stopped_ones_too(
    world: World, tmp_path: Path
) -> None:
    key = await world.engine.create(world.draft(mounts=(Mount(tmp_path, "/src"),)))
    other = await world.other.containers()
    assert (await world.engine.containers())[key].mounts == (str(tmp_path),)
    assert key not in other


async def test_missing_image_is_not_found(world: World) -> None:
    with pytest.raises(NotFound):
        await world.engine.create(world.draft(image="sdp-test/absent:1"))


async def test_limits_change_in_place_and_are_lifted(world: World) -> None:
    limits = Limits(cpu_milli=500, memory_bytes=64 << 20)
    key = await world.engine.create(world.draft(limits=limits))
    await world.engine.start(key)
    for wanted in (limits, Limits(cpu_milli=250, memory_bytes=128 << 20), Limits()):
        await world.engine.limit(key, wanted)
        seen = await world.engine.inspect(key)
        assert seen is not None
        assert seen.limits == wanted


async def test_limits_of_a_stopped_container_change_too(world: World) -> None:
    key = await world.engine.create(world.draft())
    wanted = Limits(cpu_milli=10, memory_bytes=16 << 20)
    await world.engine.limit(key, wanted)
    await world.engine.start(key)
    seen = await world.engine.inspect(key)
    assert seen is not None
    assert (seen.limits, seen.state) == (wanted, "running")


async def test_memory_below_what_is_in_use_is_refused_and_changes_nothing(world: World) -> None:
    limits = Limits(cpu_milli=500, memory_bytes=64 << 20)
    script = "head -c 31457280 /dev/zero > /dev/shm/a; echo filled; sleep 600"
    key = await world.engine.create(world.draft(script, limits=limits))
    await world.engine.start(key)
    async with contextlib.aclosing(world.engine.follow(key)) as lines:
        assert await anext(lines) == "filled"
    with pytest.raises(BelowUse, match="in use"):
        await world.engine.limit(key, Limits(cpu_milli=250, memory_bytes=16 << 20))
    seen = await world.engine.inspect(key)
    assert seen is not None
    assert seen.limits == limits
    await world.engine.limit(key, Limits(cpu_milli=250, memory_bytes=48 << 20))


async def test_alias_comes_by_joining_anew(world: World) -> None:
    key = await world.engine.create(world.draft())
    await world.engine.start(key)
    await world.engine.disconnect(world.network, key)
    await world.engine.connect(world.network, key, ("account",))
    seen = await world.engine.inspect(key)
    assert seen is not None
    assert "account" in seen.aliases[world.network]


async def test_lines_are_kept_and_followed_from_the_first(world: World) -> None:
    key = await world.engine.create(world.draft("echo one; echo two; sleep 600"))
    await world.engine.start(key)
    lines = world.engine.follow(key)
    async with contextlib.aclosing(lines):
        followed = [await anext(lines), await anext(lines)]
    assert followed == ["one", "two"]
    assert await world.engine.tail(key, 1) == ("two",)


async def test_following_ends_when_the_container_does(world: World) -> None:
    key = await world.engine.create(world.draft("echo one; sleep 600"))
    await world.engine.start(key)
    lines = world.engine.follow(key)
    async with contextlib.aclosing(lines):
        assert await anext(lines) == "one"
        await world.engine.stop(key, 5)
        assert [line async for line in lines] == []


async def said(
    engine: Engine, key: str, since: str = "", tail: int | None = None, *, follow: bool = False
) -> list[Line]:
    lines = engine.log(key, since, tail, follow=follow)
    async with contextlib.aclosing(lines):
        opened = await anext(lines)
        assert opened is None
        return [line async for line in lines if line is not None]


async def lines_of(world: World, key: str, count: int) -> list[Line]:
    """Wait until a container has said so many lines: it says them when it likes."""
    async with asyncio.timeout(20):
        while len(found := await said(world.engine, key)) < count:  # noqa: ASYNC110 - the engine tells nothing to wait on
            await asyncio.sleep(0.05)
    return found


async def test_a_log_has_every_line_with_a_rising_timestamp(world: World) -> None:
    key = await world.engine.create(world.draft("echo one; echo two; echo three; sleep 600"))
    await world.engine.start(key)
    lines = await lines_of(world, key, 3)
    assert [line.text for line in lines] == ["one", "two", "three"]
    assert sorted({line.at for line in lines}) == [line.at for line in lines]
    assert {len(line.at) for line in lines} == {len("2026-03-04T12:00:00.000000000Z")}


async def test_a_log_is_read_from_a_timestamp_on_and_by_its_last_lines(world: World) -> None:
    key = await world.engine.create(world.draft("echo one; echo two; echo three; sleep 600"))
    await world.engine.start(key)
    lines = await lines_of(world, key, 3)
    assert await said(world.engine, key, since=lines[1].at) == lines[1:]
    assert await said(world.engine, key, tail=1) == lines[2:]
    assert await said(world.engine, key, tail=0) == []


async def test_a_followed_log_goes_on_until_the_container_ends(world: World) -> None:
    key = await world.engine.create(world.draft("echo one; sleep 600"))
    await world.engine.start(key)
    lines = world.engine.log(key, "", None, follow=True)
    async with contextlib.aclosing(lines):
        assert await anext(lines) is None
        first = await anext(lines)
        assert first is not None
        assert first.text == "one"
        await world.engine.stop(key, 5)
        assert [line async for line in lines] == []
    assert [line.text for line in await said(world.engine, key, follow=True)] == ["one"]


async def test_only_logs_of_this_instance_and_node_are_read(world: World) -> None:
    key = await world.engine.create(world.draft("echo one; sleep 600"))
    for stranger in (world.other, world.node):
        with pytest.raises(NotOurs):
            await said(stranger, key)
    with pytest.raises(NotFound):
        await said(world.engine, f"{world.prefix}-absent")


async def test_an_engine_says_how_many_networks_it_has_room_for(world: World) -> None:
    before = await world.engine.about()
    await world.other.create_network(f"{world.prefix}-theirs", "s")
    after = await world.engine.about()
    assert before.networks > 0
    assert after.strange > 0
    assert tuple(int(part) for part in before.api.split(".")) >= (1, 41)
    assert before.root.is_absolute()


async def test_crash_shows_as_restarts_and_exit_code(world: World) -> None:
    key = await world.engine.create(world.draft("exit 3"))
    await world.engine.start(key)
    async with asyncio.timeout(20):
        while (seen := await world.engine.inspect(key)) is None or seen.restarts == 0:  # noqa: ASYNC110 - the engine tells nothing to wait on
            await asyncio.sleep(0.05)
    assert (seen.exit_code, seen.state) in {(3, "restarting"), (3, "running")}


async def test_a_running_container_tells_what_it_has_used_and_a_stopped_one_nothing(
    world: World,
) -> None:
    key = await world.engine.create(world.draft("while true; do :; done"))
    await world.engine.start(key)
    seen = await world.engine.inspect(key)
    assert seen is not None
    first = await world.engine.used(seen)
    assert first is not None
    assert first.memory_bytes > 0
    async with asyncio.timeout(20):
        then = first
        while then.cpu_nanoseconds <= first.cpu_nanoseconds:
            then = await world.engine.used(seen) or first
    assert then.at > first.at
    await world.engine.stop(key, 1)
    assert await world.engine.used(seen) is None


async def test_a_container_that_was_killed_for_memory_says_so(world: World) -> None:
    script = "x=a; while true; do x=$x$x; done"
    key = await world.engine.create(world.draft(script, limits=Limits(memory_bytes=16 << 20)))
    await world.engine.start(key)
    async with asyncio.timeout(30):
        while (seen := await world.engine.inspect(key)) is None or not seen.oom_killed:  # noqa: ASYNC110 - the engine tells nothing to wait on
            await asyncio.sleep(0.05)
    assert seen.restarts > 0


async def test_executed_program_gives_code_and_output(world: World) -> None:
    key = await world.engine.create(world.draft())
    await world.engine.start(key)
    assert await world.engine.execute(key, ("/bin/sh", "-c", "echo a b")) == (0, b"a b\n")
    assert await world.engine.execute(key, ("/bin/sh", "-c", "exit 7")) == (7, b"")
    assert await world.engine.execute(key, ("/bin/cat",), b"said") == (0, b"said")


async def test_events_hint_at_what_happened(world: World) -> None:
    events = world.engine.events()
    async with contextlib.aclosing(events), asyncio.timeout(10):
        assert (await anext(events)).container == ""
        key = await world.engine.create(world.draft())
        while (await anext(events)).container != key:
            pass


async def test_the_end_of_a_container_is_told_with_its_exit_code(world: World) -> None:
    events = world.engine.events()
    async with contextlib.aclosing(events), asyncio.timeout(20):
        await anext(events)
        key = await world.engine.create(world.draft("exit 3"))
        await world.engine.start(key)
        while (hint := await anext(events)).exit_code is None:
            pass
    assert (hint.container, hint.exit_code) == (key, 3)


async def test_network_is_made_once_and_removed_once(world: World) -> None:
    name = f"{world.prefix}-other"
    await world.engine.create_network(name, "s2")
    await world.engine.create_network(name, "s2")
    assert (await world.engine.networks())[name] == "s2"
    await world.engine.remove_network(name)
    with pytest.raises(NotFound):
        await world.engine.remove_network(name)


@pytest.mark.docker
@pytest.mark.parametrize("joined", [False, True])
async def test_of_two_networks_with_one_name_one_is_left(joined: bool) -> None:  # noqa: FBT001
    """Nodes that share an engine made both in the same moment; a container may have joined one."""
    instance, name = f"test-{uuid.uuid4().hex[:10]}", f"sdp-test-{uuid.uuid4().hex[:10]}"
    engine = DockerEngine(URL, instance, "micro-92")
    labels = {"sdp.instance": instance, "sdp.sandbox": "s", "sdp.node": "micro-92"}
    with contextlib.closing(docker.APIClient(URL, version="auto")) as raw:
        first = raw.create_network(name, labels=labels)
        try:
            if joined:
                member = raw.create_container(IMAGE, command=["sleep", "600"], labels=labels)
                raw.connect_container_to_network(member["Id"], name)
                raw.start(member["Id"])
            raw.create_network(name, check_duplicate=False, labels=labels)
            assert name not in await engine.networks()
            await engine.create_network(name, "s")
            assert (await engine.networks())[name] == "s"
            assert [each["Id"] for each in raw.networks(names=[name])] == [first["Id"]]
        finally:
            await sweep(engine)
            engine.close()


async def test_broken_archive_is_refused(world: World, tmp_path: Path) -> None:
    broken = tmp_path / "broken.tar"
    broken.write_bytes(b"no archive")
    with pytest.raises(EngineError):
        await world.engine.load(broken)


async def test_absent_engine_is_down(tmp_path: Path) -> None:
    engine = DockerEngine(f"unix://{tmp_path}/absent.sock", "mine", "micro-92")
    with pytest.raises(EngineDown):
        await engine.version()
    with pytest.raises(EngineDown):
        await anext(engine.events())
    engine.close()
