"""The audit command: who did what, filtered, and followed."""

import time
from collections.abc import Iterator, Mapping
from typing import Annotated, Final

import typer
from rich.markup import escape

from sdp.api.audit_views import ActPage, ActView
from sdp.cli import audit_chain
from sdp.cli import context as cli
from sdp.cli.client import Client, ClientError
from sdp.cli.moments import moment
from sdp.reconciler.audit import ActKind, ActStatus

POLL_SECONDS: Final = 2.0
_PAGE: Final = 500
_MOST: Final = 10_000
_AWAY: Final = {0, 502, 503, 504}
"""Statuses of a control plane that may come back: not reached, or not ready."""
_HEAD = ("WHEN (UTC)", "USER", "WHAT", "STATUS", "ABOUT", "MORE")

app = typer.Typer(name="audit", invoke_without_command=True)
app.command("export")(audit_chain.export)
app.command("verify")(audit_chain.verify)


@app.callback()
def audit(  # noqa: PLR0913, PLR0917 -- a command's options
    context: typer.Context,
    user: Annotated[str, typer.Option(help="Only what this user did, in any case.")] = "",
    kind: Annotated[
        ActKind | None, typer.Option(help="Only acts of this kind.", case_sensitive=False)
    ] = None,
    status: Annotated[
        ActStatus | None, typer.Option(help="Only what ended so.", case_sensitive=False)
    ] = None,
    sandbox: cli.SandboxOption = None,
    service: Annotated[str, typer.Option(help="Only about this service.")] = "",
    repository: Annotated[str, typer.Option(help="Only about this repository.")] = "",
    branch: Annotated[str, typer.Option(help="Only about this branch.")] = "",
    environment: Annotated[str, typer.Option(help="Only about this environment.")] = "",
    since: Annotated[
        str | None, typer.Option(help="Only from then on: 10m ago, or 2026-11-25T10:00.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Only up to then.")] = None,
    text: Annotated[str, typer.Option(help="Only what has this text in any field.")] = "",
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, max=_MOST, help="How many, the newest.")
    ] = 20,
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what is done from now.")
    ] = False,
    as_json: cli.AsJson = False,
) -> None:
    """Show who did what, newest first: logins, changes, deployments, routes, secrets, refusals.

    A user `sdp` is the platform itself, such as where a branch moved. With -f it is a line each,
    the newest last, and it goes on.

    Examples: `sdp audit`; `sdp audit --user sari --since 1d`; `sdp audit --status refused -f`;
    `sdp audit --sandbox qa-refund --kind DEPLOYMENT --json`; `sdp audit export -o audit.jsonl`;
    `sdp audit verify`.
    """
    if context.invoked_subcommand is not None:
        _refuse_filters(context, context.invoked_subcommand)
        return
    moments = {"since": moment(since, "--since"), "until": moment(until, "--until")}
    said = {
        "user": user,
        "kind": kind,
        "status": status,
        "sandbox": sandbox,
        "service": service,
        "repository": repository,
        "branch": branch,
        "environment": environment,
        "text": text,
        **{name: at.isoformat() for name, at in moments.items() if at},
    }
    query = {name: value for name, value in said.items() if value}
    with cli.failures():
        client = cli.client(context)
        found = list(_newest(client, query, limit))
        if follow:
            _follow(client, query, found, as_json=as_json)
    if as_json:
        cli.print_json(found)
    elif not found:
        cli.say("nothing was done that this asks for")
    else:
        cli.out().print(cli.table(_HEAD, [_row(each) for each in found]))


def line(act: ActView) -> str:
    """Return an act as a line for people."""
    when, user, *rest = _words(act)
    return " ".join(word for word in (when, user, act.kind, *rest) if word)


def _refuse_filters(context: typer.Context, command: str) -> None:
    for name in context.params:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            option = name.replace("_", "-")
            raise typer.BadParameter(f"audit {command} takes no --{option} before it")


def _newest(
    client: Client, query: Mapping[str, str], limit: int, after: int = 0
) -> Iterator[ActView]:
    """Yield the newest acts, up to so many, down to the one after a number."""
    cursor = ""
    while limit:
        asked = {**query, "limit": str(min(limit, _PAGE)), "cursor": cursor}
        page = client.get("/api/audit", ActPage, asked)
        new = [each for each in page.acts if each.seq > after]
        yield from new
        limit, cursor = limit - len(new), page.following
        if not cursor or len(new) < len(page.acts):
            return


def _follow(
    client: Client, query: Mapping[str, str], found: list[ActView], *, as_json: bool
) -> None:
    """Print acts, the newest last, and what comes; over times when nobody answers, too."""
    seen = 0
    while True:
        for each in reversed(found):
            seen = max(seen, each.seq)
            typer.echo(each.model_dump_json() if as_json else line(each))
        time.sleep(POLL_SECONDS)
        try:
            found = list(_newest(client, query, _MOST, seen))
        except ClientError as error:
            if error.status not in _AWAY:
                raise
            found = []


def _row(act: ActView) -> tuple[str, ...]:
    return tuple(escape(each) for each in _words(act))


def _words(act: ActView) -> tuple[str, str, str, str, str, str]:
    about = "/".join(each for each in (act.sandbox, act.service) if each) or act.environment
    version = f"{act.branch} @{act.commit[:7]}" if act.branch else act.commit[:7]
    more = (version, act.message.rstrip("."), f"from {act.address}" if act.address else "")
    return (
        f"{act.at:%Y-%m-%d %H:%M:%S}",
        cli.inert(act.user) or "-",
        cli.inert(act.action),
        act.status,
        cli.inert(about),
        cli.inert(", ".join(each for each in more if each)),
    )
