"""What is known of origins: as they were last seen, polled whatever is hinted at meanwhile."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping

from sdp.agent.lent import NOTHING, Lent
from sdp.agent.observe import Disk, Observer
from sdp.agent.strangers import Strangers
from sdp.protocol.report import Copy, Release, Repository, Sealed
from tests.builders import NOW
from tests.fakes.engine import FakeEngine

SEEN = Repository(branches={"develop": "1" * 40}, present=(), error="", checked_at=NOW)
FAILED = Repository(branches={}, present=(), error="no answer", checked_at=NOW)


class Nothing:
    def scan(self) -> Mapping[str, Release]:
        return {}


class NoCopies:
    def scan(self) -> Mapping[str, Copy]:
        return {}

    async def learn(self, sandbox: str) -> None:
        pass


class NoSeals:
    def scan(self) -> Mapping[str, Sealed]:
        return {}


class Origins:
    """Two origins; looks at them end when somebody takes note."""

    def __init__(self) -> None:
        self.told = {"account": SEEN, "user": SEEN}
        self.lent: list[Lent] = []
        self.looks: asyncio.Queue[tuple[str, ...]] = asyncio.Queue()

    async def look(self, names: tuple[str, ...], lent: Lent = NOTHING) -> dict[str, Repository]:
        self.looks.put_nowait(names)
        self.lent.append(lent)
        return {name: self.told[name] for name in names or self.told}

    async def present(self, name: str) -> tuple[str, ...]:
        return self.told[name].present


@contextlib.asynccontextmanager
async def watching(origins: Origins, poll: float) -> AsyncIterator[Observer]:
    engine = FakeEngine("mine")
    disk = Disk(Nothing(), NoCopies(), NoSeals(), dict)
    observer = Observer(engine, origins, disk, Strangers(engine), poll)
    async with asyncio.timeout(4), asyncio.TaskGroup() as group:
        running = group.create_task(observer.run())
        yield observer
        running.cancel()


async def test_branches_are_as_last_seen_while_an_origin_is_away() -> None:
    origins = Origins()
    async with watching(origins, 600) as observer:
        assert await origins.looks.get() == ()
        origins.told["account"] = FAILED
        observer.refresh(("account",))
        assert await origins.looks.get() == ("account",)
        while (
            "account" not in (known := observer.report.repositories) or not known["account"].error
        ):
            observer.changed.clear()
            await observer.changed.wait()
        assert (known["account"].branches, known["account"].error) == (SEEN.branches, "no answer")
        assert known["user"] == SEEN


async def test_hints_at_one_origin_do_not_put_off_the_look_at_the_others() -> None:
    origins = Origins()
    async with watching(origins, 0.05) as observer:
        assert await origins.looks.get() == ()
        observer.refresh(("account",))
        while await origins.looks.get() != ():
            observer.refresh(("account",))


async def test_a_look_without_a_password_leaves_what_the_last_one_with_it_found() -> None:
    origins = Origins()
    wanted = Repository(
        branches={}, present=("2" * 40,), error="", checked_at=None, credentials="wanted"
    )
    async with watching(origins, 600) as observer:
        assert await origins.looks.get() == ()
        origins.told["account"] = wanted
        observer.refresh(("account",))
        while observer.report.repositories.get("account", wanted).credentials != "wanted" or (
            "account" not in observer.report.repositories
        ):
            observer.changed.clear()
            await observer.changed.wait()
        known = observer.report.repositories["account"]
        assert (known.branches, known.checked_at) == (SEEN.branches, NOW)
        assert known.present == wanted.present


async def test_a_look_that_was_lent_credentials_is_made_with_them_alone() -> None:
    origins = Origins()
    async with watching(origins, 600) as observer:
        assert await origins.looks.get() == ()
        observer.refresh(("account",), Lent("sealed", "a look"))
        assert await origins.looks.get() == ("account",)
        assert origins.lent[1:] == [Lent("sealed", "a look")]
