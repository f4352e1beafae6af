"""The logs command: what a service's container says, or what a deployment's build said."""

import collections
import contextlib
import dataclasses
import datetime
import json
import re
from collections.abc import Generator, Iterable
from typing import Annotated
from urllib.parse import quote, urlencode

import typer

from sdp.api.views import ContainerLine, DeploymentPage, LogLineView
from sdp.cli import context as cli
from sdp.cli import watch
from sdp.cli.client import Client, ClientError, Message
from sdp.cli.moments import moment

LAST = 200
"""Lines of a container that are shown when nothing else is asked for."""
_DEPLOYMENT = re.compile(r"d-[0-9a-z-]+")


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """What of a log is to be printed.

    Attributes:
        pattern: only lines in which it is found; None: all.
        tail: only so many, the last of those since; None: no bound.
    """

    follow: bool
    since: datetime.datetime | None
    tail: int | None
    pattern: re.Pattern[str] | None
    as_json: bool


def complete_target(context: typer.Context, incomplete: str) -> list[str]:
    """Return the sandboxes, or a sandbox's services, that a target could become."""
    sandbox, slash, service = incomplete.partition("/")
    if not slash:
        return [f"{name}/" for name in cli.complete_sandbox(context, sandbox)]
    with contextlib.suppress(ClientError), cli.completing(context) as client:
        services = [each.name for each in watch.sandbox(client, sandbox).services]
        return [f"{sandbox}/{name}" for name in services if name.startswith(service)]
    return []


def logs(  # noqa: PLR0913 -- a command's options
    context: typer.Context,
    target: Annotated[
        str,
        typer.Argument(
            help="SANDBOX/SERVICE (gateway is a service), or a deployment's id.",
            autocompletion=complete_target,
        ),
    ],
    since: Annotated[
        str | None, typer.Option(help="Only from then on: 10m ago, or 2026-11-25T10:00.")
    ] = None,
    tail: Annotated[
        int | None,
        typer.Option("--tail", "-n", min=0, max=100_000, help="Only the last lines, so many."),
    ] = None,
    grep: Annotated[
        str | None, typer.Option(help="Only lines with this text or regular expression.")
    ] = None,
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what comes from now.")
    ] = False,
    ignore_case: Annotated[
        bool, typer.Option("--ignore-case", "-i", help="Let --grep take any case.")
    ] = False,
    build: Annotated[
        bool, typer.Option("--build", help="The service's newest deployment's log instead.")
    ] = False,
    as_json: cli.AsJson = False,
) -> None:
    """Print what a service's container says, or a deployment's log.

    A container's last 200 lines come, unless --tail, --since or --grep ask for others. With -f it
    goes on with the container that replaces it, and says so. A deployment's log has all lines.

    Examples: `sdp logs qa-login-error/account -f`; `sdp logs qa-login-error/gateway --since 10m`;
    `sdp logs qa-login-error/account --grep 'HTTP 5..' -i`; `sdp logs d-07b8461130 -f`;
    `sdp logs qa-login-error/account --build`.
    """
    wanted = Wanted(
        follow, moment(since, "--since"), tail, _pattern(grep, ignore_case=ignore_case), as_json
    )
    with cli.failures():
        client = cli.client(context)
        sandbox, slash, service = target.partition("/")
        if slash and not build:
            _container(client, sandbox, service, wanted)
        elif slash:
            _deployment(client, _newest(client, sandbox, service), wanted)
        elif _DEPLOYMENT.fullmatch(target) and not build:
            _deployment(client, target, wanted)
        else:
            _half_a_target(client, target)


def _half_a_target(client: Client, target: str) -> None:
    """End with what a target without a service could have been."""
    found = watch.sandbox(client, target)
    each = ", ".join(f"{found.name}/{service.name}" for service in found.services)
    cli.fail(f"{target} names no service", f"name one: {each}")


def _container(client: Client, sandbox: str, service: str, wanted: Wanted) -> None:
    path = f"/api/sandboxes/{quote(sandbox, safe='')}/services/{quote(service, safe='')}/logs"
    whole = wanted.since is not None or wanted.pattern is not None
    tail = LAST if wanted.tail is None and not whole else wanted.tail
    asked = {
        "follow": "true" if wanted.follow else "false",
        "since": wanted.since.isoformat() if wanted.since else None,
        "tail": None if tail is None else str(tail),
    }
    query = urlencode({key: value for key, value in asked.items() if value is not None})
    silent = True
    for message in client.follow(f"{path}?{query}"):
        if message.event == "message":
            line = ContainerLine.model_validate_json(message.data)
            silent = not _print(message, line.text, line.text, wanted) and silent
        else:
            _notice(message, wanted)
    if silent:
        cli.say("no lines")


def _notice(message: Message, wanted: Wanted) -> None:
    """Say on stderr what is no line: another container, a wait, the end."""
    said: dict[str, str] = json.loads(message.data)
    match message.event:
        case "container" if "replaced" in said["message"]:
            cli.say(f"--- {said['message']}")
        case "note":
            cli.say(f"--- {said['message']}")
        case "end" if said["reason"] != "Ended":
            if not wanted.follow:
                cli.fail(f"the log is not whole: {said['reason']}", "ask again")
            cli.say(f"--- over: {said['reason']}")
        case _:
            return


def _newest(client: Client, sandbox: str, service: str) -> str:
    query = {"sandbox": sandbox, "service": service, "limit": "1"}
    page = client.get("/api/deployments", DeploymentPage, query)
    if page.deployments:
        return page.deployments[0].id
    known = [each.name for each in watch.sandbox(client, sandbox).services]
    if service not in known:
        cli.fail(f"{sandbox} has no service {service!r}", f"name one of {', '.join(known)}")
    return cli.fail(f"{service} of {sandbox} was never deployed", f"see: sdp explain {sandbox}")


def _deployment(client: Client, identifier: str, wanted: Wanted) -> None:
    path = f"/api/deployments/{quote(identifier, safe='')}/logs"
    cursor = "0"
    silent = True
    if wanted.tail is not None:
        there = _chosen(client.follow(f"{path}?follow=false", cursor), wanted)
        for message in collections.deque(there, wanted.tail):
            silent = False
            _print_stage(message, wanted)
            cursor = message.id
        if not wanted.follow:
            return
    asked = f"{path}?follow={'true' if wanted.follow else 'false'}"
    for message in _chosen(client.follow(asked, cursor), wanted):
        silent = False
        _print_stage(message, wanted)
    if silent:
        cli.say("no lines: what it needed was there already, or said nothing")


def _chosen(messages: Iterable[Message], wanted: Wanted) -> Generator[Message, None, None]:
    for message in messages:
        if message.event == "message":
            line = LogLineView.model_validate_json(message.data)
            if wanted.since is None or line.at >= wanted.since:
                yield message


def _print_stage(message: Message, wanted: Wanted) -> None:
    line = LogLineView.model_validate_json(message.data)
    _print(message, line.text, f"{line.stage}: {line.text}", wanted)


def _print(message: Message, text: str, shown: str, wanted: Wanted) -> bool:
    """Print a line that is wanted; return whether it is."""
    if wanted.pattern is not None and not wanted.pattern.search(text):
        return False
    typer.echo(message.data if wanted.as_json else cli.inert(shown))
    return True


def _pattern(text: str | None, *, ignore_case: bool) -> re.Pattern[str] | None:
    """Return what to look for; what is no regular expression is the text itself."""
    if text is None:
        return None
    flags = re.IGNORECASE if ignore_case else re.NOFLAG
    try:
        return re.compile(text, flags)
    except re.error:
        return re.compile(re.escape(text), flags)
