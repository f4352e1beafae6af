"""Bytes of a process's output into lines that are safe to show. Pure: no streams, no processes."""

import re

LONGEST = 64 << 10
"""Characters of the longest line; what comes after them is cut."""

CUT = " … [cut]"
HIDDEN = "***"

_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
_SEQUENCE = re.compile(
    r"\x1b\[[0-9;:]*m"  # colours and weights, which stay
    r"|\x1b\[[0-?]*[ -/]*[@-~]?"
    r"|\x1b[]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?"
    r"|\x1b[ -/]*[0-~]?"
)
_CONTROL = re.compile("[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def inert(text: str) -> str:
    """Return text that moves no cursor and hides nothing; colours stay."""
    kept = _SEQUENCE.sub(lambda m: m[0] if _COLOUR.fullmatch(m[0]) else "", text)
    return _CONTROL.sub(lambda m: _picture(ord(m[0])), kept)


def _picture(code: int) -> str:
    if code == ord("\x7f"):
        return "\N{SYMBOL FOR DELETE}"
    if code < ord(" "):
        return chr(ord("\N{SYMBOL FOR NULL}") + code)
    return "\N{REPLACEMENT CHARACTER}"


class LineCutter:
    """Takes bytes as they come and gives whole lines; ``redact`` are texts to hide."""

    def __init__(self, redact: tuple[str, ...] = ()) -> None:
        self._secrets = sorted(filter(None, redact), key=len, reverse=True)
        longest = max((len(secret.encode()) for secret in self._secrets), default=0)
        self._hold = LONGEST + longest
        self._margin = longest
        self._begun = bytearray()
        self._overflow = False

    def feed(self, chunk: bytes) -> list[str]:
        """Return the lines that this chunk completes."""
        *whole, rest = chunk.split(b"\n")
        lines = []
        for part in whole:
            self._extend(part)
            lines.append(self._line())
        self._extend(rest)
        return lines

    def end(self) -> list[str]:
        """Return the last line, where the output did not end with a line break."""
        return [self._line()] if self._begun else []

    def _extend(self, part: bytes) -> None:
        room = self._hold - len(self._begun)
        self._overflow = self._overflow or len(part) > room
        self._begun += part[:room]

    def _line(self) -> str:
        """What a terminal would show last: programs draw progress over it with returns."""
        raw, cut = bytes(self._begun).rstrip(b"\r"), self._overflow
        self._begun.clear()
        self._overflow = False
        text = raw.rpartition(b"\r")[2].decode(errors="replace")
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        if cut:  # half a secret may stand at the cut
            text = text[: max(len(text) - self._margin, 0)]
        short = inert(text[:LONGEST])
        return short + CUT if cut or len(text) > LONGEST else short
