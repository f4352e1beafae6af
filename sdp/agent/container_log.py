"""What the engine gives of a container's log, pieces of bytes with timestamps, as lines. Pure."""

import datetime
import re

from sdp.agent.engine import EngineError, Line
from sdp.protocol.text import CUT, inert

LONGEST = 16 << 10
"""Characters of the longest line; what comes after them is cut."""

_STAMP = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z ")
_HELD = 4 * LONGEST


class Stamped:
    """Takes pieces as they come and gives whole lines, each with the engine's timestamp.

    Every piece begins with one. The engine cuts a long line into several pieces: of these, the
    first one's counts.
    """

    def __init__(self) -> None:
        self._begun = bytearray()

    def feed(self, piece: bytes) -> list[Line]:
        """Return the lines that this piece completes."""
        stamp = _STAMP.match(piece) if self._begun else None
        *whole, rest = piece[stamp.end() if stamp else 0 :].split(b"\n")
        lines = []
        for part in whole:
            self._extend(part)
            lines.append(self._line())
        self._extend(rest)
        return lines

    def end(self) -> list[Line]:
        """Return the last line, where the log did not end with a line break."""
        return [self._line()] if self._begun else []

    def _extend(self, part: bytes) -> None:
        self._begun += part[: _HELD - len(self._begun)]

    def _line(self) -> Line:
        raw = bytes(self._begun)
        self._begun.clear()
        stamp = _STAMP.match(raw)
        at = stamp[0].decode().strip() if stamp else ""
        said = raw[stamp.end() if stamp else 0 :].rstrip(b"\r").rpartition(b"\r")[2]
        text = said.decode(errors="replace")
        return Line(at, inert(text[:LONGEST]) + (CUT if len(text) > LONGEST else ""))


def seconds(stamp: str) -> float:
    """Return a timestamp as the engine's API takes it, never too late: a float is no nanosecond.

    Raises:
        EngineError: it is none.
    """
    try:
        moment = datetime.datetime.fromisoformat(stamp).timestamp()
    except ValueError as error:
        raise EngineError(f"{stamp!r} is no timestamp of the engine") from error
    return max(moment - 1e-6, 1e-6)  # the API takes only what comes after 1970
