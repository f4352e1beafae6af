"""What nobody uses, in the loop: it is warned of, sleeps, is removed by a commit, or wakes."""

import asyncio
import contextlib
import datetime
from collections.abc import AsyncIterator
from pathlib import Path

from sdp import clock
from sdp.protocol.report import Activity
from sdp.reconciler import removal
from sdp.reconciler.loop import Reconciler
from sdp.reconciler.removal import Removal, Removals
from sdp.reconciler.source import Source
from tests.builders import GATEWAY, MICRO, PLATFORM, sandbox
from tests.fakes.remover import FakeRemover
from tests.unit.reconciler.test_loop import Nodes, Platform, reasons

DAY = datetime.timedelta(days=1)
SERVICES = "account: {branch: develop}"
A = sandbox("QA-A", SERVICES, more="lifecycle: {expire_after: 10d, delete_after: 7d}")
KEPT = A.replace("delete_after: 7d", "keep_until: 2099-01-01")


class Aging(Platform):
    """A platform whose clock can be put forward."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.later = datetime.timedelta()
        source = Source(str(self.config.path), "main", folder)
        self.reconciler = Reconciler(source, self.journal, lambda: clock.now() + self.later)
        self.nodes = Nodes(self.reconciler)

    def measure(self, activity: Activity | None) -> None:
        """Let the gateway's node tell of use, or not."""
        told = {"qa-a": activity} if activity else {}
        seen = self.nodes.simulation.observed[GATEWAY].report
        report = seen.model_copy(update={"activity": told})
        self.nodes.simulation.report(GATEWAY, report)
        self.nodes.report(GATEWAY)

    def pass_by(self, time: datetime.timedelta) -> None:
        """Let time go by, and the loop see it."""
        self.later += time
        self.reconciler.hint([])

    def state(self) -> str:
        status = self.reconciler.status("qa-a")
        return status.lifecycle.state if status else ""

    async def until_stopped(self) -> None:
        found = self.nodes.simulation.containers
        await self.journal.until(lambda: {each.state for each in found().values()} == {"exited"})


@contextlib.asynccontextmanager
async def aging(folder: Path) -> AsyncIterator[Aging]:
    made = Aging(folder)
    made.config.sandboxes(a=A)
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(made.reconciler.run(made.remover)),
            group.create_task(made.nodes.run()),
        ]
        await made.nodes.connect(MICRO)
        await made.nodes.connect(GATEWAY)
        await made.synced("qa-a")
        yield made
        for task in tasks:
            task.cancel()


def foreseen(made: Aging, text: str) -> set[str]:
    """Return what sdp plan shows of a working tree."""
    tree = made.reconciler.read({"platform.yaml": PLATFORM, "sandboxes/a.yaml": text})
    plans, _ = made.reconciler.preview(tree)
    return {each.action.kind for each in plans["qa-a"].actions}


UNUSED = Activity(last_request_at=None, since=clock.now() - DAY)


async def test_what_nobody_uses_is_warned_of_sleeps_and_wakes_when_it_is_extended(
    tmp_path: Path,
) -> None:
    async with aging(tmp_path) as made:
        made.measure(UNUSED)
        before = {each.id for each in made.nodes.simulation.containers().values()}
        made.pass_by(9.5 * DAY)
        await made.journal.until(lambda: bool(made.journal.of("EXPIRES_SOON")))
        made.pass_by(DAY)
        await made.journal.until(lambda: bool(made.journal.of("EXPIRED")))
        await made.until_stopped()
        await made.journal.until(lambda: made.state() == "EXPIRED")
        assert foreseen(made, A) == set()
        assert foreseen(made, A + "owner: sari\n") == {"resume", "gate"}
        made.config.sandboxes(a=KEPT)
        await made.journal.until(lambda: bool(made.journal.of("REVIVED")))
        await made.synced("qa-a")
        assert {each.id for each in made.nodes.simulation.containers().values()} == before
        assert not made.journal.of("DRIFT")
        assert not made.remover.asked


async def test_what_is_used_does_not_expire_and_traffic_is_no_news(tmp_path: Path) -> None:
    async with aging(tmp_path) as made:
        made.measure(UNUSED)
        await made.synced("qa-a")
        made.pass_by(20 * DAY)
        used = clock.now() + 20 * DAY
        made.measure(Activity(last_request_at=used, since=UNUSED.since))
        made.pass_by(DAY)
        made.config.put(**{"README.md": "said"})
        await made.synced("qa-a")
        count = len(made.journal.of("STATUS"))
        made.measure(Activity(last_request_at=used + DAY, since=UNUSED.since))
        nonce = made.reconciler.sync("qa-a")
        await made.journal.until(lambda: served(made) == nonce)
        assert made.state() == "ACTIVE"
        assert len(made.journal.of("STATUS")) == count + 1


def served(made: Aging) -> str:
    status = made.reconciler.status("qa-a")
    return status.served if status else ""


async def test_without_a_signal_nothing_expires(tmp_path: Path) -> None:
    async with aging(tmp_path) as made:
        made.pass_by(400 * DAY)
        await made.journal.until(lambda: "ExpiryUnknown" in reasons(made, "qa-a"))
        assert made.state() == "ACTIVE"
        running = {each.state for each in made.nodes.simulation.containers().values()}
        assert running == {"running"}
        assert not made.remover.asked


async def test_what_nobody_extends_is_removed_and_a_failure_is_told(tmp_path: Path) -> None:
    async with aging(tmp_path) as made:
        made.remover.refusal = "the remote is away"
        made.measure(UNUSED)
        made.pass_by(18 * DAY)
        await made.until_stopped()
        await made.journal.until(lambda: "RemovalFailed" in reasons(made, "qa-a"))
        assert [each.paths for each in made.remover.asked] == [("sandboxes/a.yaml",)]
        made.config.sandboxes(a=None)
        await made.journal.until(lambda: bool(made.journal.of("SANDBOX_REMOVED")))


async def test_pauses_grow_while_the_same_fails_and_end_when_something_else_is_due() -> None:
    removals, remover = Removals(), FakeRemover()
    remover.refusal = "no"
    removals.take(Removal("1", paths=("a",)))
    pauses = []
    for _ in range(7):
        await removals.attempt(remover)
        pauses.append(removals.pause)
    assert pauses == [60, 120, 240, 480, 960, 1800, 1800]
    removals.take(Removal("2", paths=("a",)))
    await removals.rest()
    remover.refusal = ""
    await removals.attempt(remover)
    assert (removals.failure, removals.pause) == ("", removal.FIRST_PAUSE)


async def test_nothing_is_asked_while_nothing_is_due() -> None:
    removals, remover = Removals(), FakeRemover()
    async with asyncio.TaskGroup() as group:
        group.create_task(removals.attempt(remover))
        removals.take(Removal("1"))
        removals.take(Removal("2", paths=("a",)))
    assert [each.revision for each in remover.asked] == ["2"]
