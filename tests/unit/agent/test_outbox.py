"""The outbox keeps what must arrive, over restarts, within its bound."""

from pathlib import Path

import pytest

from sdp import clock
from sdp.agent.outbox import Known, Outbox
from sdp.protocol.frames import Failed, LogLines, Result, Succeeded


def lines(*said: str) -> LogLines:
    return LogLines(deployment="d", stage="go build", at=clock.now(), lines=said)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.sqlite"


async def test_numbers_rise_by_one_and_are_not_used_again(path: Path) -> None:
    first = Outbox(path)
    assert [first.append(lines("a")), first.append(lines("b"))] == [1, 2]
    first.acknowledged(2)
    first.close()
    second = Outbox(path)
    assert second.id == first.id
    assert second.append(lines("c")) == 3
    assert [entry.seq for entry in second.pending(0)] == [3]
    second.close()


async def test_over_the_limit_oldest_lines_go_and_results_stay(path: Path) -> None:
    outbox = Outbox(path, limit_bytes=5000)
    outbox.begin("one", 0)
    outbox.finish("one", Succeeded())
    for number in range(20):
        outbox.append(lines(*(f"{number} {'x' * 50}" for _ in range(5))))
    kept = outbox.pending(0)
    assert [entry.seq for entry in kept] == list(range(1, 22))
    assert isinstance(kept[0].body, Result)
    dropped, newest = kept[1].body, kept[-1].body
    assert isinstance(dropped, LogLines)
    assert isinstance(newest, LogLines)
    assert dropped.lines[0].startswith("[5 lines were dropped")
    assert len(newest.lines) == 5
    outbox.close()


async def test_the_same_action_twice_is_one_action(path: Path) -> None:
    outbox = Outbox(path)
    assert outbox.begin("one", 0) is None
    assert outbox.begin("one", 0) == Known(None)
    outbox.finish("one", Succeeded())
    assert outbox.begin("one", 0) == Known(Succeeded())
    assert len(outbox.pending(0)) == 1
    outbox.close()


async def test_lost_result_is_told_once_more(path: Path) -> None:
    outbox = Outbox(path)
    outbox.begin("one", 0)
    outbox.finish("one", Succeeded())
    outbox.acknowledged(1)
    outbox.begin("one", 0)
    assert [entry.seq for entry in outbox.pending(0)] == [2]
    outbox.close()


async def test_action_without_outcome_fails_when_the_agent_comes_back(path: Path) -> None:
    before = Outbox(path)
    before.begin("one", 0)
    before.close()
    after = Outbox(path)
    assert after.interrupted() == ("one",)
    assert after.interrupted() == ()
    body = after.pending(0)[0].body
    assert isinstance(body, Result)
    assert isinstance(body.outcome, Failed)
    assert (body.outcome.reason, body.outcome.terminal) == ("AgentRestarted", False)
    after.close()


async def test_finished_actions_are_forgotten_after_a_day(path: Path) -> None:
    outbox = Outbox(path)
    outbox.begin("one", 0)
    outbox.finish("one", Succeeded())
    outbox.begin("two", 90_000)
    assert outbox.begin("one", 90_000) is None
    outbox.close()
