"""A model's validation errors in people's words: what was found, what was expected, and where.

Knows pydantic's error types and the models' fields; reads no files.
"""

import difflib
import json
import re
import types
from collections.abc import Collection, Iterator
from typing import Annotated, Union, get_args, get_origin

import pydantic
from pydantic_core import ErrorDetails
from typing_extensions import TypeIs

from sdp.spec import yaml
from sdp.spec.models import Model

MAX_SHOWN = 60
_KEY = "[key]"
_WANTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "keys and values",
    "model_type": "keys and values",
    "model_attributes_type": "keys and values",
}


def faults(
    error: pydantic.ValidationError, document: yaml.Document, model: type[Model]
) -> tuple[yaml.Fault, ...]:
    """Return what is wrong with the document that the model refused."""
    details = error.errors(include_url=False)
    return tuple(yaml.Fault(_where(each, document), message(each, model)) for each in details)


def message(error: ErrorDetails, model: type[Model]) -> str:
    """Return one error in words; the model is the one that was validated."""
    kind, loc, found = error["type"], error["loc"], error["input"]
    match kind:
        case "extra_forbidden":
            text = unknown(f"key {shown(str(loc[-1]))}", str(loc[-1]), _keys_at(model, loc[:-1]))
        case "missing":
            text = f"missing key '{loc[-1]}': {_described(model, loc)}"
        case "value_error":
            text = _refused(str(error["ctx"]["error"]), found, loc)
        case "literal_error":
            text = _not_listed(found, str(error["ctx"]["expected"]))
        case "greater_than_equal":
            text = f"found {found}, expected at least {error['ctx']['ge']}"
        case "less_than_equal":
            text = f"found {found}, expected at most {error['ctx']['le']}"
        case "too_short":
            return "found an empty list, expected at least one"
        case _:
            wanted = _WANTED.get(kind, error["msg"])
            text = f"found {_shown_at(found, loc)}, expected {wanted}{_hint(kind, found)}"
    return text


def unknown(what: str, name: str, known: Collection[str]) -> str:
    """Return that a name is unknown, with the nearest known one or all of them."""
    nearest = _nearest(name, known)
    if nearest:
        return f"unknown {what}; did you mean '{nearest}'?"
    listed = ", ".join(sorted(known)[:20])
    return (
        f"unknown {what}; expected one of {listed}" if listed else f"unknown {what}; there is none"
    )


def shown(found: object) -> str:
    """Return a value as a message may show it: short, printable, without credentials or keys."""
    match found:
        case None:
            return "nothing"
        case bool() | int() | float():
            return json.dumps(found)
        case str():
            text = re.sub(r"//[^/@\s]*@", "//***@", found)
            text = re.sub(r"(?i)AGE-SECRET-KEY-\S+", "AGE-SECRET-KEY-***", text)
            cut = text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"
            return repr(cut)
        case tuple() | list():
            return "a list"
        case _:
            return "keys and values"


def _shown_at(found: object, loc: yaml.Loc) -> str:
    # What stands under secrets, or in a file, is not repeated, whatever is wrong with it.
    if isinstance(found, str | int | float):
        if "secrets" in loc:
            return "a secret that is no text"
        if loc[:1] == ("files",) and loc[-1] != _KEY:
            return "a content that is no text"
    return shown(found)


def _refused(reason: str, found: object, loc: yaml.Loc) -> str:
    if isinstance(found, dict) or not reason.startswith("expected"):
        return reason
    return f"found {_shown_at(found, loc)}, {reason}"


def _not_listed(found: object, expected: str) -> str:
    nearest = _nearest(str(found), re.findall(r"'([^']*)'", expected))
    meant = f"; did you mean '{nearest}'?" if nearest else ""
    return f"found {shown(found)}, expected {expected}{meant}"


def _hint(kind: str, found: object) -> str:
    match kind, found:
        case "string_type", bool() | int() | float():
            return "; put it in quotes"
        case "int_type", str() if re.fullmatch(r"0[0-9]+", found):
            return f"; write {int(found)}, without leading zeros" if len(found) < MAX_SHOWN else ""
        case "int_type", str() if re.fullmatch(r"[0-9]{1,20}", found):
            return "; remove the quotes"
        case "bool_type", str() if found.lower() in {"yes", "on", "y", "true"}:
            return "; did you mean true?"
        case "bool_type", str() if found.lower() in {"no", "off", "n", "false"}:
            return "; did you mean false?"
        case _:
            return ""


def _nearest(name: str, known: Collection[str]) -> str | None:
    by_lower = {each.lower(): each for each in sorted(known)}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return by_lower[close[0]] if close else None


def _where(error: ErrorDetails, document: yaml.Document) -> yaml.Position:
    loc = error["loc"]
    if error["type"] == "missing":
        return document.key_at(loc[:-1])
    if loc and loc[-1] == _KEY:
        return document.key_at(loc[:-1])
    if error["type"] == "extra_forbidden" or isinstance(error["input"], dict | tuple | None):
        return document.key_at(loc)
    return document.value_at(loc)


def _keys_at(model: type[Model], loc: yaml.Loc) -> Collection[str]:
    found = model_at(model, loc)
    return list(found.model_fields) if found else ()


def _described(model: type[Model], loc: yaml.Loc) -> str:
    parent = model_at(model, loc[:-1])
    text = parent.model_fields[str(loc[-1])].description if parent else None
    return (text or "required").rstrip(".").replace("\n", " ")


def model_at(model: type[Model], loc: yaml.Loc) -> type[Model] | None:
    """Return the model of the value at a path of keys and indices, if it has one."""
    kind: object = model
    for part in loc:
        kind = next(_inside(kind, part), None)
    return next((each for each in alternatives(kind) if is_model(each)), None)


def is_model(kind: object) -> TypeIs[type[Model]]:
    """Tell whether an annotation is a model."""
    return isinstance(kind, type) and issubclass(kind, Model)


def alternatives(kind: object) -> Iterator[object]:
    """Yield the members of a union, or the annotation itself, without ``Annotated``."""
    if get_origin(kind) is Annotated:
        yield from alternatives(get_args(kind)[0])
    elif get_origin(kind) in (Union, types.UnionType):
        for each in get_args(kind):
            yield from alternatives(each)
    else:
        yield kind


def _inside(kind: object, part: str | int) -> Iterator[object]:
    for each in alternatives(kind):
        if is_model(each):
            if part in each.model_fields:
                yield each.model_fields[str(part)].annotation
        elif get_origin(each) is dict:
            yield get_args(each)[1]
        elif get_origin(each) is tuple:
            yield get_args(each)[0]
