"""The reference page of the specs, rendered from the models and the annotated examples.

Pure: the examples' texts are given. ``sdp schema --reference`` prints the page.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from sdp.spec import explain
from sdp.spec.forms import Form
from sdp.spec.models import Model
from sdp.spec.schema import KINDS, PATTERNS

_INTRODUCTION = """\
# The specs, key by key

Generated from the models by `sdp schema --reference`; do not edit. The examples are the files at
the root of this repository, and tests load each of them.

Unknown keys are errors. In a sandbox, in a template and in the platform's defaults, `null`
removes what a layer below gives: the platform's defaults, then the template, then the sandbox,
each key by key. What has no default may be left out. A service's target of another kind (a branch or commit, `use_ocp`, `url`) takes
the place of the one below; a branch also drops a commit from below.

Texts that look like numbers, `true`, `false` or `null` need quotes. `NO`, `0644` and `22:22` are
texts. Durations are `30s`, `10m`, `12h`, `14d`; memory is `512MB` or `1GB`, counted in powers of
1,024; cores are `1`, `0.5` or `500m`.
"""


def page(examples: Mapping[str, str]) -> str:
    """Return the page as Markdown; the examples are texts by path."""
    models = _reachable()
    parts = [_INTRODUCTION]
    for kind, model in KINDS.items():
        parts.append(f"## {kind.capitalize()}\n\n`{PATTERNS[kind]}`\n\n{_table(model)}")
        folder = PATTERNS[kind].split("/", maxsplit=1)[0]
        parts += [
            f"Example: `{path}`\n\n```yaml\n{text.rstrip()}\n```\n"
            for path, text in sorted(examples.items())
            if path == folder or path.startswith(f"{folder}/")
        ]
    parts += [f"## {name}\n\n{_table(model)}" for name, model in models.items()]
    return "\n".join(parts)


def _reachable() -> Mapping[str, type[Model]]:
    """Return the models inside the kinds, in the order in which a reader meets them."""
    found: dict[str, type[Model]] = {}
    queue: list[type[Model]] = list(KINDS.values())
    for model in queue:
        for field in model.model_fields.values():
            for inner in _models(field.annotation):
                if inner.__name__ not in found:
                    found[inner.__name__] = inner
                    queue.append(inner)
    return found


def _models(kind: object) -> Iterator[type[Model]]:
    for each in explain.alternatives(kind):
        if explain.is_model(each):
            yield each
        for inner in get_args(each):
            yield from _models(inner)


def _table(model: type[Model]) -> str:
    rows = [
        f"| `{key}` | {_words_of(field)} | {_default(field)} | {field.description or ''} |"
        for key, field in sorted(
            model.model_fields.items(), key=lambda item: not item[1].is_required()
        )
    ]
    about = (model.__doc__ or "").strip()
    return "\n".join(
        [about, "", "| key | value | default | |", "| --- | --- | --- | --- |", *rows, ""]
    )


def _words_of(field: FieldInfo) -> str:
    for form in field.metadata:
        if isinstance(form, Form):
            return form.words
    bounds = _bounds(field.metadata)
    return f"{_words(field.annotation)}{bounds}"


def _words(kind: object) -> str:
    if get_origin(kind) is Annotated:
        plain, *metadata = get_args(kind)
        forms = [each.words for each in metadata if isinstance(each, Form)]
        inner = [bound for each in metadata for bound in getattr(each, "metadata", [each])]
        return forms[0] if forms else f"{_words(plain)}{_bounds(inner)}"
    members = get_args(kind)
    match get_origin(kind):
        case origin if origin is Literal:
            return " or ".join(f"`{each}`" for each in members)
        case origin if origin is dict:
            return f"mapping: {_words(members[0])} → {_words(members[1])}"
        case origin if origin is tuple:
            return f"list: {_words(members[0])}"
        case None:
            return _simple(kind)
        case _:
            return " or ".join(_words(each) for each in members if each is not type(None))


def _simple(kind: object) -> str:
    if explain.is_model(kind):
        return f"[{kind.__name__}](#{kind.__name__.lower()})"
    words = {str: "text", bool: "`true` or `false`", int: "whole number"}
    return words[kind] if isinstance(kind, type) else str(kind)


def _bounds(metadata: list[object]) -> str:
    low = [getattr(each, "ge", None) for each in metadata if hasattr(each, "ge")]
    high = [getattr(each, "le", None) for each in metadata if hasattr(each, "le")]
    return f", {low[0]} to {high[0]}" if low and high else ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value: object = field.get_default(call_default_factory=True, validated_data={})
    if value is None or value in ((), {}):
        return ""
    return f"`{_flow(value)}`"


def _flow(value: object) -> str:
    """Return a value in one line of YAML."""
    match value:
        case BaseModel():
            return _flow(value.model_dump(exclude_none=True))
        case dict():
            return "{" + ", ".join(f"{key}: {_flow(inner)}" for key, inner in value.items()) + "}"
        case str() if value and all(each.isalnum() or each in "/._-{}" for each in value):
            return value if not value[0].isdigit() or value[-1].isalpha() else json.dumps(value)
        case _:
            return json.dumps(value)
