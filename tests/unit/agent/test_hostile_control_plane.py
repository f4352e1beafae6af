"""A control plane that is not what it says: the agent takes no harm, and goes on."""

import asyncio
import contextlib
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from sdp.agent import perform as desk
from sdp.agent import session
from sdp.agent.containers import Containers, Place
from sdp.agent.journal import Journal
from sdp.agent.outbox import Outbox
from sdp.agent.session import Session
from sdp.agent.strangers import Strangers
from sdp.protocol import actions, frames
from sdp.protocol.frames import Failed
from tests.fakes.control_plane import NOW
from tests.fakes.engine import FakeEngine
from tests.fakes.trust import enrolled, identity
from tests.unit.agent.test_perform import FETCH, Bench, perform
from tests.unit.agent.test_session import Desk, Logins, Observer

STOP = actions.Stop(sandbox="s", container="c")
BAD = [
    "[" * 100_000,
    '{"frame":"ack","seq":' + "9" * 50_000 + "}",
    '{"frame":"ack","seq":NaN}',
    '{"frame":"more-log","request":"r","parts":1000000000}',
    '{"frame":"follow-log","request":"r","container":"c","since":"","tail":-1,"parts":-5}',
    perform(STOP).model_dump_json().replace('"s"', '"../../etc"'),
    perform(STOP).model_dump_json().replace("5.0", "1e999"),
    '{"frame":"nobody-knows-it"}',
    frames.Time(asked=NOW, now=NOW).model_dump_json(),
]


async def test_hostile_frames_end_their_connections_and_the_agent_comes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "FIRST_BACKOFF", 0.001)
    outbox = Outbox(tmp_path / "outbox.sqlite")
    performs, left, known = Desk(), list(BAD), enrolled(tmp_path)

    async def answer(connection: ServerConnection) -> None:
        await known.welcome(connection)
        bad = left.pop() if left else ""
        await connection.send(bad or perform(STOP).model_dump_json())
        with contextlib.suppress(ConnectionClosed):
            async for _ in connection:
                pass

    async with serve(answer, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        spoken = Session(
            identity(port), known.trust, outbox, Observer(), performs, FakeEngine("mine"), Logins()
        )
        async with asyncio.TaskGroup() as group:
            running = group.create_task(spoken.run())
            async with asyncio.timeout(4):
                while not performs.performed:  # noqa: ASYNC110 - the desk tells nobody
                    await asyncio.sleep(0.01)
            running.cancel()
    assert left == []
    assert performs.performed == ["one"]
    outbox.close()


async def test_more_actions_than_any_plan_has_are_not_begun(tmp_path, monkeypatch):
    monkeypatch.setattr(desk, "MOST_ACTIONS", 3)
    bench = Bench(tmp_path)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(bench.desk.run())
        await asyncio.sleep(0)
        for number in range(9):
            bench.desk.submit(perform(FETCH, str(number)))
        await bench.disk.fetching.wait()
        bench.disk.go.set()
        assert len(await bench.result(3)) == 3
        bench.desk.submit(perform(FETCH, "later"))
        assert len(await bench.result(4)) == 4
        running.cancel()
    assert bench.disk.fetches == 4
    bench.outbox.close()


async def test_no_folder_but_a_copys_own_is_mounted_into_a_gateway(tmp_path):
    engine = FakeEngine("mine")
    place = Place("micro-92", "mine", tmp_path, tmp_path / "copies", tmp_path / "access")
    outbox = Outbox(tmp_path / "outbox.sqlite")
    containers = Containers(engine, place, Journal(outbox), Strangers(engine))
    container = actions.ContainerSpec(
        name="sandbox-s-gateway", image="busybox:test", sandbox="s", service="gateway",
        commit="../../../etc", branch="", hash="", peers="", generation="", deployment="",
        network="sandbox-s", container_port=80, host_port=1, environment={}, files={},
        limits=actions.Limits(), probe=actions.Probe(path="/", deadline_seconds=1),
    )  # fmt: skip
    told = await containers.start_gateway(
        actions.StartGateway(container=container, mount="/m", access_log="/l")
    )
    assert isinstance(told, Failed)
    assert (told.reason, told.terminal) == ("HostileName", True)
    assert not (tmp_path / "access").exists()
    outbox.close()
