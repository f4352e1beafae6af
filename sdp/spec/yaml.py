"""YAML as the specs allow it: bytes in, plain values with their positions out. No models.

YAML 1.2 core types only, so ``NO``, ``0644`` and ``22:22`` are text. Duplicate keys, keys that are
no text, tags, merge keys and second documents are refused. The value is built from the parser's
events and not with PyYAML's own loader: its C composer recurses, and ends the process on deeply
nested input.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

import yaml

Value: TypeAlias = "str | int | float | bool | tuple[Value, ...] | Mapping[str, Value] | None"
Loc: TypeAlias = tuple[str | int, ...]

MAX_BYTES = 256 * 1024
MAX_DEPTH = 64
MAX_VALUES = 50_000
"""Values in one file, with each alias counted as all that it stands for."""

MAX_NUMBER = 24
"""Longer digits are text: a commit made of digits is not a number."""

_NULL = re.compile(r"~|null|Null|NULL|")
_TRUE = re.compile(r"true|True|TRUE")
_FALSE = re.compile(r"false|False|FALSE")
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_OCTAL = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(
    r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
    r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)
_UNPRINTABLE = re.compile(
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")

_EXPLAINED = {
    "mapping values are not allowed": "found ':' where no key can stand; "
    "quote a value that contains ': ', and check the indentation",
    "did not find expected key": "expected a key here; check the indentation",
    "could not find expected ':'": "expected ':' after the key",
    "did not find expected '-'": "expected '- ' here; check the indentation",
    "did not find expected ',' or ']'": "expected ',' or ']' here",
    "did not find expected ',' or '}'": "expected ',' or '}' here",
    "did not find expected node content": "expected a value here",
    "found unexpected end of stream": "the file ends inside a quoted text",
    "found unknown escape character": "found an unknown escape; "
    "use single quotes for text with backslashes",
    "did not find expected <document start>": "found text after the end of the document",
}


class Position(NamedTuple):
    """Where something stands in a file, from 1; columns count characters."""

    line: int
    column: int


class Fault(NamedTuple):
    """What is wrong with a file, and where."""

    position: Position
    message: str


START = Position(1, 1)


@dataclasses.dataclass(frozen=True, slots=True)
class Document:
    """The value of a file, and where its keys and values stand."""

    value: Value
    keys: Mapping[Loc, Position]
    values: Mapping[Loc, Position]

    def value_at(self, loc: Loc) -> Position:
        """Return where the value at a path of keys and indices stands, or else its parent."""
        return self.values.get(loc) or (self.value_at(loc[:-1]) if loc else START)

    def key_at(self, loc: Loc) -> Position:
        """Return where the key of that value stands, or else its parent's."""
        return self.keys.get(loc) or self.value_at(loc)


class _Refused(Exception):  # noqa: N818 - no error of the program: it carries a fault out
    def __init__(self, position: Position, message: str) -> None:
        super().__init__(message)
        self.fault = Fault(position, message)


def parse(content: bytes) -> tuple[Document | None, tuple[Fault, ...]]:
    """Return the document in a file's bytes, if it can be read at all, and all that is wrong."""
    builder = _Builder()
    try:
        text = _decoded(content)
    except _Refused as refused:
        return None, (refused.fault,)
    try:
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            builder.take(event)
    except _Refused as refused:
        return None, (*builder.faults, refused.fault)
    except yaml.MarkedYAMLError as error:
        return None, (*builder.faults, _explained(error, text))
    except yaml.YAMLError as error:
        return None, (*builder.faults, Fault(START, f"expected YAML: {error}"))
    return builder.document(), tuple(builder.faults)


def lines(text: str) -> list[str]:
    """Return the lines as positions count them: YAML has more line breaks than a newline."""
    return _BREAK.split(text)


def _decoded(content: bytes) -> str:
    if len(content) > MAX_BYTES:
        raise _Refused(START, f"found {len(content)} bytes, expected at most {MAX_BYTES}")
    if content.startswith((b"\xff\xfe", b"\xfe\xff", b"\x00")):
        raise _Refused(START, "found UTF-16 or UTF-32, expected UTF-8; save the file as UTF-8")
    if content.startswith(b"\xef\xbb\xbf"):
        raise _Refused(START, "found a byte order mark; save the file as UTF-8 without BOM")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        where = _end_of(content[: error.start].decode())
        raise _Refused(where, f"found byte 0x{content[error.start]:02x}, expected UTF-8") from None
    if found := _UNPRINTABLE.search(text):
        where = _end_of(text[: found.start()])
        raise _Refused(where, f"found control character U+{ord(found[0]):04X}, expected text")
    return text


def _end_of(text: str) -> Position:
    before = lines(text)
    return Position(len(before), len(before[-1]) + 1)


def _explained(error: yaml.MarkedYAMLError, text: str) -> Fault:
    mark = error.problem_mark or error.context_mark
    where = Position(mark.line + 1, mark.column + 1) if mark else START
    problem = str(error.problem or error.context)
    if "cannot start any token" in problem:
        found = lines(text)[where.line - 1][where.column - 1 :][:1]
        if found == "\t":
            return Fault(where, "found a tab, expected spaces")
        return Fault(where, f"found {found!r}, expected quotes around text that starts with it")
    for theirs, ours in _EXPLAINED.items():
        if theirs in problem:
            return Fault(where, ours)
    return Fault(where, f"expected YAML: {problem}")


@dataclasses.dataclass(slots=True)
class _Frame:
    """A mapping or sequence that is still open."""

    into: dict[str, Value] | list[Value]
    loc: Loc
    anchor: str | None
    before: int
    key: str | None = None

    def next_loc(self) -> Loc:
        if isinstance(self.into, list):
            return (*self.loc, len(self.into))
        return self.loc if self.key is None else (*self.loc, self.key)

    def add(self, value: Value) -> None:
        if isinstance(self.into, list):
            self.into.append(value)
        elif self.key is not None:
            self.into[self.key] = value
            self.key = None


class _Builder:
    """Folds parser events into a document; raises _Refused where it cannot go on."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self._root: list[Value] = []
        self._stack: list[_Frame] = [_Frame(self._root, (), None, 0)]
        self._anchors: dict[str, tuple[Value, int]] = {}
        self._keys: dict[Loc, Position] = {}
        self._values: dict[Loc, Position] = {}
        self._size = 0
        self._documents = 0

    def document(self) -> Document:
        value = self._root[0] if self._root else None
        return Document(value, self._keys, self._values)

    def take(self, event: yaml.Event) -> None:
        mark = event.start_mark
        where = START if mark is None else Position(mark.line + 1, mark.column + 1)
        match event:
            case yaml.ScalarEvent():
                self._refuse_tag(event.tag, where)
                self._scalar(event, where)
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._refuse_tag(event.tag, where)
                self._open(event, where)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._close()
            case yaml.AliasEvent():
                self._alias(event.anchor or "", where)
            case yaml.DocumentStartEvent():
                self._begin(event, where)
            case _:
                pass

    def _begin(self, event: yaml.DocumentStartEvent, where: Position) -> None:
        self._documents += 1
        if self._documents > 1:
            raise _Refused(where, "found a second document, expected one spec per file")
        if event.version not in (None, (1, 2)):
            raise _Refused(where, "found another version of YAML, expected 1.2")

    def _refuse_tag(self, tag: str | None, where: Position) -> None:
        if tag is not None:
            self._fault(where, f"found the tag {tag!r}, expected a plain value")

    def _scalar(self, event: yaml.ScalarEvent, where: Position) -> None:
        plain = event.style is None or event.style == ""
        value = _resolved(event.value) if plain else event.value
        frame = self._stack[-1]
        if isinstance(frame.into, dict) and frame.key is None:
            self._key(frame, value, event, where)
        else:
            self._place(value, where, 1)
            self._remember(event.anchor, value, 1)

    def _key(self, frame: _Frame, value: Value, event: yaml.ScalarEvent, where: Position) -> None:
        if not isinstance(value, str):
            self._fault(where, f"found the key '{event.value}', expected text; put it in quotes")
        elif value == "<<":
            self._fault(where, "found a merge key '<<', which YAML 1.2 has not; use a template")
        self._remember(event.anchor, event.value, 1)
        self._enter(frame, event.value, where)

    def _enter(self, frame: _Frame, key: str, where: Position) -> None:
        loc = (*frame.loc, key)
        if key in frame.into:
            first = self._keys[loc]
            self._fault(where, f"found the key {key!r} again, first in line {first.line}")
        self._keys[loc] = where
        frame.key = key

    def _open(
        self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent, where: Position
    ) -> None:
        loc = self._expected_loc(where)
        if len(self._stack) > MAX_DEPTH:
            raise _Refused(where, f"nested too deep, expected at most {MAX_DEPTH} levels")
        self._values[loc] = where
        into: dict[str, Value] | list[Value] = (
            {} if isinstance(event, yaml.MappingStartEvent) else []
        )
        self._count(1, where)
        self._stack.append(_Frame(into, loc, event.anchor, self._size - 1))

    def _close(self) -> None:
        frame = self._stack.pop()
        value = tuple(frame.into) if isinstance(frame.into, list) else frame.into
        self._stack[-1].add(value)
        self._remember(frame.anchor, value, self._size - frame.before)

    def _alias(self, anchor: str, where: Position) -> None:
        if anchor not in self._anchors:
            raise _Refused(where, f"found '*{anchor}', but nothing before it is named '&{anchor}'")
        value, size = self._anchors[anchor]
        frame = self._stack[-1]
        if isinstance(frame.into, dict) and frame.key is None and isinstance(value, str):
            self._enter(frame, value, where)
        else:
            self._place(value, where, size)

    def _place(self, value: Value, where: Position, size: int) -> None:
        loc = self._expected_loc(where)
        self._values[loc] = where
        self._count(size, where)
        self._stack[-1].add(value)

    def _expected_loc(self, where: Position) -> Loc:
        frame = self._stack[-1]
        if isinstance(frame.into, dict) and frame.key is None:
            raise _Refused(where, "found a key that is no text, expected a name")
        # The outermost frame holds the document itself, at the empty path.
        return frame.next_loc() if len(self._stack) > 1 else ()

    def _fault(self, where: Position, message: str) -> None:
        self.faults.append(Fault(where, message))

    def _count(self, size: int, where: Position) -> None:
        self._size += size
        if self._size > MAX_VALUES:
            raise _Refused(where, f"found too many values, expected at most {MAX_VALUES}")

    def _remember(self, anchor: str | None, value: Value, size: int) -> None:
        if anchor is not None:
            self._anchors[anchor] = (value, size)


def _resolved(text: str) -> Value:
    if _NULL.fullmatch(text):
        return None
    if _TRUE.fullmatch(text) or _FALSE.fullmatch(text):
        return text[0] in "tT"
    if len(text) > MAX_NUMBER:
        return text
    if _INT.fullmatch(text):
        return int(text)
    if _OCTAL.fullmatch(text) or _HEX.fullmatch(text):
        return int(text, 0)
    return _float(text) if _FLOAT.fullmatch(text) else text


def _float(text: str) -> float:
    word = text.lower()
    return float(word.replace(".", "", 1) if word.endswith(("inf", "nan")) else word)
