"""New URLs into a config.php: only the bytes of their literals change, or nothing does."""

import re
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from sdp.agent.php_config import strings
from sdp.agent.php_config.model import (
    ConfigMap,
    Entry,
    KeyPattern,
    Literal,
    NotLiteral,
    Patched,
    Problem,
    Refused,
)
from sdp.agent.php_config.reading import read
from sdp.agent.php_config.syntax import Php

_URL = re.compile(r"https?://[A-Za-z0-9\[][!-~]*", re.ASCII)
_LONGEST_URL = 2048


@dataclass(frozen=True)
class _Edit:
    key: str
    start: int
    end: int
    literal: bytes


def patch(
    source: bytes,
    values: Mapping[str, str],
    pattern: KeyPattern,
    *,
    replace_expressions: AbstractSet[str] = frozenset(),
) -> Patched | Refused:
    """Set keys to URLs, all or none; keys that hold their value already are left alone.

    Args:
        source: the whole file, in whatever encoding.
        values: URL by config key.
        pattern: how keys are spelled.
        replace_expressions: keys whose whole right-hand side may be replaced.

    Raises:
        AssertionError: the result is not what was meant, which is a bug here.
    """
    before = read(source, pattern)
    problems = tuple(_objections(before, values, replace_expressions))
    if problems:
        return Refused(problems)
    edits = [
        _Edit(key, entry.start, entry.end, _literal(source, entry, values[key]))
        for key, entry in before.entries.items()
        if key in values and not _holds(entry, values[key])
    ]
    edits.sort(key=lambda edit: edit.start)
    patched = _splice(source, edits)
    if edits:
        _verify(source, patched, edits)
        _verify_map(before, read(patched, pattern), values)
    return Patched(patched, tuple(sorted(edit.key for edit in edits)))


def _objections(
    config: ConfigMap, values: Mapping[str, str], replaceable: AbstractSet[str]
) -> Iterator[Problem]:
    yield from (problem for problem in config.problems if problem.kind == "syntax")
    for key, value in values.items():
        doubts = [p for p in config.problems if p.key == key and p.kind == "conditional"]
        entry = config.entries.get(key)
        if entry is None:
            yield from doubts or _missing(config, key)
            continue
        yield from doubts
        if isinstance(entry, NotLiteral):
            yield from _inexchangeable(config, key, entry, replaceable)
        if not _holds(entry, value) and not _is_url(value):
            message = "the new value is no http(s) URL of printable ASCII"
            yield Problem("hostile", key, entry.line, entry.column, message)


def _missing(config: ConfigMap, key: str) -> Iterator[Problem]:
    """What stands in for the entry, where something does: a constant, or a map built in code."""
    instead = [p for p in config.problems if p.kind == "not-literal" and p.key in {key, ""}]
    yield Problem("missing", key, 1, 1, f"the file assigns no {key}")
    yield from instead


def _inexchangeable(
    config: ConfigMap, key: str, entry: NotLiteral, replaceable: AbstractSet[str]
) -> Iterator[Problem]:
    if key not in replaceable:
        yield Problem("not-literal", key, entry.line, entry.column, entry.found)
        return
    for other, inside in config.entries.items():
        if other != key and entry.start <= inside.start < entry.end:
            message = f"{entry.found}, which also assigns {other}"
            yield Problem("not-literal", key, entry.line, entry.column, message)


def _holds(entry: Entry, value: str) -> bool:
    return isinstance(entry, Literal) and entry.value == value


def _is_url(value: str) -> bool:
    return len(value) <= _LONGEST_URL and _URL.fullmatch(value) is not None


def _literal(source: bytes, entry: Entry, value: str) -> bytes:
    """In the entry's own quotes; an expression gives way to single ones, whatever it begins with."""
    like = source[entry.start : entry.end] if isinstance(entry, Literal) else b""
    return strings.encode(value, like)


def _splice(source: bytes, edits: list[_Edit]) -> bytes:
    pieces, done = list[bytes](), 0
    for edit in edits:
        pieces += [source[done : edit.start], edit.literal]
        done = edit.end
    return b"".join([*pieces, source[done:]])


def _verify(source: bytes, patched: bytes, edits: list[_Edit]) -> None:
    """The new file has the old one's tokens, and each new literal is one token."""
    shift, new_spans = 0, list[tuple[int, int]]()
    for edit in edits:
        start = edit.start + shift
        new_spans.append((start, start + len(edit.literal)))
        shift += len(edit.literal) - (edit.end - edit.start)
    before, after = Php(source), Php(patched)
    if any(after.faults()):
        raise AssertionError("a patched config.php does not parse")
    if before.tokens([(edit.start, edit.end) for edit in edits]) != after.tokens(new_spans):
        raise AssertionError("patching config.php changed tokens that are not the literals")


def _verify_map(before: ConfigMap, after: ConfigMap, values: Mapping[str, str]) -> None:
    if before.entries.keys() != after.entries.keys():
        raise AssertionError("patching config.php changed its keys")
    for key, entry in after.entries.items():
        if key in values:
            good = _holds(entry, values[key])
        else:
            good = _content(entry) == _content(before.entries[key])
        if not good:
            raise AssertionError(f"patching config.php left a wrong value in {key}")


def _content(entry: Entry) -> tuple[type[Entry], str]:
    match entry:
        case Literal(value=value):
            return Literal, value
        case NotLiteral(found=found):
            return NotLiteral, found
