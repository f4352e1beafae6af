"""One parsed PHP file: its nodes, their bytes and places. The only module to call the parser."""

import re
from bisect import bisect_right
from collections.abc import Iterator

import tree_sitter
import tree_sitter_php

_LANGUAGE = tree_sitter.Language(tree_sitter_php.language_php())

# PHP lexes bytes: everything from 0x80 is a letter to it, and a lone CR ends a line. tree-sitter
# lexes UTF-8, takes a no-break space for white space, and runs a comment over the CR. So it is
# shown a copy of the same length that both read alike; no keyword of PHP has a Q.
_SHADOW = bytes.maketrans(b"\r" + bytes(range(0x80, 0x100)), b"\n" + b"Q" * 0x80)
_SHORT_TAG = re.compile(rb"<\?(?!php|=)", re.IGNORECASE)
_LINE_END = re.compile(rb"\r\n|\r|\n")

Token = tuple[str, bytes]


class Php:
    """`source` parsed. Lines end as PHP ends them: CRLF, LF or a lone CR."""

    def __init__(self, source: bytes) -> None:
        self.source = source
        self.tree = tree_sitter.Parser(_LANGUAGE).parse(source.translate(_SHADOW))
        self._lines = [0, *(end.end() for end in _LINE_END.finditer(source))]

    @property
    def root(self) -> tree_sitter.Node:
        return self.tree.root_node

    def bytes_of(self, node: tree_sitter.Node) -> bytes:
        return self.source[node.start_byte : node.end_byte]

    def place(self, offset: int) -> tuple[int, int]:
        """Line and column of a byte, both from 1."""
        line = bisect_right(self._lines, offset)
        return line, offset - self._lines[line - 1] + 1

    def faults(self) -> Iterator[tuple[int, str]]:
        """Where the parser had to guess, or PHP's own settings decide what is code."""
        if self.root.has_error:
            node = self.root
            while not (node.is_error or node.is_missing):
                node = next(c for c in node.children if c.has_error or c.is_missing)
            what = "a missing piece" if node.is_missing else "what is no PHP (a conflict marker?)"
            yield node.start_byte, f"the parser stumbled over {what}"
        for node in self._tags():
            yield node.start_byte, "whether <? starts PHP depends on short_open_tag"

    def _tags(self) -> Iterator[tree_sitter.Node]:
        if not _SHORT_TAG.search(self.source):
            return
        pending = [self.root]
        while pending:
            node = pending.pop()
            pending.extend(reversed(node.children))
            if node.type == "php_tag" and self.bytes_of(node) == b"<?":
                yield node

    def tokens(self, apart_from: list[tuple[int, int]]) -> list[Token]:
        """All tokens in order, without those inside the ascending spans of `apart_from`."""
        cursor, found, spans = self.tree.walk(), list[Token](), iter([*apart_from, _NOWHERE])
        start, end = next(spans)
        while True:
            node = cursor.node
            if node is None:  # pragma: no cover - a cursor over a tree always has a node
                return found
            first, last = node.start_byte, node.end_byte
            while first >= end:
                start, end = next(spans)
            inside = start <= first and last <= end
            if not inside and node.type not in _ATOMS and cursor.goto_first_child():
                continue
            if not inside:
                found.append((node.type, self.source[first:last]))
            while not cursor.goto_next_sibling():
                if not cursor.goto_parent():
                    return found


# Their opening quotes are no nodes when a `b` stands before them.
_ATOMS = frozenset({"string", "encapsed_string"})
_NOWHERE = (1 << 62, 1 << 62)


def inner(node: tree_sitter.Node) -> list[tree_sitter.Node]:
    """The named children that are no comments."""
    return [child for child in node.named_children if not child.is_extra]
