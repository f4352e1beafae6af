"""When sandboxes were last used, as their gateways' access logs tell: the sign that expiry needs.

A sandbox's folder of logs is written by its gateway, so names and links in it are data too. Each
log is read once, from where the last look ended, wherever rotation moved it; one that has grown
large is emptied when it was read.
"""

import asyncio
import contextlib
import dataclasses
import datetime
import itertools
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Final

import structlog
from pydantic import TypeAdapter, ValidationError

from sdp.agent import access_log, durable
from sdp.protocol.report import Activity

LOOK_SECONDS: Final = 5.0
SELDOM: Final = datetime.timedelta(minutes=1)
"""How often, at most, a sandbox's traffic is news, and what is known is written down."""
LARGE: Final = 10 << 20
"""Bytes of a log that is emptied."""
BLOCK: Final = 1 << 20
MOST_FILES: Final = 100
_NAME = re.compile(r"(.*[._-])?access[._]log(\.[0-9]+)?")

log = structlog.get_logger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class _Known:
    """A sandbox's logs as they were read; ``read``: inode → bytes."""

    since: datetime.datetime
    last: datetime.datetime | None
    read: dict[int, int]


_KNOWN = TypeAdapter(dict[str, _Known])


@dataclasses.dataclass(frozen=True, slots=True)
class _Told:
    item: Activity
    at: datetime.datetime


class AccessLogs:
    """``folder`` holds a folder of logs for each sandbox; ``record`` is a file of ours."""

    def __init__(self, folder: Path, record: Path, now: Callable[[], datetime.datetime]) -> None:
        self._folder = folder
        self._record = record
        self._now = now
        self._known = _recorded(record)
        self._told: dict[str, _Told] = {}
        self._written: tuple[datetime.datetime, Mapping[str, _Known]] | None = None

    async def run(self, used: Callable[[Mapping[str, Activity]], None]) -> None:
        """Look until cancelled, and tell what is found."""
        while True:
            try:
                used(await asyncio.to_thread(self.look))
            except OSError as error:  # what was told last stands; disk/state tells of a bad disk
                log.warning("use can't be measured", error=str(error))
            await asyncio.sleep(LOOK_SECONDS)

    def look(self) -> dict[str, Activity]:
        """Read what was logged since the last look; return when each sandbox was used. Blocks.

        Raises:
            OSError: the folder can't be read, or what is known not be written down.
        """
        now = self._now()
        names = sorted(each.name for each in self._folder.iterdir() if each.is_dir())
        begun = _Known(since=now, last=None, read={})
        self._known = {name: self._known.get(name, begun) for name in names}
        self._told = {name: told for name, told in self._told.items() if name in self._known}
        errors = {name: self._read(name, now) for name in names}
        if self._written is None or abs(now - self._written[0]) >= SELDOM:
            self._write(now)
        return {name: self._tell(name, error, now) for name, error in errors.items()}

    def _read(self, name: str, now: datetime.datetime) -> str:
        """Read on in a sandbox's logs; return what keeps it from being known, if anything does."""
        known, folder = self._known[name], self._folder / name
        reached: dict[int, int] = {}
        uses = [known.last]
        try:
            for file in _logs(folder):
                seen = os.fstat(file.fileno())
                start = known.read.get(seen.st_ino, 0)
                end, use = _read_on(file, start if start <= seen.st_size else 0)
                reached[seen.st_ino] = end
                uses.append(use)
        except OSError as error:
            return f"{folder} can't be read: {error.strerror}"
        # What is still to come was said by a clock that was put back since.
        last = max((min(use, now) for use in uses if use is not None), default=None)
        self._known[name] = _Known(since=min(known.since, now), last=last, read=reached)
        if any(size >= LARGE for size in reached.values()):
            self._write(now)  # what is emptied can't be read again
            _empty(folder, reached)
        return "" if reached else f"its gateway writes no access log to {folder}"

    def _tell(self, name: str, error: str, now: datetime.datetime) -> Activity:
        """Return what to tell: more traffic is news once a minute, all else at once."""
        known, before = self._known[name], self._told.get(name)
        item = Activity(last_request_at=known.last, since=known.since, error=error)
        if before is not None:
            known_use = before.item.last_request_at
            same = before.item == item.model_copy(update={"last_request_at": known_use})
            if item == before.item or (same and known_use and abs(now - before.at) < SELDOM):
                return before.item
        self._told[name] = _Told(item, now)
        return item

    def _write(self, now: datetime.datetime) -> None:
        if self._written is None or self._written[1] != self._known:
            durable.write(self._record, _KNOWN.dump_json(self._known))
        self._written = now, dict(self._known)


def _recorded(record: Path) -> dict[str, _Known]:
    """Return what was written down; where it is lost records begin anew, so nothing expires early."""
    with contextlib.suppress(FileNotFoundError):
        try:
            return _KNOWN.validate_json(record.read_bytes())
        except ValidationError as error:
            log.warning("the record of use begins anew", record=str(record), error=str(error))
    return {}


def _logs(folder: Path) -> Iterator[BinaryIO]:
    """Open a folder's access logs, one after the other; the rotated ones too, unless compressed."""
    for entry in _entries(folder):
        # A log that was rotated meanwhile is found under its new name at the next look.
        with (
            contextlib.suppress(FileNotFoundError),
            _opened(folder / entry.name, os.O_RDONLY) as file,
        ):
            yield file


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        logs = (each for each in entries if _NAME.fullmatch(each.name))
        files = (each for each in logs if each.is_file(follow_symlinks=False))
        return list(itertools.islice(files, MOST_FILES))


def _opened(path: Path, how: int) -> BinaryIO:
    """Open what was a file: by now a link may lead out of the folder, or a pipe wait."""
    handle = os.open(path, how | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    return os.fdopen(handle, "rb", buffering=0)


def _read_on(file: BinaryIO, start: int) -> tuple[int, datetime.datetime | None]:
    """Return how far whole lines go from a position, and the last use that they tell of."""
    uses: list[datetime.datetime] = []
    while block := os.pread(file.fileno(), BLOCK, start):
        end = block.rfind(b"\n") + 1
        if not end and len(block) < BLOCK:
            break  # a line that is still being written
        end = end or len(block)  # of a line without end, what was read is enough
        use = access_log.last_use(block[:end].split(b"\n"))
        uses += [use] if use is not None else []
        start += end
    return start, max(uses, default=None)


def _empty(folder: Path, reached: Mapping[int, int]) -> None:
    """Empty the large logs to which nothing was added since: their writers append."""
    for entry in _entries(folder):
        if reached.get(entry.inode(), 0) < LARGE:
            continue
        # One that is gone, or not ours to write, stays as it is.
        with contextlib.suppress(OSError), _opened(folder / entry.name, os.O_RDWR) as file:
            seen = os.fstat(file.fileno())
            if reached.get(seen.st_ino) == seen.st_size:
                os.ftruncate(file.fileno(), 0)
