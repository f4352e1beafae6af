"""Each end of a login has its own words, and no agent is asked for nothing."""

import asyncio

import pytest

from sdp.api import prover
from sdp.api.people import NotProved, Proved
from sdp.api.prover import AgentProver
from sdp.protocol.frames import LoginChecked
from sdp.protocol.secret import Credentials, Secret
from tests.fakes.control_plane import FILES, FakePlane, tree


class Agents:
    """Agents whose answers are set: by repository, None for one that says nothing."""

    def __init__(self, **answers: str | None) -> None:
        self.answers = answers
        self.nodes = {"micro-92", "gateway-91"}
        self.asked: list[tuple[str, str]] = []

    def proves(self, node: str) -> bool:
        return node in self.nodes

    async def check(
        self, node: str, repository: str, credentials: Credentials, seconds: float
    ) -> LoginChecked | None:
        assert credentials.secret.reveal() == "hunter2"
        assert 0 < seconds <= prover.LOGIN_SECONDS
        self.asked.append((node, repository))
        outcome = self.answers[repository]
        if outcome is None:
            return None
        return LoginChecked.model_validate(
            {"request": "r", "outcome": outcome, "message": "as git said"}
        )


async def proved(agents: Agents) -> Proved | NotProved:
    return await AgentProver(FakePlane(), agents).prove("sari", Secret("hunter2"))


async def test_the_gateways_repository_is_asked_first():
    agents = Agents(gateway="Proved")
    assert await proved(agents) == Proved("gateway", "gateway-91")
    assert agents.asked == [("gateway-91", "gateway")]


@pytest.mark.parametrize("outcome", ["Open", "NoRepository"])
async def test_an_origin_that_proves_nothing_is_passed_over(outcome):
    agents = Agents(gateway=outcome, account="Proved")
    assert await proved(agents) == Proved("account", "micro-92")


async def test_no_node_is_asked_but_those_that_are_named():
    agents = Agents(gateway="Proved", account="Proved")
    plane = FakePlane()
    roles = "roles: {login_nodes: [micro-92]}\n"
    plane.specs = tree({**FILES, "platform.yaml": FILES["platform.yaml"] + roles})
    prover = AgentProver(plane, agents)
    assert await prover.prove("sari", Secret("hunter2")) == Proved("account", "micro-92")
    agents.nodes.discard("micro-92")
    told = await prover.prove("sari", Secret("hunter2"))
    assert isinstance(told, NotProved)
    assert told.message == "No agent is connected that could ask an origin: none of micro-92."


async def test_where_an_agent_is_away_another_is_asked():
    agents = Agents(gateway="Proved", account="Proved")
    agents.nodes.discard("gateway-91")
    assert await proved(agents) == Proved("account", "micro-92")


@pytest.mark.parametrize(
    ("outcome", "status", "title", "word"),
    [
        ("Wrong", 401, "LOGIN FAILED", "does not take this password of sari"),
        ("TimedOut", 504, "Login timed out", "did not answer in 10 s"),
        (None, 504, "Login timed out", "asked by gateway-91"),
        ("Unreachable", 502, "Bitbucket is not reached", "does not reach the origin of gateway"),
        ("Failed", 502, "Bitbucket fails", "as git said"),
    ],
)
async def test_each_end_has_its_status_message_and_fix(outcome, status, title, word):
    found = await proved(Agents(gateway=outcome))
    assert isinstance(found, NotProved)
    assert (found.status, found.title) == (status, title)
    assert word in found.message
    assert found.fix


async def test_without_an_agent_it_is_said_at_once():
    agents = Agents()
    agents.nodes.clear()
    found = await proved(agents)
    assert isinstance(found, NotProved)
    assert (found.status, found.kind) == (503, "no-agent")
    assert "gateway-91, micro-92" in found.message


async def test_where_nothing_proves_anything_it_says_which_origins_and_why():
    found = await proved(Agents(gateway="Open", account="NoRepository"))
    assert isinstance(found, NotProved)
    assert (found.status, found.kind) == (503, "nothing-proves-logins")
    assert "gateway on gateway-91: as git said; account on micro-92" in found.message


async def test_without_a_platform_nothing_can_be_asked():
    plane = FakePlane()
    plane.specs = None
    found = await AgentProver(plane, Agents()).prove("sari", Secret("x"))
    assert isinstance(found, NotProved)
    assert "platform.yaml" in found.message


async def test_the_time_limit_holds_over_all_that_are_asked(monkeypatch):
    monkeypatch.setattr(prover, "LOGIN_SECONDS", 0.02)

    class Slow(Agents):
        async def check(self, node, repository, credentials, seconds):
            await asyncio.sleep(seconds)
            return await super().check(node, repository, credentials, seconds)

    found = await proved(Slow(gateway="Open", account="Proved"))
    assert isinstance(found, NotProved)
    assert found.status == 504
