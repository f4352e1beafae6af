"""Values as YAML text that ``sdp.spec.yaml`` reads back as the same values. No positions.

Quotes only where they are needed; a mapping of scalars that fits on a line is written in braces,
as the examples do it.
"""

import json
from collections.abc import Iterator, Mapping

from sdp.spec import yaml

WIDTH = 80
"""Columns that a mapping in braces may fill."""
STEP = 2


def scalar(value: yaml.Value, *, flow: bool = False) -> str:
    """Return a scalar as YAML that reads back as the same value; quoted only where needed.

    Args:
        value: text, number, boolean or None.
        flow: it stands between braces or brackets.
    """
    if not isinstance(value, str):
        return json.dumps(value)
    around = f"[{value}]\n" if flow else f"- {value}\n"
    document, faults = yaml.parse(around.encode(errors="replace"))
    same = document is not None and not faults and document.value == (value,)
    if same and value.isprintable():
        return value
    return quoted(value)


def quoted(text: str) -> str:
    """Return a text in double quotes."""
    return '"' + "".join(_escaped(each) for each in text) + '"'


def flow(value: yaml.Value) -> str:
    """Return any value on one line."""
    match value:
        case Mapping():
            pairs = (f"{scalar(key, flow=True)}: {flow(each)}" for key, each in value.items())
            return "{" + ", ".join(pairs) + "}"
        case tuple():
            return f"[{', '.join(map(flow, value))}]"
        case _:
            return scalar(value, flow=True)


def entry(
    key: str, value: yaml.Value, indent: int, step: int = STEP, *, braces: bool | None = None
) -> list[str]:
    """Return the lines of one key of a block mapping.

    Args:
        key: as it is meant, not as it is written.
        value: of any kind.
        indent: columns before the key.
        step: columns that what is nested is indented further.
        braces: write a mapping in braces; None: where it fits on the line.
    """
    start = f"{' ' * indent}{scalar(key)}:"
    match value:
        case Mapping() if not value:
            return [f"{start} {{}}"]
        case Mapping():
            line = f"{start} {flow(value)}"
            nested = any(isinstance(each, Mapping) for each in value.values())
            if braces or (braces is None and not nested and len(line) <= WIDTH):
                return [line]
            return [start, *mapping(value, indent + step, step)]
        case str() if "\n" in value and _literal(value):
            return [f"{start} {_indicator(value)}", *_lines(value, indent + step)]
        case tuple():
            return [f"{start} {flow(value)}"]
        case _:
            return [f"{start} {scalar(value)}"]


def mapping(value: Mapping[str, yaml.Value], indent: int = 0, step: int = STEP) -> Iterator[str]:
    """Yield the lines of a block mapping."""
    for key, each in value.items():
        yield from entry(key, each, indent, step)


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character == "\n":
        return "\\n"
    return character if character.isprintable() else f"\\U{ord(character):08x}"


def _literal(text: str) -> bool:
    """Whether a text can be a literal block: what is indented itself would need an indicator."""
    lines = text.split("\n")
    plain = all(line.replace("\t", "").isprintable() for line in lines)
    return plain and lines[0].strip() != "" and not lines[0].startswith((" ", "\t"))


def _indicator(text: str) -> str:
    if text.endswith("\n\n"):
        return "|+"
    return "|" if text.endswith("\n") else "|-"


def _lines(text: str, indent: int) -> list[str]:
    return [
        f"{' ' * indent}{line}" if line else "" for line in text.removesuffix("\n").split("\n")
    ]
