"""Switch: turn on or off what a sandbox, or one service of it, is meant to be. Pure.

Says as little as is needed in the sandbox's own file, and nothing where it is so already.
"""

from collections.abc import Mapping
from typing import Final

from sdp.spec import explain
from sdp.spec.edit import remove, set_value
from sdp.spec.edits import Switch
from sdp.spec.finding import CannotChangeError, Files, find, order
from sdp.spec.load import tree_of
from sdp.spec.models import Body, ServiceTarget
from sdp.spec.names import GATEWAY
from sdp.spec.resolve import Resolved, resolve

_WORDS: Final = {
    ("suspended", "sandbox", True): "Suspend",
    ("suspended", "sandbox", False): "Resume",
    ("suspended", "service", True): "Stop",
    ("suspended", "service", False): "Resume",
    ("protect", "sandbox", True): "Protect",
    ("protect", "sandbox", False): "Stop protecting",
}


def switch(files: Files, edit: Switch) -> tuple[Mapping[str, str | None], str]:
    """Return the file that differs, and what was done in a line.

    Raises:
        CannotChangeError: there is no such sandbox or service, or it can't be switched.
    """
    path, text = find(files, "sandbox", edit.sandbox)
    body = resolved(files, path, edit.sandbox)
    if edit.service:
        _refuse_elsewhere(files, body, edit)
    word = _WORDS[edit.key, "service" if edit.service else "sandbox", edit.on]
    line = f"{word} {edit.service} of {edit.sandbox}" if edit.service else f"{word} {edit.sandbox}"
    if _is_on(body, edit) == edit.on:
        return {}, line
    place = ("services", edit.service) if edit.service else ("lifecycle",)
    after = text if edit.on else remove(text, (*place, edit.key))
    if _is_on(resolved({**files, path: after}, path, edit.sandbox), edit) != edit.on:
        after = set_value(text, (*place, edit.key), edit.on, order("sandbox"))
    return {path: after}, line


def resolved(files: Files, path: str, name: str) -> Body:
    """Return all that is said of a sandbox, its template's and the defaults' words too.

    Raises:
        CannotChangeError: it does not load.
    """
    made = resolve(path, tree_of(files))
    if isinstance(made, Resolved):
        return made.body
    problems = "\n".join(f"  {each}" for each in made.problems)
    raise CannotChangeError(f"{name} does not load:\n{problems}", f"mend {path}")


def _is_on(body: Body, edit: Switch) -> bool:
    if edit.service:
        target = (body.services or {}).get(edit.service)
        return target is not None and bool(target.suspended)
    lifecycle = body.lifecycle
    return lifecycle is not None and bool(getattr(lifecycle, edit.key))


def _refuse_elsewhere(files: Files, body: Body, edit: Switch) -> None:
    """Refuse a service that is none, or has no container in this sandbox."""
    if edit.key != "suspended":
        raise CannotChangeError(
            f"{edit.key} is said of whole sandboxes", f"name the sandbox alone: {edit.sandbox}"
        )
    if edit.service == GATEWAY:
        raise CannotChangeError(
            "a sandbox answers through its gateway, which does not sleep alone",
            f"let all of it sleep: sdp suspend {edit.sandbox}",
        )
    platform = tree_of(files).platform
    known = platform.spec.services if platform else {}
    if edit.service not in known:
        raise CannotChangeError(
            explain.unknown(f"service '{edit.service}'", edit.service, known),
            f"name a service of platform.yaml: sdp status {edit.sandbox}",
        )
    target = (body.services or {}).get(edit.service)
    if target is None or not (target.branch or target.commit):
        raise CannotChangeError(
            f"{edit.service} of {edit.sandbox} has no container here: {_serves(target)}",
            f"run it here first: sdp route {edit.sandbox} {edit.service} --to sandbox",
        )


def _serves(target: ServiceTarget | None) -> str:
    return f"{target.url} serves it" if target and target.url else "OCP serves it"
