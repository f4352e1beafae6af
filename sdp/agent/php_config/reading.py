"""From the writes of a file to its map; and from two files' maps to the one that is live."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from tree_sitter import Node

from sdp.agent.php_config import strings
from sdp.agent.php_config.model import (
    ConfigMap,
    Entry,
    File,
    FileProblem,
    KeyPattern,
    Kind,
    Literal,
    LiveEntry,
    LiveMap,
    NotLiteral,
    Problem,
)
from sdp.agent.php_config.syntax import Php
from sdp.agent.php_config.wording import describe
from sdp.agent.php_config.writes import (
    Assign,
    Constant,
    Disturb,
    Path,
    Write,
    writes,
)


def read(source: bytes, pattern: KeyPattern) -> ConfigMap:
    """The entries whose keys match the pattern, as they stand when the file has run."""
    php = Php(source)
    fold = _Fold(php, pattern)
    for write in writes(php):
        fold.take(write)
    problems = [*fold.finish(), *_syntax(php)]
    problems.sort(key=lambda problem: (problem.line, problem.column))
    entries = {key: slot.entry for key, slot in fold.slots.items()}
    return ConfigMap(entries, tuple(problems))


def merge(base: ConfigMap, environment: ConfigMap) -> LiveMap:
    """CodeIgniter loads config/config.php, then config/<ENVIRONMENT>/config.php over it."""
    below = {} if environment.wipes_base else base.entries
    live = {key: LiveEntry(entry, "base") for key, entry in below.items()}
    unsure = {problem.key for problem in environment.problems if problem.kind == "conditional"}
    hidden = environment.entries.keys() - unsure
    live |= {key: LiveEntry(entry, "environment") for key, entry in environment.entries.items()}
    return LiveMap(
        live,
        (
            *(
                FileProblem("base", problem)
                for problem in base.problems
                if not environment.wipes_base and problem.key not in hidden
            ),
            *_in_file("environment", environment.problems),
        ),
    )


def _in_file(file: File, problems: tuple[Problem, ...]) -> Iterator[FileProblem]:
    return (FileProblem(file, problem) for problem in problems)


def _syntax(php: Php) -> Iterator[Problem]:
    for at, message in php.faults():
        line, column = php.place(at)
        yield Problem("syntax", "", line, column, message)


def _name(path: Path) -> str:
    return "".join([*path[:1], *(f"[{key}]" for key in path[1:])])


@dataclass
class _Slot:
    """A key's last assignment, the ones before it, and what makes its value doubtful."""

    entry: Entry
    assigned: list[int]
    doubts: list[Problem] = field(default_factory=list)


class _Fold:
    def __init__(self, php: Php, pattern: KeyPattern) -> None:
        self._php = php
        self._pattern = pattern
        self.slots: dict[str, _Slot] = {}
        self._problems: list[Problem] = []
        self._constants: list[Constant] = []

    def take(self, write: Write) -> None:
        match write:
            case Constant():
                self._constants.append(write)
            case Disturb():
                self._disturb(write)
            case Assign(scope=scope) if scope.kind == "file":
                self._assign(write)
            case Assign(scope=scope) if scope.kind == "branch":
                self._assign_perhaps(write)
            case Assign():
                self._assign_locally(write)

    def finish(self) -> Iterator[Problem]:
        yield from self._problems
        for key, slot in self.slots.items():
            yield from slot.doubts
            if isinstance(slot.entry, NotLiteral):
                entry = slot.entry
                yield Problem("not-literal", key, entry.line, entry.column, entry.found)
        for constant in self._constants:
            for key in (constant.name, constant.name.lower()):
                if self._matches(key) and key not in self.slots:
                    message = f"{constant.name} is a constant, not an entry of $config"
                    yield self._problem("not-literal", key, constant.at, message)
                    break

    def _assign(self, write: Assign) -> None:
        name = _name(write.path)
        for key in self._below(write.path):
            self._overwritten(self.slots.pop(key), key, write.at)
        self._doubt(self._above(write.path), write.at, "changed in part")
        if not write.path:
            message = "$config is assigned as a whole: earlier entries are lost"
            self._problems.append(self._problem("wipes-base", "", write.at, message))
        elif self._matches(name):
            if name in self.slots:
                self._overwritten(self.slots[name], name, write.at)
            self.slots[name] = _Slot(self._entry(write.right), [write.at])

    def _assign_perhaps(self, write: Assign) -> None:
        name, why = _name(write.path), f"assigned {write.scope.why}"
        self._doubt([*self._below(write.path), *self._above(write.path)], write.at, why)
        if not write.path:
            message = f"$config is {why}"
            self._problems.append(self._problem("conditional", "", write.at, message))
        elif self._matches(name):
            earlier = self.slots.get(name)
            slot = _Slot(self._entry(write.right), [write.at])
            if earlier:
                slot.assigned[:0] = earlier.assigned
                slot.doubts.extend(earlier.doubts)
            self.slots[name] = slot
            self._doubt([name], write.at, why)

    def _assign_locally(self, write: Assign) -> None:
        """A function has a `$config` of its own: its writes never reach the map."""
        name = _name(write.path)
        if not self._matches(name):
            return
        if name in self.slots:
            message = f"assigned {write.scope.why}: that $config is another one"
            self._problems.append(self._problem("duplicate", name, write.at, message))
        else:
            self._assign_perhaps(write)

    def _disturb(self, write: Disturb) -> None:
        if write.scope.kind == "function":
            return
        name = _name(write.path)
        why = f"may be changed by {write.what}"
        hit = [*self._below(write.path), *self._above(write.path)]
        self._doubt([*hit, name] if name in self.slots else hit, write.at, why)
        if not write.path:
            self._problems.append(self._problem("not-literal", "", write.at, f"$config {why}"))
        elif name not in self.slots and self._matches(name):
            self._problems.append(self._problem("conditional", name, write.at, why))

    def _overwritten(self, slot: _Slot, key: str, by: int) -> None:
        message = f"overwritten on line {self._php.place(by)[0]}"
        for at in slot.assigned:
            self._problems.append(self._problem("duplicate", key, at, message))

    def _doubt(self, keys: list[str], at: int, why: str) -> None:
        for key in keys:
            self.slots[key].doubts.append(self._problem("conditional", key, at, why))

    def _below(self, path: Path) -> list[str]:
        """Keys that hang below a path; with a flat pattern there are none to look through."""
        if not path:
            return list(self.slots)
        if "[" not in self._pattern.text:
            return []
        return [key for key in self.slots if key.startswith(_name(path) + "[")]

    def _above(self, path: Path) -> list[str]:
        above = (_name(path[:length]) for length in range(1, len(path)))
        return [key for key in above if key in self.slots]

    def _matches(self, key: str) -> bool:
        return self._pattern.service(key) is not None

    def _entry(self, right: Node) -> Entry:
        start, end = right.start_byte, right.end_byte
        line, column = self._php.place(start)
        quoted = right.type in {"string", "encapsed_string"}
        value = strings.decode(self._php.bytes_of(right)) if quoted else None
        if value is None:
            return NotLiteral(describe(self._php, right), line, column, start, end)
        return Literal(value, line, column, start, end)

    def _problem(self, kind: Kind, key: str, at: int, message: str) -> Problem:
        return Problem(kind, key, *self._php.place(at), message)
