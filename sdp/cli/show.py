"""Commands that show what is: status, explain, deployments."""

import datetime
from collections.abc import Sequence
from typing import Annotated, Literal
from urllib.parse import quote

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.text import Text

from sdp import clock
from sdp.api import views
from sdp.cli import context as cli
from sdp.cli import health
from sdp.cli import watch as watching
from sdp.cli.client import Client

_Status = Literal["QUEUED", "RUNNING", "FAILED", "STOPPED"]
_NAME = typer.Argument(
    help="A sandbox, in any case; without one, all.", autocompletion=cli.complete_sandbox
)


def status(
    context: typer.Context,
    name: Annotated[str | None, _NAME] = None,
    *,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show again on changes.")] = False,
    as_json: cli.AsJson = False,
) -> None:
    """Show all sandboxes, or one with its services, routes and conditions.

    Examples: `sdp status`; `sdp status qa-login-error --watch`; `sdp status --json`.
    """
    with cli.failures():
        client = cli.client(context)
        if name is not None and watch:
            name = watching.sandbox(client, name).name
        if not watch:
            _show(client, name, as_json=as_json)
            return
        console = cli.out()
        if not console.is_terminal or as_json:
            for _ in watching.changes(client, name):
                _show(client, name, as_json=as_json)
            return
        with Live(console=console, auto_refresh=False) as live:
            for _ in watching.beats(client, name):
                live.update(_drawn(client, name), refresh=True)


def explain(context: typer.Context, name: cli.SandboxName, *, as_json: cli.AsJson = False) -> None:
    """Say for every waiting or failed thing why, what to do, and its last lines.

    Example: `sdp explain qa-login-error`.
    """
    with cli.failures():
        found = watching.sandbox(cli.client(context), name)
    told = (*found.conditions, *health.conditions(found), *_about_routes(found))
    if as_json:
        cli.print_json(told)
        return
    typer.echo(f"{found.name}: {found.health}, {found.sync}")
    if not told:
        typer.echo("Nothing waits and nothing failed.")
    for each in told:
        typer.echo("")
        _explain(each)


def deployments(  # noqa: PLR0913 -- a command's options
    context: typer.Context,
    sandbox: cli.SandboxOption = None,
    service: Annotated[str | None, typer.Option(help="Only this service.")] = None,
    status: Annotated[
        _Status | None, typer.Option(help="Only of this status.", case_sensitive=False)
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many.")] = 20,
    cursor: Annotated[str, typer.Option(help="Go on where the page before ended.")] = "",
    *,
    as_json: cli.AsJson = False,
) -> None:
    """List deployments, newest first; also of a sandbox that is gone.

    Examples: `sdp deployments`; `sdp deployments --sandbox qa-login-error --service account`;
    `sdp deployments --status failed --limit 100`.
    """
    asked = {
        "limit": str(limit),
        "sandbox": sandbox,
        "service": service,
        "status": status,
        "cursor": cursor,
    }
    query = {key: value for key, value in asked.items() if value}
    with cli.failures():
        page = cli.client(context).get("/api/deployments", views.DeploymentPage, query)
    if as_json:
        cli.print_json(page)
        return
    rows = [
        (
            each.id,
            each.status,
            each.sandbox,
            each.service,
            f"{each.branch} @{each.commit[:7]}",
            f"{each.created_at:%Y-%m-%d %H:%M:%S}",
            escape(each.reason or each.cause),
        )
        for each in page.deployments
    ]
    if not rows:
        cli.say("no deployments")
        return
    head = ("ID", "STATUS", "SANDBOX", "SERVICE", "VERSION", "CREATED (UTC)", "WHY")
    cli.out().print(cli.table(head, rows))
    if page.following:
        cli.say(f"there are more: the same with --cursor {page.following}")


def routes(found: views.SandboxView, service: str | None = None, *, as_json: bool = False) -> None:
    """Print where a sandbox's routes lead: all, or one service's."""
    shown = [each for each in found.routes if service in {None, each.service}]
    if service is not None and not shown:
        known = ", ".join(each.service for each in found.routes) or "none yet"
        cli.fail(f"{found.name} has no route of {service!r}", f"name one of them: {known}")
    if as_json:
        cli.print_json(shown)
    else:
        cli.out().print(_routes(shown))


def _show(client: Client, name: str | None, *, as_json: bool) -> None:
    if as_json:
        cli.print_json(watching.sandbox(client, name) if name else watching.all_sandboxes(client))
    else:
        cli.out().print(_drawn(client, name))


def _drawn(client: Client, name: str | None) -> RenderableType:
    if name is not None:
        found = watching.sandbox(client, name)
        path = f"/api/sandboxes/{quote(name, safe='')}/usage"
        return _one(found, client.get(path, views.UsageView))
    listed = watching.all_sandboxes(client)
    if not listed:
        nothing = Text("No sandboxes. Write sandboxes/NAME.yaml, then: sdp apply")
        return Group(nothing, *health.withheld(watching.moment(client).withheld))
    table = cli.table(cli.SUMMARY, [cli.summary_row(each) for each in listed])
    complaints = [*health.complaints(listed), *health.withheld(watching.moment(client).withheld)]
    return Group(table, *([""] if complaints else []), *complaints)


def _one(found: views.SandboxView, used: views.UsageView) -> RenderableType:
    parts: list[RenderableType] = [cli.table(cli.SUMMARY, [cli.summary_row(found)])]
    parts.append(Text(lived(found.lifecycle, clock.now())))
    if found.lifecycle.state != "ACTIVE":
        parts += [Text(f"  fix: {each.fix}") for each in found.services[:1] if each.fix]
    if found.protect:
        said = f"Protected from being deleted; to end that: sdp protect {found.name} --off"
        parts.append(Text(said))
    parts.append("")
    services = [
        (
            each.name,
            cli.coloured(each.health) if each.node else "-",
            cli.coloured(each.sync),
            escape(each.target),
            each.node,
            f":{each.port}" if each.port else "",
        )
        for each in found.services
    ]
    parts.append(cli.table(("SERVICE", "HEALTH", "SYNC", "FROM", "NODE", "PORT"), services))
    if found.routes:
        parts += ["", _routes(found.routes)]
    if (usage := health.usage(used)) is not None:
        parts += ["", usage]
    for told in health.paragraphs(found, clock.now()):
        parts += ["", told]
    for each in found.conditions:
        where = f"{each.service}: " if each.service else ""
        fix = f"\n  fix: {each.fix}" if each.fix else ""
        parts += ["", Text(f"{where}{each.reason}: {each.message}{fix}")]
    return Group(*parts)


def lived(life: views.LifecycleView, now: datetime.datetime) -> str:
    """Return since when a sandbox is as it is, by whom and why; of today the time alone."""
    said: str = life.state
    if life.since is not None:
        form = "%H:%M" if life.since.date() == now.date() else "%Y-%m-%d %H:%M"
        said += f" since {life.since.astimezone(datetime.UTC):{form}} UTC by {life.by}"
    told = [f"{said}: {life.why}" if life.why else said]
    if life.expires_at is not None and life.state != "EXPIRED":
        told.append(f"expires {_ahead(life.expires_at, now)}")
    elif life.deletes_at is not None and life.state == "EXPIRED":
        told.append(f"deleted {_ahead(life.deletes_at, now)}")
    return cli.inert(" · ".join(told))


def _ahead(at: datetime.datetime, now: datetime.datetime) -> str:
    """Return a day, and how far it is, such as ``9 Dec, in 13 days``; what is near, in hours."""
    left = max(at - now, datetime.timedelta())
    for unit, size in (("days", 86400), ("hours", 3600), ("min", 60)):
        if (count := int(left.total_seconds()) // size) > 1:
            return f"{at.day} {at:%b}, in {count} {unit}"
    return "in a minute"


def _routes(shown: Sequence[views.RouteView]) -> RenderableType:
    """Return the table of routes, and below it what is to be known of their entries."""
    now = clock.now()
    rows = [
        (
            each.service,
            each.state,
            escape(each.wanted),
            escape(_actual(each)),
            health.ago(each.verified_at, now),
            each.problem.kind if each.problem else "",
        )
        for each in shown
    ]
    head = ("ROUTE", "STATE", "WANTED", "ACTUAL", "READ BACK", "PROBLEM")
    parts: list[RenderableType] = [cli.table(head, rows)]
    for each in shown:
        if each.problem is not None:
            said = cli.inert(each.problem.message)
            told = f"{each.service}: {said}\n  fix: {each.problem.fix}"
            parts += ["", Text(told)]
    return Group(*parts)


def _about_routes(found: views.SandboxView) -> list[views.Condition]:
    """Return what is to be known of routes' entries, but for what a hold tells already."""
    told = {each.service for each in found.conditions if each.reason == "RouteNotPatchable"}
    return [
        views.Condition(
            type="Warning",
            service=each.service,
            reason="RouteNotPatchable" if each.problem.blocking else "RouteDuplicate",
            message=f"{each.problem.message} ({each.problem.kind})",
            fix=each.problem.fix,
        )
        for each in found.routes
        if each.problem is not None and each.service not in told
    ]


def _explain(condition: views.Condition) -> None:
    state = "failed" if condition.failed else "waits"
    state = {"Warning": "is warned of", "Notice": "is told of"}.get(condition.type, state)
    state = f"is {condition.type}" if condition.type in health.WRONG else state
    typer.echo(f"{condition.service or 'sandbox'} {state}: {condition.reason}")
    typer.echo(f"  {condition.message}")
    if condition.fix:
        typer.echo(f"  fix: {condition.fix}")
    if condition.until and condition.type not in health.WRONG:
        typer.echo(f"  tried again at {condition.until:%H:%M:%S} UTC")
    for line in condition.lines:
        typer.echo(f"  | {cli.inert(line)}")


def _actual(route: views.RouteView) -> str:
    if route.state == "Unverified":
        return route.actual or "unknown"
    return "" if route.actual == route.wanted else route.actual
