"""The past is forgotten by reference: never what runs, never the newest, never what is told of."""

import asyncio
import datetime
import os
from typing import Any

from sdp.reconciler.deployments import REMOVED
from sdp.reconciler.journal import StoreUnavailable
from sdp.store import retention
from sdp.store.store import Store
from sdp.store.values import NewEvent, Resync
from tests.unit.store.test_store import DAY, NOW, deployment, event, failure

OLD: dict[str, Any] = {"status": "STOPPED", "finished_at": NOW}
LATER = NOW + DAY


async def ids(store: Store) -> list[str]:
    return sorted(each.id for each in (await store.deployments()).deployments)


async def said(store: Store, identifier: str) -> bool:
    await store.logs.append(identifier, "go build", NOW, ["built"])
    return True


async def test_deployments_that_ended_long_ago_go_with_their_logs(tmp_path):
    async with Store.open(tmp_path) as store:
        await store.upsert(deployment(1, **OLD))
        await store.upsert(deployment(2, status="FAILED", finished_at=NOW))
        await store.upsert(deployment(3, status="STOPPED", finished_at=LATER))
        await store.upsert(deployment(4))
        for number in range(1, 5):
            await said(store, f"d-{number}")
        await store.prune(LATER)
        assert await ids(store) == ["d-3", "d-4"]
        assert sorted(each.stem for each in tmp_path.glob("logs/*/*.log")) == ["d-3", "d-4"]


async def test_what_runs_and_the_newest_of_a_service_stay_however_old(tmp_path):
    async with Store.open(tmp_path) as store:
        await store.upsert(deployment(1, "account"))  # serves still
        await store.upsert(deployment(2, "account", status="FAILED", finished_at=NOW))
        await store.upsert(deployment(3, "payment", **OLD))
        await store.upsert(deployment(4, "user", status="QUEUED"))
        await store.upsert(deployment(5, "user", status="FAILED", finished_at=NOW))
        await store.prune(NOW + 90 * DAY)
        assert await ids(store) == ["d-1", "d-2", "d-3", "d-4", "d-5"]


async def test_the_newest_of_a_service_that_was_removed_goes(tmp_path):
    async with Store.open(tmp_path) as store:
        await store.upsert(deployment(1, reason=REMOVED, **OLD))
        await store.prune(LATER)
        assert await ids(store) == []


async def test_more_than_a_batch_goes(tmp_path):
    async with Store.open(tmp_path) as store:
        await store.append([event() for _ in range(1_200)])
        await store.prune(LATER)
        assert (await store.oldest(), await store.latest()) == (0, 1_200)
        assert isinstance(await store.events(3, 10), Resync)


async def test_an_event_that_was_told_late_takes_no_newer_one_with_it(tmp_path):
    async with Store.open(tmp_path) as store:
        new = NewEvent(at=LATER, kind="NEW")
        await store.append([event(), new, event()])
        await store.prune(LATER)
        assert (await store.oldest(), await store.latest()) == (2, 3)


async def test_an_event_from_the_future_keeps_nothing(tmp_path):
    async with Store.open(tmp_path) as store:
        ahead = NewEvent(at=NOW + 36_500 * DAY, kind="AHEAD")
        await store.append([event(), ahead, event(), NewEvent(at=LATER, kind="NEW")])
        await store.prune(LATER)
        assert await store.oldest() == 4


async def test_failures_of_versions_that_are_gone_go(tmp_path):
    async with Store.open(tmp_path) as store:
        await store.upsert(deployment(1, hash="known", status="FAILED", finished_at=NOW))
        for version in ("known", "gone"):
            await store.put_failure(failure(version))
        await store.prune(NOW)
        assert len(await store.failures()) == 2
        await store.prune(LATER)
        assert [each.attempt.version for each in await store.failures()] == ["known"]


async def test_logs_that_no_deployment_is_known_of_are_swept_when_they_are_old(tmp_path):
    async with Store.open(tmp_path) as store:
        await store.upsert(deployment(1))
        for identifier in ("d-1", "d-lost", "d-new"):
            await said(store, identifier)
        strange = tmp_path / "logs" / "d-" / "Not a deployment.log"
        strange.write_text("")
        os.utime(strange, (0, 0))
        for identifier in ("d-1", "d-lost"):
            os.utime(tmp_path / "logs" / "d-" / f"{identifier}.log", (0, 0))
        await store.prune(LATER)
        left = {each.stem for each in tmp_path.glob("logs/*/*.log")}
        assert left == {"d-1", "d-new", strange.stem}


class Shelf:
    """A store of which pruning fails so many times first; ``pruned`` is set when it did not."""

    def __init__(self, store: Store, fails: int = 0) -> None:
        self._store = store
        self._fails = fails
        self.pruned = asyncio.Event()

    async def prune(self, before: datetime.datetime) -> None:
        if self._fails:
            self._fails -= 1
            raise StoreUnavailable("The disk is full.", "Free space.")
        await self._store.prune(before)
        self.pruned.set()


async def forgets(shelf: Shelf, *told: datetime.timedelta | None) -> None:
    """Let it be asked, one after the other, how much of the past is kept."""
    answers = iter(told)
    async with asyncio.timeout(4), asyncio.TaskGroup() as group:
        task = group.create_task(retention.forget(shelf, lambda: next(answers)))
        await shelf.pruned.wait()
        task.cancel()


async def test_the_past_is_forgotten_at_start_once_it_is_known_how_much_of_it(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(retention, "SOON", 0)
    async with Store.open(tmp_path) as store:
        await store.append([event()])
        await forgets(Shelf(store), None, None, DAY)
        assert await store.oldest() == 0


async def test_a_store_that_is_away_is_asked_again(tmp_path, monkeypatch):
    monkeypatch.setattr(retention, "HOUR", 0)
    async with Store.open(tmp_path) as store:
        await store.append([event()])
        await forgets(Shelf(store, fails=1), DAY, DAY, DAY)
        assert await store.oldest() == 0
