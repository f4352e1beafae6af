"""What must reach the control plane exactly once, kept in SQLite until it is acknowledged.

It also remembers actions by id, with their outcomes: that is what makes the same id one action,
over reconnects and over a restart of the agent. All calls are short and belong to the loop.
"""

import asyncio
import dataclasses
import sqlite3
import uuid
from pathlib import Path

from pydantic import TypeAdapter

from sdp.protocol.frames import Body, Entry, Failed, LogLines, Outcome, Result

LIMIT_BYTES = 256 << 20
ACTIONS_KEPT = 10_000
ACTION_SECONDS = 86_400.0
SCHEMA = """
CREATE TABLE IF NOT EXISTS identity (name TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS entries (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT NOT NULL, lines INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS actions (
  id TEXT PRIMARY KEY, outcome TEXT, seq INTEGER NOT NULL DEFAULT 0, at REAL NOT NULL);
"""

_bodies: TypeAdapter[Body] = TypeAdapter(Body)
_outcomes: TypeAdapter[Outcome] = TypeAdapter(Outcome)


@dataclasses.dataclass(frozen=True, slots=True)
class Known:
    """An action that came before; ``outcome`` is None while it runs."""

    outcome: Outcome | None


class Outbox:
    """``grown`` is set whenever an entry was added; who sends clears it."""

    def __init__(self, path: Path, limit_bytes: int = LIMIT_BYTES) -> None:
        self._limit = limit_bytes
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(SCHEMA)
        row = self._db.execute("SELECT name FROM identity").fetchone()
        self.id: str = row[0] if row else uuid.uuid4().hex
        if row is None:
            self._db.execute("INSERT INTO identity VALUES (?)", (self.id,))
        total = self._db.execute("SELECT coalesce(sum(length(body)), 0) FROM entries").fetchone()
        self._bytes: int = total[0]
        self.grown = asyncio.Event()
        self._freed = asyncio.Event()

    def close(self) -> None:
        self._db.close()

    def append(self, body: Body) -> int:
        """Keep one more entry and return its number."""
        seq = self._insert(body)
        self._shrink()
        self.grown.set()
        return seq

    def _insert(self, body: Body) -> int:
        text = body.model_dump_json()
        lines = len(body.lines) if isinstance(body, LogLines) else 0
        added = self._db.execute("INSERT INTO entries (body, lines) VALUES (?, ?)", (text, lines))
        self._bytes += len(text)
        return added.lastrowid or 0

    def _shrink(self) -> None:
        """Over the limit, empty the oldest log entries in place: numbers stay without gaps."""
        while self._bytes > self._limit:
            row = self._db.execute(
                "SELECT seq, body, lines FROM entries WHERE lines > 1 ORDER BY seq LIMIT 1"
            ).fetchone()
            if row is None:
                return
            seq, text, lines = int(row[0]), str(row[1]), int(row[2])
            body = _bodies.validate_json(text)
            said = f"[{lines} lines were dropped: the control plane was away for too long]"
            short = body.model_copy(update={"lines": (said,)}).model_dump_json()
            self._db.execute("UPDATE entries SET body = ?, lines = 1 WHERE seq = ?", (short, seq))
            self._bytes += len(short) - len(text)

    def pending(self, after: int, limit: int = 200) -> tuple[Entry, ...]:
        """Return the entries behind a number, in order."""
        rows = self._db.execute(
            "SELECT seq, body FROM entries WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit)
        ).fetchall()
        return tuple(Entry(seq=seq, body=_bodies.validate_json(text)) for seq, text in rows)

    def acknowledged(self, seq: int) -> None:
        """Forget entries up to this number."""
        freed = self._db.execute(
            "SELECT coalesce(sum(length(body)), 0) FROM entries WHERE seq <= ?", (seq,)
        ).fetchone()
        self._db.execute("DELETE FROM entries WHERE seq <= ?", (seq,))
        self._bytes -= int(freed[0])
        self._freed.set()

    async def emptied(self) -> None:
        """Wait until everything is acknowledged."""
        while self.pending(0, 1):
            self._freed.clear()
            await self._freed.wait()

    def begin(self, action_id: str, now: float) -> Known | None:
        """Remember that an action begins, or return what is known of it; ``now`` in seconds.

        A known outcome whose entry was acknowledged is sent once more: who asks has lost it.
        """
        row = self._db.execute(
            "SELECT outcome, seq FROM actions WHERE id = ?", (action_id,)
        ).fetchone()
        if row is None:
            self._forget_old(now)
            self._db.execute("INSERT INTO actions (id, at) VALUES (?, ?)", (action_id, now))
            return None
        if row[0] is None:
            return Known(None)
        outcome = _outcomes.validate_json(row[0])
        if not self._db.execute("SELECT 1 FROM entries WHERE seq = ?", (row[1],)).fetchone():
            self.finish(action_id, outcome)
        return Known(outcome)

    def finish(self, action_id: str, outcome: Outcome) -> None:
        """Keep an action's outcome, and the entry that tells it, together or not at all."""
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            seq = self._insert(Result(action_id=action_id, outcome=outcome))
            self._db.execute(
                "UPDATE actions SET outcome = ?, seq = ? WHERE id = ?",
                (outcome.model_dump_json(), seq, action_id),
            )
        self._shrink()
        self.grown.set()

    def interrupted(self) -> tuple[str, ...]:
        """End what a previous process began and did not finish; return those ids."""
        rows = self._db.execute("SELECT id FROM actions WHERE outcome IS NULL").fetchall()
        for (action_id,) in rows:
            self.finish(
                action_id,
                Failed(reason="AgentRestarted", message="the agent ended during this action"),
            )
        return tuple(action_id for (action_id,) in rows)

    def _forget_old(self, now: float) -> None:
        self._db.execute(
            "DELETE FROM actions WHERE outcome IS NOT NULL AND (at < ? OR id IN "
            "(SELECT id FROM actions ORDER BY at DESC LIMIT -1 OFFSET ?))",
            (now - ACTION_SECONDS, ACTIONS_KEPT),
        )
