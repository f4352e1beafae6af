"""JSON Schemas of the specs, for editors; generated from the models, never written by hand."""

import types
from collections.abc import Mapping
from typing import Final

from sdp.spec.models import Environment, Model, Platform, Sandbox, Snapshot, Template

KINDS: Final[Mapping[str, type[Model]]] = types.MappingProxyType(
    {
        "platform": Platform,
        "sandbox": Sandbox,
        "template": Template,
        "environment": Environment,
        "snapshot": Snapshot,
    }
)

PATTERNS: Final[Mapping[str, str]] = types.MappingProxyType(
    {
        "platform": "platform.yaml",
        "sandbox": "sandboxes/**/*.yaml",
        "template": "templates/**/*.yaml",
        "environment": "environments/**/*.yaml",
        "snapshot": "snapshots/**/*.yaml",
    }
)
"""Which files an editor checks against which kind."""

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema(kind: str) -> dict[str, object]:
    """Return the JSON Schema of one of ``KINDS``."""
    model = KINDS[kind]
    generated = {key: _closed(part) for key, part in model.model_json_schema().items()}
    return {"$schema": DIALECT, **generated, "title": f"SDP {kind}"}


def _closed(part: object) -> object:
    """Return the schema with names refused that do not match a mapping's pattern of names.

    Pydantic writes the pattern alone, under which an editor takes any other name as well.
    """
    match part:
        case dict():
            inner = {key: _closed(value) for key, value in part.items()}
            return (
                inner | {"additionalProperties": False} if "patternProperties" in part else inner
            )
        case list():
            return [_closed(each) for each in part]
        case _:
            return part
