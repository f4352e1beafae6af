"""Snapshots in the store: the last 20 of each sandbox, whole, also of one that is gone."""

import datetime

from sdp.reconciler.snapshots import KEPT, Snapshot
from sdp.spec.models import Pins
from sdp.store.store import Store

NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=datetime.UTC)
PINS = Pins.model_validate(
    {
        "gateway": {"branch": "develop", "commit": "a" * 40},
        "services": {"account": {"commit": "b" * 40}, "user": {"use_ocp": True}},
    }
)


def snapshot(number: int, sandbox: str = "qa-a") -> Snapshot:
    return Snapshot(sandbox, number, NOW, "c" * 40, PINS, {"account": "0123"})


async def test_the_last_20_are_kept_of_each_sandbox_newest_first(tmp_path):
    async with Store.open(tmp_path) as store:
        await store.put_snapshot(snapshot(1, "qa-b"))
        for number in range(1, KEPT + 4):
            await store.put_snapshot(snapshot(number))
        found = await store.snapshots("qa-a")
        assert [each.number for each in found] == [*range(KEPT + 3, 3, -1)]
        assert found[0] == snapshot(KEPT + 3)
        assert await store.snapshots("qa-b") == (snapshot(1, "qa-b"),)


async def test_the_newest_of_each_outlive_the_process_and_the_sandbox(tmp_path):
    async with Store.open(tmp_path) as store:
        for each in (snapshot(1), snapshot(2), snapshot(7, "qa-b")):
            await store.put_snapshot(each)
        await store.forget("qa-a")
    async with Store.open(tmp_path) as store:
        assert await store.newest_snapshots() == (snapshot(2), snapshot(7, "qa-b"))
