"""The ports command: who has which port of which node, and which one is free."""

from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.text import Text

from sdp.api import node_views
from sdp.cli import context as cli


def ports(
    context: typer.Context,
    node: Annotated[str | None, typer.Option(help="Only this node.")] = None,
    *,
    as_json: cli.AsJson = False,
) -> None:
    """Show which ports are given out, how many are free, and what else is in the way.

    Any free port may be pinned: `account: {branch: develop, port: 9100}`.

    Examples: `sdp ports`; `sdp ports --node micro-92 --json`.
    """
    with cli.failures():
        found = cli.client(context).get("/api/ports", node_views.PortList)
    known = {each.node for each in found.ranges}
    if node is not None:
        if node not in known:
            cli.fail(f"no ports are given out on {node!r}", f"name one of {', '.join(known)}")
        found = _only(found, node)
    if as_json:
        cli.print_json(found)
    else:
        cli.out().print(drawn(found))


def drawn(found: node_views.PortList) -> RenderableType:
    """Return the ports as tables: leases, ranges, and strangers where there are any."""
    leases = [
        (each.node, str(each.port), f"{each.sandbox}/{each.service}", each.origin, each.use)
        for each in found.ports
    ]
    ranges = [
        (
            each.node,
            each.kind,
            f"{each.first}-{each.last}",
            "unknown" if each.free is None else str(each.free),
            str(each.lowest or "-"),
        )
        for each in found.ranges
    ]
    parts: list[RenderableType] = []
    if leases:
        parts += [cli.table(("NODE", "PORT", "WHOSE", "ORIGIN", "USE"), leases), ""]
    parts.append(cli.table(("NODE", "FOR", "RANGE", "FREE", "LOWEST FREE"), ranges))
    if found.strangers:
        strangers = [
            (each.node, str(each.port), escape(cli.inert(each.owner))) for each in found.strangers
        ]
        parts += ["", Text("Taken by others:"), cli.table(("NODE", "PORT", "BY"), strangers)]
    return Group(*parts)


def _only(found: node_views.PortList, node: str) -> node_views.PortList:
    return node_views.PortList(
        ports=tuple(each for each in found.ports if each.node == node),
        ranges=tuple(each for each in found.ranges if each.node == node),
        strangers=tuple(each for each in found.strangers if each.node == node),
    )
