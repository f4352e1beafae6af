"""A service's log, from the engine over a real agent's session to a reader of the stream."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from sdp.agent.engine import Draft
from sdp.agent.log_desk import AT_ONCE
from sdp.agent.observe import container as observed_as
from sdp.agent.outbox import Outbox
from sdp.agent.probe import Prober
from sdp.agent.session import Session
from sdp.api import container_logs
from sdp.api.container_logs import Position
from sdp.api.views import SandboxView, ServiceView
from sdp.protocol import frames
from sdp.protocol.report import Engine, NodeReport
from tests.fakes.control_plane import FakeControlPlane, sandbox, served
from tests.fakes.engine import FakeEngine
from tests.fakes.trust import enrolled_here, identity
from tests.unit.agent.test_session import Desk, Logins, Observer

PATH = "/api/sandboxes/qa-one/services/account/logs"


def shown(name: str, **changes: object) -> SandboxView:
    account = ServiceView(
        name="account",
        target="branch develop",
        health="Healthy",
        sync="Synced",
        node="micro-92",
        container=name,
    )
    return sandbox(services=(account.model_copy(update=changes),))


class World:
    """A control plane, and a node whose containers say what they are told to."""

    def __init__(self, folder: Path) -> None:
        self.control = FakeControlPlane()
        self.engine = FakeEngine("acme")
        self.outbox = Outbox(folder / "outbox.sqlite")
        self.port = 0

    async def start(self, name: str) -> str:
        labels = {"sdp.sandbox": "QA-ONE", "sdp.service": "account", "sdp.commit": "1" * 40}
        key = await self.engine.create(Draft(name, "busybox:test", labels, "n"))
        await self.engine.start(key)
        self.control.plane.known = {"qa-one": shown(name)}
        await self.look()
        return key

    async def look(self, **changes: object) -> None:
        """Let the control plane know what stands now."""
        held = {}
        for key in await self.engine.containers():
            seen = await self.engine.inspect(key)
            assert seen is not None
            held[key] = observed_as(seen, Prober(lambda _: None), 0)
        self.control.observe("micro-92", NodeReport(containers=held).model_copy(update=changes))

    @contextlib.asynccontextmanager
    async def read(self, query: str = "", cursor: str = "") -> AsyncIterator["Stream"]:
        headers = {"Last-Event-ID": cursor} if cursor else {}
        url = f"http://127.0.0.1:{self.port}"
        async with (
            httpx2.AsyncClient(base_url=url, trust_env=False, timeout=4) as client,
            client.stream("GET", f"{PATH}{query}", headers=headers) as response,
        ):
            yield Stream(response)

    async def get(self, path: str = PATH) -> httpx2.Response:
        url = f"http://127.0.0.1:{self.port}"
        async with httpx2.AsyncClient(base_url=url, trust_env=False, timeout=4) as client:
            return await client.get(path)


class Stream:
    def __init__(self, response: httpx2.Response) -> None:
        self.events = aiter(httpx2.EventSource(response))
        self.cursor = ""

    async def next(self) -> tuple[str, dict[str, str]]:
        event = await anext(self.events)
        self.cursor = event.id or self.cursor
        return event.event, json.loads(event.data)

    async def lines(self, count: int) -> list[str]:
        """Return so many lines, whatever else is told between."""
        found: list[str] = []
        while len(found) < count:
            kind, data = await self.next()
            found += [data["text"]] if kind == "message" else []
        return found

    async def rest(self) -> list[tuple[str, dict[str, str]]]:
        return [(each.event, json.loads(each.data)) async for each in self.events]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    async with served(made.control.ports) as made.port:
        trust = enrolled_here(tmp_path, made.control.trust)
        who = identity(made.port, instance="acme")
        session = Session(who, trust, made.outbox, Observer(), Desk(), made.engine, Logins())
        async with asyncio.TaskGroup() as group:
            running = group.create_task(session.run())
            while (await made.control.agents.said.get())[0] != "reported":
                pass
            yield made
            running.cancel()
    made.outbox.close()


async def test_the_last_lines_come_with_their_timestamps_and_then_the_end(world: World) -> None:
    key = await world.start("a")
    await world.engine.say(key, *(f"line {n}" for n in range(5)))
    async with world.read("?tail=2") as stream:
        events = await stream.rest()
    assert [kind for kind, _ in events] == ["container", "message", "message", "end"]
    assert [data["text"] for _, data in events[1:3]] == ["line 3", "line 4"]
    assert events[1][1]["at"] == "2026-03-04T12:00:00.000000003Z"
    assert events[-1][1] == {"reason": "Ended"}


async def test_a_follower_sees_a_new_line(world: World) -> None:
    key = await world.start("a")
    await world.engine.say(key, "before")
    async with world.read("?follow=true") as stream:
        assert await stream.lines(1) == ["before"]
        await world.engine.say(key, "after")
        assert await stream.lines(1) == ["after"]


async def test_lines_are_read_from_a_time_on(world: World) -> None:
    key = await world.start("a")
    await world.engine.say(key, "one")
    for since, count in (("2026-03-04T12:00:00Z", 1), ("2026-03-04T11:00:01-01:00", 0)):
        async with world.read(f"?since={since}") as stream:
            told = [kind for kind, _ in await stream.rest()]
        assert told.count("message") == count
    for since in ("yesterday", "0001-01-01T00:00:00%2B14:00"):
        assert (await world.get(f"{PATH}?since={since}")).status_code == 422


@pytest.mark.parametrize("grain", [1, 2, 5])
async def test_a_cut_stream_goes_on_without_a_lost_or_a_doubled_line(
    world: World, grain: int
) -> None:
    world.engine.grain = grain
    key = await world.start("a")
    seen, cursor = [], ""
    for number in range(4):
        await world.engine.say(key, *(f"{number}.{n}" for n in range(3)))
        async with world.read("?follow=true", cursor) as stream:
            seen += await stream.lines(3)
            cursor = stream.cursor
    assert seen == [f"{a}.{b}" for a in range(4) for b in range(3)]


async def test_a_cut_stream_of_the_last_lines_does_not_begin_again(world: World) -> None:
    key = await world.start("a")
    await world.engine.say(key, "one", "two", "three")
    async with world.read("?follow=true&tail=1") as stream:
        assert await stream.lines(1) == ["three"]
    await world.engine.say(key, "four")
    async with world.read("?follow=true&tail=1", stream.cursor) as again:
        assert await again.lines(1) == ["four"]


async def test_lines_of_one_moment_are_all_told(world: World) -> None:
    world.engine.grain = 10
    key = await world.start("a")
    async with world.read("?follow=true") as stream:
        for number in range(5):
            await world.engine.say(key, f"line {number}")
            assert await stream.lines(1) == [f"line {number}"]


async def test_a_replaced_container_is_told_and_followed_from_its_first_line(
    world: World,
) -> None:
    old = await world.start("a")
    await world.engine.say(old, "old")
    async with world.read("?follow=true&tail=1") as stream:
        assert await stream.lines(1) == ["old"]
        new = await world.start("b")
        await world.engine.say(new, "first", "second")
        await world.engine.remove(old)
        await world.look()
        kind, data = await stream.next()
        assert (kind, data["container"]) == ("container", "b")
        assert "replaced" in data["message"]
        assert await stream.lines(2) == ["first", "second"]


async def test_an_id_that_names_no_moment_is_the_beginning(world: World) -> None:
    key = await world.start("a")
    await world.engine.say(key, "one")
    async with world.read(cursor=f"{key[:12]}:9999-99-99T99:99:99.000000000Z:1") as stream:
        assert await stream.lines(1) == ["one"]


async def test_a_container_that_starts_again_is_followed_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container_logs, "LOOK_SECONDS", 0.01)
    key = await world.start("a")
    await world.engine.say(key, "one")
    async with world.read("?follow=true") as stream:
        assert await stream.lines(1) == ["one"]
        await world.engine.stop(key, 1)
        await world.look()
        assert await stream.next() == ("note", {"message": "a is exited; waiting"})
        await world.engine.start(key)
        await world.engine.say(key, "two")
        await world.look()
        assert await stream.lines(1) == ["two"]


async def test_the_log_of_a_service_that_is_removed_ends_and_says_why(world: World) -> None:
    key = await world.start("a")
    async with world.read("?follow=true") as stream:
        assert (await stream.next())[0] == "container"
        world.control.plane.known = {"qa-one": shown("", node="", target="OCP")}
        await world.engine.remove(key)
        assert (await stream.rest())[-1] == (
            "end",
            {"reason": "account of QA-ONE does not run here: OCP"},
        )


async def test_the_log_of_a_service_that_is_stopped_alone_ends_and_says_so(world: World) -> None:
    key = await world.start("a")
    async with world.read("?follow=true") as stream:
        assert (await stream.next())[0] == "container"
        await world.engine.stop(key, 0)
        await world.look()
        world.control.plane.known = {"qa-one": shown("a", health="Suspended")}
        assert (await stream.rest())[-1] == ("end", {"reason": "a is exited: it sleeps"})


async def test_what_cannot_be_read_is_a_problem_at_once_with_a_fix(world: World) -> None:
    await world.start("a")
    cases: list[tuple[SandboxView, NodeReport, str]] = [
        (shown("", node="", target="OCP"), NodeReport(), "elsewhere"),
        (shown("", reason="the image is missing"), NodeReport(), "no-container"),
        (shown("a"), NodeReport(engine=Engine(error="gone")), "engine-down"),
        (shown("a", node="gateway-91"), NodeReport(), "node-silent"),
    ]
    for view, report, kind in cases:
        world.control.plane.known = {"qa-one": view}
        world.control.observe("micro-92", report)
        answer = await world.get()
        assert (answer.status_code, answer.json()["type"]) == (409, f"urn:sdp:problem:{kind}")
        assert answer.json()["fix"]


async def test_wrong_names_are_problems_that_guess(world: World) -> None:
    await world.start("a")
    for path, guess in (
        ("qa-on/services/account", "QA-ONE"),
        ("qa-one/services/acount", "accoun"),
    ):
        answer = await world.get(f"/api/sandboxes/{path}/logs")
        assert answer.status_code == 404
        assert f"did you mean {guess}" in answer.json()["fix"]


async def test_one_reader_too_many_is_refused_and_says_so(world: World) -> None:
    key = await world.start("a")
    await world.engine.say(key, "one")
    async with contextlib.AsyncExitStack() as stack:
        query = "?follow=true"
        streams = [await stack.enter_async_context(world.read(query)) for _ in range(AT_ONCE)]
        for stream in streams:
            assert await stream.lines(1) == ["one"]
        answer = await world.get()
        assert str(AT_ONCE) in answer.json()["detail"]


async def test_the_nodes_clock_is_asked_for(world: World) -> None:
    while "micro-92" not in world.control.agents.skews:
        await world.control.agents.said.get()
    skew = world.control.agents.skews["micro-92"]
    assert abs(skew.seconds) <= skew.margin + 1


def test_a_position_is_what_its_id_says() -> None:
    line = frames.LogLine(at="2026-03-04T12:00:00.000000003Z", text="x")
    after = Position("0123456789ab").after(line).after(line)
    assert Position.parse(str(after)) == after
    assert Position.parse("rubbish") == Position()
