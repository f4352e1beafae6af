"""What the API may expect of an audit: of the fake that its tests use, and of the store's."""

import contextlib
import datetime
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from sdp.api.ports import Audit
from sdp.reconciler.audit import Act, Wanted
from sdp.store.store import Store
from tests.fakes.control_plane import NOW, FakeAudit

Opened: TypeAlias = contextlib.AbstractAsyncContextManager[Audit]
ACTS = [
    Act(NOW + datetime.timedelta(seconds=n), "LOGIN", "done", ("sari", "Budi")[n % 2], "login")
    for n in range(5)
]


@contextlib.asynccontextmanager
async def fake(_: Path) -> AsyncIterator[Audit]:
    yield FakeAudit()


@contextlib.asynccontextmanager
async def stored(folder: Path) -> AsyncIterator[Audit]:
    async with Store.open(folder) as store:
        yield store.audit


@pytest.fixture(params=[fake, stored])
def opened(request, tmp_path) -> Opened:
    make: Callable[[Path], Opened] = request.param
    return make(tmp_path)


async def test_acts_are_kept_in_order_numbered_from_one_and_verify(opened):
    async with opened as audit:
        await audit.record(ACTS[:2])
        await audit.record([])
        await audit.record(ACTS[2:])
        kept = await audit.after(0, 10)
        assert [(each.seq, each.act) for each in kept] == [*enumerate(ACTS, 1)]
        assert await audit.after(1, 2) == kept[1:3]
        found = await audit.verify()
        assert (found.rows, found.first, found.head) == (5, 1, kept[-1].head)
        assert not found.findings


async def test_pages_come_newest_first_and_say_where_the_next_begins(opened):
    async with opened as audit:
        await audit.record(ACTS)
        first = await audit.page(Wanted(), 2)
        assert ([each.seq for each in first.entries], first.following) == ([5, 4], 4)
        rest = await audit.page(Wanted(), 3, first.following)
        assert ([each.seq for each in rest.entries], rest.following) == ([3, 2, 1], 0)


async def test_a_user_is_found_in_any_case(opened):
    async with opened as audit:
        await audit.record(ACTS)
        found = await audit.page(Wanted(user="BUDI", kind="LOGIN"), 10)
        assert [each.seq for each in found.entries] == [4, 2]


async def test_an_empty_audit_is_as_it_was_written(opened):
    async with opened as audit:
        found = await audit.verify()
        assert (found.rows, found.head.seq, found.findings) == (0, 0, ())
