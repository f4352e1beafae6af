"""The tables, in SQLAlchemy Core; ``migrations`` must lead to exactly these, and a test says so."""

import datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
)
from sqlalchemy.engine import Dialect
from typing_extensions import override

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)


def micros(at: datetime.datetime) -> int:
    """Return the microseconds since 1970, in UTC."""
    return (at - _EPOCH) // _MICROSECOND


def instant(count: int) -> datetime.datetime:
    """Return the time that many microseconds after 1970, in UTC."""
    return _EPOCH + count * _MICROSECOND


class Micros(TypeDecorator[datetime.datetime]):
    """An aware time as microseconds: exact, sortable, the same in every database."""

    impl = BigInteger  # type: ignore[mutable-override] # SQLAlchemy's way to say it
    cache_ok = True  # type: ignore[mutable-override] # the same

    @override
    def process_bind_param(self, value: datetime.datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else micros(value)

    @override
    def process_result_value(
        self, value: int | None, dialect: Dialect
    ) -> datetime.datetime | None:
        return None if value is None else instant(value)


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False)


def _key(name: str) -> Column[str]:
    return Column(name, Text, primary_key=True)


metadata = MetaData()

events = Table(
    "events",
    metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("at", Micros, nullable=False),
    _text("kind"),
    _text("sandbox"),
    _text("service"),
    _text("deployment"),
    _text("reason"),
    _text("message"),
    Column("data", JSON, nullable=False),
    Index("events_by_sandbox", "sandbox", "seq"),
    sqlite_autoincrement=True,
)

deployments = Table(
    "deployments",
    metadata,
    _key("id"),
    _text("sandbox"),
    _text("service"),
    _text("node"),
    _text("repository"),
    _text("branch"),
    _text("commit"),
    _text("hash"),
    _text("generation"),
    _text("status"),
    _text("cause"),
    _text("reason"),
    _text("message"),
    Column("lines", JSON, nullable=False),
    Column("created_at", Micros, nullable=False),
    Column("started_at", Micros),
    Column("finished_at", Micros),
    Index("deployments_by_age", "created_at", "id"),
    Index("deployments_by_service", "sandbox", "service", "created_at", "id"),
)

# No foreign key: an agent may deliver stages of deployments that a lost database had.
stages = Table(
    "stages",
    metadata,
    _key("deployment"),
    _key("name"),
    Column("position", Integer, nullable=False),
    _text("state"),
    Column("started_at", Micros),
    Column("finished_at", Micros),
    _text("note"),
)

failures = Table(
    "failures",
    metadata,
    _key("sandbox"),
    _key("service"),
    _key("version"),
    _text("action"),
    Column("count", Integer, nullable=False),
    _text("reason"),
    _text("message"),
    _text("fix"),
    Column("lines", JSON, nullable=False),
    Column("at", Micros, nullable=False),
    Column("retry_at", Micros),
)

applied = Table("applied", metadata, _key("sandbox"), _key("service"), _text("hash"))

choices = Table(
    "choices", metadata, _key("sandbox"), _key("service"), _text("branch"), _text("commit")
)

leases = Table(
    "leases",
    metadata,
    _key("node"),
    Column("port", Integer, primary_key=True, autoincrement=False),
    _text("sandbox"),
    _text("service"),
    _text("hash"),
)

snapshots = Table(
    "snapshots",
    metadata,
    _key("sandbox"),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("taken_at", Micros, nullable=False),
    _text("revision"),
    Column("pins", JSON, nullable=False),
    Column("contents", JSON, nullable=False),
)

outboxes = Table(
    "outboxes",
    metadata,
    _key("node"),
    _key("outbox"),
    Column("seq", BigInteger, nullable=False),
)

meta = Table("meta", metadata, _key("key"), _text("value"))

sessions = Table(
    "sessions",
    metadata,
    _key("hash"),
    _text("user"),
    _text("kind"),
    Column("created_at", Micros, nullable=False),
    Column("expires_at", Micros, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("at", Micros, nullable=False),
    *map(
        _text,
        (
            "kind",
            "status",
            "user",
            "action",
            "address",
            "repository",
            "branch",
            "commit",
            "environment",
            "sandbox",
            "service",
            "message",
            "hash",
        ),
    ),
    Index("audit_by_age", "at"),
    sqlite_autoincrement=True,
)
