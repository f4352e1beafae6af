"""Who is believed: the real endpoint and the real agent over the loopback, and who comes between."""

import asyncio
import contextlib
import dataclasses
import datetime
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import ServerConnection, serve

from sdp import clock
from sdp.agent import greeting as agent_greeting
from sdp.agent import session as agent_session
from sdp.agent.greeting import CannotEnrolError, RefusedError
from sdp.agent.outbox import Outbox
from sdp.agent.session import Session
from sdp.agent.trust import Trust, UntrustedError
from sdp.api import greeting
from sdp.protocol import frames, handshake
from sdp.protocol.handshake import Token
from sdp.protocol.report import NodeReport
from sdp.protocol.secret import Secret
from tests.fakes.control_plane import FakeControlPlane, served
from tests.fakes.engine import FakeEngine
from tests.fakes.trust import AGENT, enrolled, enrolled_here, identity, nonce, prove, transcript
from tests.unit.agent.test_session import Desk, Logins, Observer
from tests.unit.api.test_agents import called, closed, hello

HOUR = datetime.timedelta(hours=1)
MICRO = "micro-92"


@contextlib.asynccontextmanager
async def running(port: int, trust: Trust, folder: Path) -> AsyncIterator[None]:
    """Run a real agent."""
    outbox = Outbox(folder / "outbox.sqlite")
    who, engine = identity(port, instance="acme"), FakeEngine("acme")
    session = Session(who, trust, outbox, Observer(), Desk(), engine, Logins())
    async with asyncio.TaskGroup() as group:
        task = group.create_task(session.run())
        try:
            yield
        finally:
            task.cancel()
    outbox.close()


async def heard(control: FakeControlPlane, *what: str) -> None:
    """Wait until the control plane was told these, in this order."""
    async with asyncio.timeout(4):
        for each in what:
            while (await control.agents.said.get())[0] != each:
                pass


def invited(control: FakeControlPlane, valid: datetime.timedelta = HOUR) -> Token:
    return control.trust.invite(MICRO, "achmad", valid, clock.now()).token


async def enrol(port: int, folder: Path, token: Token) -> Trust:
    trust = Trust(folder, MICRO)
    await agent_greeting.enrol(identity(port, instance="acme"), trust, token)
    return trust


async def greet(port: int, trust: Trust) -> frames.Welcome:
    who = identity(port, instance="acme")
    async with agent_greeting.dial(who) as connection:
        return await agent_greeting.greet(connection, who, trust, "o")


async def test_an_agent_is_enrolled_once_and_served_from_then_on(control, tmp_path):
    control.trust.beliefs.clear()
    async with served(control.ports) as port:
        trust = await enrol(port, tmp_path, invited(control))
        for _ in range(2):
            async with running(port, trust, tmp_path):
                await heard(control, "connected", "reported")
    kept = [each.act for each in control.audit.kept]
    assert [(each.kind, each.user, each.action, each.message) for each in kept] == [
        ("NODE", "achmad", "node enrolled", MICRO)
    ]


async def test_an_agent_without_an_identity_calls_nobody(control, tmp_path):
    async with served(control.ports) as port:
        with pytest.raises(UntrustedError, match="sdp nodes enroll micro-92"):
            await greet(port, Trust(tmp_path, MICRO))


@pytest.mark.parametrize("bad", ["used", "expired", "wrong"])
async def test_a_token_that_is_not_good_enrols_nobody(control, tmp_path, bad):
    async with served(control.ports) as port:
        token = invited(control, datetime.timedelta() if bad == "expired" else HOUR)
        if bad == "used":
            await enrol(port, tmp_path / "first", token)
        if bad == "wrong":
            token = Token(MICRO, Secret(nonce()), control.trust.key)
        before = control.trust.belief(MICRO)
        with pytest.raises(CannotEnrolError, match="token"):
            await enrol(port, tmp_path, token)
        assert control.trust.belief(MICRO) == before
        with pytest.raises(UntrustedError):
            Trust(tmp_path, MICRO).identity()


async def test_a_token_is_shown_to_nobody_but_the_control_plane_that_made_it(control, tmp_path):
    token = invited(FakeControlPlane())
    async with served(control.ports) as port:
        invited(control)
        with pytest.raises(CannotEnrolError, match="not the control plane that made this token"):
            await enrol(port, tmp_path, token)
    assert MICRO in control.trust.tokens


async def test_another_key_is_refused_and_the_session_goes_on(control, tmp_path):
    other = enrolled(tmp_path / "other").trust
    other.adopt(Ed25519PrivateKey.generate(), control.trust.key, 1)
    trust = enrolled_here(tmp_path, control.trust)
    async with served(control.ports) as port, running(port, trust, tmp_path):
        await heard(control, "reported")
        with pytest.raises(RefusedError, match="not the key of micro-92"):
            await greet(port, other)
        await control.agents.sends[MICRO](frames.AskTime(asked=clock.now()))
        await heard(control, "timed")
    assert [each.act.action for each in control.audit.kept] == ["agent refused"]


async def test_who_has_the_old_key_is_refused_after_the_node_was_enrolled_again(control, tmp_path):
    stolen = enrolled_here(tmp_path / "stolen", control.trust)
    async with served(control.ports) as port:
        await greet(port, stolen)
        again = await enrol(port, tmp_path / "again", invited(control))
        with pytest.raises(RefusedError, match="not its any more"):
            await greet(port, stolen)
        await greet(port, again)


async def test_the_session_of_an_old_key_ends_when_the_node_is_enrolled_again(control, tmp_path):
    trust = enrolled_here(tmp_path, control.trust)
    async with served(control.ports) as port, running(port, trust, tmp_path):
        await heard(control, "reported")
        await enrol(port, tmp_path / "again", invited(control))
        await heard(control, "disconnected")
        with pytest.raises(RefusedError, match="not its any more"):
            await greet(port, trust)


async def test_to_revoke_ends_the_session_at_once_and_for_good(control, tmp_path):
    trust = enrolled_here(tmp_path, control.trust)
    async with served(control.ports) as port, running(port, trust, tmp_path):
        await heard(control, "reported")
        async with httpx2.AsyncClient(trust_env=False) as client:
            url = f"http://127.0.0.1:{port}/api/nodes/{MICRO}/revoke"
            assert (await client.post(url)).json()["state"] == "revoked"
        await heard(control, "disconnected")
        with pytest.raises(RefusedError, match="was revoked"):
            await greet(port, trust)
    acts = [each.act.action for each in control.audit.kept]
    assert acts == ["node revoked", "agent refused"]


async def test_two_agents_of_one_node_end_as_a_condition_that_names_both(
    control, tmp_path, monkeypatch
):
    monkeypatch.setattr(agent_session, "REFUSED_SECONDS", 0.01)
    trust = enrolled_here(tmp_path, control.trust)
    (tmp_path / "second").mkdir()
    async with served(control.ports) as port, running(port, trust, tmp_path):
        await heard(control, "reported")
        async with running(port, trust, tmp_path / "second"):
            await heard(control, "connected", "reported")
            async with httpx2.AsyncClient(trust_env=False) as client:
                url = f"http://127.0.0.1:{port}/api/doctor"
                found: list[dict[str, str]] = []
                while not found:
                    told = (await client.get(url)).json()["findings"]
                    found = [each for each in told if "two agents" in each["message"]]
            assert found[0]["node"] == MICRO
            assert "served" in found[0]["message"]
            assert "kept out" in found[0]["message"]
            assert "sdp nodes revoke" in found[0]["fix"]
            assert control.agents.said.empty()  # the first never took over again
        await heard(control, "connected")  # now it may
    acts = {each.act.action for each in control.audit.kept}
    assert acts == {"second agent refused"}


async def test_an_agent_obeys_no_other_control_plane(tmp_path):
    control, other = FakeControlPlane(), FakeControlPlane()
    trust = enrolled_here(tmp_path, control.trust)
    async with served(other.ports) as port:
        with pytest.raises(RefusedError, match="and this agent obeys"):
            await greet(port, trust)
    assert other.agents.said.empty()


async def test_an_agent_obeys_no_older_start_of_its_control_plane(control, tmp_path):
    trust = enrolled_here(tmp_path, control.trust)
    async with served(control.ports) as port:
        control.trust.epoch = 7
        await greet(port, trust)
        control.trust.epoch = 6
        with pytest.raises(RefusedError, match="start 6, and start 7 was seen"):
            await greet(port, Trust(tmp_path, MICRO))
        control.trust.epoch = 7
        await greet(port, trust)


async def test_what_was_said_once_proves_nothing_again(control):
    first = hello()
    async with served(control.ports) as port:
        async with called(port) as connection:
            await connection.send(first)
            challenge = frames.to_agent.validate_json(await connection.recv())
            assert isinstance(challenge, frames.Challenge)
            signature = handshake.sign(AGENT, transcript(first, challenge), "agent")
            proof = frames.Proof(signature=signature).model_dump_json()
            await connection.send(proof)
            assert isinstance(await _next(connection), frames.Welcome)
        async with called(port) as connection:
            await connection.send(first)
            assert isinstance(await _next(connection), frames.Challenge)
            await connection.send(proof)
            assert isinstance(await _next(connection), frames.Refuse)


async def test_an_agent_takes_no_challenge_that_was_made_for_another_connection(tmp_path):
    known = enrolled(tmp_path)
    first = known.challenge(hello()).model_dump_json()

    async def replay(connection: ServerConnection) -> None:
        await connection.recv()
        await connection.send(first)
        await connection.wait_closed()

    async with answering(replay) as port:
        with pytest.raises(RefusedError, match="signature is wrong"):
            await greet(port, known.trust)


async def test_who_stands_between_can_put_no_other_recipient_into_a_hello(control, tmp_path):
    trust = enrolled_here(tmp_path, control.trust)
    async with served(control.ports) as port:

        async def between(connection: ServerConnection) -> None:
            said = frames.Hello.model_validate_json(await connection.recv())
            forged = said.model_copy(update={"recipient": "age1mine"})
            async with called(port) as onward:
                await onward.send(forged.model_dump_json())
                await connection.send(await onward.recv())
                await connection.wait_closed()

        async with answering(between) as middle:
            with pytest.raises(RefusedError, match="somebody stands in between"):
                await greet(middle, trust)
    assert control.agents.said.empty()


async def test_nothing_is_believed_before_the_proof(control):
    report = frames.Report(generation=1, report=NodeReport()).model_dump_json()
    async with served(control.ports) as port:
        for words in ([report], [hello(), report], [hello(), hello()]):
            async with called(port) as connection:
                for each in words:
                    await connection.send(each)
                assert "expected" in await closed(connection)
    assert control.agents.said.empty()


async def test_frames_are_small_before_the_proof(control):
    async with served(control.ports) as port, called(port) as connection:
        await connection.send(hello(version="x" * handshake.MAX_FRAME))
        assert "more than 65536 bytes" in await closed(connection)


async def test_who_proves_nothing_is_not_waited_for(control, monkeypatch):
    monkeypatch.setattr(greeting, "PROOF_SECONDS", 0.05)
    async with served(control.ports) as port, called(port) as connection:
        await connection.send(hello())
        assert "nothing was proven" in await closed(connection)


async def test_connections_that_prove_nothing_are_few_and_known_agents_are_not_among_them(
    control, monkeypatch
):
    monkeypatch.setattr(greeting, "MOST_WAITING_OF_ONE", 2)
    async with served(control.ports) as port, called(port) as agent:
        await prove(agent, hello())
        assert isinstance(await _next(agent), frames.Welcome)
        async with called(port) as one, called(port) as two:
            for each in (one, two):
                await each.send(hello(run="other"))
                await _next(each)
            async with called(port) as three:
                assert "too many" in await closed(three)
            await one.close()
            await two.close()
        async with called(port) as again:
            await prove(again, hello(run="other"))


@pytest.mark.parametrize("changes", [{"nonce": ""}, {"nonce": "x"}, {"run": ""}, {"enrol": "x"}])
async def test_a_hello_without_what_it_must_have_is_refused(control, changes):
    async with served(control.ports) as port, called(port) as connection:
        await connection.send(hello(**changes))
        assert "hello without" in await closed(connection)


async def test_an_agent_that_can_prove_nothing_is_told_to_be_updated_and_enrolled(control):
    old = '{"frame":"hello","protocol":3,"node":"micro-92","instance":"acme","version":"0","outbox":"o"}'
    async with served(control.ports) as port, called(port) as connection:
        refused = await prove(connection, old)
    assert isinstance(refused, frames.Refuse)
    assert "update sdp on micro-92" in refused.reason
    assert "sdp nodes enroll micro-92" in refused.reason


@pytest.mark.parametrize(("version", "taken"), [(4, {4}), (5, {4, 5}), (6, {5, 6})])
async def test_agents_of_the_version_before_are_taken_if_they_can_prove_who_they_are(
    control, monkeypatch, version, taken
):
    monkeypatch.setattr(frames, "SPOKEN", frames.spoken(version))
    assert frames.spoken(version) == taken
    async with served(control.ports) as port:
        for spoken in range(2, 8):
            async with called(port) as connection:
                refused = await prove(connection, hello(protocol=spoken))
                answer = refused or await _next(connection)
            expected = frames.Welcome(protocol=spoken, stored=0)
            assert (answer == expected) == (spoken in taken)


async def test_the_same_refusal_is_written_down_once_in_a_while(control):
    async with served(control.ports) as port:
        for _ in range(3):
            async with called(port) as connection:
                await prove(connection, hello(), Ed25519PrivateKey.generate())
                await closed(connection)
    assert [each.act.kind for each in control.audit.kept] == ["REFUSAL"]


async def test_what_is_wrong_with_trust_is_examined(control):
    control.trust.beliefs.pop("gateway-91")
    url = "/api/doctor"
    async with served(control.ports) as port, called(port) as connection:
        await prove(connection, hello(plain=True))
        await _next(connection)
        base = f"http://127.0.0.1:{port}"
        async with httpx2.AsyncClient(trust_env=False, base_url=base) as client:
            found = (await client.get(url)).json()["findings"]
    told = {(each["node"], each["kind"], each["severity"]) for each in found}
    assert told == {("gateway-91", "trust", "error"), (MICRO, "agent", "warning")}
    assert all(each["fix"] for each in found)


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("ws://127.0.0.1:1/ws/agent", False),
        ("ws://[::1]:1/ws/agent", False),
        ("ws://localhost/ws/agent", False),
        ("ws://10.0.0.1:1/ws/agent", True),
        ("ws://sdp.company.com/ws/agent", True),
        ("wss://sdp.company.com/ws/agent", False),
    ],
)
def test_plain_is_what_others_can_read(url, plain):
    assert dataclasses.replace(identity(1), url=url).plain == plain


async def _next(connection: ClientConnection) -> frames.ToAgent:
    return frames.to_agent.validate_json(await connection.recv())


@contextlib.asynccontextmanager
async def answering(
    answer: Callable[[ServerConnection], Coroutine[object, object, None]],
) -> AsyncIterator[int]:
    async with serve(answer, "127.0.0.1", 0) as server:
        yield next(iter(server.sockets)).getsockname()[1]
