"""What is known about a config.php: frozen values only, no parsing."""

import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

PLACEHOLDER = "{service}"

Kind = typing.Literal[
    "duplicate",
    "conditional",
    "not-literal",
    "syntax",
    "wipes-base",
    "missing",
    "hostile",
]
File = typing.Literal["base", "environment"]


@dataclass(frozen=True)
class KeyPattern:
    """How a service's key is spelled: `{service}_url`, `{service}[url]`, `urls[{service}]`.

    Raises:
        ValueError: the text does not hold `{service}` exactly once.
    """

    text: str

    def __post_init__(self) -> None:
        if self.text.count(PLACEHOLDER) != 1:
            raise ValueError(f"a key pattern holds {PLACEHOLDER} once: {self.text!r}")

    @cached_property
    def _regex(self) -> re.Pattern[str]:
        before, after = map(re.escape, self.text.split(PLACEHOLDER))
        return re.compile(rf"{before}([A-Za-z0-9_-]+){after}")

    def key(self, service: str) -> str:
        return self.text.replace(PLACEHOLDER, service)

    def service(self, key: str) -> str | None:
        """The service that a key belongs to, or None for a key of another kind."""
        found = self._regex.fullmatch(key)
        return found and found[1]


@dataclass(frozen=True)
class Literal:
    """One plain string; `start` and `end` are byte offsets and include the quotes."""

    value: str
    line: int
    column: int
    start: int
    end: int


@dataclass(frozen=True)
class NotLiteral:
    """Anything else on the right-hand side, which `start` and `end` span."""

    found: str
    line: int
    column: int
    start: int
    end: int


Entry = Literal | NotLiteral


@dataclass(frozen=True)
class Problem:
    """Something a person should know; `key` is empty where it concerns the whole map.

    Lines and columns count from 1, columns in bytes: the file's encoding is not known.

    - duplicate: an assignment that a later one overwrites, or that never reaches the map.
    - conditional: what the key holds at run time cannot be told from the file.
    - not-literal: the right-hand side is no plain string, or the map is built in code.
    - syntax: the parser had to guess.
    - wipes-base: `$config = […]` drops what was assigned before, other files' keys included.
    - missing, hostile: only from `patch`: no such entry; a value that is no URL.
    """

    kind: Kind
    key: str
    line: int
    column: int
    message: str


@dataclass(frozen=True)
class ConfigMap:
    entries: Mapping[str, Entry]
    problems: tuple[Problem, ...]

    @property
    def wipes_base(self) -> bool:
        return any(problem.kind == "wipes-base" for problem in self.problems)


@dataclass(frozen=True)
class LiveEntry:
    entry: Entry
    file: File


@dataclass(frozen=True)
class FileProblem:
    file: File
    problem: Problem


@dataclass(frozen=True)
class LiveMap:
    """What the gateway sees after loading both files, and which file each key comes from."""

    entries: Mapping[str, LiveEntry]
    problems: tuple[FileProblem, ...]


@dataclass(frozen=True)
class Patched:
    source: bytes
    changed: tuple[str, ...]


@dataclass(frozen=True)
class Refused:
    problems: tuple[Problem, ...]
