"""When sandboxes were last used, as their gateways' access logs tell: the sign that expiry needs.

A sandbox's folder of logs is written by its gateway, so names and links in it are data too. Each
log is read once, from where the last look ended, wherever rotation moved it; one that has grown
large is emptied when it was read.
"""

import asyncio
import contextlib
import dataclasses
import datetime
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Final

import structlog
from pydantic import TypeAdapter, ValidationError

from sdp import durable
from sdp.agent import access_log
from sdp.protocol.report import Activity

LOOK_SECONDS: Final = 5.0
SELDOM: Final = datetime.timedelta(minutes=1)
"""How often, at most, a sandbox's traffic is news, and what is known is written down."""
LARGE: Final = 10 << 20
"""Bytes of a log that is emptied."""
BLOCK: Final = 1 << 20
MOST_BYTES: Final = 64 << 20
"""How much of a log is read at once: what was last is at its end."""
_NAME = re.compile(r"(.*[._-])?access[._]log([.-][0-9]+)*")

log = structlog.get_logger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class _Known:
    """A sandbox's logs as they were read; ``read``: inode → bytes."""

    since: datetime.datetime
    last: datetime.datetime | None
    read: dict[int, int]

    def anew(self, now: datetime.datetime) -> "_Known":
        """Begin again where requests may be missing: nothing is concluded from before."""
        return _Known(now, None, self.read)


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
        self._written_at: datetime.datetime | None = None

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
            OSError: the folder of all logs can't be read.
        """
        now = self._now()
        names = sorted(each.name for each in self._folder.iterdir() if each.is_dir())
        before = {name: self._known.get(name, _Known(now, None, {})) for name in names}
        found = {name: _read(self._folder / name, before[name], now) for name in names}
        self._known = {name: known for name, (known, _) in found.items()}
        large = [name for name, known in self._known.items() if _is_large(known)]
        # What is emptied can't be read again, so it is written down before.
        failure = self._write(now) if large or self._is_due(now) else ""
        for name in large if not failure else ():
            _empty(self._folder / name, self._known[name].read)
        self._told = {
            name: self._tell(name, error or failure, now) for name, (_, error) in found.items()
        }
        return {name: told.item for name, told in self._told.items()}

    def _tell(self, name: str, error: str, now: datetime.datetime) -> _Told:
        """Return what to tell: more traffic is news once a minute, all else at once."""
        known, told = self._known[name], self._told.get(name)
        item = Activity(last_request_at=known.last, since=known.since, error=error)
        if told is None:
            return _Told(item, now)
        if error:  # when it began anew shows once it is over
            item = told.item.model_copy(update={"error": error})
        recent = abs(now - told.at) < SELDOM
        same = item == told.item or (recent and _is_more_of(told.item, item))
        return told if same else _Told(item, now)

    def _is_due(self, now: datetime.datetime) -> bool:
        return self._written_at is None or abs(now - self._written_at) >= SELDOM

    def _write(self, now: datetime.datetime) -> str:
        """Write down what is known; return why that can't be.

        It is written though nothing is new: on a disk that is full gateways log nothing either,
        and a sandbox that is used looks as if it was not.
        """
        try:
            durable.write(self._record, _KNOWN.dump_json(self._known))
        except OSError as error:
            self._known = {name: known.anew(now) for name, known in self._known.items()}
            return f"{self._record} can't be written: {error.strerror}"
        self._written_at = now
        return ""


def _recorded(record: Path) -> dict[str, _Known]:
    """Return what was written down; where it is lost records begin anew, so nothing expires early."""
    if record.exists():
        try:
            return _KNOWN.validate_json(record.read_bytes())
        except (OSError, ValidationError) as error:
            log.warning("the record of use begins anew", record=str(record), error=str(error))
    return {}


def _read(folder: Path, known: _Known, now: datetime.datetime) -> tuple[_Known, str]:
    """Read on in a sandbox's logs; return what is known, and what keeps it from being known."""
    reached: dict[int, int] = {}
    uses = [known.last]
    try:
        entries = _logs(folder)
        for file in _each_opened(folder, entries):
            seen = os.fstat(file.fileno())
            start = known.read.get(seen.st_ino, 0)
            start = start if start <= seen.st_size else 0  # it was emptied
            end, use = _read_on(file, max(start, seen.st_size - MOST_BYTES))
            reached[seen.st_ino] = end
            uses.append(use)
    except OSError as error:
        return known.anew(now), f"{folder} can't be read: {error.strerror}"
    if not entries:
        return known.anew(now), f"its gateway writes no access log to {folder}"
    # What is still to come was said by a clock that was put back since.
    last = max((min(use, now) for use in uses if use is not None), default=None)
    return _Known(min(known.since, now), last, reached), ""


def _logs(folder: Path) -> list[os.DirEntry[str]]:
    """Return a folder's access logs; the rotated ones too, unless compressed."""
    with os.scandir(folder) as entries:
        logs = (each for each in entries if _NAME.fullmatch(each.name))
        return [each for each in logs if each.is_file(follow_symlinks=False)]


def _each_opened(folder: Path, entries: Iterable[os.DirEntry[str]]) -> Iterator[BinaryIO]:
    for entry in entries:
        # A log that was rotated meanwhile is found under its new name at the next look.
        with (
            contextlib.suppress(FileNotFoundError),
            _opened(folder / entry.name, os.O_RDONLY) as file,
        ):
            yield file


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
    for entry in _logs(folder):
        if reached.get(entry.inode(), 0) < LARGE:
            continue
        # One that is gone, or not ours to write, stays as it is.
        with contextlib.suppress(OSError), _opened(folder / entry.name, os.O_RDWR) as file:
            seen = os.fstat(file.fileno())
            if reached.get(seen.st_ino) == seen.st_size:
                os.ftruncate(file.fileno(), 0)


def _is_large(known: _Known) -> bool:
    return any(size >= LARGE for size in known.read.values())


def _is_more_of(told: Activity, item: Activity) -> bool:
    """Whether all that is new is more traffic."""
    as_told = item.model_copy(update={"last_request_at": told.last_request_at})
    return as_told == told and None not in {told.last_request_at, item.last_request_at}
