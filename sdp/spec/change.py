"""Change: edits applied to the files of a config repo. Pure; committing is the reconciler's.

A change is right or refused as a whole: what it leaves must load at least as well as before.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias, assert_never

import pydantic

from sdp.spec import load, rollback, writing, yaml
from sdp.spec.edit import CannotEditError, document, remove, set_value
from sdp.spec.edits import (
    AnyEdit,
    Clone,
    Create,
    Delete,
    Extend,
    Rollback,
    Route,
    Set,
    Switch,
    Unset,
    Write,
)
from sdp.spec.extend import extend
from sdp.spec.finding import FOLDERS, MODELS, CannotChangeError, Files, find, new_path, order
from sdp.spec.load import Cache, is_spec, tree_of
from sdp.spec.models import TARGET_KEYS, Snapshot
from sdp.spec.resolve import Resolved, problems, resolve
from sdp.spec.switch import switch
from sdp.spec.tree import Problem

__all__ = ["CannotChangeError", "Changed", "Files", "Past", "change"]

Past: TypeAlias = Callable[[str], Iterable[str]]
"""A path → the contents that it had before, newest first."""

MAX_SHOWN: Final = 60
_NULLS: Final = frozenset({"null", "Null", "NULL", "~"})


@dataclasses.dataclass(frozen=True, slots=True)
class Changed:
    """What a change makes of the files.

    Attributes:
        files: path → new content, of what differs; None removes the file.
        subject: what was done, in a line.
        lines: the same, a line for each edit.
        trailer: what the commit's message says to the platform; worth a commit without files.
    """

    files: Mapping[str, str | None]
    subject: str
    lines: tuple[str, ...] = ()
    trailer: str = ""


def change(
    files: Files,
    edits: Sequence[AnyEdit],
    past: Past = lambda _: (),
    environments: load.Past | None = None,
) -> Changed:
    """Return what edits, one after the other, make of the files.

    Args:
        files: all specs of a commit.
        edits: at least one.
        past: asked for the branch that a sandbox ran before.
        environments: looks up those that a sandbox wants as they stood at a commit.

    Raises:
        CannotChangeError: one can't be made, or specs would no longer load.
    """
    now: dict[str, str] = dict(files)
    lines: list[str] = []
    for edit in edits:
        try:
            made, line = _apply(now, edit, past)
        except CannotEditError as error:
            raise CannotChangeError(str(error), "edit the file by hand") from error
        now = {path: text for path, text in {**now, **made}.items() if text is not None}
        lines.append(line)
    _refuse_worse(files, now, environments)
    differs = {
        path: now.get(path)
        for path in sorted(files.keys() | now.keys())
        if files.get(path) != now.get(path)
    }
    return Changed(differs, _subject(edits, lines), tuple(lines))


def _subject(edits: Sequence[AnyEdit], lines: Sequence[str]) -> str:
    """Return one line for all edits; how a new spec is filled in is part of making it."""
    first, *rest = edits
    if isinstance(first, Create | Clone):
        about = (first.kind, first.name)
        rest = [e for e in rest if not isinstance(e, Set) or (e.kind, e.name) != about]
    return f"{lines[0]}, and {len(rest)} more" if rest else lines[0]


def _apply(  # noqa: C901, PLR0911 -- a kind each
    files: Files, edit: AnyEdit, past: Past
) -> tuple[Mapping[str, str | None], str]:
    match edit:
        case Create():
            return _create(files, edit)
        case Clone():
            return _clone(files, edit)
        case Set():
            path, text = _named(files, edit)
            value = _value(edit, text)
            said = f"Set {'.'.join(edit.path)} of {edit.name} to {_short(value)}"
            return {path: set_value(text, edit.path, value, order(edit.kind))}, said
        case Unset():
            path, text = _named(files, edit)
            return {path: _unset(text, edit)}, f"Unset {'.'.join(edit.path)} of {edit.name}"
        case Delete():
            path, _ = find(files, edit.kind, edit.name)
            return {path: None}, f"Delete {edit.kind} {edit.name}"
        case Route():
            return _route(files, edit, past)
        case Switch():
            return switch(files, edit)
        case Rollback():
            return _rollback(files, edit)
        case Extend():
            return extend(files, edit)
        case Write():
            return _write(files, edit)
        case _:
            assert_never(edit)


def _named(files: Files, edit: Set | Unset) -> tuple[str, str]:
    """Return the file that an edit of a key is about."""
    if edit.path == (edit.kind,):
        raise CannotChangeError(
            f"the name of a {edit.kind} can't be changed: that would be another {edit.kind}",
            "make one of the new name, such as with sdp clone, and delete this one",
        )
    return find(files, edit.kind, edit.name)


def _create(files: Files, edit: Create) -> tuple[Mapping[str, str | None], str]:
    path = new_path(files, edit.kind, edit.name)
    head: dict[str, yaml.Value] = {edit.kind: edit.name}
    if edit.template is not None:
        head["template"] = edit.template
    text = "".join(f"{line}\n" for line in writing.mapping(head))
    pins = rollback.values(_snapshot(files, edit.snapshot)) if edit.snapshot else {}
    for key, value in {**pins, **edit.values}.items():
        text = set_value(text, [key], _frozen(value), order(edit.kind))
    if edit.kind == "snapshot":
        return {path: text}, f"Take snapshot {edit.name} of {edit.values.get('sandbox')}"
    start = f" from template {edit.template}" if edit.template else ""
    start += f" from snapshot {edit.snapshot}" if edit.snapshot else ""
    return {path: text}, f"Create {edit.kind} {edit.name}{start}"


def _snapshot(files: Files, name: str) -> Snapshot:
    path, text = find(files, "snapshot", name)
    try:
        return Snapshot.model_validate(document(text))
    except pydantic.ValidationError as error:
        message = f"snapshot {name} does not load: see {path}"
        raise CannotChangeError(message, "correct it: sdp validate") from error


def _rollback(files: Files, edit: Rollback) -> tuple[Mapping[str, str | None], str]:
    path, _ = find(files, "sandbox", edit.sandbox)
    text = edit.text if edit.pins is None else rollback.pinned(files, path, edit.pins)
    return {path: text}, f"Roll {edit.sandbox} back to {edit.to}"


def _clone(files: Files, edit: Clone) -> tuple[Mapping[str, str | None], str]:
    _, text = find(files, edit.kind, edit.source)
    path = new_path(files, edit.kind, edit.name)
    text = set_value(text, [edit.kind], edit.name)
    held = document(text)
    for key in (*_ports(held), *(_life(held) if edit.kind == "sandbox" else ())):
        text = remove(text, key)
    return {path: text}, f"Clone {edit.kind} {edit.source} as {edit.name}"


def _ports(held: Mapping[str, yaml.Value]) -> Iterator[list[str]]:
    """Yield the paths of pinned ports: two sandboxes can't have the same."""
    services = held.get("services")
    places = [["gateway"]]
    places += [["services", each] for each in services] if isinstance(services, Mapping) else []
    yield from ([*place, "port"] for place in places)


def _life(held: Mapping[str, yaml.Value]) -> Iterator[list[str]]:
    """Yield the paths of what people said of that one sandbox's life: a clone is awake, and new."""
    lifecycle, services = held.get("lifecycle"), held.get("services")
    said = lifecycle if isinstance(lifecycle, Mapping) else {}
    for key, value in said.items():
        if key == "keep_until" or (key in {"suspended", "protect"} and value is True):
            yield ["lifecycle", key]
    for name, target in services.items() if isinstance(services, Mapping) else ():
        if isinstance(target, Mapping) and target.get("suspended") is True:
            yield ["services", name, "suspended"]


def _value(edit: Set, text: str) -> yaml.Value:
    """Return the value to set: of a text, what the key's type makes of it."""
    if edit.text is None:
        return _frozen(edit.value)
    typed = _typed(edit.text)
    if isinstance(typed, str) or not _refuses(edit, text, typed):
        return typed
    # A list or keys are refused for what is in them; of a scalar, the text as it was typed.
    worse = isinstance(typed, tuple | Mapping) and _refuses(edit, text, edit.text)
    return typed if worse else edit.text


def _typed(text: str) -> yaml.Value:
    """Return what YAML makes of a text where that is all of it; else the text itself."""
    parsed, faults = yaml.parse(text.encode())
    value = text if parsed is None or faults else parsed.value
    match value:
        case None if text.strip() not in _NULLS:
            return text  # nothing at all, or a comment
        case str() if "#" in text and value not in {text, text.strip()[1:-1]}:
            return text  # what follows would be a comment
        case float() if not math.isfinite(value):
            return text  # such as the commit 12e4567
        case _:
            return value


def _refuses(edit: Set, text: str, value: yaml.Value) -> bool:
    """Whether the model refuses a value at its place."""
    read = document(set_value(text, edit.path, value))
    try:
        MODELS[edit.kind].model_validate(read)
    except pydantic.ValidationError as error:
        return any(each["loc"][: len(edit.path)] == edit.path for each in error.errors())
    return False


def _unset(text: str, edit: Unset) -> str:
    after = remove(text, edit.path)
    if after == text:
        raise CannotChangeError(
            f"{edit.name} does not say {'.'.join(edit.path)} itself",
            f"see where it comes from: sdp render {edit.name}",
        )
    return after


def _route(files: Files, edit: Route, past: Past) -> tuple[Mapping[str, str | None], str]:
    path, text = find(files, "sandbox", edit.sandbox)
    target: dict[str, yaml.Value]
    match edit.to:
        case "ocp":
            target = {"use_ocp": True}
        case "sandbox":
            branch = edit.branch or _branch(files, path, edit, past)
            target = {"branch": branch} if branch else {}
        case url:
            target = {"url": url}
    place = ("services", edit.service)
    services = document(text).get("services")
    entry = services.get(edit.service) if isinstance(services, Mapping) else None
    kept = entry.items() if isinstance(entry, Mapping) else ()
    target |= {key: value for key, value in kept if key not in TARGET_KEYS}
    text = set_value(text, place, target, order("sandbox")) if target else remove(text, place)
    return {path: text}, f"Route {edit.service} of {edit.sandbox} to {edit.branch or edit.to}"


def _branch(files: Files, path: str, edit: Route, past: Past) -> str | None:
    """Return the branch to write; None: what lies below the file gives one already."""
    bare = remove(files[path], ("services", edit.service))
    resolved = resolve(path, tree_of({**files, path: bare}))
    below = resolved.body.services if isinstance(resolved, Resolved) else None
    target = (below or {}).get(edit.service)
    if target is not None and (target.branch or target.commit):
        return None
    for text in past(path):
        if (branch := _ran(text, edit.service)) is not None:
            return branch
    raise CannotChangeError(
        f"nobody knows which branch of {edit.service} {edit.sandbox} should run",
        f"name it: sdp route {edit.sandbox} {edit.service} --to sandbox --branch BRANCH",
    )


def _ran(text: str, service: str) -> str | None:
    parsed, _ = yaml.parse(text.encode(errors="surrogateescape"))
    node: yaml.Value = parsed.value if parsed else None
    for key in ("services", service, "branch"):
        node = node.get(key) if isinstance(node, Mapping) else None
    return node if isinstance(node, str) else None


def _write(files: Files, edit: Write) -> tuple[Mapping[str, str | None], str]:
    if not is_spec(edit.path):
        raise CannotChangeError(
            f"{edit.path} is no spec",
            f"write platform.yaml, or a .yaml file in {', '.join(FOLDERS.values())}",
        )
    if edit.text is None and edit.path not in files:
        raise CannotChangeError(f"there is no {edit.path}", "look at the files: git ls-files")
    verb = "Remove" if edit.text is None else "Edit" if edit.path in files else "Add"
    return {edit.path: edit.text}, f"{verb} {edit.path}"


def _refuse_worse(before: Files, after: Files, past: load.Past | None) -> None:
    """Refuse what would not load: errors that were there before are somebody else's."""
    cache = Cache()
    known = {(each.path, each.message) for each in _errors(before, cache, past)}
    new = tuple(e for e in _errors(after, cache, past) if (e.path, e.message) not in known)
    if new:
        raise CannotChangeError(
            "\n".join(("the specs would no longer load:", *(f"  {each}" for each in new))),
            "give another value or name; no file was changed",
            new,
        )


def _errors(files: Files, cache: Cache, past: load.Past | None) -> list[Problem]:
    return [each for each in problems(tree_of(files, cache, past)) if each.severity == "error"]


def _short(value: yaml.Value) -> str:
    text = writing.flow(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


def _frozen(value: pydantic.JsonValue) -> yaml.Value:
    match value:
        case dict():
            return {key: _frozen(each) for key, each in value.items()}
        case list():
            return tuple(_frozen(each) for each in value)
        case _:
            return value
