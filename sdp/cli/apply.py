"""The apply command: plan, ask, commit, push, and follow until what was asked for runs."""

import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from sdp.api.views import PlanView
from sdp.cli import context as cli
from sdp.cli.follower import NOT_IN_TIME, Follower, seconds
from sdp.cli.plan import Directory, SavedPlan, ask, read_tree, refuse_errors, show
from sdp.cli.publish import checkout, publish
from sdp.cli.specs import read_folder
from sdp.spec.load import load

STALE = 3


def apply(
    context: typer.Context,
    saved: Annotated[
        Path | None,
        typer.Argument(exists=True, dir_okay=False, help="A plan that sdp plan -o saved."),
    ] = None,
    directory: Directory = Path(),
    message: Annotated[str, typer.Option("--message", "-m", help="The commit's message.")] = "",
    timeout: Annotated[str, typer.Option(help="How long to wait, such as 90s or 10m.")] = "10m",
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Commit and push the working tree's specs, and follow until all of it runs.

    Exit code 0: everything affected is Synced and Healthy; 1: an error; 3: the saved plan is
    stale; 4: not healthy in time, or it can't become so.

    Examples: `sdp apply`; `sdp apply --yes -m "Try the refund branch"`; `sdp apply today.plan`.
    """
    wait = seconds(timeout)
    with cli.failures():
        client = cli.client(context)
        before = _read(saved) if saved else None
        root = Path(before.directory) if before else directory
        made = ask(client, read_tree(root), before.sandbox if before else None)
        if before is not None and made.identity != before.plan.identity:
            show(made)
            cli.fail(
                "the saved plan is stale: above is what would happen now",
                "plan again: sdp plan",
                STALE,
            )
        show(made)
        refuse_errors(made)
        tree = checkout(root)
        paths = tree.changed()
        affected = _affected(made, root, paths)
        if not paths and not affected and tree.head == made.revision:
            return
        if not yes and not _confirmed(paths):
            cli.fail("not applied")
        target = publish(tree, paths, message or _message(paths))
        deadline = time.monotonic() + wait
        follower = Follower(client, target, affected, tree.has, fresh=target != made.revision)
        if not follower.run(deadline):
            raise typer.Exit(NOT_IN_TIME)
        cli.say(f"{target[:7]} is applied")


def _affected(made: PlanView, root: Path, paths: list[str]) -> list[str]:
    """Return the sandboxes to wait for: what is done something about, and what is committed.

    One that only waits, and is no part of the commit, was waiting before.
    """
    files = load(read_folder(root)).sandboxes
    written = {files[path].spec.sandbox.lower() for path in paths if path in files}
    return [
        each.sandbox for each in made.sandboxes if each.actions or each.sandbox.lower() in written
    ]


def _read(path: Path) -> SavedPlan:
    try:
        return SavedPlan.model_validate_json(path.read_bytes())
    except ValidationError:
        cli.fail(f"{path} is no saved plan of this sdp", f"save one: sdp plan -o {path}")


def _confirmed(paths: list[str]) -> bool:
    for path in paths:
        cli.say(f"  to commit: {path}")
    if not sys.stdin.isatty():
        cli.fail("apply asks, and nobody is there to answer", "look at the plan, then: --yes")
    return typer.confirm("Apply this?", err=True)


def _message(paths: list[str]) -> str:
    return f"Apply {', '.join(paths)}"
