"""The quotas command: how much may run, what runs of it, and who waits for a place."""

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from sdp.api import node_views
from sdp.cli import context as cli
from sdp.spec.quantities import memory_text


def quotas(context: typer.Context, *, as_json: cli.AsJson = False) -> None:
    """Show how much of each quota is taken and by whom, and which sandboxes are queued, and why.

    Quotas stand in platform.yaml: `quotas: {running: 20, per_owner: {running: 3}}`.

    Examples: `sdp quotas`; `sdp quotas --json`.
    """
    with cli.failures():
        found = cli.client(context).get("/api/quotas", node_views.QuotaList)
    if as_json:
        cli.print_json(found)
    else:
        cli.out().print(drawn(found))


def drawn(found: node_views.QuotaList) -> RenderableType:
    """Return the quotas as a table, and below it the queue with what each one waits for."""
    if not found.quotas:
        return Text("No quotas: platform.yaml has no quotas: {…}")
    rows = [
        (
            "all" if each.owner is None else each.owner or "(no owner)",
            f"{each.running}{'' if each.running_limit is None else f' of {each.running_limit}'}",
            memory_text(each.memory) if each.memory else "0",
            "-" if each.memory_limit is None else memory_text(each.memory_limit),
            "over" if each.over else "",
            ", ".join(each.sandboxes) if each.owner is not None else "",
        )
        for each in found.quotas
    ]
    head = ("WHOSE", "RUNNING", "MEMORY", "OF", "", "SANDBOXES")
    parts: list[RenderableType] = [cli.table(head, rows)]
    for each in found.queue:
        since = f"{each.since:%Y-%m-%d %H:%M:%S}"
        told = f"{each.sandbox}: {each.reason} since {since} UTC: {cli.inert(each.message)}"
        parts += ["", Text(f"{told}\n  fix: {each.fix}")]
    return Group(*parts)
