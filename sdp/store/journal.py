"""The journal's statements: events with numbers that rise and never come again."""

import dataclasses
import datetime
import uuid
from collections.abc import Collection, Sequence

from sqlalchemy import Connection, RowMapping, delete, func, insert, select

from sdp.store import records
from sdp.store.tables import events
from sdp.store.values import Event, NewEvent, Resync

_IDENTITY = "journal.identity"
_PRUNED = "journal.pruned"


@dataclasses.dataclass(frozen=True, slots=True)
class Filter:
    """Which events are wanted; None: all."""

    sandbox: str | None = None
    kinds: frozenset[str] | None = None

    def wants(self, event: Event) -> bool:
        """Whether an event is among them."""
        if self.sandbox is not None and event.sandbox != self.sandbox:
            return False
        return self.kinds is None or event.kind in self.kinds


EVERYTHING = Filter()


def identify(connection: Connection) -> str:
    """Return this journal's identity, made with the database."""
    if (known := records.meta(connection, _IDENTITY)) is not None:
        return known
    made = str(uuid.uuid4())
    records.set_meta(connection, _IDENTITY, made)
    return made


def append(connection: Connection, new: Sequence[NewEvent]) -> tuple[Event, ...]:
    """Append events in order."""
    return tuple(_append(connection, event) for event in new)


def _append(connection: Connection, new: NewEvent) -> Event:
    row = {name: getattr(new, name) for name in NewEvent.model_fields}
    result = connection.execute(insert(events), row)
    assert result.inserted_primary_key is not None  # noqa: S101 - one row, one key
    return Event.model_construct(seq=int(result.inserted_primary_key[0]), **row)


def read(
    connection: Connection, after: int, limit: int, only: Filter
) -> tuple[Event, ...] | Resync:
    """Return the next events after a cursor, or that it can't be continued."""
    pruned = _pruned(connection)
    if after < pruned:
        return Resync(reason=f"events up to {pruned} are gone")
    if after > (last := latest(connection)):
        return Resync(reason=f"the journal ends at {last}: it is another one")
    query = select(events).where(events.c.seq > after).order_by(events.c.seq).limit(limit)
    if only.sandbox is not None:
        query = query.where(events.c.sandbox == only.sandbox)
    if only.kinds is not None:
        query = query.where(events.c.kind.in_(sorted(only.kinds)))
    return tuple(_event(row) for row in connection.execute(query).mappings())


def oldest(connection: Connection) -> int:
    """Return the first number that is still there; 0 in an empty journal."""
    return connection.scalar(select(func.min(events.c.seq))) or 0


def latest(connection: Connection) -> int:
    """Return the last number that was given; 0 when none was."""
    return connection.scalar(select(func.max(events.c.seq))) or _pruned(connection)


def prune(
    connection: Connection, before: datetime.datetime, now: datetime.datetime, limit: int
) -> int:
    """Delete up to so many of the first events, up to the first one not before a time.

    What a node with a wrong clock told from the future keeps nothing.
    """
    at, seq = events.c.at, events.c.seq
    first = connection.scalar(select(seq).where(at.between(before, now)).order_by(seq).limit(1))
    older = select(seq) if first is None else select(seq).where(seq < first)
    batch = older.order_by(seq).limit(limit).subquery()
    if (last := connection.scalar(select(func.max(batch.c.seq)))) is None:
        return 0
    records.set_meta(connection, _PRUNED, str(last))
    return connection.execute(delete(events).where(seq <= last)).rowcount


def filtered(sandbox: str | None, kinds: Collection[str] | None) -> Filter:
    """Return the filter for what a caller asked."""
    return Filter(sandbox, None if kinds is None else frozenset(kinds))


def _pruned(connection: Connection) -> int:
    return int(records.meta(connection, _PRUNED) or 0)


def _event(row: RowMapping) -> Event:
    # What comes from our own table was checked on its way in.
    return Event.model_construct(**row)
