r"""One deployment's log: a file that only grows, and what is known of it. Synchronous.

A record is one physical line, so that a batch is there whole or not at all::

    <crc32> [first, count, at, stage, source, seq, position] TAB ["line", …] NL

``first`` numbers the batch's first line. ``source, seq, position`` name the agent's entry that
brought it, so that a replay after a crash finds the batch here and skips it.
"""

import dataclasses
import datetime
import json
import threading
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, TypeAlias

from sdp.store.tables import instant, micros

MAX_BYTES = 64 << 20
_STRIDE = 64 << 10
_CAP = "cap"

Header: TypeAlias = tuple[int, int, int, str, str, int, int]


@dataclasses.dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a deployment's log; ``seq`` counts from 1 within the deployment."""

    seq: int
    at: datetime.datetime
    stage: str
    text: str


@dataclasses.dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive lines of one stage."""

    stage: str
    at: datetime.datetime
    lines: Sequence[str]


@dataclasses.dataclass(frozen=True, slots=True)
class Mark:
    """Which entry of which outbox brought a batch; marks of one source rise."""

    source: str
    seq: int
    position: int = 0


NO_MARK = Mark("", 0)


@dataclasses.dataclass(slots=True)
class _Known:
    """What a scan found and appends continue."""

    size: int = 0
    last: int = 0
    capped: bool = False
    marks: dict[str, tuple[int, int]] = dataclasses.field(default_factory=dict)
    index: list[tuple[int, int]] = dataclasses.field(default_factory=lambda: [(0, 0)])

    def take(self, header: Header, length: int) -> None:
        first, count, _, _, source, seq, position = header
        if self.size - self.index[-1][1] >= _STRIDE:
            self.index.append((first - 1, self.size))
        if source == _CAP:
            self.capped = True
        elif source:
            self.marks[source] = (seq, position)
        self.size += length
        self.last = first + count - 1

    def offset(self, after: int) -> int:
        """Return where a record starts at or before the line that follows ``after``."""
        low, high = 0, len(self.index)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.index[middle][0] <= after else (low, middle)
        return self.index[low][1]


class LogFile:
    """The file of one deployment; safe to use from several threads of one process."""

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._known: _Known | None = None

    def append(self, batch: Batch, mark: Mark = NO_MARK) -> int:
        """Append lines and return the first one's number; nothing when the mark is there.

        The number returned for lines that are there already, or that the cap swallowed, is the
        one that the next line would get.
        """
        with self._lock:
            known = self._load()
            if not batch.lines or known.capped:
                return known.last + 1
            if mark.source and (mark.seq, mark.position) <= known.marks.get(mark.source, (-1, 0)):
                return known.last + 1
            try:
                return self._write(known, batch, mark)
            except OSError:
                # Half a record may be there: the next use scans, and cuts it off.
                self._known = None
                raise

    def last(self) -> int:
        """Return the last line's number; 0 for an empty log."""
        with self._lock:
            return self._load().last

    def read(self, after: int, limit: int) -> tuple[LogLine, ...]:
        """Return up to ``limit`` lines that follow the one numbered ``after``."""
        with self._lock:
            known = self._load()
            start, end = known.offset(after), known.size
            if after >= known.last or limit <= 0:
                return ()
        found: list[LogLine] = []
        with self._path.open("rb") as file:
            file.seek(start)
            for header, payload, length in _records(file):
                found.extend(_lines(header, payload, after, limit - len(found)))
                start += length
                if len(found) >= limit or start >= end:
                    break
        return tuple(found)

    def _load(self) -> _Known:
        if self._known is None:
            self._known = _scan(self._path)
        return self._known

    def _write(self, known: _Known, batch: Batch, mark: Mark) -> int:
        header, record = _record(known.last + 1, batch, mark)
        if known.size + len(record) > self._max_bytes:
            capped = Batch("log", batch.at, (f"log is capped at {self._max_bytes} bytes",))
            header, record = _record(known.last + 1, capped, Mark(_CAP, 0))
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            if file.tell() != known.size:
                raise OSError(f"{self._path.name} was changed by something else")
            file.write(record)
        known.take(header, len(record))
        return header[0]


def _record(first: int, batch: Batch, mark: Mark) -> tuple[Header, bytes]:
    header = (
        first,
        len(batch.lines),
        micros(batch.at),
        batch.stage,
        mark.source,
        mark.seq,
        mark.position,
    )
    body = f"{json.dumps(header)}\t{json.dumps(batch.lines)}\n".encode("ascii")
    return header, b"%08x %b" % (zlib.crc32(body), body)


def _records(file: BinaryIO) -> Iterator[tuple[Header, bytes, int]]:
    """Yield whole records: header, JSON of the lines, length; stop at the first torn one."""
    for line in file:
        crc, space, body = line.partition(b" ")
        if not space or not line.endswith(b"\n") or crc != b"%08x" % zlib.crc32(body):
            return
        head, _, payload = body.partition(b"\t")
        first, count, at, stage, source, seq, position = json.loads(head)
        yield (first, count, at, stage, source, seq, position), payload, len(line)


def _lines(header: Header, payload: bytes, after: int, limit: int) -> list[LogLine]:
    first, count, at, stage, *_ = header
    if first + count - 1 <= after:
        return []
    skipped = max(0, after + 1 - first)
    texts: list[str] = json.loads(payload)
    moment = instant(at)
    wanted = texts[skipped : skipped + limit]
    return [LogLine(n, moment, stage, t) for n, t in enumerate(wanted, first + skipped)]


def _scan(path: Path) -> _Known:
    """Read what is there, and cut off what a crash tore."""
    known = _Known()
    try:
        with path.open("r+b") as file:
            for header, _, length in _records(file):
                known.take(header, length)
            file.truncate(known.size)
    except FileNotFoundError:
        return _Known()
    return known
