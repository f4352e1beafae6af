"""Bytes of a process's output into lines that are safe to show. Pure: no streams, no processes."""

from sdp.protocol.text import CUT, LONGEST_LINE, inert

HIDDEN = "***"


class LineCutter:
    """Takes bytes as they come and gives whole lines; ``redact`` are texts to hide."""

    def __init__(self, redact: tuple[str, ...] = ()) -> None:
        self._secrets = sorted(filter(None, redact), key=len, reverse=True)
        longest = max((len(secret.encode()) for secret in self._secrets), default=0)
        self._hold = LONGEST_LINE + longest
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
        short = inert(text[:LONGEST_LINE])
        return short + CUT if cut or len(text) > LONGEST_LINE else short
