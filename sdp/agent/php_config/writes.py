"""The writes that reach `$config`, in the order in which PHP runs them.

What is not recognised as a plain, unconditional write becomes a doubtful one: a form that nobody
thought of must end in a refusal, never in a wrong map.
"""

import re
import typing
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from tree_sitter import Node

from sdp.agent.php_config import strings
from sdp.agent.php_config.syntax import Php, inner
from sdp.agent.php_config.wording import describe, words

Path = tuple[str, ...]

# Statements without any of these cannot touch the map; skipping them halves the time.
_NOTABLE = re.compile(
    rb"config|define|const|include|require|return|goto|exit|die|throw|__halt_compiler"
    rb"|extract|eval|\$\s*[${]",
    re.IGNORECASE,
)
_TRANSPARENT = frozenset(
    {"program", "compound_statement", "expression_statement", "parenthesized_expression"}
)
_FUNCTIONS = frozenset(
    {
        "function_definition",
        "method_declaration",
        "anonymous_function",
        "arrow_function",
        "class_declaration",
    }
)
_INCLUDES = frozenset(
    {
        "include_expression",
        "include_once_expression",
        "require_expression",
        "require_once_expression",
    }
)
_ENDS = frozenset({"return_statement", "exit_statement", "goto_statement", "throw_expression"})
_JUMPS = frozenset({"return_statement", "goto_statement"})
_ENDING_CALLS = frozenset({b"exit", b"die", b"__halt_compiler"})
_MERGES = frozenset({b"array_merge", b"array_replace"})
_WRITING_CALLS = frozenset(
    {b"extract", b"eval", b"array_walk", b"array_walk_recursive", b"array_splice", b"settype"}
)


@dataclass(frozen=True)
class Scope:
    """Whether code at this place runs: always, perhaps, or with a `$config` of its own."""

    kind: typing.Literal["file", "branch", "function"]
    why: str = ""


@dataclass(frozen=True)
class Assign:
    """`$config[path] = right`; an empty path replaces the whole map."""

    path: Path
    right: Node
    at: int
    scope: Scope


@dataclass(frozen=True)
class Disturb:
    """Something that may change whatever is at `path` or below it."""

    path: Path
    what: str
    at: int
    scope: Scope


@dataclass(frozen=True)
class Constant:
    name: str
    at: int


Write = Assign | Disturb | Constant
_Step = tuple[Node, Scope] | Write


@dataclass(frozen=True)
class _Target:
    path: Path
    exact: bool


def writes(php: Php) -> list[Write]:
    """Every write of the file, nested ones first, in the order of execution."""
    found, cut = list[Write](), None
    walker = _Walker(php)
    steps: list[_Step] = [(php.root, Scope("file"))]
    while steps:
        step = steps.pop()
        if isinstance(step, Assign | Disturb | Constant):
            found.append(_after(cut, step))
            continue
        node, scope = step
        cut = cut or walker.end(node, scope)
        steps.extend(reversed(list(walker.steps(node, scope))))
    return found


def _after(cut: str | None, write: Write) -> Write:
    if cut is None or isinstance(write, Constant) or write.scope.kind != "file":
        return write
    return replace(write, scope=Scope("branch", cut))


class _Walker:
    def __init__(self, php: Php) -> None:
        self._php = php

    def end(self, node: Node, scope: Scope) -> str | None:
        """Why what follows may not run, if this node can end the file early.

        A conditional exit or throw is none: after it there is no gateway to ask.
        """
        if scope.kind == "function" or not self._ends(node):
            return None
        if scope.kind == "branch" and node.type not in _JUMPS:
            return None
        return f"after the {words(node)} on line {self._line(node)}"

    def _ends(self, node: Node) -> bool:
        if node.type == "function_call_expression":
            return self._called(node) in _ENDING_CALLS
        return node.type in _ENDS

    def steps(self, node: Node, scope: Scope) -> Iterator[_Step]:
        if node.child_count == 0 or not _NOTABLE.search(
            self._php.source, node.start_byte, node.end_byte
        ):
            return
        match node.type:
            case "assignment_expression":
                yield from self._assignment(node, scope)
            case "augmented_assignment_expression" | "reference_assignment_expression":
                yield from self._augmented(node, scope)
            case "unset_statement" | "update_expression" | "by_ref" | "global_declaration":
                yield from self._disturbed([node], words(node), node, scope)
            case "foreach_statement":
                yield from self._foreach(node, scope)
            case "function_call_expression":
                yield from self._call(node, scope)
            case "const_declaration":
                yield from self._constant([inner(element)[0] for element in inner(node)])
            case _:
                yield from self._inside(node, scope)

    def _inside(self, node: Node, scope: Scope) -> Iterator[_Step]:
        within = scope
        if node.type in _FUNCTIONS:
            within = Scope("function", f"inside a function on line {self._line(node)}")
        elif scope.kind == "file" and node.type not in _TRANSPARENT:
            within = Scope("branch", f"inside {words(node)} on line {self._line(node)}")
        yield from ((child, within) for child in node.named_children)
        if node.type in _INCLUDES:
            yield Disturb((), words(node), node.start_byte, scope)

    def _assignment(self, node: Node, scope: Scope) -> Iterator[_Step]:
        left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
        if left is None or right is None:
            return
        yield right, scope
        target = self._target(left)
        if left.type == "dynamic_variable_name":
            yield Disturb((), "a variable variable", node.start_byte, scope)
        elif target is None:
            yield from self._disturbed([left], "a destructuring assignment", node, scope)
        elif not target.exact:
            appends = not target.path and len(inner(left)) == 1
            if not appends:  # `$config[] = …` makes a number its key
                yield Disturb(target.path, "an entry with a computed key", node.start_byte, scope)
        elif target.path or right.type == "array_creation_expression":
            yield Assign(target.path, right, node.start_byte, scope)
            yield from self._elements(target.path, right, scope)
        else:
            yield from self._whole(right, node, scope)

    def _whole(self, right: Node, node: Node, scope: Scope) -> Iterator[_Step]:
        """`$config = …` that is no array: only a merge of itself with plain arrays is known."""
        arguments = [inner(item)[0] for item in self._arguments(right) if inner(item)]
        plain = all(item.type == "array_creation_expression" for item in arguments[1:])
        itself = arguments[:1] and self._target(arguments[0]) == _Target((), exact=True)
        if self._called(right) in _MERGES and itself and plain:
            for item in arguments[1:]:
                yield from self._elements((), item, scope)
        else:
            yield Disturb((), "$config = " + describe(self._php, right), node.start_byte, scope)

    def _elements(self, path: Path, array: Node, scope: Scope) -> Iterator[_Step]:
        if array.type != "array_creation_expression":
            return
        for element in inner(array):
            parts = inner(element)
            keyed = any(child.type == "=>" for child in element.children)
            key = strings.decode(self._php.bytes_of(parts[0])) if keyed else None
            if parts and parts[0].type == "variadic_unpacking":
                yield Disturb(path, "an unpacked array", element.start_byte, scope)
            elif keyed and key is None and parts[0].type != "integer":
                yield Disturb(path, "an entry with a computed key", element.start_byte, scope)
            elif key is not None and parts[-1].type == "by_ref":
                yield Disturb((*path, key), "a reference", element.start_byte, scope)
            elif key is not None:
                yield Assign((*path, key), parts[-1], element.start_byte, scope)
                yield from self._elements((*path, key), parts[-1], scope)

    def _augmented(self, node: Node, scope: Scope) -> Iterator[_Step]:
        left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
        operator = node.child_by_field_name("operator")
        if left is None or right is None:
            return
        yield right, scope
        sign = self._php.bytes_of(operator).decode() if operator else "=&"
        target = self._target(left)
        if sign == "+=" and target and target.exact and right.type == "array_creation_expression":
            why = f"added with += on line {self._line(node)}, which keeps an earlier value"
            unsure = scope if scope.kind == "function" else Scope("branch", why)
            yield from self._elements(target.path, right, unsure)
        else:
            yield from self._disturbed([left], f"the operator {sign}", node, scope)

    def _foreach(self, node: Node, scope: Scope) -> Iterator[_Step]:
        body = node.child_by_field_name("body")
        subject, *variables = [child for child in inner(node) if child != body]
        by_reference = any(b"&" in self._php.bytes_of(child) for child in variables)
        targets = [subject, *variables] if by_reference else variables
        yield from self._disturbed(targets, "a foreach", node, scope)
        yield from self._inside(node, scope)

    def _call(self, node: Node, scope: Scope) -> Iterator[_Step]:
        name = self._called(node)
        if name == b"define":
            yield from self._constant([inner(a)[0] for a in self._arguments(node)[:1] if inner(a)])
        yield from self._inside(node, scope)
        if name in {b"extract", b"eval"}:
            yield Disturb((), f"a call of {name.decode()}()", node.start_byte, scope)
        elif name in _WRITING_CALLS:
            yield from self._disturbed([node], f"a call of {name.decode()}()", node, scope)

    def _constant(self, names: list[Node]) -> Iterator[_Step]:
        for node in names:
            text = self._php.bytes_of(node)
            name = text.decode(errors="replace") if node.type == "name" else strings.decode(text)
            if name is not None:
                yield Constant(name, node.start_byte)

    def _disturbed(
        self, within: Iterable[Node], what: str, at: Node, scope: Scope
    ) -> Iterator[_Step]:
        pending = list(within)
        while pending:
            node = pending.pop()
            target = self._target(node)
            if target is None:
                pending.extend(reversed(node.named_children))
            else:
                yield Disturb(target.path, what, at.start_byte, scope)

    def _target(self, node: Node) -> _Target | None:
        """The part of `$config` that an expression stands for, if any."""
        keys = list[str | None]()
        while node.type == "subscript_expression":
            base, *index = inner(node)
            text = self._php.bytes_of(index[0]) if index else b""
            integer = bool(index) and index[0].type == "integer"
            keys.append(text.decode() if integer else strings.decode(text))
            node = base
        if self._php.bytes_of(node) != b"$config":
            return None
        keys.reverse()
        known = keys[: keys.index(None)] if None in keys else keys
        return _Target(tuple(key for key in known if key is not None), exact=None not in keys)

    def _called(self, node: Node) -> bytes:
        function = node.child_by_field_name("function")
        return self._php.bytes_of(function).lower().lstrip(b"\\") if function else b""

    def _arguments(self, node: Node) -> list[Node]:
        arguments = node.child_by_field_name("arguments")
        return inner(arguments) if arguments else []

    def _line(self, node: Node) -> int:
        return self._php.place(node.start_byte)[0]
