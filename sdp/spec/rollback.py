"""Rollback: a sandbox's file edited to pin what it ran. Pure.

What a pin is about is replaced, key by key; every other byte of the file stays. What the layers
below would say in place of something that was not there is removed by ``null``.
"""

from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from sdp.spec import yaml
from sdp.spec.edit import document, remove, set_value
from sdp.spec.finding import Files, order
from sdp.spec.load import tree_of
from sdp.spec.models import TARGET_KEYS, Body, PinnedGateway, PinnedService, Pins
from sdp.spec.resolve import Resolved, resolve

_ENVIRONMENTS = ("environment", "environment_revision")


def pinned(files: Files, path: str, pins: Pins) -> str:
    """Return a sandbox's file that says what was pinned.

    Args:
        files: all specs of a commit.
        path: the sandbox's file.
        pins: what it is to run.

    Raises:
        CannotEditError: the file does not load.
    """
    resolved = resolve(path, tree_of(files))
    body = resolved.body if isinstance(resolved, Resolved) else Body()
    text = _target(files[path], ("gateway",), pins.gateway, {})
    for name, pin in sorted(pins.services.items()):
        below = (body.services or {}).get(name)
        own = below is not None and below.environment is not None
        text = _target(text, ("services", name), pin, {"environment": None} if own else {})
    for key in _ENVIRONMENTS:
        value: str | None = getattr(pins, key)
        if value is not None or getattr(body, key) is not None:
            text = set_value(text, (key,), value, order("sandbox"))
        else:
            text = remove(text, (key,))
    return text


def values(pins: Pins) -> dict[str, JsonValue]:
    """Return what a new sandbox that runs the same would say."""
    said: dict[str, JsonValue] = pins.model_dump(mode="json", exclude_none=True)
    return {key: said[key] for key in (*_ENVIRONMENTS, "gateway", "services") if key in said}


def _target(
    text: str,
    place: Sequence[str],
    pin: PinnedGateway | PinnedService,
    removed: Mapping[str, yaml.Value],
) -> str:
    """Return the file with another target at a place; its ports, limits and health stay."""
    held: yaml.Value = document(text)
    for key in place:
        held = held.get(key) if isinstance(held, Mapping) else None
    own = {*TARGET_KEYS, "environment"}
    kept = held.items() if isinstance(held, Mapping) else ()
    said: dict[str, yaml.Value] = pin.model_dump(exclude_none=True)
    said = {**removed, **said, **{key: value for key, value in kept if key not in own}}
    return set_value(text, place, said, order("sandbox"))
