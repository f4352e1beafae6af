"""The events command: what happens, a line each."""

import json
from typing import Annotated
from urllib.parse import urlencode

import typer

from sdp.api.views import EventView
from sdp.cli import context as cli
from sdp.cli import watch
from sdp.cli.client import Message

_LAST = 200


def events(
    context: typer.Context,
    sandbox: cli.SandboxOption = None,
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what happens from now.")
    ] = False,
    as_json: cli.AsJson = False,
) -> None:
    """Print the last events, a line each; with -f also what happens from now.

    Examples: `sdp events`; `sdp events -f --sandbox qa-login-error`; `sdp events -f --json`.
    """
    with cli.failures():
        client = cli.client(context)
        if sandbox is not None:
            sandbox = watch.sandbox(client, sandbox).name
        start = max(0, watch.moment(client).seq - _LAST)
        query = {"follow": "true" if follow else "false"}
        query |= {"sandbox": sandbox} if sandbox else {}
        for message in client.follow(f"/api/events?{urlencode(query)}", str(start)):
            _print(message, as_json=as_json)


def line(event: EventView) -> str:
    """Return an event as a line for people."""
    what = "/".join(part for part in (event.sandbox, event.service) if part)
    words = (f"{event.at:%H:%M:%S}", what, event.kind, event.reason, cli.inert(event.message))
    return " ".join(word for word in words if word)


def _print(message: Message, *, as_json: bool) -> None:
    if message.event == "resync":
        reason = json.loads(message.data).get("reason", "")
        cli.say(f"events are missing here: {reason}")
    elif message.event == "message" and as_json:
        typer.echo(message.data)
    elif message.event == "message":
        event = EventView.model_validate_json(message.data)
        if event.kind != "STATUS":  # what changes in a status has an event of its own
            typer.echo(line(event))
