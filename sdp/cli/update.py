"""The update command: let in the newer commits of branches that are followed by hand."""

import time
from collections.abc import Collection
from typing import Annotated
from urllib.parse import quote

import typer

from sdp.api.views import Condition, SandboxView, Updated, UpdatedService
from sdp.cli import context as cli
from sdp.cli import watch
from sdp.cli.ask import not_in_time
from sdp.cli.client import Client
from sdp.cli.life import Target


def update(
    context: typer.Context,
    target: Target,
    *,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until it runs and is Synced and Healthy.")
    ] = False,
    timeout: cli.Timeout = 600,
    as_json: cli.AsJson = False,
) -> None:
    """Deploy the newest commits of branches that are followed by hand (`update: manual`).

    The origins are looked at first, so that what was just pushed is there. What updates itself,
    is pinned or runs elsewhere is left as it is.

    Exit code 1: nothing newer is there, or nobody can tell; 4: with --wait, it was not Synced and
    Healthy in time, or failed.

    Examples: `sdp update qa-login-error`; `sdp update qa-login-error/account --wait`.
    """
    deadline = time.monotonic() + timeout
    name, _, service = target.partition("/")
    body = {"service": service} if service else {}
    with cli.failures():
        client = cli.client(context)
        made = client.post(f"/api/sandboxes/{quote(name, safe='')}/update", Updated, body)
        for each in made.services:
            cli.say(
                f"{made.sandbox}/{each.service}: {each.branch} "
                f"{each.before[:7]} → {each.after[:7]}"
            )
        if as_json:
            cli.print_json(made)
        if wait:
            _wait(client, made, deadline)


def _wait(client: Client, made: Updated, deadline: float) -> None:
    for _ in watch.changes(client, made.sandbox, deadline):
        found = watch.sandbox(client, made.sandbox)
        if _runs(found, made.services) and watch.converged(found):
            cli.say(f"{found.name} is {found.sync} and {found.health}")
            return
        if failed := _failed(found, made.services):
            cli.say(f"{failed.service} of {found.name} failed: {cli.inert(failed.message)}")
            break
    not_in_time(made.sandbox)


def _runs(found: SandboxView, updated: Collection[UpdatedService]) -> bool:
    """Whether all of it runs; what sleeps has nothing to wait for until it is resumed."""
    there = {each.name: each for each in found.services}
    mine = [(there[each.service], each.after) for each in updated if each.service in there]
    return len(mine) == len(updated) and all(
        each.commit == after or each.health in {"Suspended", "Expired"} for each, after in mine
    )


def _failed(found: SandboxView, updated: Collection[UpdatedService]) -> Condition | None:
    """Return what only another commit, or a person, can change, of the commits that are new."""
    wanted = {each.name: each.target for each in found.services}
    mine = {e.service for e in updated if wanted.get(e.service, "").endswith(e.after[:7])}
    final = (each for each in found.conditions if each.failed and each.until is None)
    return next((each for each in final if each.service in mine), None)
