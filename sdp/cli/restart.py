"""The restart command: stop a sandbox's containers, or one service's, and start them again."""

import time
from typing import Annotated
from urllib.parse import quote

import typer

from sdp.api.views import RestartRequested
from sdp.cli import context as cli
from sdp.cli import watch
from sdp.cli.follower import seconds
from sdp.cli.life import Target


def restart(
    context: typer.Context,
    target: Target,
    *,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until it is Synced and Healthy again.")
    ] = False,
    timeout: Annotated[str, typer.Option(help="How long --wait waits, such as 90s.")] = "10m",
    as_json: cli.AsJson = False,
) -> None:
    """Restart the containers of a sandbox, or of one service; gateway is one.

    They are the same containers, with the same port and version. What sleeps is not woken.

    Exit code 4: with --wait, it was not Synced and Healthy in time.

    Examples: `sdp restart qa-login-error/account --wait`; `sdp restart qa-login-error`.
    """
    sandbox, _, service = target.partition("/")
    deadline = time.monotonic() + seconds(timeout)
    with cli.failures():
        client = cli.client(context)
        path = f"/api/sandboxes/{quote(sandbox, safe='')}/restart"
        asked = client.post(path, RestartRequested, {"service": service} if service else {})
        cli.say(f"restart of {', '.join(asked.services)} of {asked.sandbox} is asked for")
        if as_json:
            cli.print_json(asked)
        if wait and not watch.served(client, asked.sandbox, asked.nonce, deadline):
            cli.say(f"{asked.sandbox} is not Synced and Healthy in time")
            cli.say(f"  fix: see what it waits for: sdp explain {asked.sandbox}")
            raise typer.Exit(cli.NOT_IN_TIME)
    if wait:
        cli.say(f"{asked.sandbox} is Synced and Healthy")
