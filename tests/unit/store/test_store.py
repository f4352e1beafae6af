"""The store's obligations: numbers, exactly once, cursors, and what a lost disk means."""

import asyncio
import dataclasses
import datetime
import resource
import sqlite3
from contextlib import contextmanager
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine

from sdp.protocol.frames import LogLines, StageEvent
from sdp.reconciler.audit import Act
from sdp.reconciler.history import Attempt, Choice, Failure
from sdp.reconciler.journal import StoreUnavailable
from sdp.reconciler.ports import Lease
from sdp.store.follow import Batch
from sdp.store.migrate import migrate
from sdp.store.store import Store
from sdp.store.tables import metadata
from sdp.store.values import Applied, Deployment, Effect, Event, NewEvent, Resync
from tests.unit.store.killed import told_until_killed

NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
ACT = Act(NOW, "CHANGE", "done", "achmad", "first")


def event(message: str = "", sandbox: str = "QA", kind: str = "NOTED") -> NewEvent:
    return NewEvent(at=NOW, kind=kind, sandbox=sandbox, message=message, data={"n": [1, None]})


def deployment(number: int = 1, service: str = "account", **changes: object) -> Deployment:
    parts = {
        "id": f"d-{number}",
        "sandbox": "QA",
        "service": service,
        "node": "micro-92",
        "repository": "account",
        "branch": "main",
        "commit": "1a2b3c",
        "hash": "h",
        "generation": "g",
        "status": "RUNNING",
        "created_at": NOW + datetime.timedelta(seconds=number),
    }
    return Deployment.model_validate({**parts, **changes})


def failure(version: str = "h") -> Failure:
    attempt = Attempt("QA", "account", version, "build")
    return Failure(attempt, 2, "BUILD", "no", "fix it", ("a", "b"), NOW, None)


def lines(*texts: str) -> LogLines:
    return LogLines(deployment="d-1", stage="go build", at=NOW, lines=texts)


async def listed(store: Store, after: int, limit: int, **only: Any) -> tuple[Event, ...]:
    found = await store.events(after, limit, **only)
    assert not isinstance(found, Resync)
    return found


async def known(store: Store) -> Deployment:
    found = await store.deployment("d-1")
    assert found is not None
    return found


async def texts(store: Store) -> list[str]:
    return [line.text for line in await store.logs.read("d-1", 0, 1_000)]


def test_migrations_lead_to_the_tables(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path}/a.db")
    with engine.begin() as connection:
        migrate(connection)
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


async def test_a_database_of_a_newer_version_is_left_alone(tmp_path):
    async with Store.open(tmp_path):
        pass
    with sqlite3.connect(tmp_path / "sdp.db") as raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
    raw.close()
    with pytest.raises(StoreUnavailable, match="9999"):
        async with Store.open(tmp_path):
            pass


async def test_events_come_back_whole_and_filtered(tmp_path):
    async with Store.open(tmp_path) as store:
        await store.append([event("a"), event("b", sandbox="OTHER"), event("c", kind="X")])
        everything = await listed(store, 0, 10)
        assert [e.seq for e in everything] == [1, 2, 3]
        assert everything[0].at == NOW
        assert everything[0].data == {"n": [1, None]}
        assert [e.message for e in await listed(store, 1, 10, sandbox="QA")] == ["c"]
        assert [e.message for e in await listed(store, 0, 10, kinds={"NOTED"})] == ["a", "b"]


async def test_numbers_are_never_used_again(tmp_path):
    async with Store.open(tmp_path) as store:
        await store.append([event(), event()])
        await store.prune(NOW + DAY)
    async with Store.open(tmp_path) as store:
        assert await store.latest() == 2
        assert [e.seq for e in await store.append([event()])] == [3]


async def test_a_cursor_that_is_gone_or_from_elsewhere_is_told_to_resync(tmp_path):
    async with Store.open(tmp_path) as store:
        await store.append([event() for _ in range(3)])
        await store.append([event().model_copy(update={"at": NOW + DAY}), event()])
        await store.prune(NOW + DAY)
        assert await store.oldest() == 4
        assert isinstance(await store.events(2, 10), Resync)
        assert isinstance(await store.events(6, 10), Resync)
        assert [e.seq for e in await listed(store, 3, 10)] == [4, 5]
        assert await store.events(5, 10) == ()


async def test_concurrent_writers_lose_nothing(tmp_path):
    async with Store.open(tmp_path) as store:
        async with asyncio.TaskGroup() as group:
            for _ in range(50):
                group.create_task(store.append([event(), event()]))
        assert [e.seq for e in await listed(store, 0, 1_000)] == list(range(1, 101))


async def test_followers_see_the_past_then_the_new_without_gap_or_double(tmp_path):
    async with Store.open(tmp_path) as store:
        await store.append([event() for _ in range(3)])
        seen: list[int] = []

        async def follow() -> None:
            async for batch in store.follow(1):
                assert isinstance(batch, Batch)
                seen.extend(item.event.seq for item in batch.items)
                if seen[-1] == 43:
                    return

        async with asyncio.TaskGroup() as group:
            group.create_task(follow())
            for _ in range(40):
                await store.append([event()])
        assert seen == list(range(2, 44))


async def test_an_entry_is_taken_once_with_everything_it_changes(tmp_path):
    stage = StageEvent(deployment="d-1", stage="go build", state="started", at=NOW)
    node = deployment().node
    effects: list[Effect] = [event(), deployment(), stage, lines("x", "y"), failure()]
    async with Store.open(tmp_path) as store:
        assert await store.accept(node, "o", 1, effects)
        assert not await store.accept(node, "o", 1, effects)
    async with Store.open(tmp_path) as store:
        assert not await store.accept(node, "o", 1, effects)
        assert await store.stored(node, "o") == 1
        assert await store.latest() == 1
        assert await texts(store) == ["x", "y"]
        found = await known(store)
        assert [s.name for s in found.stages] == ["go build"]
        assert await store.failures() == (failure(),)
        assert await store.accept(node, "o", 2, [Applied(sandbox="QA", service="a", hash="h")])
        assert await store.applied() == {("QA", "a"): "h"}


async def test_a_node_adds_nothing_to_the_deployments_of_another(tmp_path):
    stage = StageEvent(deployment="d-1", stage="go build", state="failed", at=NOW)
    async with Store.open(tmp_path) as store:
        await store.upsert(deployment())
        assert await store.accept("another", "o", 1, [lines("x"), stage])
        assert await texts(store) == []
        assert (await known(store)).stages == ()
        assert await store.accept(deployment().node, "o", 1, [lines("y")])
        assert await texts(store) == ["y"]


async def test_lines_written_before_a_failed_commit_are_not_doubled(tmp_path):
    bad: Any = Lease("n", 1, "a", "b", "c")
    async with Store.open(tmp_path) as store:
        with pytest.raises(AssertionError):
            await store.accept("n", "o", 1, [lines("x"), bad])
        assert await store.stored("n", "o") == 0
        assert await store.accept("n", "o", 1, [lines("x")])
        assert await texts(store) == ["x"]


async def test_lines_outlive_a_lost_database_once(tmp_path):
    async with Store.open(tmp_path) as store:
        await store.accept("n", "o", 1, [lines("x")])
        first = store.identity
    for file in tmp_path.glob("sdp.db*"):
        file.unlink()
    async with Store.open(tmp_path) as store:
        assert store.identity != first
        assert await store.accept("n", "o", 1, [lines("x")])
        assert await store.accept("n", "o", 2, [lines("y")])
        assert await texts(store) == ["x", "y"]


async def test_deployments_are_paged_newest_first(tmp_path):
    async with Store.open(tmp_path) as store:
        for number in range(5):
            await store.upsert(deployment(number, created_at=NOW))
        seen, cursor = [], ""
        while True:
            page = await store.deployments(limit=2, cursor=cursor)
            seen += [d.id for d in page.deployments]
            if not (cursor := page.following):
                break
        assert seen == ["d-4", "d-3", "d-2", "d-1", "d-0"]
        with pytest.raises(ValueError, match="no cursor"):
            await store.deployments(cursor="1' OR 1")
        await store.upsert(deployment(9, service="payment"))
        newest = await store.latest_deployments("QA")
        assert [(d.service, d.id) for d in newest] == [("account", "d-4"), ("payment", "d-9")]


async def test_deployments_are_found_by_their_sandbox_in_any_case(tmp_path):
    async with Store.open(tmp_path) as store:
        await store.upsert(deployment(1))
        await store.upsert(deployment(2, sandbox="qa"))
        found = [(await store.deployments(sandbox=name)).deployments for name in ("Qa", "other")]
        assert [[each.id for each in page] for page in found] == [["d-2", "d-1"], []]


async def test_an_upsert_does_not_set_stages_back(tmp_path):
    async with Store.open(tmp_path) as store:
        for state in ("started", "finished"):
            await store.set_stage(StageEvent(deployment="d-1", stage="s", state=state, at=NOW))
        await store.upsert(deployment(stages=[{"name": "s", "state": "started"}]))
        found = await known(store)
        assert [(s.state, s.started_at, s.finished_at) for s in found.stages] == [
            ("finished", NOW, NOW)
        ]


async def test_a_port_of_a_node_has_one_lease(tmp_path):
    a, b = Lease("n", 1, "A", "s", "h"), Lease("n", 2, "B", "s", "h")
    async with Store.open(tmp_path) as store:
        await store.replace_leases({b, a})
        assert await store.leases() == (a, b)
        moved = Lease("n", 1, "C", "s", "h")
        await store.replace_leases({moved})
        assert await store.leases() == (moved,)
        with pytest.raises(ValueError, match="A/s and C/s"):
            await store.replace_leases({moved, a})
        assert await store.leases() == (moved,)


async def test_at_which_commits_services_are_outlives_a_restart_and_goes_with_the_sandbox(
    tmp_path,
):
    first, second = Choice("develop", "1" * 40), Choice("develop", "2" * 40)
    async with Store.open(tmp_path) as store:
        await store.put_choices({("A", "s"): first, ("A", "t"): first, ("B", "s"): first})
        await store.put_choices({("A", "s"): second, ("A", "t"): None})
    async with Store.open(tmp_path) as store:
        assert (await store.history()).chosen == {("A", "s"): second, ("B", "s"): first}
        await store.forget("a")
        assert (await store.history()).chosen == {("B", "s"): first}


async def test_a_corrupt_file_is_moved_aside_and_history_starts_anew(tmp_path):
    (tmp_path / "sdp.db").write_bytes(b"not a database " * 1_000)
    async with Store.open(tmp_path) as store:
        await store.append([event()])
    (aside,) = tmp_path.glob("sdp.db.corrupt-*")
    assert aside.read_bytes().startswith(b"not a database")


async def test_a_second_control_plane_is_refused(tmp_path):
    async with Store.open(tmp_path):
        with pytest.raises(StoreUnavailable, match="Another control plane"):
            async with Store.open(tmp_path):
                pass


async def test_a_folder_that_cannot_be_made_is_told_with_its_fix(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable) as caught:
        async with Store.open(tmp_path / "file" / "data"):
            pass
    assert "writable" in caught.value.fix


@contextmanager
def full_disk():
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_full_disk_is_told_and_heals(tmp_path):
    async with Store.open(tmp_path) as store:
        await store.accept("n", "o", 1, [lines("x")])
        with full_disk():
            with pytest.raises(StoreUnavailable):
                await store.append([event("y" * 100_000)])
            with pytest.raises(StoreUnavailable):
                await store.accept("n", "o", 2, [lines("y" * 1_000)])
        assert await store.accept("n", "o", 2, [lines("z")])
        assert await texts(store) == ["x", "z"]


async def test_what_happened_on_a_full_disk_is_owed_and_goes_before_what_comes_next(tmp_path):
    async with Store.open(tmp_path) as store:
        with full_disk():
            with pytest.raises(StoreUnavailable):
                await store.append([event("first")], [ACT], meta={"judged": "abc"})
            with pytest.raises(StoreUnavailable):
                await store.record([dataclasses.replace(ACT, action="second")])
        (third,) = await store.append([event("third")])
        assert [each.message for each in await listed(store, 0, 10)] == ["first", "third"]
        assert third.message == "third"
        assert await store.meta("judged") == "abc"
        acts = await store.audit.after(0, 10)
        assert [each.act.action for each in acts] == ["first", "second"]
        assert not (await store.audit.verify()).findings


WRITER = """
import asyncio, datetime, pathlib, sys
from sdp.protocol.frames import LogLines
from sdp.store.store import Store
from sdp.store.values import NewEvent
NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
async def main():
    async with Store.open(pathlib.Path(sys.argv[1])) as store:
        seq = await store.stored("n", "o")
        while True:
            seq += 1
            text = LogLines(deployment="d-1", stage="s", at=NOW, lines=(str(seq),) * 3)
            await store.accept("n", "o", seq, [text, NewEvent(at=NOW, kind=str(seq))])
            print(seq, flush=True)
asyncio.run(main())
"""


@pytest.mark.timeout(30)
async def test_a_kill_tears_nothing(tmp_path):
    acknowledged = 0
    for enough in (20, 45, 70):
        acknowledged = told_until_killed(WRITER, tmp_path, acknowledged, enough)
        async with Store.open(tmp_path) as store:
            last = await store.stored("n", "o")
            assert last >= acknowledged
            assert [int(e.kind) for e in await listed(store, 0, 10_000)] == list(
                range(1, last + 1)
            )
            wanted = [str(n) for n in range(1, last + 1) for _ in range(3)]
            found = [line.text for line in await store.logs.read("d-1", 0, 100_000)]
            assert found[: len(wanted)] == wanted
            assert found[len(wanted) :] in ([], [str(last + 1)] * 3)
