"""Commands that ask something of what runs, and change no intent: sync, restart."""

import time
from typing import Annotated, NoReturn
from urllib.parse import quote

import typer

from sdp.api.views import RestartRequested, SyncRequested
from sdp.cli import context as cli
from sdp.cli import watch
from sdp.cli.client import Client
from sdp.cli.life import Target


def sync(
    context: typer.Context,
    name: cli.SandboxName,
    *,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until it is Synced and Healthy.")
    ] = False,
    timeout: cli.Timeout = 600,
    as_json: cli.AsJson = False,
) -> None:
    """Look at a sandbox afresh, and try again what failed.

    Exit code 4: with --wait, it was not Synced and Healthy in time.

    Examples: `sdp sync qa-login-error`; `sdp sync qa-login-error --wait`.
    """
    deadline = time.monotonic() + timeout
    with cli.failures():
        client = cli.client(context)
        asked = client.post(f"/api/sandboxes/{quote(name, safe='')}/sync", SyncRequested)
        cli.say(f"sync of {asked.sandbox} is asked for")
        if as_json:
            cli.print_json(asked)
        if wait:
            _wait(client, asked, deadline)


def restart(
    context: typer.Context,
    target: Target,
    *,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until it is Synced and Healthy again.")
    ] = False,
    timeout: cli.Timeout = 600,
    as_json: cli.AsJson = False,
) -> None:
    """Restart the containers of a sandbox, or of one service; gateway is one.

    They are the same containers, with the same port and version. What sleeps is not woken.

    Exit code 4: with --wait, it was not Synced and Healthy in time.

    Examples: `sdp restart qa-login-error/account --wait`; `sdp restart qa-login-error`.
    """
    sandbox, _, service = target.partition("/")
    deadline = time.monotonic() + timeout
    with cli.failures():
        client = cli.client(context)
        path = f"/api/sandboxes/{quote(sandbox, safe='')}/restart"
        asked = client.post(path, RestartRequested, {"service": service} if service else {})
        cli.say(f"restart of {', '.join(asked.services)} of {asked.sandbox} is asked for")
        if as_json:
            cli.print_json(asked)
        if wait:
            _wait(client, asked, deadline)


def _wait(client: Client, asked: SyncRequested | RestartRequested, deadline: float) -> None:
    """Wait until what was asked is served and the sandbox is as it should be; or end with 4."""
    if not watch.served(client, asked.sandbox, asked.nonce, deadline):
        not_in_time(asked.sandbox)
    cli.say(f"{asked.sandbox} is Synced and Healthy")


def not_in_time(name: str) -> NoReturn:
    """End a command because a sandbox is not as it should be by the deadline."""
    cli.say(f"{name} is not Synced and Healthy in time")
    cli.say(f"  fix: see what it waits for: sdp explain {name}")
    raise typer.Exit(cli.NOT_IN_TIME)
