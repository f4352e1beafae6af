"""The nodes command: the VMs, or one of them whole."""

import contextlib
from typing import Annotated
from urllib.parse import quote

import typer
from rich.console import Group, RenderableType
from rich.markup import escape

from sdp.api import node_views
from sdp.cli import context as cli
from sdp.cli.client import ClientError

_HEAD = ("NODE", "TYPE", "ADDRESS", "AGENT", "HEARD (UTC)", "CLOCK", "DISK FREE", "CONTAINERS")


def complete_node(context: typer.Context, incomplete: str) -> list[str]:
    """Return the nodes that a name could become; nothing while the server is away."""
    with contextlib.suppress(ClientError), cli.completing(context) as client:
        found = client.get_all("/api/nodes", node_views.NodeView)
        return [each.id for each in found if each.id.startswith(incomplete)]
    return []


def nodes(
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(help="A node; without one, all.", autocompletion=complete_node),
    ] = None,
    *,
    as_json: cli.AsJson = False,
) -> None:
    """List the VMs and what their agents last said; or show one whole.

    One node's images, ports, repositories, tools, disks and sandboxes are shown with its name.

    Examples: `sdp nodes`; `sdp nodes micro-92`; `sdp nodes micro-92 --json`.
    """
    with cli.failures():
        client = cli.client(context)
        if name is not None:
            one = client.get(f"/api/nodes/{quote(name, safe='')}", node_views.NodeDetail)
            if as_json:
                cli.print_json(one)
            else:
                cli.out().print(_whole(one))
            return
        found = client.get_all("/api/nodes", node_views.NodeView)
    if as_json:
        cli.print_json(found)
        return
    cli.out().print(cli.table((*_HEAD, "ENGINE"), map(_row, found)))


def _row(node: node_views.NodeView) -> tuple[str, ...]:
    return (
        node.id,
        node.type,
        node.ip_address,
        f"connected {node.agent_version}".rstrip() if node.connected else "silent",
        f"{node.heard_at:%Y-%m-%d %H:%M:%S}" if node.heard_at else "never",
        "" if node.skew_seconds is None else f"{node.skew_seconds:+.1f} s",
        "" if node.disk_free is None else f"{node.disk_free} %",
        str(node.containers),
        escape(node.engine_error or node.engine_version),
    )


def _whole(node: node_views.NodeDetail) -> RenderableType:
    parts: list[RenderableType] = [cli.table((*_HEAD, "ENGINE"), [_row(node)])]
    ports = [(str(each.port), escape(each.party)) for each in node.ports]
    repositories = [
        (each.name, str(each.branches), escape(each.error or "readable"))
        for each in node.repositories
    ]
    facts = [(each.name, escape(each.says)) for each in node.facts]
    for head, rows in (
        (("REPOSITORY", "BRANCHES", "STATE"), repositories),
        (("FACT", ""), facts),
        (("PORT", "TAKEN BY"), ports),
        (("IMAGE",), [(escape(each),) for each in node.images]),
        (("SANDBOX",), [(each,) for each in node.sandboxes]),
    ):
        if rows:
            parts += ["", cli.table(head, rows)]
    return Group(*parts)
