"""Credentials are lent while a session lives, and are gone with it."""

import asyncio
import contextlib
import datetime

from sdp.api.broker import LIFETIME, Broker
from sdp.protocol import sealed
from sdp.protocol.secret import Secret
from sdp.sops import identities
from tests.builders import NOW

MADE = identities.generate()


class World:
    def __init__(self) -> None:
        self.now = NOW
        self.told: list[str] = []
        self.broker = Broker(lambda: self.now)
        self.broker.listener = self
        self.secret = Secret("hunter2")
        self.broker.keep("s-1", "Sari", self.secret)

    def came(self, user: str) -> None:
        self.told.append(f"{user} came")

    def went(self, user: str) -> None:
        self.told.append(f"{user} went")

    def lent(self, user: str = "sari") -> str:
        """Return the password that an agent would find."""
        text = self.broker.sealed(user, MADE.public, "this")
        if not text:
            return ""
        opened = sealed.unseal(text, identities.read(MADE.secret), "this", self.now)
        return opened.secret.reveal()


def test_what_is_kept_is_lent_sealed_in_any_case_of_the_name():
    world = World()
    assert world.broker.live() == {"sari"}
    assert world.lent("SARI") == "hunter2"
    assert world.lent("achmad") == ""
    assert world.broker.sealed("sari", "", "this") == ""


def test_logging_out_wipes_and_is_told():
    world = World()
    world.broker.drop("s-1")
    world.broker.drop("s-1")
    assert (world.secret.reveal(), world.broker.live(), world.lent()) == ("", frozenset(), "")
    assert world.told == ["sari came", "sari went"]


def test_any_live_session_of_a_user_serves_the_newest_first():
    world = World()
    world.broker.keep("s-2", "sari", Secret("newer"))
    assert world.lent() == "newer"
    world.broker.drop("s-2")
    assert world.lent() == "hunter2"


def test_after_twelve_hours_nothing_is_lent_and_the_sweep_wipes():
    world = World()
    world.now += LIFETIME
    assert (world.broker.live(), world.lent()) == (frozenset(), "")
    world.broker.sweep()
    assert world.secret.reveal() == ""
    world.now += datetime.timedelta(hours=1)
    world.broker.keep("s-1", "sari", Secret("again"))
    assert world.lent() == "again"


async def test_the_end_of_the_process_wipes_all():
    world = World()
    running = asyncio.get_running_loop().create_task(world.broker.run())
    await asyncio.sleep(0)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert world.secret.reveal() == ""


def test_nothing_shows_what_is_held():
    world = World()
    assert "hunter2" not in repr(world.broker) + repr(vars(world.broker))
