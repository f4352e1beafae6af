"""The audit in the store: only added to, filtered, paged, and every way to tamper is found."""

import datetime
import json
import sqlite3
from pathlib import Path

import pytest

from sdp.reconciler.audit import Act, Wanted
from sdp.reconciler.chain import Verdict
from sdp.store.store import Store
from tests.unit.store.killed import told_until_killed

NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=datetime.UTC)


def act(number: int = 0, **changes: object) -> Act:
    at = NOW + datetime.timedelta(seconds=number)
    parts = {"at": at, "kind": "LOGIN", "status": "done", "user": "sari", "action": "login"}
    return Act(**{**parts, **changes})  # type: ignore[arg-type] # as a test says


async def filled(folder: Path, count: int = 5) -> None:
    async with Store.open(folder) as store:
        for number in range(count):
            await store.record([act(number, message=str(number))])


def tamper(folder: Path, *statements: str) -> None:
    """Change rows as somebody who has the file can: triggers fall first."""
    connection = sqlite3.connect(folder / "sdp.db", isolation_level=None)
    for change in ("update", "delete"):
        connection.execute(f"DROP TRIGGER IF EXISTS audit_refuses_{change}")
    for statement in statements:
        connection.execute(statement)
    connection.close()


async def verdict(folder: Path) -> Verdict:
    async with Store.open(folder) as store:
        return await store.audit.verify()


async def found(folder: Path) -> list[tuple[int, str]]:
    return [(each.seq, each.message) for each in (await verdict(folder)).findings]


async def numbers(store: Store, wanted: Wanted) -> list[int]:
    return [each.seq for each in (await store.audit.page(wanted, 50)).entries]


async def test_acts_come_back_whole_newest_first_and_verify(tmp_path):
    written = [act(1, message="one"), act(2, user="Achmad", sandbox="QA-A")]
    async with Store.open(tmp_path) as store:
        await store.record(written)
    async with Store.open(tmp_path) as store:
        page = await store.audit.page(Wanted(), 50)
        assert [each.act for each in page.entries] == written[::-1]
        seen = await store.audit.verify()
        assert (seen.rows, seen.head, seen.findings) == (2, page.entries[0].head, ())


async def test_pages_follow_each_other_without_gap(tmp_path):
    await filled(tmp_path)
    async with Store.open(tmp_path) as store:
        first = await store.audit.page(Wanted(), 2)
        assert ([e.seq for e in first.entries], first.following) == ([5, 4], 4)
        last = await store.audit.page(Wanted(), 3, first.following)
        assert ([e.seq for e in last.entries], last.following) == ([3, 2, 1], 0)
        assert [e.seq for e in await store.audit.after(1, 2)] == [2, 3]


async def test_filters_find_names_in_any_case_and_text_as_it_is(tmp_path):
    acts = [
        act(1, user="Sari", kind="REFUSAL", status="refused", message="100% of it"),
        act(2, user="achmad", sandbox="QA-A", service="account", branch="feature/a"),
        act(3, user="achmad", repository="account", environment="qa", message="100 of it"),
    ]
    async with Store.open(tmp_path) as store:
        await store.record(acts)
        for wanted, expected in (
            (Wanted(user="SARI"), [1]),
            (Wanted(kind="LOGIN"), [3, 2]),
            (Wanted(status="refused"), [1]),
            (Wanted(sandbox="qa-a"), [2]),
            (Wanted(service="account", branch="feature/a"), [2]),
            (Wanted(branch="FEATURE/a"), []),
            (Wanted(repository="account"), [3]),
            (Wanted(environment="QA"), [3]),
            (Wanted(since=acts[1].at), [3, 2]),
            (Wanted(until=acts[1].at), [2, 1]),
            (Wanted(text="100%"), [1]),
            (Wanted(text="ACHM"), [3, 2]),
        ):
            assert await numbers(store, wanted) == expected, wanted


async def test_what_a_request_made_of_its_words_is_kept_on_one_bounded_line(tmp_path):
    async with Store.open(tmp_path) as store:
        await store.record([act(user="a\nb\x1b[31m\ud800", message="x" * 100_000)])
        kept = (await store.audit.page(Wanted(), 1)).entries[0].act
        assert kept.user == "a\ufffdb\ufffd[31m\ufffd"
        assert len(kept.message) == 1_000
        assert not (await store.audit.verify()).findings


@pytest.mark.parametrize("statement", ["UPDATE audit SET user = 'x'", "DELETE FROM audit"])
async def test_the_database_refuses_to_change_or_remove_an_act(tmp_path, statement):
    await filled(tmp_path)
    connection = sqlite3.connect(tmp_path / "sdp.db")
    with pytest.raises(sqlite3.IntegrityError, match="only added to"):
        connection.execute(statement)
    connection.close()


@pytest.mark.parametrize("column", ["user", "message", "at", "hash", "status", "service"])
async def test_a_changed_row_is_found(tmp_path, column):
    await filled(tmp_path)
    tamper(tmp_path, f"UPDATE audit SET {column} = '7' WHERE seq = 3")
    assert [seq for seq, _ in await found(tmp_path)] == [3]


async def test_a_removed_row_is_found(tmp_path):
    await filled(tmp_path)
    tamper(tmp_path, "DELETE FROM audit WHERE seq IN (2, 3)")
    assert await found(tmp_path) == [(4, "rows 2 to 3 are missing before it")]


async def test_rows_that_changed_places_are_found(tmp_path):
    await filled(tmp_path)
    swap = ("UPDATE audit SET seq = 99 WHERE seq = 2", "UPDATE audit SET seq = 2 WHERE seq = 3")
    tamper(tmp_path, *swap, "UPDATE audit SET seq = 3 WHERE seq = 99")
    assert [seq for seq, _ in await found(tmp_path)] == [2]


async def test_removed_last_rows_are_found_while_it_runs_and_told_for_good(tmp_path):
    await filled(tmp_path)
    async with Store.open(tmp_path) as store:
        tamper(tmp_path, "DELETE FROM audit WHERE seq > 3")
        message = "rows 4 to 5 are missing: the anchor names the last of them"
        assert [(f.seq, f.message) for f in (await store.audit.verify()).findings] == [
            (4, message)
        ]
    told = [(6, "rows 4 to 5 are missing: the database was lost, or is an older one")]
    assert await found(tmp_path) == told
    await filled(tmp_path, 1)
    assert await found(tmp_path) == told


async def test_a_lost_database_begins_anew_after_what_the_anchor_named(tmp_path):
    await filled(tmp_path)
    for file in tmp_path.glob("sdp.db*"):
        file.unlink()
    seen = await verdict(tmp_path)
    message = "rows 1 to 5 are missing: the database was lost, or is an older one"
    assert [(each.seq, each.message) for each in seen.findings] == [(6, message)]
    assert (seen.rows, seen.first) == (1, 6)


async def test_a_database_ahead_of_its_anchor_is_what_a_crash_between_leaves(tmp_path):
    await filled(tmp_path, 4)
    anchor = tmp_path / "trust/audit.head"
    before = anchor.read_bytes()
    await filled(tmp_path, 1)
    anchor.write_bytes(before)
    seen = await verdict(tmp_path)
    assert not seen.findings
    assert json.loads(anchor.read_text()) == {"seq": 5, "hash": seen.head.hash}


async def test_a_chain_that_was_written_anew_is_found_by_its_anchor(tmp_path):
    mine, forged = tmp_path / "mine", tmp_path / "forged"
    await filled(mine)
    async with Store.open(forged) as store:
        await store.record([act(user="mallory")] * 8)
        (forged / "trust/audit.head").write_bytes((mine / "trust/audit.head").read_bytes())
        assert [each.seq for each in (await store.audit.verify()).findings] == [5]
    assert await found(forged) == [(9, "row 5 is not the one that was written")]


async def test_a_removed_or_torn_anchor_is_told(tmp_path):
    await filled(tmp_path)
    (tmp_path / "trust/audit.head").unlink()
    told = [(6, "the anchor is gone, which named the last row")]
    assert await found(tmp_path) == told
    (tmp_path / "trust/audit.head").write_text("{")
    assert len(await found(tmp_path)) == 2


async def test_retention_leaves_the_audit_alone(tmp_path):
    await filled(tmp_path)
    async with Store.open(tmp_path) as store:
        await store.prune(NOW + datetime.timedelta(days=1000))
        assert await numbers(store, Wanted()) == [5, 4, 3, 2, 1]


async def test_a_flood_of_refusals_is_kept_as_few_rows_that_say_how_many_it_was(tmp_path):
    refused = act(kind="REFUSAL", status="refused", address="10.0.0.7")
    async with Store.open(tmp_path) as store:
        await store.audit.record([refused] * 1_000)
        await store.audit.record([act(60, kind="REFUSAL", status="refused", address="10.0.0.7")])
        newest = await store.audit.page(Wanted(), 2)
        assert [each.seq for each in newest.entries] == [62, 61]
        assert newest.entries[1].act.message.startswith("940 more")


async def test_an_anchor_that_cannot_be_written_is_made_up_for_with_the_next_act(tmp_path):
    new = tmp_path / "trust/audit.new"
    async with Store.open(tmp_path) as store:
        new.mkdir()
        await store.record([act(1)])
        assert json.loads((tmp_path / "trust/audit.head").read_text())["seq"] == 0
        new.rmdir()
        await store.record([act(2)])
        assert json.loads((tmp_path / "trust/audit.head").read_text())["seq"] == 2
        assert not (await store.audit.verify()).findings


WRITER = """
import asyncio, pathlib, sys
from sdp.reconciler.audit import Wanted
from sdp.store.store import Store
from tests.unit.store.test_audit import act
async def main():
    async with Store.open(pathlib.Path(sys.argv[1])) as store:
        while True:
            await store.record([act(message="a"), act(message="b")])
            print((await store.audit.page(Wanted(), 1)).entries[0].seq, flush=True)
asyncio.run(main())
"""


@pytest.mark.timeout(30)
async def test_a_kill_at_any_moment_is_no_finding_and_loses_nothing_that_was_told(tmp_path):
    told = 0
    for enough in (10, 24, 40):
        told = told_until_killed(WRITER, tmp_path, told, enough)
        seen = await verdict(tmp_path)
        assert not seen.findings
        assert seen.rows >= told
        assert seen.rows % 2 == 0
