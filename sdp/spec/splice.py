"""Splices of a YAML text at the marks of its nodes: a key set, a key cut out. Pure.

Knows where things stand and how they are written; what is meant, and whether it came true, is
``sdp.spec.edit``'s.
"""

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import yaml as pyyaml

from sdp.spec import writing, yaml

_COMMENT = re.compile(r"""([^#"'\n]*?)( {2,})#""")

Path: TypeAlias = Sequence[str]
"""Keys from the document's root, such as ``("services", "account", "branch")``."""


class CannotEditError(ValueError):
    """The file can't be edited by a program; the text says why, and where."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Pair:
    key: pyyaml.ScalarNode
    value: pyyaml.Node


class File:
    """A YAML text, and where its nodes stand; ``set`` and ``remove`` return another text."""

    def __init__(self, text: str) -> None:
        """Take a text.

        Raises:
            CannotEditError: it is no YAML.
        """
        self._text = text
        try:
            self._root = pyyaml.compose(text, pyyaml.SafeLoader)
        except pyyaml.YAMLError as error:
            raise CannotEditError(str(error)) from error

    def set(self, path: Path, value: yaml.Value, order: Sequence[str]) -> str:
        """Set a value; ``order`` says where in the root a new key belongs."""
        if self._root is None or not isinstance(self._root, pyyaml.MappingNode):
            gap = "\n" if self._text and not self._text.endswith("\n") else ""
            return self._text + gap + _lines(writing.mapping(_nested(path, value)))
        parent = self._root
        for depth, key in enumerate(path):
            pair = _pair(parent, key)
            if pair is None:
                return self._insert(parent, key, _nested(path[depth:], value)[key], order)
            if depth + 1 == len(path):
                return self._rewrite(parent, pair, value)
            if not isinstance(pair.value, pyyaml.MappingNode):  # null: nothing below it yet
                return self._rewrite(parent, pair, _nested(path[depth + 1 :], value))
            parent, order = pair.value, ()
        raise AssertionError("a path has at least one key")

    def remove(self, path: Path) -> str:
        """Remove a key that is there."""
        parent = self.mapping_at(path[:-1])
        pair = _pair(parent, path[-1])
        assert pair is not None  # noqa: S101 -- the caller has looked
        return self._cut_flow(parent, pair) if parent.flow_style else self._cut_block(pair)

    def mapping_at(self, path: Path) -> pyyaml.MappingNode:
        """Return the mapping at a path.

        Raises:
            KeyError: there is none.
        """
        node = self._root
        for key in path:
            pair = _pair(node, key) if isinstance(node, pyyaml.MappingNode) else None
            node = pair.value if pair else None
        if not isinstance(node, pyyaml.MappingNode):
            raise KeyError(".".join(path))
        return node

    def _rewrite(self, parent: pyyaml.MappingNode, pair: _Pair, value: yaml.Value) -> str:
        """Write a value anew in place of what is there."""
        start = pair.key.end_mark.index
        colon = self._text.index(":", start) + 1
        end = max(colon, self._end(pair.value))
        if parent.flow_style:
            return self._spliced(colon, end, f" {writing.flow(value)}")
        if isinstance(value, Mapping | tuple) or isinstance(pair.value, pyyaml.CollectionNode):
            return self._spliced_entry(pair, colon, end, value)
        if isinstance(value, str) and "\n" in value:
            return self._spliced_entry(pair, colon, end, value)
        if _is_block_scalar(pair.value):
            return self._spliced_entry(pair, colon, end, value)
        written = _in_style(pair.value, value)
        first = pair.value.start_mark.index
        if first < colon or first == end:  # an empty value has no place of its own
            return self._spliced(colon, colon, f" {written}")
        return self._spliced(first, end, written)

    def _spliced_entry(self, pair: _Pair, colon: int, end: int, value: yaml.Value) -> str:
        lines = writing.entry(
            pair.key.value, value, pair.key.start_mark.column, self._step(), braces=_braces(pair)
        )
        written = "\n".join(lines).partition(":")[2]
        key = writing.scalar(pair.key.value)
        if ":" in key:  # a quoted key may hold colons
            written = "\n".join(lines).lstrip().removeprefix(f"{key}:")
        tail = "\n" if self._text[end - 1 : end] == "\n" else ""
        return self._spliced(colon, end, written + tail)

    def _insert(
        self,
        parent: pyyaml.MappingNode,
        key: str,
        value: yaml.Value,
        order: Sequence[str],
    ) -> str:
        pairs = [_Pair(*each) for each in parent.value]
        if parent.flow_style:
            return self._insert_flow(parent, pairs, key, value)
        after = _predecessor(pairs, key, order)
        indent = pairs[0].key.start_mark.column
        above = pairs[: pairs.index(after) + 1] if after else []
        styles = [_braces(each) for each in above if _holds_scalars(each.value)]
        blocks = bool(styles) and styles[-1] is False and _is_flat(value)
        braces = False if blocks else None  # in braces as above only where that fits on the line
        lines = writing.entry(key, value, indent, self._step(), braces=braces)
        if after is None:
            at = pairs[0].key.start_mark.index - indent
            return self._spliced(at, at, _lines(lines))
        at = self._line_end(self._end(after.value, after.key))
        spaced = len(lines) > 1 and indent == 0 and self._sections_are_spaced(pairs)
        blank = "\n" if spaced else ""
        before = "" if at == 0 or self._text[at - 1] == "\n" else "\n"
        return self._spliced(at, at, f"{before}{blank}{_lines(lines)}")

    def _insert_flow(
        self, parent: pyyaml.MappingNode, pairs: list[_Pair], key: str, value: yaml.Value
    ) -> str:
        written = f"{writing.scalar(key, flow=True)}: {writing.flow(value)}"
        if not pairs:
            start, end = parent.start_mark.index, parent.end_mark.index
            return self._spliced(start, end, f"{{{written}}}")
        at = self._end(pairs[-1].value, pairs[-1].key)
        return self._spliced(at, at, f", {written}")

    def _cut_flow(self, parent: pyyaml.MappingNode, pair: _Pair) -> str:
        pairs = [_Pair(*each) for each in parent.value]
        index = next(i for i, each in enumerate(pairs) if each.key is pair.key)
        end = self._end(pair.value, pair.key)
        if index:
            before = pairs[index - 1]
            return self._spliced(self._end(before.value, before.key), end, "")
        if len(pairs) > 1:
            return self._spliced(pair.key.start_mark.index, pairs[1].key.start_mark.index, "")
        return self._spliced(pair.key.start_mark.index, end, "")

    def _cut_block(self, pair: _Pair) -> str:
        start = pair.key.start_mark.index - pair.key.start_mark.column
        end = self._line_end(self._end(pair.value, pair.key))
        before, after = self._text[:start], self._text[end:]
        # A section goes with one of the blank lines around it.
        if not after and before.endswith("\n\n"):
            return before[:-1]
        if (not before or before.endswith("\n\n")) and after.startswith("\n"):
            after = after[1:]
        return before + after

    def _end(self, node: pyyaml.Node, key: pyyaml.Node | None = None) -> int:
        """Return where a node's own text ends; a block's end mark lies behind what follows it."""
        if isinstance(node, pyyaml.CollectionNode) and not node.flow_style and node.value:
            last = node.value[-1]
            if isinstance(node, pyyaml.MappingNode):
                return self._end(last[1], last[0])
            return self._end(last)
        end = int(node.end_mark.index)
        if _is_block_scalar(node):
            return self._block_scalar_end(node)
        if key is not None and end <= key.end_mark.index + 1:
            return self._text.index(":", key.end_mark.index) + 1
        return end

    def _block_scalar_end(self, node: pyyaml.Node) -> int:
        """Return where the last line of a block scalar ends: comments may follow it."""
        start, end = node.start_mark.index, node.end_mark.index
        body = self._text[start:end]
        kept = body.split("\n", 1)[0].rstrip().endswith("+")
        return end if kept else start + len(body.rstrip()) + (1 if body.rstrip() != body else 0)

    def _line_end(self, index: int) -> int:
        """Return the index behind the line that holds the character before ``index``."""
        if index and self._text[index - 1] == "\n":
            return index
        newline = self._text.find("\n", index)
        return len(self._text) if newline < 0 else newline + 1

    def _step(self) -> int:
        """Return how far this file indents what is nested."""
        for _, value in self._root.value if isinstance(self._root, pyyaml.MappingNode) else ():
            nested = isinstance(value, pyyaml.MappingNode) and not value.flow_style
            if nested and value.value:
                return int(value.value[0][0].start_mark.column)
        return writing.STEP

    def _sections_are_spaced(self, pairs: Iterable[_Pair]) -> bool:
        """Whether this file sets its blocks off with blank lines."""
        starts = (p.key.start_mark.index for p in pairs if isinstance(p.value, pyyaml.MappingNode))
        return any(self._text[:start].endswith("\n\n") for start in starts)

    def _spliced(self, start: int, end: int, piece: str) -> str:
        after = self._text[end:]
        comment = _COMMENT.match(after)
        if comment and "\n" not in self._text[start:end]:
            # What stands below each other goes on doing so.
            room = len(comment[2]) + (end - start) - len(piece)
            after = comment[1] + " " * max(room, 2) + after[comment.end(2) :]
        return self._text[:start] + piece + after


def _nested(path: Path, value: yaml.Value) -> dict[str, yaml.Value]:
    key, *rest = path
    return {key: _nested(rest, value) if rest else value}


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _pair(mapping: pyyaml.MappingNode, key: str) -> _Pair | None:
    return next((_Pair(k, v) for k, v in mapping.value if k.value == key), None)


def _braces(pair: _Pair) -> bool | None:
    """Whether a pair's value stands in braces; None where it is no mapping."""
    return bool(pair.value.flow_style) if isinstance(pair.value, pyyaml.MappingNode) else None


def _holds_scalars(node: pyyaml.Node) -> bool:
    """Whether a node is a mapping with nothing nested: the kind that is written in braces."""
    return isinstance(node, pyyaml.MappingNode) and all(
        isinstance(each, pyyaml.ScalarNode) for _, each in node.value
    )


def _is_flat(value: yaml.Value) -> bool:
    return isinstance(value, Mapping) and not any(
        isinstance(each, Mapping | tuple) for each in value.values()
    )


def _is_block_scalar(node: pyyaml.Node) -> bool:
    return isinstance(node, pyyaml.ScalarNode) and node.style in {"|", ">"}


def _in_style(node: pyyaml.Node, value: yaml.Value) -> str:
    """Return a scalar written as the one before was: in the same quotes, where it was in any."""
    style = node.style if isinstance(node, pyyaml.ScalarNode) else None
    if not isinstance(value, str) or not value.isprintable():
        return writing.scalar(value)
    if style == "'":
        return "'" + value.replace("'", "''") + "'"
    return writing.quoted(value) if style == '"' else writing.scalar(value)


def _predecessor(pairs: list[_Pair], key: str, order: Sequence[str]) -> _Pair | None:
    """Return the pair that a new key comes after: by the usual order, else the last one."""
    if key not in order:
        return pairs[-1]
    before = set(order[: order.index(key)])
    places = [i for i, each in enumerate(pairs) if each.key.value in before]
    return pairs[places[-1]] if places else None
