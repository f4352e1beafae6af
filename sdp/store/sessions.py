"""The statements of sessions: who is logged in, by the hash of what they carry."""

import dataclasses
import datetime
from collections.abc import Collection
from typing import Literal, TypeAlias

from sqlalchemy import Connection, delete, insert, select

from sdp.store.tables import sessions

Kind: TypeAlias = Literal["cookie", "bearer"]


@dataclasses.dataclass(frozen=True, slots=True)
class Session:
    """Somebody who is logged in; ``hash`` is the SHA-256 of their token, in hexadecimal digits."""

    hash: str
    user: str
    kind: Kind
    created_at: datetime.datetime
    expires_at: datetime.datetime


def put(connection: Connection, session: Session) -> None:
    """Record a session."""
    connection.execute(insert(sessions), dataclasses.asdict(session))


def live(connection: Connection, now: datetime.datetime) -> tuple[Session, ...]:
    """Return the sessions that have not expired, the oldest first."""
    order = (sessions.c.created_at, sessions.c.hash)
    found = select(sessions).where(sessions.c.expires_at > now).order_by(*order)
    return tuple(Session(**row) for row in connection.execute(found).mappings())


def end(connection: Connection, hashes: Collection[str]) -> None:
    """Forget sessions."""
    connection.execute(delete(sessions).where(sessions.c.hash.in_(hashes)))


def purge(connection: Connection, now: datetime.datetime) -> None:
    """Forget the sessions that have expired."""
    connection.execute(delete(sessions).where(sessions.c.expires_at <= now))
