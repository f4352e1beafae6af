"""Intended: what would be committed of a working tree: all that it changes, or a part of it."""

import dataclasses
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated

import typer

from sdp.api.views import PlanView
from sdp.cli import context as cli
from sdp.cli import watch
from sdp.cli.client import Client
from sdp.cli.publish import Checkout
from sdp.cli.specs import read_folder
from sdp.reconciler.desired import DesiredSandbox, desire
from sdp.reconciler.revisions import files_at
from sdp.spec import names, select
from sdp.spec.explain import unknown
from sdp.spec.finding import Files
from sdp.spec.load import tree_of
from sdp.spec.select import CannotSelectError, Selection

Sandboxes = Annotated[
    list[str] | None,
    typer.Option(
        "--sandbox",
        help="Only this sandbox; may be repeated.",
        autocompletion=cli.complete_sandbox,
    ),
]
Services = Annotated[
    list[str] | None,
    typer.Option("--service", help="Only this service of the sandboxes; may be repeated."),
]
Excluded = Annotated[
    list[str] | None,
    typer.Option("--exclude", help="All but this: NAME or NAME/SERVICE; may be repeated."),
]
AllowDeletes = Annotated[
    int,
    typer.Option(
        "--allow-deletes",
        min=0,
        max=10**6 - 1,
        help="Let so many sandboxes go that would be held as too many at once.",
        show_default=False,
    ),
]


@dataclasses.dataclass(frozen=True, slots=True)
class Intended:
    """Specs as they would be, and what of the working tree's changes is left out of them.

    Attributes:
        head: specs by path, as committed.
        files: as they would be.
    """

    head: Files
    files: Files
    selection: Selection = select.WHOLE
    left_out: tuple[str, ...] = ()

    @property
    def paths(self) -> list[str]:
        """Paths of what would be committed."""
        return select.changed(self.head, self.files)

    @property
    def changes(self) -> dict[str, bytes | None]:
        """What would be committed: contents by path, None for what goes."""
        texts = {path: self.files.get(path) for path in self.paths}
        return {path: None if t is None else _bytes(t) for path, t in texts.items()}

    def tell(self) -> None:
        """Say what is partial about it, if anything."""
        if self.selection.whole and not self.left_out:
            return
        rest = f"; left out: {', '.join(self.left_out)}" if self.left_out else ""
        what = str(self.selection) or "what the saved plan is about"
        cli.say(f"partial: {what}{rest}")


def chosen(
    sandboxes: list[str] | None, services: list[str] | None, excluded: list[str] | None
) -> Selection:
    """Return what the options select."""
    return Selection.of(sandboxes or (), services or (), excluded or ())


def intended(client: Client, tree: Checkout, selection: Selection) -> Intended:
    """Return what of a working tree would be committed; end with 1 where it can't be told.

    Args:
        client: knows sandboxes that no file is about any more.
        tree: the working tree.
        selection: what of it is meant.
    """
    head = files_at(tree.directory, tree.head)
    working = on_disk(tree.directory)
    check_names(client, selection, {**head, **working})
    try:
        selected = select.select(head, working, selection)
    except CannotSelectError as error:
        cli.fail(str(error), error.fix)
    return Intended(head, selected.files, selection, selected.left_out)


def on_disk(directory: Path) -> dict[str, str]:
    """Return the specs in a folder, byte for byte."""
    blobs = read_folder(directory)
    return {blob.path: blob.content.decode(errors="surrogateescape") for blob in blobs}


def check_names(client: Client, selection: Selection, files: Files) -> None:
    """End with 1 where a selection names what is not there, with what was perhaps meant."""
    inside = {each.partition("/") for each in selection.excluded}
    wanted = selection.sandboxes | {name for name, _, _ in inside}
    known = select.sandboxes(files)
    if not wanted <= known.keys():
        known |= {each.name.lower(): each.name for each in watch.all_sandboxes(client)}
    for each in sorted(wanted - known.keys()):
        cli.fail(unknown(f"sandbox '{each}'", each, known.values()), "sdp status lists them")
    platform = tree_of(files).platform
    if platform is not None:
        services = {*platform.spec.services, names.GATEWAY}
        for each in sorted((selection.services | {s for _, _, s in inside if s}) - services):
            cli.fail(
                unknown(f"service '{each}'", each, services), "they are named in platform.yaml"
            )


def ask(client: Client, files: Files, selection: Selection, allow_deletes: int = 0) -> PlanView:
    """Return the plan of these files against what runs.

    Ends with 1, and sends nothing, where a secret could be in plain text; and where the control
    plane serves another platform: what runs there is nobody's here.
    """
    _keep_secrets(files)
    asked = {
        "files": sendable(files),
        "sandboxes": sorted(selection.sandboxes),
        "services": sorted(selection.services),
        "exclude": sorted(selection.excluded),
        "allow_deletes": allow_deletes,
    }
    made = client.post("/api/plan", PlanView, asked)
    said = {path: text for path, text in files.items() if path.startswith("platform.")}
    platform = tree_of(said).platform
    if platform is not None and made.instance not in {"", platform.spec.platform}:
        cli.fail(
            f"these are the specs of the platform {platform.spec.platform!r}, and {client.url} "
            f"serves {made.instance!r}",
            "name its control plane with --server, or its config repo with -C",
        )
    return made


def _keep_secrets(files: Files) -> None:
    """End where environments have errors: what is sent must hold no secret in plain text."""
    environments = {p: text for p, text in files.items() if p.startswith("environments/")}
    found = [each for each in tree_of(environments).problems if each.path in environments]
    wrong = [each for each in found if each.severity == "error"]
    for each in wrong:
        cli.say(str(each))
    if wrong:
        cli.fail("environments have errors, and may hold secrets", "correct them: sdp validate")


def touched(before: Files, after: Files) -> dict[str, str]:
    """Return the sandboxes that a change is about, by name → their definition; "" for none."""
    old, new = (desire("", tree_of(each)).sandboxes for each in (before, after))
    definitions = {
        name: (_definition(name, old), _definition(name, new)) for name in old.keys() | new.keys()
    }
    written = {name: sandbox.name for name, sandbox in {**old, **new}.items()}
    return {written[name]: now for name, (past, now) in sorted(definitions.items()) if past != now}


def sendable(files: Files) -> dict[str, str]:
    """Return the files as JSON can carry them."""
    return {path: _bytes(text).decode(errors="replace") for path, text in files.items()}


def written_in(paths: Collection[str], files: Files) -> set[str]:
    """Return the lower-cased names of the sandboxes whose own files are among these."""
    sandboxes = tree_of(files).sandboxes
    return {sandboxes[path].spec.sandbox.lower() for path in paths if path in sandboxes}


def _definition(name: str, sandboxes: Mapping[str, DesiredSandbox]) -> str:
    return sandboxes[name].definition_digest if name in sandboxes else ""


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")
