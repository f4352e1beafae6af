"""JSON Schemas of the specs, for editors; generated from the models, never written by hand."""

import types
from collections.abc import Mapping
from typing import Final

from sdp.spec.models import Environment, Model, Platform, Sandbox, Template

KINDS: Final[Mapping[str, type[Model]]] = types.MappingProxyType(
    {
        "platform": Platform,
        "sandbox": Sandbox,
        "template": Template,
        "environment": Environment,
    }
)

PATTERNS: Final[Mapping[str, str]] = types.MappingProxyType(
    {
        "platform": "platform.yaml",
        "sandbox": "sandboxes/**/*.yaml",
        "template": "templates/**/*.yaml",
        "environment": "environments/**/*.yaml",
    }
)
"""Which files an editor checks against which kind."""

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema(kind: str) -> dict[str, object]:
    """Return the JSON Schema of one of ``KINDS``."""
    model = KINDS[kind]
    generated = model.model_json_schema()
    return {"$schema": DIALECT, **generated, "title": f"SDP {kind}"}
