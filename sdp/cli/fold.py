"""Fold: a diff as people read it; of an encrypted file's sops section little is left. Pure.

Who can open the file and what is encrypted in it stay; age's texts and the MAC become one line.
"""

import itertools
import re
from collections.abc import Iterator, Sequence

_ENVIRONMENT = re.compile(r"(---|\+\+\+) [ab]/environments/")
_TELLS = re.compile(r"\s+(- )?(recipient: age1|enc: \||mac: ENC\[)")
"""Finds a sops section of which a hunk does not show the first line."""
_READ = re.compile(r"\s+(- )?(recipient|(un)?encrypted_\w+): ")
_STAMP = re.compile(r"\s+(mac|lastmodified): ")


def folded(diff: str) -> list[str]:
    """Return the lines of a unified diff, with sops sections of environments folded."""
    lines: list[str] = []
    environment = False
    for block in _blocks(diff.splitlines()):
        if block[0].startswith("--- "):
            environment = any(_ENVIRONMENT.match(line) for line in block)
        lines += _hunk(block) if environment and block[0].startswith("@@ ") else block
    return lines


def _blocks(lines: Sequence[str]) -> Iterator[list[str]]:
    """Yield the heads of files, and hunks."""
    block: list[str] = []
    for line in lines:
        if block and line.startswith(("@@ ", "--- ")):
            yield block
            block = []
        block.append(line)
    if block:
        yield block


def _hunk(block: Sequence[str]) -> Iterator[str]:
    head, *lines = block
    yield head
    pairs = zip(_sealed(lines), lines, strict=True)
    for sealed, group in itertools.groupby(pairs, key=lambda pair: pair[0]):
        found = [line for _, line in group]
        yield from _section(found) if sealed else found


def _sealed(lines: Sequence[str]) -> Iterator[bool]:
    """Yield of each line of a hunk whether it is of the sops section, on its own side."""
    first = itertools.takewhile(lambda line: not _is_key(line), lines)
    inside = dict.fromkeys("-+", any(_TELLS.match(line[1:]) for line in first))
    for line in lines:
        sides = line[:1] if line[:1] in inside else "-+"
        if _is_key(line):
            inside.update(dict.fromkeys(sides, line[1:].startswith("sops:")))
        yield all(inside[side] for side in sides)


def _is_key(line: str) -> bool:
    return bool(line[1:2].strip())


def _section(lines: Sequence[str]) -> Iterator[str]:
    """Yield what is read of a part of a sops section."""
    changed = [line for line in lines if line[:1] in {"+", "-"}]
    if not changed:
        yield from lines
        return
    other = {"+": "-", "-": "+"}
    kept = [
        line
        for line in changed
        if _READ.match(line[1:]) and other[line[0]] + line[1:] not in changed
    ]
    rest = [line for line in changed if line not in kept]
    if rest:
        what = "MAC" if all(_STAMP.match(line[1:]) for line in rest) else "age's texts and MAC"
        yield f"~ sops: {what} ({len(rest)} {'lines' if len(rest) > 1 else 'line'})"
    yield from kept
