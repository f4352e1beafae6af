"""The statements of snapshots: the newest few of each sandbox, also of one that is gone."""

from collections.abc import Sequence

from sqlalchemy import Connection, RowMapping, Select, and_, delete, func, select

from sdp.reconciler.snapshots import KEPT, Snapshot
from sdp.spec.models import Pins
from sdp.store import records
from sdp.store.tables import snapshots


def put(connection: Connection, snapshot: Snapshot) -> None:
    """Record a snapshot, and forget the oldest of its sandbox beyond those that are kept."""
    key = {"sandbox": snapshot.sandbox, "number": snapshot.number}
    row = {
        "taken_at": snapshot.taken_at,
        "revision": snapshot.revision,
        "pins": snapshot.pins.model_dump(mode="json", exclude_none=True),
        "contents": dict(snapshot.contents),
    }
    records.put(connection, snapshots, key, row)
    old = snapshots.c.number <= snapshot.number - KEPT
    connection.execute(delete(snapshots).where(snapshots.c.sandbox == snapshot.sandbox, old))


def of(connection: Connection, sandbox: str) -> tuple[Snapshot, ...]:
    """Return the snapshots of a sandbox, by its lower-cased name, newest first."""
    mine = select(snapshots).where(snapshots.c.sandbox == sandbox)
    return _load(connection, mine.order_by(snapshots.c.number.desc()))


def newest(connection: Connection) -> tuple[Snapshot, ...]:
    """Return the newest snapshot of each sandbox."""
    last = func.max(snapshots.c.number).label("number")
    each = select(snapshots.c.sandbox, last).group_by(snapshots.c.sandbox).subquery()
    same = and_(snapshots.c.sandbox == each.c.sandbox, snapshots.c.number == each.c.number)
    return _load(connection, select(snapshots).join(each, same).order_by(snapshots.c.sandbox))


def _load(connection: Connection, query: Select[*tuple[object, ...]]) -> tuple[Snapshot, ...]:
    rows: Sequence[RowMapping] = connection.execute(query).mappings().all()
    return tuple(Snapshot(**{**row, "pins": Pins.model_validate(row["pins"])}) for row in rows)
