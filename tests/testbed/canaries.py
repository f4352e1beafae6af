"""Canaries: secrets that are nowhere else, driven through a run and searched for afterwards.

Each is searched for as it is, in hexadecimal and in base64, wherever in something longer it stands.
Escaping for JSON, YAML, URLs or a shell leaves the searched part as it is.
"""

import base64
import dataclasses
import fnmatch
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

# what nothing escapes: RFC 3986's unreserved characters
_CORE: Final = re.compile(rb"[A-Za-z0-9_.~-]{12,}")
_SIGNS: Final = "é \"'%/\\+&$"


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Found:
    """A canary, by its name, and where it was."""

    canary: str
    place: str


@dataclasses.dataclass(frozen=True, slots=True)
class Allowed:
    """Where canaries may be, and why. Both are patterns as file names have them."""

    canary: str
    place: str
    why: str

    def covers(self, found: Found) -> bool:
        return fnmatch.fnmatchcase(found.canary, self.canary) and fnmatch.fnmatchcase(
            found.place, self.place
        )


def canary() -> str:
    """Return a new one, with signs that everything escapes."""
    return f"canary-{secrets.token_hex(16)}{_SIGNS}"


class Search:
    """Looks for canaries, given as name → text or bytes."""

    def __init__(self, canaries: Mapping[str, str | bytes]) -> None:
        self._names = {form: name for name, text in canaries.items() for form in forms(text)}
        self._any = re.compile(b"|".join(re.escape(form) for form in self._names) or b"(?!)")

    def within(self, content: bytes) -> frozenset[str]:
        """Return the names of the canaries that are in there."""
        return frozenset(self._names[each] for each in self._any.findall(content))

    def among(self, places: Mapping[str, bytes]) -> frozenset[Found]:
        """Search contents by the names of their places."""
        return frozenset(
            Found(name, place) for place, each in places.items() for name in self.within(each)
        )

    def below(self, folder: Path, called: str) -> frozenset[Found]:
        """Search all files of a folder, and their names.

        Args:
            folder: where to begin.
            called: what its places are called by: the folder's name in the answer.
        """
        return frozenset(
            Found(name, f"{called}/{path}")
            for path, content in _files(folder)
            for name in self.within(path.encode() + b"\n" + content)
        )


def unexpected(found: Iterable[Found], allowed: Iterable[Allowed]) -> list[Found]:
    """Return what is where it may not be, in order."""
    rules = tuple(allowed)
    return sorted(each for each in found if not any(rule.covers(each) for rule in rules))


def forms(text: str | bytes) -> frozenset[bytes]:
    """Return as what a text may show; of a text with signs, its longest part without any.

    Raises:
        ValueError: it is too short to be told from chance.
    """
    raw = (
        max(_CORE.findall(text.encode()), key=len, default=b"") if isinstance(text, str) else text
    )
    if not raw:
        raise ValueError("a canary needs twelve characters that nothing escapes")
    encoded = [each for offset in range(3) for each in _base64(raw, offset)]
    return frozenset({raw, raw.hex().encode(), raw.hex().upper().encode(), *encoded})


def _base64(raw: bytes, offset: int) -> Iterator[bytes]:
    """Yield the characters that are the same whatever stands before, and behind."""
    for encode in (base64.standard_b64encode, base64.urlsafe_b64encode):
        whole = encode(bytes(offset) + raw).rstrip(b"=")
        first = (0, 2, 3)[offset]
        yield whole[first : len(whole) - ((offset + len(raw)) % 3 != 0)]


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        try:
            if path.is_file() and not path.is_symlink():
                yield path.relative_to(folder).as_posix(), path.read_bytes()
        except FileNotFoundError:  # a process that still runs removed it
            continue
