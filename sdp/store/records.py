"""The statements of the small tables: failures, applied hashes, leases, outboxes, key and value."""

import dataclasses
import datetime
from collections.abc import Iterable, Mapping

from sqlalchemy import (
    Connection,
    RowMapping,
    Table,
    and_,
    delete,
    exists,
    func,
    insert,
    select,
    update,
)

from sdp.reconciler.history import Attempt, Choice, Failure
from sdp.reconciler.ports import Lease
from sdp.reconciler.steady import Moved
from sdp.store import tables
from sdp.store.values import Applied


def put(  # type: ignore[explicit-any] # Table has a parameter that defaults to Any
    connection: Connection, table: Table, key: Mapping[str, object], row: Mapping[str, object]
) -> bool:
    """Update the row with this key, or insert it; return whether it is new.

    Not the databases' own upserts, which differ: writes are serial, so nothing comes between.
    """
    where = and_(*(table.c[name] == value for name, value in key.items()))
    if connection.execute(update(table).where(where), {**key, **row}).rowcount:
        return False
    connection.execute(insert(table), {**key, **row})
    return True


def put_failure(connection: Connection, failure: Failure) -> None:
    """Record the last failure of one version of a service."""
    row = {**dataclasses.asdict(failure), "action": failure.attempt.action}
    del row["attempt"]
    attempt = failure.attempt
    key = {"sandbox": attempt.sandbox, "service": attempt.service, "version": attempt.version}
    put(connection, tables.failures, key, row)


def clear_failures(connection: Connection, sandbox: str, service: str) -> None:
    """Forget a service's failures, of every version."""
    mine = (tables.failures.c.sandbox == sandbox, tables.failures.c.service == service)
    connection.execute(delete(tables.failures).where(*mine))


def failures(connection: Connection) -> tuple[Failure, ...]:
    """Return every failure, by sandbox, service and version."""
    key = (tables.failures.c.sandbox, tables.failures.c.service, tables.failures.c.version)
    rows = connection.execute(select(tables.failures).order_by(*key)).mappings()
    return tuple(_failure(row) for row in rows)


def prune_failures(connection: Connection, before: datetime.datetime) -> None:
    """Forget failures before a time, of versions that no deployment is known of any more."""
    table, known = tables.failures, tables.deployments
    same = (known.c.sandbox == table.c.sandbox, known.c.service == table.c.service)
    known_of = exists().where(*same, known.c.hash == table.c.version)
    connection.execute(delete(table).where(table.c.at < before, ~known_of))


def set_applied(connection: Connection, done: Applied) -> None:
    """Record that a service converged."""
    key = {"sandbox": done.sandbox, "service": done.service}
    put(connection, tables.applied, key, {"hash": done.hash})


def applied(connection: Connection) -> dict[tuple[str, str], str]:
    """Return (sandbox, service) → the hash that last converged, in order."""
    table = tables.applied
    rows = connection.execute(select(table).order_by(table.c.sandbox, table.c.service))
    return {(row.sandbox, row.service): row.hash for row in rows}


def put_choices(connection: Connection, moved: Moved) -> None:
    """Record at which commits services are; None: at none any more."""
    table = tables.choices
    for (sandbox, service), choice in moved.items():
        if choice is not None:
            key = {"sandbox": sandbox, "service": service}
            put(connection, table, key, dataclasses.asdict(choice))
        else:
            mine = (table.c.sandbox == sandbox, table.c.service == service)
            connection.execute(delete(table).where(*mine))


def choices(connection: Connection) -> dict[tuple[str, str], Choice]:
    """Return (sandbox, service) → the commit that it is at, in order."""
    table = tables.choices
    rows = connection.execute(select(table).order_by(table.c.sandbox, table.c.service))
    return {(row.sandbox, row.service): Choice(row.branch, row.commit) for row in rows}


def forget(connection: Connection, sandbox: str) -> None:
    """Forget what a sandbox converged to, how it failed, and at which commits it was.

    It is named in any case.
    """
    for table in (tables.applied, tables.failures, tables.choices):
        connection.execute(delete(table).where(func.lower(table.c.sandbox) == sandbox.lower()))


def leases(connection: Connection) -> tuple[Lease, ...]:
    """Return every lease, by node and port."""
    table = tables.leases
    rows = connection.execute(select(table).order_by(table.c.node, table.c.port)).mappings()
    return tuple(Lease(**row) for row in rows)


def replace_leases(connection: Connection, wanted: Iterable[Lease]) -> None:
    """Make these the leases; only what differs is written.

    Raises:
        ValueError: Two of them have the same port of the same node.
    """
    held: dict[tuple[str, int], Lease] = {}
    for lease in sorted(wanted):
        first = held.setdefault((lease.node, lease.port), lease)
        if first != lease:
            raise ValueError(
                f"port {lease.port} of {lease.node} is leased to {first.party} and {lease.party}"
            )
    table = tables.leases
    present = set(leases(connection))
    for lease in sorted(present - set(held.values())):
        place = (table.c.node == lease.node, table.c.port == lease.port)
        connection.execute(delete(table).where(*place))
    if new := sorted(set(held.values()) - present):
        connection.execute(insert(table), [dataclasses.asdict(lease) for lease in new])


def stored(connection: Connection, node: str, outbox: str) -> int:
    """Return the last entry taken from an agent's outbox; 0 when none was."""
    table = tables.outboxes
    mine = (table.c.node == node, table.c.outbox == outbox)
    return connection.scalar(select(table.c.seq).where(*mine)) or 0


def set_stored(connection: Connection, node: str, outbox: str, seq: int) -> None:
    """Record the last entry taken from an agent's outbox."""
    put(connection, tables.outboxes, {"node": node, "outbox": outbox}, {"seq": seq})


def meta(connection: Connection, key: str) -> str | None:
    """Return what is kept under a key."""
    return connection.scalar(select(tables.meta.c.value).where(tables.meta.c.key == key))


def set_meta(connection: Connection, key: str, value: str) -> None:
    """Keep a value under a key."""
    put(connection, tables.meta, {"key": key}, {"value": value})


def _failure(row: RowMapping) -> Failure:
    return Failure(
        attempt=Attempt(row["sandbox"], row["service"], row["version"], row["action"]),
        count=row["count"],
        reason=row["reason"],
        message=row["message"],
        fix=row["fix"],
        lines=tuple(row["lines"]),
        at=row["at"],
        retry_at=row["retry_at"],
    )
