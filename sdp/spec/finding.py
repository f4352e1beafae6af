"""Finding specs among a config repo's files: by kind and name, and a place for new ones. Pure."""

from collections.abc import Mapping
from typing import Final, TypeAlias, assert_never

from sdp.spec import explain, names, yaml
from sdp.spec.edits import Kind
from sdp.spec.load import is_spec
from sdp.spec.models import Environment, Model, Sandbox, Snapshot, Template
from sdp.spec.tree import Problem

Files: TypeAlias = Mapping[str, str]
"""Path in the config repo → content."""

MODELS: Final[Mapping[Kind, type[Model]]] = {
    "sandbox": Sandbox,
    "template": Template,
    "environment": Environment,
    "snapshot": Snapshot,
}
FOLDERS: Final[Mapping[Kind, str]] = {
    "sandbox": "sandboxes",
    "template": "templates",
    "environment": "environments",
    "snapshot": "snapshots",
}


class CannotChangeError(Exception):
    """A change that can't be made; ``fix`` says what to do, ``problems`` what would not load."""

    def __init__(self, message: str, fix: str, found: tuple[Problem, ...] = ()) -> None:
        super().__init__(message)
        self.fix = fix
        self.problems = found


def find(files: Files, kind: Kind, name: str) -> tuple[str, str]:
    """Return path and content of the spec of that name, in any case.

    Raises:
        CannotChangeError: there is none.
    """
    known: dict[str, str] = {}
    for path, text in sorted(files.items()):
        if path.startswith(f"{FOLDERS[kind]}/") and (said := declared(kind, text)):
            if said.lower() == name.lower():
                return path, text
            known[said] = path
    raise CannotChangeError(
        explain.unknown(f"{kind} '{name}'", name, known),
        f"name one that is there, or make it: {_making(kind, name)}",
    )


def _making(kind: Kind, name: str) -> str:
    match kind:
        case "sandbox":
            return f"sdp new {name}"
        case "template":
            return f"sdp template new {name}"
        case "environment":
            return f"sdp env set {name} NAME=VALUE"
        case "snapshot":
            return f"sdp snapshot SANDBOX {name}"
        case _:
            assert_never(kind)


def declared(kind: Kind, text: str) -> str | None:
    """Return the name that a file of a kind gives itself, if it can be read."""
    parsed, _ = yaml.parse(text.encode(errors="surrogateescape"))
    value = parsed.value if parsed else None
    name = value.get(kind) if isinstance(value, Mapping) else None
    return name if isinstance(name, str) else None


def new_path(files: Files, kind: Kind, name: str) -> str:
    """Return where a new spec belongs.

    Raises:
        CannotChangeError: the name is none, or is taken.
    """
    try:
        if kind == "sandbox":
            names.sandbox(name)
    except ValueError as error:
        raise CannotChangeError(f"found {name!r}, {error}", "choose another name") from error
    for path, text in files.items():
        said = declared(kind, text) if path.startswith(f"{FOLDERS[kind]}/") else None
        if said is not None and said.lower() == name.lower():
            raise CannotChangeError(
                f"{kind} {said} is there already: {path}", "choose another name, or change it"
            )
    path = f"{FOLDERS[kind]}/{name.lower()}.yaml"
    if path in files or not is_spec(path):
        raise CannotChangeError(
            f"{path} can't be written: it is taken, or no spec's path", "choose another name"
        )
    return path


def order(kind: Kind) -> tuple[str, ...]:
    """Return the usual order of a spec's keys: its name, where it is from, then the model's."""
    fields = [*MODELS[kind].model_fields]
    first = dict.fromkeys((kind, "owner", "template", "sandbox", "taken_at", "revision"))
    head = [each for each in first if each in fields]
    return (*head, *(each for each in fields if each not in head))
