"""Commands that write sandboxes: new, set, clone, delete, route, revert. Each is one commit."""

import re
import sys
from collections.abc import Iterable
from typing import Annotated

import typer

from sdp.api.views import ChangeView
from sdp.cli import context as cli
from sdp.cli import show, watch
from sdp.cli.whose import owned
from sdp.cli.write import Options, clone_at, let_count, revert, write, writing
from sdp.spec.edits import AnyEdit, Clone, Create, Delete, Kind, Route, Set, Unset

NewName = Annotated[str, typer.Argument(help="The new name.", show_default=False)]
Values = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Set a key, such as services.account.branch=main."
    ),
]
Keys = Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE...", help="Keys to set.")]
UnsetKeys = Annotated[
    list[str] | None, typer.Option("--unset", metavar="KEY", help="A key to remove.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@writing
def new(  # noqa: PLR0913 -- a command's options
    context: typer.Context,
    options: Options,
    name: NewName,
    template: Annotated[
        str | None, typer.Option("--template", "-t", help="The template to start from.")
    ] = None,
    snapshot: Annotated[str | None, typer.Option(help="The snapshot to run what it pins.")] = None,
    values: Values = None,
    *,
    owner: Annotated[
        str | None,
        typer.Option(help="User name of who answers for it; else whoever is logged in."),
    ] = None,
) -> None:
    """Create a sandbox: write its file, commit and push it.

    Examples: `sdp new QA-REFUND --template QA-DEFAULT`;
    `sdp new QA-REFUND -t QA-DEFAULT --set services.account.branch=feature/refund --wait`;
    `sdp new QA-REFUND -t QA-DEFAULT --dry-run`; `sdp new QA-REFUND-2 --snapshot BEFORE-DEMO`.
    """
    given = settings("sandbox", name, values or ())
    if owner is not None:
        given = [Set(name=name, path=("owner",), value=owner), *given]
    made = Create(name=name, template=template, snapshot=snapshot)
    write(context, options, [made, *owned(cli.client(context).user, name, given), *given])


@writing
def change(
    context: typer.Context,
    options: Options,
    name: cli.SandboxName,
    values: Keys = None,
    unset: UnsetKeys = None,
) -> None:
    """Change keys of a sandbox: edit its file, commit and push it.

    `KEY=null` removes what the template says; `--unset KEY` lets the template speak again.

    Examples: `sdp set QA-REFUND services.account.branch=feature/refund`;
    `sdp set QA-REFUND resources.memory=2GB lifecycle.protect=true -m "The demo is on Monday"`;
    `sdp set QA-REFUND --unset gateway.port`.
    """
    write(context, options, edits_of("sandbox", name, values, unset))


@writing
def clone(
    context: typer.Context,
    options: Options,
    source: cli.SandboxName,
    name: NewName,
    values: Values = None,
) -> None:
    """Create a sandbox that says what another one says, awake and with ports of its own.

    Examples: `sdp clone QA-REFUND QA-REFUND-2`; `sdp clone QA-REFUND MINE --set owner=sari`.
    """
    given = settings("sandbox", name, values or ())
    made = Clone(source=source, name=name)
    write(context, options, [made, *owned(cli.client(context).user, name, given), *given])


@writing
def delete(
    context: typer.Context, options: Options, name: cli.SandboxName, *, yes: Yes = False
) -> None:
    """Delete a sandbox: remove its file, commit and push that; its containers go.

    Examples: `sdp delete QA-REFUND`; `sdp delete QA-REFUND --yes --wait`.
    """
    remove(context, options, "sandbox", name, yes=yes)


@writing
def route(
    context: typer.Context,
    options: Options,
    sandbox: cli.SandboxName,
    service: Annotated[str | None, typer.Argument(help="The service.")] = None,
    to: Annotated[
        str | None, typer.Option(metavar="sandbox|ocp|URL", help="Where its route leads.")
    ] = None,
    branch: Annotated[
        str | None, typer.Option(help="With --to sandbox: the branch; else the one before.")
    ] = None,
) -> None:
    """Show where a sandbox's routes lead, or lead one elsewhere.

    Without --to: the routes wanted, those read back from config.php, and when that was.

    Examples: `sdp route QA-REFUND`; `sdp route QA-REFUND account --to ocp`;
    `sdp route QA-REFUND account --to sandbox --branch feature/refund`;
    `sdp route QA-REFUND account --to http://10.0.0.7:8080 -m "Debugging on my laptop"`.
    """
    if to is None:
        if branch is not None:
            cli.fail("--branch says nothing without --to sandbox", "add --to sandbox")
        show.routes(watch.sandbox(cli.client(context), sandbox), service, as_json=options.as_json)
        return
    if service is None:
        cli.fail("--to is about one service", f"name it: sdp route {sandbox} SERVICE --to {to}")
    if branch is not None and to != "sandbox":
        cli.fail(f"--branch says nothing with --to {to}", "give --to sandbox, or no --branch")
    write(context, options, [Route(sandbox=sandbox, service=service, to=to, branch=branch)])


@writing
def undo(
    context: typer.Context,
    options: Options,
    commit: Annotated[str, typer.Argument(help="The commit, or its first digits.")],
) -> None:
    """Undo a commit of the config repo by another commit.

    Refused where its files were changed again later: nothing of others is taken along.

    Examples: `sdp revert 9f3c1e7`; `sdp revert 9f3c1e7 --dry-run`.
    """
    if clone_at(options.directory) is None and not re.fullmatch("[0-9a-f]{7,40}", commit.lower()):
        raise typer.BadParameter(
            "expected a commit, by 7 digits at least; other names are known in a clone alone",
            param_hint="COMMIT",
        )
    revert(context, options, commit)


@writing
def approve(
    context: typer.Context,
    options: Options,
    commit: Annotated[str, typer.Argument(help="The commit, or its first digits.")],
) -> None:
    """Let count what a commit changed without its author's having the right to.

    Takes that right of you. Of its files, those count that are still as it left them and that you
    may change; sdp status lists what waits.

    Examples: `sdp approve 9f3c1e7 --dry-run`; `sdp approve 9f3c1e7 -m "Agreed with Sari" --wait`.
    """
    if not re.fullmatch("[0-9a-f]{7,40}", commit.lower()):
        raise typer.BadParameter("expected a commit, by 7 digits at least", param_hint="COMMIT")
    let_count(context, options, commit.lower())


def edits_of(
    kind: Kind, name: str, values: Iterable[str] | None, unset: Iterable[str] | None
) -> list[AnyEdit]:
    """Return the edits that set and remove keys; at least one."""
    edits: list[AnyEdit] = [*settings(kind, name, values or ())]
    edits += [Unset(kind=kind, name=name, path=_path(each)) for each in unset or ()]
    if not edits:
        raise typer.BadParameter("expected KEY=VALUE, or --unset KEY")
    return edits


def settings(kind: Kind, name: str, values: Iterable[str]) -> list[Set]:
    """Return the edits of ``KEY=VALUE`` words."""
    edits: list[Set] = []
    for each in values:
        key, equals, text = each.partition("=")
        if not equals:
            raise typer.BadParameter(f"found {each!r}, expected KEY=VALUE")
        edits.append(Set(kind=kind, name=name, path=_path(key), text=text))
    return edits


def remove(context: typer.Context, options: Options, kind: Kind, name: str, *, yes: bool) -> None:
    """Delete a spec, after asking."""

    def ask(shown: ChangeView) -> None:
        if yes:
            return
        cli.say(f"{shown.subject}: {', '.join(shown.paths)}")
        if kind == "sandbox":
            cli.say("  its containers, networks, ports and gateway copies go; git keeps the file")
        agreed("delete", "Delete it?", "not deleted")

    write(context, options, [Delete(kind=kind, name=name)], ask)


def agreed(command: str, question: str, refused: str) -> None:
    """Ask a person; end with 1 where the answer is no, or nobody is there."""
    if not sys.stdin.isatty():
        cli.fail(f"{command} asks, and nobody is there to answer", "look at it, then: --yes")
    if not typer.confirm(question, err=True):
        cli.fail(refused)


def _path(key: str) -> tuple[str, ...]:
    parts = tuple(key.split("."))
    if not all(parts):
        raise typer.BadParameter(
            f"found the key {key!r}, expected names with dots, such as services.account.branch"
        )
    return parts
