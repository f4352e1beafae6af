"""The cancel command: end what is being brought about, and wait until it has ended."""

import time
from collections.abc import Collection
from typing import Annotated
from urllib.parse import quote

import typer

from sdp.api.views import ActionInFlight, Cancelled
from sdp.cli import context as cli
from sdp.cli import watch
from sdp.cli.client import Client


def cancel(
    context: typer.Context,
    name: cli.SandboxName,
    service: Annotated[str | None, typer.Option(help="Only this service; gateway is one.")] = None,
    timeout: cli.Timeout = 60,
    *,
    as_json: cli.AsJson = False,
) -> None:
    """End what is being brought about of a sandbox: builds, fetches, starts and waits.

    What serves goes on serving. What was cancelled is not tried again until another version is
    committed, or `sdp sync` asks. A build that other sandboxes wait for goes on for them.

    Exit code 0: it ended, or there was nothing to cancel; 4: something had not ended in time.

    Examples: `sdp cancel qa-login-error`; `sdp cancel qa-login-error --service account`.
    """
    deadline = time.monotonic() + timeout
    body = {"service": service} if service else {}
    with cli.failures():
        client = cli.client(context)
        path = f"/api/sandboxes/{quote(name, safe='')}/cancel"
        made = client.post(path, Cancelled, body)
        left = watch.left_by(deadline, made.stopping, lambda asked: _flying(client, asked))
    if as_json:
        cli.print_json(made)
    elif not (made.services or made.stopping or made.shared):
        what = f"{service} of {made.sandbox}" if service else made.sandbox
        typer.echo(f"nothing to cancel: nothing of {what} is being brought about")
    else:
        _tell(made, left)
    if left:
        cli.say(f"not ended in time: {', '.join(map(_words, left))}")
        cli.say("  fix: see whether its node answers: sdp nodes")
        raise typer.Exit(cli.NOT_IN_TIME)


def _tell(made: Cancelled, left: Collection[ActionInFlight]) -> None:
    for each in made.stopping:
        if each not in left:
            typer.echo(f"stopped    {_words(each)}")
    for each in made.shared:
        typer.echo(f"goes on    {_words(each)}: other sandboxes wait for it")
    for service in made.services:
        typer.echo(
            f"cancelled  {service} of {made.sandbox}; to have it after all: "
            f"sdp sync {made.sandbox}"
        )


def _words(action: ActionInFlight) -> str:
    return f"{action.kind} of {action.service} on {action.node}"


def _flying(client: Client, asked: Collection[ActionInFlight]) -> list[ActionInFlight]:
    """Return which of these nodes have not ended."""
    flying = {each.id for each in client.get_all("/api/actions", ActionInFlight)}
    return [each for each in asked if each.id in flying]
