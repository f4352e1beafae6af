"""What is to be proven goes sealed to one agent, and its answer to who asked."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import cast

from fastapi import WebSocket

from sdp import clock
from sdp.api.agents import Sessions
from sdp.protocol import frames, sealed
from sdp.protocol.secret import Credentials, Secret
from sdp.sops import identities
from tests.fakes.control_plane import FakeControlPlane

MADE = identities.generate()
SARI = Credentials("sari", Secret("hunter2"))


class Wire:
    """An agent's end of a WebSocket, without a network."""

    def __init__(self, recipient: str) -> None:
        self.heard: asyncio.Queue[frames.ToAgent] = asyncio.Queue()
        self.says: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self.say(
            frames.Hello(
                protocol=frames.VERSION,
                node="micro-92",
                instance="acme",
                version="1",
                outbox="o",
                recipient=recipient,
            )
        )

    def say(self, frame: frames.FromAgent) -> None:
        self.says.put_nowait({"type": "websocket.receive", "text": frame.model_dump_json()})

    async def hear(self) -> frames.CheckLogin:
        while not isinstance(frame := await self.heard.get(), frames.CheckLogin):
            pass
        return frame

    async def accept(self) -> None:
        pass

    async def receive(self) -> dict[str, str]:
        return await self.says.get()

    async def send_text(self, text: str) -> None:
        self.heard.put_nowait(frames.to_agent.validate_json(text))

    async def close(self, *_: object) -> None:
        pass


@contextlib.asynccontextmanager
async def connected(recipient: str = MADE.public) -> AsyncIterator[tuple[Sessions, Wire]]:
    control = FakeControlPlane()
    sessions, wire = Sessions(control.ports), Wire(recipient)
    async with asyncio.timeout(4), asyncio.TaskGroup() as group:
        serving = group.create_task(sessions.serve(cast("WebSocket", wire)))
        await control.agents.said.get()
        yield sessions, wire
        serving.cancel()


async def test_only_the_agent_opens_it_and_its_answer_comes_back() -> None:
    async with connected() as (sessions, wire), asyncio.TaskGroup() as group:
        asking = group.create_task(sessions.check("micro-92", "account", SARI, 4))
        asked = await wire.hear()
        assert "hunter2" not in asked.model_dump_json()
        purpose = sealed.checking(asked.request, "account")
        keys = identities.read(MADE.secret)
        found = sealed.unseal(asked.credentials, keys, purpose, clock.now())
        assert (found.user, found.secret.reveal()) == ("sari", "hunter2")
        wire.say(frames.LoginChecked(request="another", outcome="Proved"))
        wire.say(frames.LoginChecked(request=asked.request, outcome="Wrong"))
        told = await asking
        assert told is not None
        assert told.outcome == "Wrong"


async def test_an_agent_that_leaves_meanwhile_has_said_nothing() -> None:
    async with connected() as (sessions, wire), asyncio.TaskGroup() as group:
        asking = group.create_task(sessions.check("micro-92", "account", SARI, 4))
        await wire.hear()
        wire.says.put_nowait({"type": "websocket.disconnect"})
        assert await asking is None
        assert not sessions.proves("micro-92")


async def test_an_agent_without_a_key_is_asked_nothing() -> None:
    async with connected("no key") as (sessions, _):
        assert not sessions.proves("micro-92")
        assert await sessions.check("micro-92", "account", SARI, 4) is None


def test_an_agent_of_the_version_before_hears_nothing_of_credentials() -> None:
    refresh = frames.Refresh(repositories=("account",))
    assert "credentials" not in frames.spoken(refresh, frames.TRUST_SINCE - 1)
    assert "credentials" in frames.spoken(refresh, frames.TRUST_SINCE)
