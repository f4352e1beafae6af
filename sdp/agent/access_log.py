"""What an access log says of use: lines of the combined format, written by whoever asks. Pure.

Nothing in a line is trusted. Where it names no user agent, or is too long to be read, it counts as
use: rather a sandbox is kept too long than stopped while somebody works in it.
"""

import datetime
import re
from collections.abc import Iterable
from typing import Final

LONGEST_LINE: Final = 16 << 10
"""Bytes of a line that are looked at."""

_TIME = re.compile(rb"\[(\d\d)/(\w{3})/(\d{4}):(\d\d):(\d\d):(\d\d) ([+-]\d\d)(\d\d)\] ")
_SAID: Final = rb'"((?:[^"\\]|\\.)*)"'
_ENTRY = re.compile(_SAID + rb" \S+ \S+(?: " + _SAID + rb" " + _SAID + rb")?")
"""Request, status, size, and of the combined format referer and user agent."""
_MONTHS: Final = (
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"
)  # fmt: skip
_PROBE: Final = b"sdp-probe"
"""How the user agent of all that the platform asks begins."""
_ITSELF: Final = b"(internal dummy connection)"
"""How Apache names itself where it wakes its own workers."""


def last_use(lines: Iterable[bytes]) -> datetime.datetime | None:
    """Return when the last request came that was not a probe; None where there was none."""
    times = (_use(line[:LONGEST_LINE]) for line in lines)
    return max((each for each in times if each is not None), default=None)


def _use(line: bytes) -> datetime.datetime | None:
    told = _TIME.search(line)
    if told is None:
        return None
    entry = _ENTRY.match(line, told.end())
    request, agent = (entry[1], entry[3] or b"") if entry else (b"", b"")
    if request == b"-":  # a connection that asked for nothing
        return None
    return None if agent.startswith(_PROBE) or _ITSELF in agent else _time(told)


def _time(told: re.Match[bytes]) -> datetime.datetime | None:
    day, month, year, hour, minute, second, zone, more = told.groups()
    try:
        away = datetime.timedelta(hours=int(zone), minutes=int(zone[:1] + more))
        at = datetime.datetime(
            int(year),
            _MONTHS.index(month) + 1,
            int(day),
            int(hour),
            int(minute),
            int(second),
            tzinfo=datetime.UTC,
        )
        return at - away
    except (ValueError, OverflowError):  # no such day
        return None
