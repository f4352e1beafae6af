"""When sandboxes were last used, as their gateways' access logs tell: the sign that expiry needs.

Each sandbox's folder of logs is written by its gateway, so nothing in it is trusted: names, links
and lines are data. Logs are read once, from where the last look ended, wherever rotation moved
them; what has been read and grown large is emptied.
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
from typing import Final

import structlog
from pydantic import TypeAdapter, ValidationError

from sdp.agent import durable
from sdp.protocol.actions import Value
from sdp.protocol.report import Activity

LOOK_SECONDS: Final = 5.0
MINUTE: Final = datetime.timedelta(minutes=1)
"""How often, at most, what is known is written down, and a sandbox's traffic is news."""
LARGE: Final = 10 << 20
"""Bytes of a log that is emptied once it was read."""
BLOCK: Final = 1 << 20
LONGEST_LINE: Final = 16 << 10
MOST_FILES: Final = 100

_NAME = re.compile(r"(.*[._-])?access[._]log(\.[0-9]+)?")
_TIME = re.compile(rb"\[(\d\d)/(\w{3})/(\d{4}):(\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)\]")
_QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*)"')
_MONTHS: Final = dict(
    zip(b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), range(1, 13), strict=True)
)
_PROBE: Final = b"sdp-probe"
_ITSELF: Final = b"(internal dummy connection)"
"""How Apache calls itself, when it wakes its own workers."""

log = structlog.get_logger(__name__)


class _Kept(Value):
    """What is known of a sandbox's logs; ``read``: inode → bytes that were read of the file."""

    since: datetime.datetime
    last: datetime.datetime | None = None
    read: dict[int, int] = {}  # noqa: RUF012 -- pydantic copies it


_KEPT = TypeAdapter(dict[str, _Kept])


@dataclasses.dataclass(frozen=True, slots=True)
class _Told:
    item: Activity
    at: datetime.datetime


class AccessLogs:
    """``folder`` holds a folder for each sandbox; ``record`` is a file of ours."""

    def __init__(self, folder: Path, record: Path, now: Callable[[], datetime.datetime]) -> None:
        self._folder = folder
        self._record = record
        self._now = now
        self._kept = _recorded(record)
        self._written = dict(self._kept)
        self._written_at: datetime.datetime | None = None
        self._told: dict[str, _Told] = {}

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
            OSError: the folder, or what is to be remembered of it, can't be read or written.
        """
        now = self._now()
        names = sorted(each.name for each in self._folder.iterdir() if each.is_dir())
        self._kept = {name: self._kept.get(name) or _Kept(since=now) for name in names}
        self._told = {name: told for name, told in self._told.items() if name in self._kept}
        found = {name: self._tell(name, self._read(name, now), now) for name in names}
        if self._due(now):
            self._write(now)
        return found

    def _read(self, name: str, now: datetime.datetime) -> str:
        """Read a sandbox's logs; return why that can't be done, or "" where it can."""
        known, reached, last = self._kept[name], dict[int, int](), [self._kept[name].last]
        try:
            for file, seen in _opened(self._folder / name):
                with file:
                    start = known.read.get(seen.st_ino, 0)
                    uses = _Uses(file.fileno(), start if start <= seen.st_size else 0)
                    last += uses
                    reached[seen.st_ino] = uses.reached
        except OSError as error:
            return f"{error.filename or name}: {error.strerror}"
        # A time that is still to come is the time of a clock that was put back since.
        times = [min(each, now) for each in last if each is not None]
        self._kept[name] = _Kept(
            since=min(known.since, now), last=max(times, default=None), read=reached
        )
        if not reached:
            return "its gateway writes no access log"
        if any(each >= LARGE for each in reached.values()):
            self._write(now)  # what is emptied can't be read again
            _empty(self._folder / name, reached)
        return ""

    def _tell(self, name: str, error: str, now: datetime.datetime) -> Activity:
        """Return what is to be told: traffic is news once a minute, all else at once."""
        kept, before = self._kept[name], self._told.get(name)
        fresh = Activity(last_request_at=kept.last, since=kept.since, error=error)
        if before is not None:
            same = fresh.model_copy(update={"last_request_at": before.item.last_request_at})
            first = before.item.last_request_at is None
            if same == before.item and not first and abs(now - before.at) < MINUTE:
                return before.item
        if before is None or fresh != before.item:
            self._told[name] = _Told(fresh, now)
        return fresh

    def _due(self, now: datetime.datetime) -> bool:
        late = self._written_at is None or abs(now - self._written_at) >= MINUTE
        return late and self._kept != self._written

    def _write(self, now: datetime.datetime) -> None:
        durable.write(self._record, _KEPT.dump_json(self._kept))
        self._written, self._written_at = dict(self._kept), now


def _recorded(record: Path) -> dict[str, _Kept]:
    """Return what was written down; without it a sandbox's record begins anew, and is longer."""
    try:
        return _KEPT.validate_json(record.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValidationError) as error:
        log.warning("the record of use is begun anew", record=str(record), error=str(error))
        return {}


def _opened(folder: Path) -> Iterator[tuple["_File", os.stat_result]]:
    """Yield a folder's logs, rotated ones too; links and pipes are none."""
    with os.scandir(folder) as entries:
        names = sorted(
            itertools.islice(filter(_is_log, (each.name for each in entries)), MOST_FILES)
        )
    for name in names:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with contextlib.suppress(FileNotFoundError):  # rotated meanwhile: the next look finds it
            file = os.open(folder / name, flags)
