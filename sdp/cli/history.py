"""The history command: what a sandbox ran, and since when."""

from typing import Annotated
from urllib.parse import quote

import typer
from rich.markup import escape

from sdp.api.snapshot_views import HistoryView, SnapshotView
from sdp.cli import context as cli
from sdp.cli import watch
from sdp.cli.client import Client

_HEAD = ("", "NUMBER", "SINCE (UTC)", "COMMIT", "WHAT CHANGED", "WHY")


def history(
    context: typer.Context,
    name: cli.SandboxName,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=500, help="How many.")] = 20,
    *,
    as_json: cli.AsJson = False,
) -> None:
    """Show what a sandbox ran, newest first; `*` is what runs now.

    The last 20 states are kept. `sdp rollback NAME --to NUMBER` brings one back.

    Examples: `sdp history QA-REFUND`; `sdp history QA-REFUND -n 3`;
    `sdp history QA-REFUND --json`.
    """
    with cli.failures():
        client = cli.client(context)
        found = of(client, name, limit)
        if not found.snapshots:
            watch.sandbox(client, name)  # or there is none of that name
    if as_json:
        cli.print_json(found.snapshots)
    elif not found.snapshots:
        cli.say("nothing yet: it was never in sync")
    else:
        cli.out().print(cli.table(_HEAD, [_row(each) for each in found.snapshots]))


def of(client: Client, name: str, limit: int) -> HistoryView:
    """Return what a sandbox ran."""
    path = f"/api/sandboxes/{quote(name, safe='')}/history"
    return client.get(path, HistoryView, {"limit": str(limit)})


def _row(found: SnapshotView) -> tuple[str, ...]:
    changed = "; ".join(f"{e.what} {e.before} → {e.after}" for e in found.changes)
    said = (
        f"{found.commit.author.partition(' <')[0]}: {found.commit.subject}" if found.commit else ""
    )
    return (
        "*" if found.current else "",
        " ".join((f"#{found.number}", *found.names)),
        f"{found.taken_at:%Y-%m-%d %H:%M:%S}",
        found.revision[:7],
        escape(cli.inert(changed)) or "-",
        escape(cli.inert(said)),
    )
