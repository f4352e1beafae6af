"""An agent that is not what it says: its session ends with a reason, and nothing else does."""

import json

import pytest

from sdp.api import agents
from sdp.protocol import frames
from sdp.protocol.report import Delta, Listener, NodeReport
from tests.fakes.control_plane import served
from tests.unit.api.test_agents import agent, answer, closed

CONTAINER = {
    "id": "c", "name": "sandbox-s-a", "sandbox": "s", "service": "a", "commit": "", "branch": "",
    "hash": "", "peers": "", "generation": "", "deployment": "", "image": "", "state": "running",
    "exit_code": 0, "restarts": 0, "host_port": 0, "admitted": True, "limits": {},
    "health": "healthy", "reason": "", "started_at": None,
}  # fmt: skip


def report(**container: object) -> str:
    told = {"containers": {"c": {**CONTAINER, **container}}}
    return json.dumps({"frame": "report", "generation": 1, "report": told})


@pytest.mark.parametrize(
    "bad",
    [
        "[" * 100_000,
        '{"frame":' * 50_000,
        '{"frame":"entry","seq":' + "9" * 50_000 + "}",
        '{"frame":"report","generation":NaN,"report":{}}',
        '{"frame":"usage","samples":"\\ud800"}',
        report(sandbox="../../etc"),
        report(name="a/b"),
        report(limits={"memory_bytes": 10**30}),
        frames.Ack(seq=1).model_dump_json(),
    ],
    ids=["deep", "deeper", "digits", "nan", "surrogate", "path", "name", "number", "direction"],
)
async def test_a_hostile_frame_ends_its_session_with_a_reason(control, bad):
    async with served(control.ports) as port:
        async with agent(port) as connection:
            await answer(connection)
            await connection.send(bad)
            assert "bad frame" in await closed(connection)
        async with agent(port) as connection:
            assert isinstance(await answer(connection), frames.Welcome)
            await connection.send(report())
            seen = [await control.agents.said.get() for _ in range(4)]
    assert ("reported", ("micro-92", 1)) in seen


async def test_changes_do_not_pile_up_without_end(control, monkeypatch):
    monkeypatch.setattr(agents, "MOST_TOLD", 2000)
    async with served(control.ports) as port, agent(port) as connection:
        await answer(connection)
        whole = frames.Report(generation=1, report=NodeReport()).model_dump_json()
        more = Delta(listeners={"80": Listener(owner="x" * 700)})
        change = frames.Change(generation=2, delta=more).model_dump_json()
        for said in (whole, change, whole, change, change):
            await connection.send(said)
        assert "report in full" in await closed(connection)
    told = [control.agents.said.get_nowait()[0] for _ in range(5)]
    assert told == ["connected", "reported", "changed", "reported", "changed"]


async def test_what_an_agent_says_of_itself_is_shown_inert(control):
    async with served(control.ports) as port, agent(port) as connection:
        await answer(connection)
        noticed = (
            '{"frame":"entry","seq":1,"body":{"entry":"noticed","at":"2026-03-04T12:00:00Z",'
            '"reason":"\\u001b[2J","sandbox":"\\u202e","service":"","message":"a\\u0000b"}}'
        )
        await connection.send(noticed)
        assert await answer(connection) == frames.Ack(seq=1)
    (_, body), *_ = control.agents.entries
    assert isinstance(body, frames.Noticed)
    assert (body.reason, body.sandbox, body.message) == ("", "�", "a␀b")
