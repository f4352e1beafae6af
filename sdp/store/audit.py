"""The audit's statements: rows are added and read; nothing here changes or removes one."""

import asyncio
import dataclasses
import datetime
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TypeAlias

from sqlalchemy import ColumnElement, Connection, RowMapping, func, insert, or_, select

from sdp.reconciler import chain
from sdp.reconciler.audit import Act, Wanted
from sdp.reconciler.chain import ORIGIN, Entry, Head, Page, Verdict
from sdp.reconciler.restraint import Known, restrain
from sdp.store.anchor import Anchor
from sdp.store.database import Database
from sdp.store.tables import audit

Record: TypeAlias = Callable[[Sequence[Act]], Awaitable[None]]

_FIELDS = tuple(field.name for field in dataclasses.fields(Act))
_SEARCHED = tuple(name for name in _FIELDS if name not in {"at", "kind", "status"})
_CHUNK = 1_000


class Audit:
    """What was done, for who asks."""

    def __init__(self, database: Database, anchor: Anchor, record: Record) -> None:
        self._database = database
        self._anchor = anchor
        self._record = record
        self._refused: Known = {}
        self._verifying = asyncio.Lock()

    async def record(self, acts: Sequence[Act]) -> None:
        """Add acts, for good; when it returned, they are on disk. A flood of refusals is summed."""
        written: list[Act] = []
        for each in acts:
            self._refused, told = restrain(self._refused, each)
            written += told
        await self._record(written)

    async def page(self, wanted: Wanted, limit: int, before: int = 0) -> Page:
        """Return acts, newest first, from those before a number; 0: from the newest."""
        return await self._database.read(lambda c: page(c, wanted, limit, before))

    async def after(self, seq: int, limit: int) -> tuple[Entry, ...]:
        """Return the next acts after a number, oldest first."""
        query = select(audit).where(audit.c.seq > seq).order_by(audit.c.seq).limit(limit)
        return await self._database.read(
            lambda c: tuple(_entry(row) for row in c.execute(query).mappings())
        )

    async def verify(self) -> Verdict:
        """Return whether all is as it was written."""

        def work(connection: Connection) -> Verdict:
            return chain.verify(_all(connection), ORIGIN, anchor)

        async with self._verifying:  # one reader's thread is enough for all who ask
            # Before the rows: those that are added meanwhile are ahead of it, which is right.
            anchor = await self._database.on_writer(self._anchor.read)
            return await self._database.read(work)


def append(connection: Connection, acts: Sequence[Act]) -> Head:
    """Add acts, in their order; return the last one's place."""
    return _add(connection, last(connection), acts)


def begin(connection: Connection, anchor: Head | None, now: datetime.datetime) -> Head:
    """Add what a break of the chain calls for, if there is one; return the last row's place."""
    end = last(connection)
    query = select(audit.c.hash).where(audit.c.seq == (anchor.seq if anchor else 0))
    broken = chain.resume(anchor, end, connection.scalar(query) or "", now)
    return _add(connection, broken[0], [broken[1]]) if broken else end


def last(connection: Connection) -> Head:
    """Return the last row's place."""
    newest = select(audit.c.seq, audit.c.hash).order_by(audit.c.seq.desc()).limit(1)
    found = connection.execute(newest).first()
    return Head(*found) if found else ORIGIN


def page(connection: Connection, wanted: Wanted, limit: int, before: int) -> Page:
    """Return acts, newest first, from those before a number; 0: from the newest."""
    query = select(audit).where(*_chosen(wanted)).order_by(audit.c.seq.desc()).limit(limit + 1)
    if before:
        query = query.where(audit.c.seq < before)
    found = tuple(_entry(row) for row in connection.execute(query).mappings())
    return Page(found[:limit], found[limit - 1].seq if len(found) > limit else 0)


def _add(connection: Connection, before: Head, acts: Sequence[Act]) -> Head:
    entries = list(chain.enchain(before, acts))
    rows = [{"seq": e.seq, "hash": e.hash, **_fields(e.act)} for e in entries]
    connection.execute(insert(audit), rows)
    return entries[-1].head


def _fields(act: Act) -> dict[str, object]:
    return {name: getattr(act, name) for name in _FIELDS}


def _chosen(wanted: Wanted) -> Iterator[ColumnElement[bool]]:
    for name in ("user", "sandbox", "service", "repository", "environment"):
        if said := getattr(wanted, name):
            yield func.lower(audit.c[name]) == said.lower()
    for name in ("kind", "status", "branch"):
        if said := getattr(wanted, name):
            yield audit.c[name] == said
    if wanted.since is not None:
        yield audit.c.at >= wanted.since
    if wanted.until is not None:
        yield audit.c.at <= wanted.until
    if wanted.text:
        yield or_(*(audit.c[name].icontains(wanted.text, autoescape=True) for name in _SEARCHED))


def _all(connection: Connection) -> Iterator[Entry]:
    query = select(audit).order_by(audit.c.seq).execution_options(yield_per=_CHUNK)
    return (_entry(row) for row in connection.execute(query).mappings())


def _entry(row: RowMapping) -> Entry:
    return Entry(row["seq"], Act(**{name: row[name] for name in _FIELDS}), row["hash"])
