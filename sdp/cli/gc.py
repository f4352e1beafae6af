"""The gc command: what nothing on the nodes refers to, shown, and removed at once."""

import sys
import time
from collections.abc import Collection
from typing import Annotated

import typer

from sdp.api.node_views import Garbage, UnusedRelease
from sdp.api.views import ActionInFlight
from sdp.cli import context as cli
from sdp.cli import watch
from sdp.cli.client import Client
from sdp.reconciler.disk import megabytes


def gc(
    context: typer.Context,
    timeout: cli.Timeout = 60,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show it, and remove nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: cli.AsJson = False,
) -> None:
    """Remove the built releases that nothing refers to, without waiting for `retention.unused`.

    They go by themselves after that time, and at once where a disk is low. Nothing is removed that
    a sandbox wants, a container has (a stopped one too) or a snapshot pins, and nothing of a node
    that does not report: it is named, and the exit code is 1.

    Exit code 0: all of it is gone, or there was nothing; 4: something had not gone in time.

    Examples: `sdp gc --dry-run`; `sdp gc --yes`.
    """
    deadline = time.monotonic() + timeout
    if not (dry_run or yes or sys.stdin.isatty()):
        cli.fail("gc asks, and nobody is there to answer", "look at it: --dry-run; then: --yes")
    with cli.failures():
        client = cli.client(context)
        found = client.get("/api/gc", Garbage)
        if as_json and dry_run:
            cli.print_json(found)
        elif not as_json:
            _show(found)
        if not dry_run:
            _collect(client, found, deadline, yes=yes, as_json=as_json)


def _collect(client: Client, found: Garbage, deadline: float, *, yes: bool, as_json: bool) -> None:
    """Have it removed, wait, and say what went and what did not."""
    if found.unused:
        if not yes and not typer.confirm(f"Remove {_sum(found.unused)}?", err=True):
            cli.fail("nothing was removed")
        found = client.post("/api/gc", Garbage)
    left = watch.left_by(deadline, found.unused, lambda asked: _going(client, asked))
    if as_json:
        cli.print_json(found)
    elif found.unused:
        typer.echo(f"removed {_sum([each for each in found.unused if each not in left])}")
    if left:
        cli.say(f"not gone in time: {_sum(left)}")
        cli.say("  fix: see why: sdp events; and whether their nodes answer: sdp nodes")
        raise typer.Exit(cli.NOT_IN_TIME)
    if refused := sorted({each.node for each in found.doubts if not each.repository}):
        cli.fail(f"nothing was removed from {', '.join(refused)}", "see why: sdp gc --dry-run")


def _show(found: Garbage) -> None:
    rows = [
        (
            each.node,
            f"{each.repository} @ {each.commit[:7]}",
            megabytes(each.bytes) if each.bytes else "unknown",
            f"{each.since:%Y-%m-%d %H:%M}",
            f"{each.goes_at:%Y-%m-%d %H:%M} UTC",
        )
        for each in found.unused
    ]
    if rows:
        cli.out().print(cli.table(("NODE", "RELEASE", "SIZE", "UNUSED SINCE", "GOES"), rows))
    else:
        typer.echo("nothing to remove: something refers to every release, or could")
    for each in found.doubts:
        what = f"{each.repository} on {each.node}" if each.repository else each.node
        cli.say(f"nothing of {what} is removed: {cli.inert(each.message)}")
        cli.say(f"  fix: {cli.inert(each.fix)}")


def _sum(releases: Collection[UnusedRelease]) -> str:
    taken = sum(each.bytes for each in releases)
    noun = "release" if len(releases) == 1 else "releases"
    return f"{len(releases)} {noun}" + (f", {megabytes(taken)}" if taken else "")


def _going(client: Client, asked: Collection[UnusedRelease]) -> list[UnusedRelease]:
    """Return which of these are not gone yet, nor wanted again."""
    unused = {_place(each) for each in client.get("/api/gc", Garbage).unused}
    flying = client.get_all("/api/actions", ActionInFlight)
    busy = {each.node for each in flying if each.kind == "remove-release"}
    return [each for each in asked if _place(each) in unused or each.node in busy]


def _place(release: UnusedRelease) -> tuple[str, str, str, str]:
    return release.node, release.repository, release.commit, release.recipe
