"""What the env commands share: an environment's file, its entries, and landing a change of it."""

import contextlib
import dataclasses
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import typer

from sdp.cli import context as cli
from sdp.cli import keys
from sdp.cli.editor import EditorError, edited, private_folder
from sdp.cli.publish import Checkout
from sdp.cli.sealing import Change, Place, Sealer
from sdp.cli.write import Options, clone_at, land
from sdp.reconciler import writer
from sdp.reconciler.revisions import files_at
from sdp.sops import metadata
from sdp.sops.form import is_encrypted
from sdp.sops.identities import Identities
from sdp.sops.problem import SopsError
from sdp.spec import edit as yaml_edit
from sdp.spec import names
from sdp.spec.change import CannotChangeError, Changed, Files, Past, change
from sdp.spec.edit import CannotEditError
from sdp.spec.edits import Write
from sdp.spec.finding import declared, find, new_path

_SECRET = re.compile(
    r"(^|_)(PASSWORD|PASSWD|SECRET|TOKEN|PRIVATE_KEY|API_KEY)(_|$)", re.IGNORECASE
)
"""Finds the names that secrets usually have."""

Make: TypeAlias = tuple[Callable[[str, Sealer], str], str]
"""Makes an environment file's new text; and the commit's subject."""


def land_one(
    context: typer.Context,
    options: Options,
    name: str,
    make: Make,
    mine: Identities | None,
    *,
    new: bool = False,
) -> None:
    """Land a change of one environment's file; ``new``: which is made where it is missing."""
    made, said = make

    def edit(files: Files, _: Past) -> Changed:
        path, text = _found(files, name, new=new)
        sealer = keys.sealer(files, mine)
        with explained(path, text, files):
            after = made(text, sealer)
            sealed = metadata.SECTION in yaml_edit.document(after)
        if after != text and sealed:
            _warn(files)
        changed = change(files, [Write(path=path, text=after)])
        return dataclasses.replace(changed, subject=said, lines=(said,))

    land(context, options, clone_of(options), edit)


def _found(files: Files, name: str, *, new: bool) -> tuple[str, str]:
    known = [text for path, text in files.items() if path.startswith("environments/")]
    said = {str(declared("environment", text)).lower() for text in known}
    if new and name.lower() not in said:
        return new_path(files, "environment", name), f"environment: {name}\n"
    return find(files, "environment", name)


def _warn(files: Files) -> None:
    if nodes := keys.without_recipient(files):
        cli.say(
            f"warning: {', '.join(nodes)} has no recipient: in platform.yaml; its services wait "
            "until it has one and this is rotated"
        )


def clone_of(options: Options) -> Checkout:
    """Return the clone that the command works in; end where there is none."""
    tree = clone_at(options.directory)
    if tree is None:
        cli.fail(
            f"{options.directory.resolve()} is in no clone of a config repo",
            "values are encrypted where you are: clone it, and name the clone with -C",
        )
    return tree


def now(tree: Checkout) -> Files:
    """Return the specs at the tip of the branch that would be written."""
    found = writer.current(writer.place_of(tree.directory, tree.branch, tree.remote))
    if isinstance(found, writer.Unwritable):
        cli.fail(found.message, found.fix)
    return files_at(tree.directory, found)


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """Turn a change that can't be made into an error."""
    try:
        yield
    except CannotChangeError as error:
        cli.fail(str(error), error.fix)
    except CannotEditError as error:
        cli.fail(str(error), "mend it: sdp validate")


@contextlib.contextmanager
def explained(path: str, text: str, files: Files) -> Iterator[None]:
    """Turn why a file can't be opened or edited into who could, and what to do.

    Args:
        path: the file's.
        text: its content.
        files: the config repo's.
    """
    try:
        yield
    except CannotEditError as error:
        raise CannotChangeError(f"{path}: {error}", "mend it: sdp validate") from None
    except SopsError as error:
        message, fix = _words(error, path, text, files)
        raise CannotChangeError(message, fix) from None


def _words(error: SopsError, path: str, text: str, files: Files) -> tuple[str, str]:
    match error.reason:
        case "NoIdentity" | "WrongKey":
            who = ", ".join(_readers(text, files))
            message = f"{path} holds secrets, and none of your keys opens it; it is for {who}"
            fix = (
                "name your secret key's file with --identity; or ask one of them to do this, or "
                "to add you: your public key under recipients: in platform.yaml, then "
                "sdp env rotate"
            )
            return message, fix
        case "Tampered":
            return f"{path}: {error}", f"bring back the last sound version: git log {path}"
        case "Unsupported":
            return f"{path}: {error}", "change this file with sops itself, or sdp env rotate it"


def _readers(text: str, files: Files) -> list[str]:
    """Return who can open a file, by name where platform.yaml knows one."""
    names_of = keys.recipients(keys.platform(files))
    section = yaml_edit.document(text).get(metadata.SECTION)
    return [names_of.get(each.recipient, each.recipient) for each in metadata.read(section).age]


def variable(word: str) -> Change:
    """Return the change that ``NAME=VALUE`` asks for."""
    name, equals, value = word.partition("=")
    if not equals:
        raise typer.BadParameter(f"found {word!r}, expected NAME=VALUE")
    return Change(("variables", _variable_name(name)), value)


def secret_name(word: str) -> str:
    """Return a secret's name; a value beside it is refused, and not repeated."""
    if "=" in word:
        cli.fail(
            "a secret's value must not be an argument: others see it, and the shell keeps it",
            f"give the name alone, and the value when asked, or with --stdin; and change "
            f"{word.partition('=')[0]}, which was seen",
            cli.USAGE,
        )
    return _variable_name(word)


def _variable_name(name: str) -> str:
    try:
        return names.variable(name)
    except ValueError as error:
        raise typer.BadParameter(f"found {name!r}, {error}") from error


def file_place(path: str | None) -> Place:
    """Return where a file stands that ``--file`` names."""
    if path is None or not path.startswith("/"):
        raise typer.BadParameter("expected --file /PATH/IN/CONTAINER --from FILE")
    return ("files", path)


def content(source: Path | None) -> str:
    """Return the content of the file that ``--from`` names."""
    if source is None:
        raise typer.BadParameter("--file needs --from FILE, the file with its content")
    try:
        return source.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        cli.fail(f"{source} is no text", "encode it, such as with base64, and decode it there")
    except OSError as error:
        cli.fail(f"{source}: {error.strerror}", "name a file that can be read")


def secret_value(name: str, *, stdin: bool) -> str:
    """Return a secret's value from stdin, without the last line break; or ask for it."""
    if stdin:
        try:
            return sys.stdin.buffer.read().decode().removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            cli.fail("what stdin holds is no text", "encode it, such as with base64")
    if not sys.stdin.isatty():
        cli.fail(f"nobody is there to ask for {name}", "give it on stdin: --stdin")
    asked = typer.prompt(f"Value of {name}", hide_input=True, confirmation_prompt=True, err=True)
    return str(asked)


def refuse_secret(text: str, name: str, place: Place) -> None:
    """Refuse to say in plain text what is a secret now.

    Raises:
        CannotChangeError: it is one.
    """
    whole = yaml_edit.document(text)
    section, entry = place
    held = whole.get("secrets" if section == "variables" else section)
    value = held.get(entry) if isinstance(held, dict) else None
    if value is not None and (section == "variables" or is_encrypted(value)):
        option = f"--file {entry} --from FILE" if section == "files" else entry
        raise CannotChangeError(
            f"{entry} of {name} is a secret",
            f"set it as one: sdp env set-secret {name} {option}; "
            f"or first sdp env unset {name} {entry}",
        )


def warn_of_secret(name: str, place: Place) -> None:
    """Say that a variable which is set in plain text has the name of a secret."""
    section, entry = place
    if section == "variables" and _SECRET.search(entry):
        cli.say(
            f"warning: {entry} looks like a secret, and is set in plain text, which git keeps; "
            f"encrypt it: sdp env set-secret {name} {entry}"
        )


def warn_of_past(text: str, place: Place) -> None:
    """Say that what becomes a secret was in plain text before, where that is so."""
    section, entry = place
    whole = yaml_edit.document(text)
    held = whole.get("variables" if section == "secrets" else section)
    value = held.get(entry) if isinstance(held, dict) else None
    if value and not is_encrypted(value):
        cli.say(
            f"warning: git still holds the old value of {entry} in plain text; "
            "where it is in use, change it"
        )


def find_entry(text: str, name: str, entry: str) -> Place:
    """Return where a variable, a secret or a file stands.

    Raises:
        CannotChangeError: nowhere.
    """
    whole = yaml_edit.document(text)
    for section in ("variables", "secrets", "files"):
        held = whole.get(section)
        if isinstance(held, dict) and entry in held:
            return (section, entry)
    raise CannotChangeError(f"{name} has no {entry}", "look at what it has: sdp env list")


def sound(path: str, text: str) -> str:
    """Let a person edit a text until it is YAML, or they give up."""
    with private_folder() as folder:
        while True:
            try:
                text = edited(folder / Path(path).name, text)
            except EditorError as error:
                cli.fail(str(error), "name your editor in VISUAL or EDITOR; nothing was changed")
            try:
                yaml_edit.document(text)
            except CannotEditError as error:
                cli.say(f"{path}: {error}")
                again = sys.stdin.isatty() and typer.confirm(
                    "Edit it again?", default=True, err=True
                )
                if not again:
                    cli.fail("nothing was changed", "edit it again, and mend what is said above")
            else:
                return text
