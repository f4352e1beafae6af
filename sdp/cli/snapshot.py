"""The snapshot and rollback commands: what runs under a name, and back to what ran. One commit each."""

import dataclasses
from typing import Annotated
from urllib.parse import quote

import typer
from pydantic import JsonValue
from rich.markup import escape

from sdp.api.snapshot_views import NamedSnapshotView, RollbackTarget, SnapshotView
from sdp.api.views import ChangeView, SandboxView
from sdp.cli import context as cli
from sdp.cli import history, watch
from sdp.cli.client import Client
from sdp.cli.edit import Yes, agreed, remove
from sdp.cli.fold import folded
from sdp.cli.write import Options, write, writing
from sdp.spec.edits import Create, Rollback

Sandbox = Annotated[
    str | None,
    typer.Argument(help="The sandbox's name, in any case.", autocompletion=cli.complete_sandbox),
]


@writing
def snapshot(  # noqa: PLR0913 -- a command's options
    context: typer.Context,
    options: Options,
    sandbox: Sandbox = None,
    name: Annotated[str | None, typer.Argument(help="What to call it.")] = None,
    *,
    last: Annotated[
        bool, typer.Option("--last", help="Take what ran last, though another is wanted now.")
    ] = False,
    listed: Annotated[bool, typer.Option("--list", help="List those that there are.")] = False,
    delete: Annotated[
        str | None, typer.Option(metavar="NAME", help="Remove one.", show_default=False)
    ] = None,
    yes: Yes = False,
) -> None:
    """Give what a sandbox runs a name: every commit, route target and environment.

    It is a file, `snapshots/NAME.yaml`; `sdp rollback SANDBOX --to NAME` brings it back, and
    `sdp new OTHER --snapshot NAME` runs the same elsewhere. What a sandbox ran before each change
    is remembered anyway: `sdp history SANDBOX`.

    Examples: `sdp snapshot QA-REFUND BEFORE-DEMO -m "The demo went well"`;
    `sdp snapshot --list QA-REFUND`; `sdp snapshot --delete BEFORE-DEMO`.
    """
    if listed:
        _list(cli.client(context), sandbox, as_json=options.as_json)
    elif delete is not None:
        remove(context, options, "snapshot", delete, yes=yes)
    elif sandbox is None or name is None:
        raise typer.BadParameter("expected SANDBOX NAME, or --list, or --delete NAME")
    else:
        client = cli.client(context)
        found = watch.sandbox(client, sandbox)
        taken = _chosen(found, history.of(client, found.name, 1).snapshots, last=last)
        values: dict[str, JsonValue] = {
            "sandbox": found.name,
            "taken_at": f"{taken.taken_at:%Y-%m-%dT%H:%M:%SZ}",
            "revision": taken.revision,
            **taken.pins.model_dump(mode="json", exclude_none=True),
        }
        write(context, options, [Create(kind="snapshot", name=name, values=values)])


@writing
def rollback(
    context: typer.Context,
    options: Options,
    name: cli.SandboxName,
    to: Annotated[
        str,
        typer.Option(
            metavar="NAME|NUMBER|COMMIT",
            help="A snapshot's name, a number of `sdp history`, or a commit of the config repo.",
        ),
    ],
    *,
    yes: Yes = False,
) -> None:
    """Bring a sandbox back to what it ran: commits, route targets, environments.

    Its file pins them, so nothing undoes it by itself; ports, owner, limits and lifecycle stay.
    `sdp revert` of the rollback's commit lets it follow its branches again.

    Examples: `sdp rollback QA-REFUND --to 17 --dry-run`; `sdp rollback QA-REFUND --to 17 --wait`;
    `sdp rollback QA-REFUND --to BEFORE-DEMO`; `sdp rollback QA-REFUND --to 9f3c1e7 --yes`.
    """
    path = f"/api/sandboxes/{quote(name, safe='')}/snapshots/{quote(to, safe='')}"
    found = cli.client(context).get(path, RollbackTarget)
    if found.note:
        cli.say(found.note)

    def ask(shown: ChangeView) -> None:
        if yes or not shown.paths:
            return
        for line in folded(shown.diff):
            cli.say(cli.inert(line))
        if shown.plan is not None:
            cli.say(shown.plan.text)
        agreed("rollback", "Roll it back?", "not rolled back")

    follow = dataclasses.replace(options, undo="follow the branches again")
    edit = Rollback(sandbox=name, to=found.to, pins=found.pins, text=found.text)
    write(context, follow, [edit], ask)


def _chosen(
    found: SandboxView, snapshots: tuple[SnapshotView, ...], *, last: bool
) -> SnapshotView:
    """Return the snapshot that gets a name; end with 1 where what runs is not what is wanted."""
    if not snapshots:
        cli.fail(
            f"{found.name} was never in sync", f"see what it waits for: sdp explain {found.name}"
        )
    newest = snapshots[0]
    ran = f"#{newest.number} since {newest.taken_at:%Y-%m-%d %H:%M} UTC"
    if found.lifecycle.state != "ACTIVE" and not last:
        cli.fail(
            f"{found.name} is {found.lifecycle.state.lower()}, and runs nothing",
            f"take what ran last, {ran}: --last",
        )
    if found.sync != "Synced" and not last:
        reasons = "; ".join(each.message for each in found.conditions)
        cli.fail(
            f"{found.name} is {found.sync}, so what it runs is not what it is meant to"
            + (f": {reasons}" if reasons else ""),
            f"wait for it: sdp sync {found.name} --wait; or take what ran last, {ran}: --last",
        )
    return newest


def _list(client: Client, sandbox: str | None, *, as_json: bool) -> None:
    if sandbox is not None:
        sandbox = watch.sandbox(client, sandbox).name
    found = client.get_all("/api/snapshots", NamedSnapshotView)
    found = [e for e in found if sandbox is None or e.sandbox.lower() == sandbox.lower()]
    if as_json:
        cli.print_json(found)
    elif not found:
        cli.say("no snapshots: sdp snapshot SANDBOX NAME takes one")
    else:
        rows = [
            (
                e.name,
                e.sandbox,
                e.taken_at.replace("T", " ").removesuffix("Z"),
                e.revision[:7],
                escape(cli.inert(e.path)),
            )
            for e in found
        ]
        cli.out().print(cli.table(("NAME", "SANDBOX", "SINCE (UTC)", "COMMIT", "FILE"), rows))
