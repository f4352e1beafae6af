"""People in memory: who can log in, what is kept of them, and what they did."""

import asyncio
import dataclasses
import datetime
from collections.abc import Collection, Sequence

from sdp.api.people import NotProved, Proved
from sdp.api.ports import People
from sdp.api.sessions import Session, Sessions, hashed
from sdp.protocol.secret import Secret
from sdp.reconciler.journal import StoreUnavailable

WRONG = NotProved(
    401, "login-failed", "LOGIN FAILED", "LOGIN FAILED: Bitbucket does not take them.", "try again"
)
BEGAN = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
FOR_EVER = datetime.datetime(9999, 1, 1, tzinfo=datetime.UTC)
ANYBODY = Session(hashed(""), "achmad", "bearer", BEGAN, FOR_EVER)
"""Whoever carries no token: so tests that are not about people need not log in."""


class FakeSessionStore:
    def __init__(self) -> None:
        self.rows: dict[str, Session] = {}
        self.is_full = False

    async def live_sessions(self, now: datetime.datetime) -> Sequence[Session]:
        return [each for each in self.rows.values() if each.expires_at > now]

    async def put_session(self, session: Session) -> None:
        self._check()
        self.rows[session.hash] = session

    async def end_sessions(self, hashes: Collection[str]) -> None:
        self._check()
        for each in hashes:
            self.rows.pop(each, None)

    async def purge_sessions(self, now: datetime.datetime) -> None:
        self._check()
        self.rows = {each.hash: each for each in await self.live_sessions(now)}

    def _check(self) -> None:
        if self.is_full:
            raise StoreUnavailable("planted: the disk is full", "free space")


@dataclasses.dataclass
class FakeProver:
    """Takes these passwords, by user; ``holds`` keeps whoever asks waiting."""

    passwords: dict[str, str] = dataclasses.field(default_factory=lambda: {"achmad": "secret"})
    outcome: NotProved | None = None
    holds: asyncio.Event | None = None
    asked: list[str] = dataclasses.field(default_factory=list)
    shown: list[Secret] = dataclasses.field(default_factory=list)

    async def prove(self, user: str, secret: Secret) -> Proved | NotProved:
        self.asked.append(user)
        self.shown.append(secret)
        if self.holds is not None:
            await self.holds.wait()
        if self.outcome is not None:
            return self.outcome
        right = self.passwords.get(user) == secret.reveal()
        return Proved("account", "micro-92") if right else WRONG


class FakeKeeper:
    """Keeps credentials, and lends nothing but their users' names."""

    def __init__(self) -> None:
        self.held: dict[str, tuple[str, Secret]] = {}

    def keep(self, session: str, user: str, secret: Secret) -> None:
        self.held[session] = (user, secret)

    def drop(self, session: str) -> None:
        if held := self.held.pop(session, None):
            held[1].wipe()

    def live(self) -> frozenset[str]:
        return frozenset(user.lower() for user, _ in self.held.values())

    def sealed(self, user: str, recipient: str, purpose: str) -> str:
        _ = recipient, purpose
        return f"sealed for {user}" if user.lower() in self.live() else ""


class FakePeople:
    """Everybody is let in as ANYBODY, until a test takes that away: ``live=()``."""

    def __init__(self, live: Sequence[Session] = (ANYBODY,)) -> None:
        self.store = FakeSessionStore()
        self.prover = FakeProver()
        self.keeper = FakeKeeper()
        self.sessions = Sessions(self.store, self.keeper, live)

    @property
    def port(self) -> People:
        return People(self.sessions, self.prover, self.keeper)
