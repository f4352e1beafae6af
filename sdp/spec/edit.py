"""Edits of YAML files as a careful person types them: one key changes, every other byte stays.

An edit splices text at the marks of the parsed file. Afterwards the result is read again and
compared with what was meant, so that an edit is right or refused. Pure.
"""

from collections.abc import Mapping, Sequence

from sdp.spec import yaml
from sdp.spec.splice import CannotEditError, File, Path

__all__ = ["CannotEditError", "Path", "document", "remove", "set_value"]


def set_value(text: str, path: Path, value: yaml.Value, order: Sequence[str] = ()) -> str:
    """Return the text with one value set; mappings on the way are made where they are missing.

    A mapping that takes the place of a mapping is written key by key, so that what stays the
    same keeps its comments and its style.

    Args:
        text: a spec file's content; "" for a new file.
        path: keys from the root, at least one.
        value: what to read at the path afterwards.
        order: the order in which the root's keys are usually written.

    Raises:
        CannotEditError: the file does not load, or what is on the path is no mapping.
    """
    before = _read(text)
    meant = _with(before, path, value)
    if before == meant:
        return text
    held = _at(before, path)
    if held and value and isinstance(held, Mapping) and isinstance(value, Mapping):
        return _checked(_merged(text, path, held, value), meant)
    return _checked(File(text).set(path, value, order), meant)


def remove(text: str, path: Path) -> str:
    """Return the text without a key, and without the mappings that it leaves empty.

    A key that is not there leaves the text as it is.

    Raises:
        CannotEditError: the file does not load.
    """
    before = _read(text)
    meant = _without(before, path)
    if before == meant:
        return text
    file = File(text)
    while len(path) > 1 and len(file.mapping_at(path[:-1]).value) == 1:
        path = path[:-1]
    return _checked(file.remove(path), meant)


def document(text: str) -> Mapping[str, yaml.Value]:
    """Return the mapping that a file holds.

    Raises:
        CannotEditError: it does not load.
    """
    return _read(text)


def _read(text: str) -> Mapping[str, yaml.Value]:
    parsed, faults = yaml.parse(text.encode(errors="surrogateescape"))
    if parsed is None or faults:
        fault = faults[0]
        raise CannotEditError(f"line {fault.position.line}: {fault.message}")
    if parsed.value is None:
        return {}
    if not isinstance(parsed.value, Mapping):
        raise CannotEditError("line 1: expected keys and values")
    return parsed.value


def _merged(
    text: str, path: Path, held: Mapping[str, yaml.Value], value: Mapping[str, yaml.Value]
) -> str:
    """Make one mapping into another, a key at a time."""
    gone = [key for key in held if key not in value]
    if len(gone) == len(held):  # on the way, too, a mapping must not be left empty
        first = next(iter(value))
        text = set_value(text, [*path, first], value[first])
    for key in gone:
        text = remove(text, [*path, key])
    for key, each in value.items():
        text = set_value(text, [*path, key], each)
    return text


def _at(held: Mapping[str, yaml.Value], path: Path) -> yaml.Value:
    found: yaml.Value = held
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def _checked(text: str, meant: Mapping[str, yaml.Value]) -> str:
    if _read(text) != meant:
        raise CannotEditError(
            "this file is written in a way that can't be edited by a program without changing more"
        )
    return text


def _with(held: Mapping[str, yaml.Value], path: Path, value: yaml.Value) -> dict[str, yaml.Value]:
    key, *rest = path
    below = held.get(key)
    if rest and below is not None and not isinstance(below, Mapping):
        raise CannotEditError(f"'{key}' is no mapping")
    inner = below if isinstance(below, Mapping) else {}
    return {**held, key: _with(inner, rest, value) if rest else value}


def _without(held: Mapping[str, yaml.Value], path: Path) -> dict[str, yaml.Value]:
    key, *rest = path
    below = held.get(key)
    if not rest or not isinstance(below, Mapping):
        return dict(held) if rest else {each: held[each] for each in held if each != key}
    inner = _without(below, rest)
    if inner == below:
        return dict(held)
    return _with(held, [key], inner) if inner else _without(held, [key])
