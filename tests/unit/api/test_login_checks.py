"""What is to be proven goes sealed to one agent, and its answer to who asked."""

import asyncio
from collections.abc import Awaitable, Callable

from sdp import clock
from sdp.api.login_checks import LoginChecks
from sdp.protocol import frames, sealed
from sdp.protocol.secret import Credentials, Secret
from sdp.sops import identities

MADE = identities.generate()
SARI = Credentials("sari", Secret("hunter2"))
HELLO = frames.Hello(
    protocol=frames.VERSION,
    node="micro-92",
    instance="acme",
    version="1",
    outbox="o",
    recipient=MADE.public,
)


class World:
    """The checks, and what the agent on micro-92 hears."""

    def __init__(self, recipient: str = MADE.public) -> None:
        self.checks = LoginChecks()
        self.heard: asyncio.Queue[frames.ToAgent] = asyncio.Queue()
        self.hello = HELLO.model_copy(update={"recipient": recipient})
        self.send: Callable[[frames.ToAgent], Awaitable[None]] = self.heard.put
        self.checks.connected(self.hello, self.send)

    async def check(self) -> frames.LoginChecked | None:
        return await self.checks.check("micro-92", "account", SARI, 4)

    async def asked(self) -> frames.CheckLogin:
        frame = await self.heard.get()
        assert isinstance(frame, frames.CheckLogin)
        return frame


async def test_only_the_agent_opens_it_and_its_answer_comes_back() -> None:
    world = World()
    async with asyncio.timeout(4), asyncio.TaskGroup() as group:
        asking = group.create_task(world.check())
        asked = await world.asked()
        assert "hunter2" not in asked.model_dump_json()
        purpose = sealed.checking(asked.request, "account")
        keys = identities.read(MADE.secret)
        found = sealed.unseal(asked.credentials, keys, purpose, clock.now())
        assert (found.user, found.secret.reveal()) == ("sari", "hunter2")
        wrong = frames.LoginChecked(request=asked.request, outcome="Wrong")
        for node, told in [
            ("micro-92", frames.LoginChecked(request="another", outcome="Proved")),
            ("micro-93", frames.LoginChecked(request=asked.request, outcome="Proved")),
            ("micro-92", wrong),
        ]:
            world.checks.checked(node, told)
        assert await asking == wrong


async def test_an_agent_that_leaves_meanwhile_has_said_nothing() -> None:
    world = World()
    async with asyncio.timeout(4), asyncio.TaskGroup() as group:
        asking = group.create_task(world.check())
        await world.asked()
        world.checks.disconnected(world.hello, world.send)
        assert await asking is None
    assert not world.checks.proves("micro-92")


async def test_the_end_of_a_session_that_was_replaced_changes_nothing() -> None:
    world = World()
    newer: asyncio.Queue[frames.ToAgent] = asyncio.Queue()
    world.checks.connected(world.hello, newer.put)
    world.checks.disconnected(world.hello, world.send)
    assert world.checks.proves("micro-92")


async def test_an_agent_without_a_key_is_asked_nothing() -> None:
    world = World("no key")
    assert not world.checks.proves("micro-92")
    assert await world.check() is None
    assert world.heard.empty()
