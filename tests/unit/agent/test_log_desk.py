"""Logs are read as fast as they are read by others, a bounded number at a time, and no faster."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator

import pytest

from sdp.agent.container_log import LONGEST, Stamped, seconds
from sdp.agent.engine import EngineError, Line
from sdp.agent.log_desk import AT_ONCE, READ_AHEAD, LogDesk
from sdp.protocol.frames import FollowLog, FromAgent, LogEnd, LogPart
from tests.fakes.engine import FakeEngine

AT = "2026-03-04T12:00:00.000000000Z"


class Chatter:
    """A container that says lines without end; counts those that were taken."""

    def __init__(self) -> None:
        self.taken = 0
        self.let_go = 0

    async def log(
        self, container: str, since: str, tail: int | None, *, follow: bool
    ) -> AsyncGenerator[Line | None, None]:
        _ = container, since, tail, follow
        try:
            yield None
            while True:
                self.taken += 1
                yield Line(AT, f"line {self.taken}")
                await asyncio.sleep(0)
        finally:
            self.let_go += 1


class Reader:
    """The other end of the connection."""

    def __init__(self) -> None:
        self.got: list[FromAgent] = []
        self._news = asyncio.Condition()

    async def send(self, frame: FromAgent) -> None:
        self.got.append(frame)
        async with self._news:
            self._news.notify_all()

    async def until(self, count: int) -> list[FromAgent]:
        async with asyncio.timeout(4), self._news:
            await self._news.wait_for(lambda: len(self.got) >= count)
        return self.got

    @property
    def lines(self) -> int:
        return sum(len(each.lines) for each in self.got if isinstance(each, LogPart))


def asked(request: str = "r", parts: int = 1, container: str = "c") -> FollowLog:
    return FollowLog(
        request=request, container=container, since="", tail=None, follow=True, parts=parts
    )


@contextlib.asynccontextmanager
async def working(desk: LogDesk) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        running = group.create_task(desk.run())
        await asyncio.sleep(0)
        yield
        running.cancel()


async def settled(chatter: Chatter) -> int:
    """Return what is taken when no more is: many turns of the loop bring nothing new."""
    while True:
        before = chatter.taken
        for _ in range(200):
            await asyncio.sleep(0)
        if chatter.taken == before:
            return before


async def test_a_reader_that_does_not_read_costs_a_bounded_buffer_and_nothing_is_lost() -> None:
    chatter, reader = Chatter(), Reader()
    desk = LogDesk(chatter, reader.send)
    async with working(desk):
        desk.follow(asked(parts=2))
        await reader.until(2)
        held = await settled(chatter) - reader.lines
        assert len(reader.got) == 2
        assert held <= READ_AHEAD + 2
        desk.more("r", 3)
        await reader.until(5)
    said = [line.text for each in reader.got if isinstance(each, LogPart) for line in each.lines]
    assert said == [f"line {number}" for number in range(1, len(said) + 1)]
    assert chatter.let_go == 1


async def test_a_slow_reader_does_not_hold_up_another() -> None:
    chatter, slow, quick = Chatter(), Reader(), Reader()

    async def send(frame: FromAgent) -> None:
        assert isinstance(frame, LogPart)
        await (slow if frame.request == "slow" else quick).send(frame)

    desk = LogDesk(chatter, send)
    async with working(desk):
        desk.follow(asked("slow", 1))
        await slow.until(1)
        desk.follow(asked("quick", 20))
        await quick.until(20)
    assert len(slow.got) == 1


async def test_one_log_too_many_is_refused_and_says_so_until_one_ends() -> None:
    chatter, reader = Chatter(), Reader()
    desk = LogDesk(chatter, reader.send)
    async with working(desk):
        for number in range(AT_ONCE):
            desk.follow(asked(str(number)))
        await reader.until(AT_ONCE)
        desk.follow(asked("more"))
        last = (await reader.until(AT_ONCE + 1))[-1]
        assert isinstance(last, LogEnd)
        assert (last.request, last.reason) == ("more", "TooMany")
        assert str(AT_ONCE) in last.message
        desk.end("0")
        await settled(chatter)
        desk.follow(asked("again"))
        assert isinstance((await reader.until(AT_ONCE + 2))[-1], LogPart)


@pytest.mark.parametrize(
    ("container", "down", "reason"),
    [("absent", False, "ContainerGone"), ("theirs", False, "NotOurs"), ("c", True, "EngineDown")],
)
async def test_what_cannot_be_read_ends_with_the_reason(container, down, reason) -> None:
    engine, reader = FakeEngine("mine"), Reader()
    engine.add_stranger("theirs")
    engine.down = down
    desk = LogDesk(engine, reader.send)
    async with working(desk):
        desk.follow(asked(container=container))
        (end,) = await reader.until(1)
    assert isinstance(end, LogEnd)
    assert end.reason == reason


def stamped(*pieces: bytes) -> list[tuple[str, str]]:
    cutter = Stamped()
    lines = [line for piece in pieces for line in cutter.feed(piece)] + cutter.end()
    return [(line.at, line.text) for line in lines]


STAMP = AT.encode() + b" "


def test_pieces_become_lines_that_move_no_cursor() -> None:
    assert stamped(STAMP + b"one\n", STAMP + b"a\rb\x1b[2J\r\n", STAMP + b"\xff\n") == [
        (AT, "one"),
        (AT, "b"),
        (AT, "\N{REPLACEMENT CHARACTER}"),
    ]


def test_a_line_that_the_engine_cut_is_one_again_and_bounded() -> None:
    assert stamped(STAMP + b"begin ", STAMP + b"end\n") == [(AT, "begin end")]
    ((_, text),) = stamped(*(STAMP + b"x" * LONGEST for _ in range(40)), b"\n")
    assert text.startswith("x" * LONGEST)
    assert len(text) < LONGEST + 20


def test_a_timestamp_is_asked_for_never_too_late() -> None:
    assert seconds("1970-01-01T00:00:10.123456789Z") < 10.123456789


def test_a_time_before_all_logs_is_their_beginning_and_none_is_refused() -> None:
    assert 0 < seconds("0001-01-01T00:00:00.000000000Z") < 1
    with pytest.raises(EngineError):
        seconds("9999-99-99T99:99:99.000000000Z")
