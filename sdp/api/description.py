"""The OpenAPI document, as answers really are: every failure is a problem document.

The framework would describe failures as plain JSON, and its own form of them where input is
invalid.
"""

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from sdp.api.problems import MEDIA_TYPE, ProblemDocument

_SCHEMA = {"schema": {"$ref": f"#/components/schemas/{ProblemDocument.__name__}"}}
EVENTS = "text/event-stream"
_OTHER_EVENTS = {
    "title": "What ping, resync, note, container and end say",
    "type": "object",
    "properties": {
        name: {"type": "string"} for name in ("reason", "message", "container", "node")
    },
    "additionalProperties": False,
}
_THEIRS = ("HTTPValidationError", "ValidationError")


def describe(app: FastAPI) -> dict[str, object]:
    """Return an app's document."""
    document: dict[str, object] = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    for operations in _mapping(document["paths"]).values():
        for operation in _mapping(operations).values():
            responses = _mapping(_mapping(operation)["responses"])
            _mend(responses)
            if _mapping(operation).get("tags") == ["streams"]:
                _stream(_mapping(responses["200"]))
    schemas = _mapping(_mapping(document["components"])["schemas"])
    for name in _THEIRS:
        schemas.pop(name, None)
    return document


def _mend(responses: dict[str, object]) -> None:
    if "4XX" in responses:
        responses.pop("422", None)
    for code in ("4XX", "5XX"):
        if code in responses:
            _mapping(responses[code])["content"] = {MEDIA_TYPE: _SCHEMA}


def _stream(response: dict[str, object]) -> None:
    """Say what each event is; of those without a name of their own the data is the model's."""
    model = _mapping(_mapping(response["content"])["application/json"])["schema"]
    said = {"anyOf": [model, _OTHER_EVENTS]}
    data = {"type": "string", "contentMediaType": "application/json", "contentSchema": said}
    fields = {"id": {"type": "string"}, "event": {"type": "string"}, "data": data}
    response["content"] = {EVENTS: {"itemSchema": {"type": "object", "properties": fields}}}


def _mapping(value: object) -> dict[str, object]:
    assert isinstance(value, dict)  # noqa: S101 -- the document's form
    return value
