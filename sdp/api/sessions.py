"""Sessions: who is logged in. Opaque tokens, of which hashes are kept; 12 hours; revocable.

What is asked on every request is in memory; the store has it for the next start. Credentials are
in memory only: a session that outlives a restart has none any more.
"""

import asyncio
import contextlib
import dataclasses
import datetime
import hashlib
import hmac
import secrets
from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from typing import Final, Literal, Protocol, TypeAlias

from sdp import clock
from sdp.api.people import Keeper
from sdp.protocol.secret import Secret
from sdp.reconciler.journal import StoreUnavailable

LASTS: Final = datetime.timedelta(hours=12)
MOST: Final = 20
"""Sessions of one user; one more ends the oldest."""
SWEEP_SECONDS: Final = 1.0
_TOKEN_BYTES: Final = 32

Kind: TypeAlias = Literal["cookie", "bearer"]


@dataclasses.dataclass(frozen=True, slots=True)
class Session:
    """Somebody who is logged in.

    Attributes:
        hash: the SHA-256 of their token, in hexadecimal digits.
        user: a name to log in with, as it was written.
        kind: how they carry the token; the other way it counts for nothing.
    """

    hash: str
    user: str
    kind: Kind
    created_at: datetime.datetime
    expires_at: datetime.datetime


class SessionStore(Protocol):
    """Who keeps sessions over a restart."""

    async def live_sessions(self, now: datetime.datetime) -> Sequence[Session]:
        """Return those that have not expired, the oldest first."""
        ...

    async def put_session(self, session: Session) -> None:
        """Keep one."""
        ...

    async def end_sessions(self, hashes: Collection[str]) -> None:
        """Forget these."""
        ...

    async def purge_sessions(self, now: datetime.datetime) -> None:
        """Forget those that have expired."""
        ...


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Reader:
    """A stream that a session has open."""

    session: str
    allowed: Callable[[], bool]
    end: Callable[[], None]


class Sessions:
    """All of them. ``Keeper`` holds their credentials, and drops them when they end."""

    def __init__(self, store: SessionStore, keeper: Keeper, live: Sequence[Session] = ()) -> None:
        self._store = store
        self._keeper = keeper
        self._live = {each.hash: each for each in live}
        self._ended: set[str] = set()
        self._readers: set[_Reader] = set()

    @classmethod
    async def load(cls, store: SessionStore, keeper: Keeper, now: datetime.datetime) -> "Sessions":
        """Return them with what was there before a restart."""
        with contextlib.suppress(StoreUnavailable):  # what has expired counts for nothing anyway
            await store.purge_sessions(now)
        return cls(store, keeper, await store.live_sessions(now))

    def known(self, token: str, kind: Kind, now: datetime.datetime) -> Session | None:
        """Return the session of a token that is carried in this way, while it lasts."""
        found = self._live.get(hashed(token))
        return found if found and found.kind == kind and found.expires_at > now else None

    def get(self, session: str) -> Session | None:
        """Return the session that a hash names."""
        return self._live.get(session)

    def all(self) -> tuple[Session, ...]:
        """Return the sessions that last, the oldest first."""
        return tuple(self._live.values())

    async def open(
        self, user: str, secret: Secret, kind: Kind, now: datetime.datetime
    ) -> tuple[str, Session]:
        """Begin a session of somebody who proved who they are; return its token, too."""
        mine = self.of(user)
        await self.end(each.hash for each in mine[: max(0, len(mine) + 1 - MOST)])
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        session = Session(hashed(token), user, kind, now, now + LASTS)
        await self._store.put_session(session)
        self._live[session.hash] = session
        self._keeper.keep(session.hash, user, secret)
        return token, session

    def of(self, user: str) -> tuple[Session, ...]:
        """Return the sessions of a user, in any case, the oldest first."""
        return tuple(each for each in self._live.values() if each.user.lower() == user.lower())

    async def end(self, hashes: Iterable[str]) -> None:
        """End sessions: at once for requests, streams and credentials; then on disk.

        What is not ended on disk now is as soon as that goes, or a restart would bring it back.

        Raises:
            StoreUnavailable: they have ended here, and not on disk.
        """
        self._ended.update(self._drop(hashes))
        await self._end_on_disk()

    @contextlib.contextmanager
    def reading(
        self, session: str, allowed: Callable[[], bool], end: Callable[[], None]
    ) -> Generator[None, None, None]:
        """Have a stream ended with its session, or when it is not allowed any more.

        Args:
            session: the hash that names it.
            allowed: whether they still may read.
            end: makes the stream end; called at most a few seconds after the reason.
        """
        reader = _Reader(session, allowed, end)
        self._readers.add(reader)
        try:
            yield
        finally:
            self._readers.discard(reader)

    async def sweep(self, now: datetime.datetime) -> None:
        """End what has expired, and the streams of those who may not read any more."""
        expired = [each.hash for each in self._live.values() if each.expires_at <= now]
        gone = self._drop(expired)
        with contextlib.suppress(StoreUnavailable):  # the next sweep tries again
            await self._end_on_disk()
            if gone:
                await self._store.purge_sessions(now)

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            await self.sweep(clock.now())
            await asyncio.sleep(SWEEP_SECONDS)

    async def _end_on_disk(self) -> None:
        if ended := frozenset(self._ended):
            await self._store.end_sessions(ended)
            self._ended -= ended

    def _drop(self, hashes: Iterable[str]) -> list[str]:
        ended = [each for each in hashes if self._live.pop(each, None)]
        for each in ended:
            self._keeper.drop(each)
        for reader in tuple(self._readers):
            if reader.session not in self._live or not reader.allowed():
                reader.end()
        return ended


def hashed(token: str) -> str:
    """Return what is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def csrf(token: str) -> str:
    """Return what a page shows that it could read our answers, not only send our cookie."""
    return hmac.new(token.encode(), b"csrf", hashlib.sha256).hexdigest()
