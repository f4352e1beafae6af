"""The agents' endpoint, over a real server on the loopback."""

import contextlib
import datetime
from collections.abc import AsyncGenerator

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from sdp.api.agents import measured
from sdp.protocol import frames
from sdp.protocol.report import Delta, NodeReport
from sdp.reconciler.observed import Skew
from tests.fakes.control_plane import NOW, served
from tests.fakes.trust import nonce, prove


def hello(**changes: object) -> str:
    made = frames.Hello(
        protocol=frames.VERSION,
        node="micro-92",
        instance="acme",
        version="1",
        outbox="o",
        nonce=nonce(),
        run="r",
    )
    return made.model_copy(update=changes).model_dump_json()


def entry(seq: int) -> str:
    body = frames.Noticed(at=NOW, reason="r", sandbox="s", service="", message="m")
    return frames.Entry(seq=seq, body=body).model_dump_json()


def called(port: int) -> connect:
    return connect(f"ws://127.0.0.1:{port}/ws/agent", proxy=None, close_timeout=1, max_size=None)


@contextlib.asynccontextmanager
async def agent(port: int, first: str | None = None) -> AsyncGenerator[ClientConnection, None]:
    async with called(port) as connection:
        await prove(connection, first or hello())
        yield connection


async def answer(connection: ClientConnection) -> frames.ToAgent:
    """Return the next frame that is no question for the time."""
    while True:
        frame = frames.to_agent.validate_json(await connection.recv())
        if not isinstance(frame, frames.AskTime):
            return frame


async def closed(connection: ClientConnection) -> str:
    """Read to the end; return the reason."""
    with contextlib.suppress(ConnectionClosed):
        async for _ in connection:
            pass
    assert connection.close_reason is not None
    return connection.close_reason


async def test_a_known_agent_is_welcomed_with_what_is_stored(control):
    body = frames.Noticed(at=NOW, reason="r", sandbox="s", service="", message="m")
    control.agents.entries = [(7, body)]
    async with served(control.ports) as port, agent(port) as connection:
        assert await answer(connection) == frames.Welcome(protocol=frames.VERSION, stored=7)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"protocol": 99}, "protocol 99"),
        ({"instance": "other"}, "other"),
        ({"node": "nope"}, "platform.yaml has no node nope"),
    ],
)
async def test_an_agent_that_is_not_ours_is_refused_with_the_reason(control, changes, word):
    async with served(control.ports) as port, called(port) as connection:
        refused = await prove(connection, hello(**changes))
        assert isinstance(refused, frames.Refuse)
        assert word in refused.reason
        await closed(connection)
    assert control.agents.said.empty()


async def test_before_the_platform_is_known_an_agent_is_asked_to_come_again(control):
    control.plane.specs = None
    async with served(control.ports) as port, called(port) as connection:
        await connection.send(hello())
        assert "platform.yaml" in await closed(connection)


async def test_reports_and_changes_are_handed_on_in_order(control):
    async with served(control.ports) as port, agent(port) as connection:
        report = frames.Report(generation=1, report=NodeReport())
        await connection.send(report.model_dump_json())
        await connection.send(frames.Change(generation=2, delta=Delta()).model_dump_json())
        said = [await control.agents.said.get() for _ in range(3)]
    assert said == [
        ("connected", "micro-92"),
        ("reported", ("micro-92", 1)),
        ("changed", ("micro-92", 2)),
    ]
    assert await control.agents.said.get() == ("disconnected", "micro-92")


async def test_what_containers_use_is_handed_on(control):
    sample = frames.Sample(container="a", cpu_milli=1, memory_bytes=2)
    async with served(control.ports) as port, agent(port) as connection:
        await connection.send(frames.Usage(samples=(sample, sample)).model_dump_json())
        said = [await control.agents.said.get() for _ in range(2)]
    assert said == [("connected", "micro-92"), ("measured", ("micro-92", 2))]


async def test_entries_are_stored_once_and_acknowledged_to_the_last(control):
    async with served(control.ports) as port, agent(port) as connection:
        await answer(connection)
        for seq in (1, 2, 2, 1, 3):
            await connection.send(entry(seq))
        last = 0
        while last < 3:
            ack = await answer(connection)
            assert isinstance(ack, frames.Ack)
            assert ack.seq > last
            last = ack.seq
    assert [seq for seq, _ in control.agents.entries] == [1, 2, 3]


async def test_a_new_session_replaces_the_old_one_at_once(control):
    async with served(control.ports) as port, agent(port) as old:
        await answer(old)
        async with agent(port) as new:
            await answer(new)
            assert isinstance(await answer(old), frames.Refuse)
            assert "took over" in await closed(old)
            await new.send(entry(1))
            assert await answer(new) == frames.Ack(seq=1)
            said = [await control.agents.said.get() for _ in range(2)]
            assert said == [("connected", "micro-92")] * 2
            assert control.agents.said.empty()


async def test_what_the_reconciler_sends_reaches_the_agent(control):
    async with served(control.ports) as port, agent(port) as connection:
        await answer(connection)
        await control.agents.said.get()
        await control.agents.sends["micro-92"](frames.Cancel(action_id="a"))
        assert await answer(connection) == frames.Cancel(action_id="a")


@pytest.mark.parametrize("bad", ["{", '{"frame": "nope"}', "[]", '{"frame":"entry","seq":"x"}'])
async def test_a_bad_frame_closes_with_a_reason_and_the_server_goes_on(control, bad):
    async with served(control.ports) as port:
        async with agent(port) as connection:
            await answer(connection)
            await connection.send(bad)
            assert "bad frame" in await closed(connection)
        async with agent(port) as connection:
            assert isinstance(await answer(connection), frames.Welcome)


async def test_a_frame_beyond_the_bound_ends_only_its_session(control):
    async with served(control.ports) as port:
        async with agent(port) as connection:
            await answer(connection)
            with contextlib.suppress(ConnectionClosed):
                await connection.send("x" * (frames.MAX_FRAME + 1))
            with pytest.raises(ConnectionClosed):
                await answer(connection)
        async with agent(port) as connection:
            assert isinstance(await answer(connection), frames.Welcome)


async def test_a_bug_ends_the_session_and_not_the_server(control):
    control.agents.broken = True
    async with served(control.ports) as port:
        async with agent(port) as connection:
            await answer(connection)
            report = frames.Report(generation=1, report=NodeReport())
            await connection.send(report.model_dump_json())
            assert "control plane failed" in await closed(connection)
        async with agent(port) as connection:
            assert isinstance(await answer(connection), frames.Welcome)


async def test_after_a_missed_change_the_agent_has_to_report_in_full(control):
    control.agents.missed = True
    async with served(control.ports) as port, agent(port) as connection:
        await connection.send(frames.Change(generation=9, delta=Delta()).model_dump_json())
        assert "in full" in await closed(connection)


def test_a_clock_is_measured_right_but_for_half_of_the_way() -> None:
    slow, ahead = datetime.timedelta(seconds=4), datetime.timedelta(seconds=60)
    told = frames.Time(asked=NOW, now=NOW + slow / 2 + ahead)
    assert measured(told, NOW + slow) == Skew(60.0, 2.0)
    crooked = frames.Time(asked=NOW, now=NOW + slow)
    skew = measured(crooked, NOW + slow)
    assert skew is not None
    assert abs(skew.seconds) <= skew.margin
    assert measured(told, NOW - slow) is None
