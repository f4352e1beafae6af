"""The env commands: variables, files and secrets of environments; each write is one commit.

Secrets are encrypted here, in a person's clone: the control plane is sent nothing else.
"""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from sdp import clock
from sdp.api.views import EnvironmentView
from sdp.cli import context as cli
from sdp.cli import env_diff, keys, sealing
from sdp.cli.env_write import (
    clone_of,
    content,
    explained,
    file_place,
    find_entry,
    land_one,
    now,
    refusals,
    refuse_secret,
    secret_name,
    secret_value,
    sound,
    variable,
    warn_of_past,
    warn_of_secret,
)
from sdp.cli.intended import on_disk
from sdp.cli.plan import Directory
from sdp.cli.sealing import Change, Sealer
from sdp.cli.write import Options, land, writing
from sdp.sops import metadata
from sdp.spec import edit as yaml_edit
from sdp.spec.change import CannotChangeError, Changed, Files, Past, change
from sdp.spec.edits import Write
from sdp.spec.finding import find

app = typer.Typer(
    name="env", no_args_is_help=True, help="Environments: variables, files and secrets."
)

HEADER = "# Secrets are in plain text here; they are encrypted again when you leave the editor.\n"

Name = Annotated[str, typer.Argument(help="The environment's name, in any case.")]
IdentityFile = Annotated[
    Path | None,
    typer.Option(
        "--identity",
        metavar="FILE",
        help="Your secret key; else SOPS_AGE_KEY_FILE, SOPS_AGE_KEY, ~/.config/sops/age/keys.txt.",
    ),
]
InContainer = Annotated[
    str | None, typer.Option("--file", metavar="PATH", help="A file's path in the container.")
]
Source = Annotated[
    Path | None,
    typer.Option("--from", exists=True, dir_okay=False, help="With --file: its content."),
]


@app.command("list")
def listed(context: typer.Context, *, as_json: cli.AsJson = False) -> None:
    """List the environments that are applied: names only, and who uses them.

    Example: `sdp env list`.
    """
    with cli.failures():
        found = cli.client(context).get_all("/api/environments", EnvironmentView)
    if as_json:
        cli.print_json(found)
        return
    rows = [
        (
            each.name,
            ", ".join(each.variables),
            "hidden" if each.secrets_hidden else ", ".join(each.secrets),
            ", ".join(each.files),
            ", ".join(each.used_by) or "nobody",
        )
        for each in found
    ]
    headings = ("ENVIRONMENT", "VARIABLES", "SECRETS", "FILES", "USED BY")
    cli.out().print(cli.table(headings, rows))


@app.command("set")
@writing
def set_values(  # noqa: PLR0913, PLR0917 -- typer's options
    context: typer.Context,
    options: Options,
    name: Name,
    values: Annotated[
        list[str] | None, typer.Argument(metavar="NAME=VALUE...", help="Variables to set.")
    ] = None,
    path: InContainer = None,
    source: Source = None,
    identity: IdentityFile = None,
) -> None:
    """Set variables, or a file, in plain text; the environment is made when it is new.

    Examples: `sdp env set qa LOG_LEVEL=debug HTTP_TIMEOUT=30`;
    `sdp env set qa --file /etc/app/features.json --from features.json --wait`.
    """
    changes = [variable(each) for each in values or ()]
    if path is not None or source is not None:
        changes.append(Change(file_place(path), content(source)))
    if not changes:
        raise typer.BadParameter("expected NAME=VALUE, or --file PATH --from FILE")

    def make(text: str, sealer: Sealer) -> str:
        for each in changes:
            refuse_secret(text, name, each.place)
            warn_of_secret(name, each.place)
        return sealing.changed(text, changes, sealer)

    said = f"Set {', '.join(each.place[1] for each in changes)} of environment {name}"
    land_one(context, options, name, (make, said), keys.held(identity), new=True)


@app.command("unset")
@writing
def unset(
    context: typer.Context,
    options: Options,
    name: Name,
    entries: Annotated[
        list[str], typer.Argument(metavar="NAME...", help="Variables, secrets, or paths of files.")
    ],
    identity: IdentityFile = None,
) -> None:
    """Remove variables, secrets or files; a secret needs a key that opens the file.

    Examples: `sdp env unset qa LOG_LEVEL`; `sdp env unset qa DB_PASSWORD /etc/tls/key.pem`.
    """

    def make(text: str, sealer: Sealer) -> str:
        changes = [Change(find_entry(text, name, each), None) for each in entries]
        return sealing.changed(text, changes, sealer)

    said = f"Unset {', '.join(entries)} of environment {name}"
    land_one(context, options, name, (make, said), keys.held(identity))


@app.command("set-secret")
@writing
def set_secret(  # noqa: PLR0913, PLR0917 -- typer's options
    context: typer.Context,
    options: Options,
    name: Name,
    secret: Annotated[
        str | None, typer.Argument(metavar="NAME", help="The variable that holds it.")
    ] = None,
    path: InContainer = None,
    source: Source = None,
    identity: IdentityFile = None,
    *,
    stdin: Annotated[bool, typer.Option("--stdin", help="Read the value from stdin.")] = False,
) -> None:
    """Set a secret: asked for without echo, or from stdin, or from a file; never an argument.

    It is encrypted here, for the recipients in platform.yaml. The first secret of an environment
    needs no key of yours; a further one needs a key that opens the file.

    Examples: `sdp env set-secret qa DB_PASSWORD`;
    `pass show qa/db | sdp env set-secret qa DB_PASSWORD --stdin --wait`;
    `sdp env set-secret qa --file /etc/tls/key.pem --from key.pem`.
    """
    if (secret is None) == (path is None):
        raise typer.BadParameter("expected NAME, or --file PATH --from FILE")
    place = file_place(path) if secret is None else ("secrets", secret_name(secret))
    value = content(source) if secret is None else secret_value(secret, stdin=stdin)
    if "\0" in value:
        cli.fail("the value has a NUL byte, which no environment can hold", "encode it")
    changes = [Change(place, value, secret=True)]

    def make(text: str, sealer: Sealer) -> str:
        keys.refuse_nobody(sealer)
        warn_of_past(text, place)
        plain = Change(("variables", place[1]), None)
        return sealing.changed(text, [plain, *changes], sealer)

    said = f"Set secret {place[1]} of environment {name}"
    land_one(context, options, name, (make, said), keys.held(identity), new=True)


@app.command("edit")
@writing
def edit(
    context: typer.Context, options: Options, name: Name, identity: IdentityFile = None
) -> None:
    """Edit an environment in $VISUAL or $EDITOR, with its secrets in plain text.

    The copy lies in a private folder, in memory where possible, and is removed in any case. Only
    what you change is encrypted anew. What you add below secrets: becomes a secret.

    Example: `sdp env edit qa`.
    """
    mine = keys.held(identity)
    with refusals():
        files = now(clone_of(options))
        path, before = find(files, "environment", name)
        with explained(path, before, files):
            opened = sealing.opened(before, mine)
            text = HEADER + sealing.plain(before, opened)
    after = sound(path, text).removeprefix(HEADER)

    def make(current: str, sealer: Sealer) -> str:
        if current != before:
            raise CannotChangeError(f"{path} changed while you edited it", "edit it again")
        if HEADER + after == text:
            return current
        made = sealing.sealed_again(before, after, opened, sealer)
        if metadata.SECTION in yaml_edit.document(made):
            keys.refuse_nobody(sealer)
        return made

    land_one(context, options, name, (make, f"Edit environment {name}"), mine)


@app.command("diff")
def diff(
    one: Annotated[str, typer.Argument(metavar="A", help="An environment's name.")],
    other: Annotated[str, typer.Argument(metavar="B", help="Another one's.")],
    directory: Directory = Path(),
    identity: IdentityFile = None,
    *,
    as_json: cli.AsJson = False,
) -> None:
    """Compare two environments: variables by value; of secrets only whether they are the same.

    Without a key that opens both, secrets are compared by name only.

    Example: `sdp env diff qa staging`.
    """
    files = on_disk(directory)
    with refusals():
        first, second = (find(files, "environment", each)[1] for each in (one, other))
        rows, blind = env_diff.differences(first, second, keys.held(identity))
    if as_json:
        cli.print_json(rows)
    else:
        cells = [(each.kind, each.name, each.a, each.b) for each in rows]
        cli.out().print(cli.table(("KIND", "NAME", one.upper(), other.upper()), cells))
    if blind:
        cli.say(f"secrets are compared by name only: {blind}")


@app.command("keygen")
def keygen(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File for the secret key; it is new.")
    ] = None,
    *,
    as_json: cli.AsJson = False,
) -> None:
    """Make a secret key, for you or for an agent, and print the public one.

    The secret key stays where it was made: an agent's on its VM, yours on your machine.

    Examples: `sdp env keygen` (yours); on a VM: `sdp env keygen -o /etc/sdp/identity.txt`.
    """
    path = (output or keys.default_file()).absolute()
    try:
        public = keys.generate(path, clock.now())
    except FileExistsError:
        cli.fail(f"{path} is there already", "use it, or name another file: -o FILE")
    except OSError as error:
        cli.fail(f"{path}: {error.strerror}", "name another file: -o FILE")
    if as_json:
        cli.print_json(keys.Made(public=public, file=str(path)))
    else:
        typer.echo(public)
    cli.say(f"the secret key is in {path}; it stays there")
    if output is None:
        cli.say(f"  put the public one into platform.yaml: recipients: {{YOUR-NAME: {public}}}")
    else:
        cli.say(f"  an agent's: identity: {path} in its agent.yaml, and the public one into")
        cli.say("  platform.yaml, as recipient: of its node")
    cli.say("  then whoever can open the environments: sdp env rotate --all")


@app.command("rotate")
@writing
def rotate(
    context: typer.Context,
    options: Options,
    entries: Annotated[
        list[str] | None, typer.Argument(metavar="NAME...", help="Environments to encrypt anew.")
    ] = None,
    identity: IdentityFile = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="All environments with secrets.")] = False,
) -> None:
    """Encrypt environments anew: another data key, and the recipients of platform.yaml as it is.

    The values stay the same, so nothing is redeployed. Who was a recipient still knows them:
    after somebody left, set new values too.

    Examples: `sdp env rotate qa`; `sdp env rotate --all -m "Budi left"`.
    """
    if bool(entries) == every:
        raise typer.BadParameter("expected names of environments, or --all")
    mine = keys.held(identity)

    def make(files: Files, _: Past) -> Changed:
        sealer = keys.sealer(files, mine)
        keys.refuse_nobody(sealer)
        paths = [find(files, "environment", each)[0] for each in entries or ()]
        paths = paths or [path for path in sorted(files) if path.startswith("environments/")]
        writes: list[Write] = []
        for path in paths:
            with explained(path, files[path], files):
                text = sealing.rotated(files[path], sealer)
            if text != files[path]:
                writes.append(Write(path=path, text=text))
        if not writes:
            raise CannotChangeError("nothing is encrypted there", "set one: sdp env set-secret")
        changed = change(files, writes)
        said = f"Encrypt {', '.join(each.path for each in writes)} anew"
        return dataclasses.replace(changed, subject=said, lines=(said,))

    land(context, options, clone_of(options), make)
