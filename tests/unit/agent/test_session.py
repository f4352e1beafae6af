"""Entries arrive exactly once over reconnects, behind the report."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection, serve

from sdp.agent import usage
from sdp.agent.engine import Draft, Inspected, Line, Used
from sdp.agent.lent import Lent
from sdp.agent.outbox import Outbox
from sdp.agent.session import Session
from sdp.protocol import frames
from sdp.protocol.frames import Entry, Succeeded
from sdp.protocol.report import NodeReport
from tests.fakes.engine import FakeEngine
from tests.fakes.trust import enrolled, identity


class Observer:
    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self.report = NodeReport()
        self.refreshed: tuple[str, ...] = ()
        self.seen: dict[str, Inspected] = {}

    def refresh(self, repositories: tuple[str, ...], lent: Lent) -> None:
        self.refreshed = repositories
        self.lent = lent


class Logins:
    """Every origin takes every login."""

    async def check(self, frame: frames.CheckLogin) -> frames.LoginChecked:
        return frames.LoginChecked(request=frame.request, outcome="Proved")


class Desk:
    def __init__(self) -> None:
        self.performed: list[str] = []
        self.cancelled: list[str] = []

    def submit(self, frame: frames.Perform) -> None:
        self.performed.append(frame.action_id)

    def cancel(self, action_id: str) -> None:
        self.cancelled.append(action_id)


class Chatter:
    """A container that never stops, and uses nothing."""

    async def used(self, container: Inspected) -> Used | None:
        _ = container
        return None

    async def log(
        self, container: str, since: str, tail: int | None, *, follow: bool
    ) -> AsyncGenerator[Line | None, None]:
        _ = container, since, tail, follow
        yield None
        while True:
            yield Line("2026-03-04T12:00:00.000000000Z", "x" * 1000)


async def test_results_pass_a_log_that_nobody_reads_on(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.sqlite")
    known = enrolled(tmp_path)
    got: list[str] = []
    done = asyncio.Event()

    async def answer(connection: ServerConnection) -> None:
        await known.welcome(connection)
        ask = frames.FollowLog(
            request="r", container="c", since="", tail=None, follow=True, parts=3
        )
        await connection.send(ask.model_dump_json())
        async for text in connection:
            got.append(frames.from_agent.validate_json(text).frame)
            if got.count("log-part") == 3 and "entry" not in got:
                outbox.begin("one", 0)
                outbox.finish("one", Succeeded())
            if got[-1] == "entry":
                done.set()

    async with serve(answer, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        session = Session(
            identity(port), known.trust, outbox, Observer(), Desk(), Chatter(), Logins()
        )
        async with asyncio.TaskGroup() as group:
            running = group.create_task(session.run())
            async with asyncio.timeout(4):
                await done.wait()
            running.cancel()
    assert got.count("log-part") == 3
    outbox.close()


async def test_entries_arrive_once_over_a_lost_connection(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.sqlite")
    known = enrolled(tmp_path)
    stored: list[int] = []
    order: list[str] = []
    done = asyncio.Event()
    for number in range(3):
        outbox.begin(str(number), 0)
        outbox.finish(str(number), Succeeded())

    async def answer(connection: ServerConnection) -> None:
        await known.welcome(connection, stored[-1] if stored else 0)
        async for text in connection:
            frame = frames.from_agent.validate_json(text)
            order.append(frame.frame)
            if isinstance(frame, Entry):
                stored.append(frame.seq)
                if frame.seq == 2 and order.count("report") == 1:
                    connection.transport.abort()
                    return
                await connection.send(frames.Ack(seq=frame.seq).model_dump_json())
                if frame.seq == 3:
                    done.set()

    async with serve(answer, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        session = Session(
            identity(port), known.trust, outbox, Observer(), Desk(), FakeEngine("mine"), Logins()
        )
        async with asyncio.TaskGroup() as group:
            running = group.create_task(session.run())
            async with asyncio.timeout(4):
                await done.wait()
                await outbox.emptied()
            running.cancel()
    assert stored == [1, 2, 3]
    assert order == ["report", "entry", "entry", "report", "entry"]
    outbox.close()


async def test_usage_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "ROUND_SECONDS", 0.001)
    outbox = Outbox(tmp_path / "outbox.sqlite")
    known = enrolled(tmp_path)
    engine, observer = FakeEngine("mine"), Observer()
    await engine.create_network("n", "s")
    key = await engine.create(Draft("a", "busybox:test", {}, "n"))
    await engine.start(key)
    found = await engine.inspect(key)
    assert found is not None
    observer.seen = {key: found}
    got: list[str] = []
    done = asyncio.Event()

    async def answer(connection: ServerConnection) -> None:
        await known.welcome(connection)
        async for text in connection:
            got.append(frames.from_agent.validate_json(text).frame)
            if got[-1] == "usage":
                done.set()

    async with serve(answer, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        session = Session(identity(port), known.trust, outbox, observer, Desk(), engine, Logins())
        async with asyncio.TaskGroup() as group:
            running = group.create_task(session.run())
            async with asyncio.timeout(4):
                await done.wait()
            running.cancel()
    assert "used" in engine.calls
    outbox.close()
