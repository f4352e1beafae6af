"""The nodes commands: the VMs, or one of them whole, and who may be their agents."""

import contextlib
import getpass
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import quote

import typer
from pydantic import ValidationError
from rich.console import Group, RenderableType
from rich.markup import escape
from typer.core import TyperGroup
from typing_extensions import override

from sdp import clock
from sdp.api import node_views
from sdp.api.enrolment import VALID, EnrolRequest
from sdp.cli import context as cli
from sdp.cli.client import ClientError
from sdp.cli.edit import Yes, agreed
from sdp.spec import quantities
from sdp.trust.belief import TrustError

_HEAD = (
    "NODE",
    "TYPE",
    "ADDRESS",
    "AGENT",
    "TRUST",
    "HEARD (UTC)",
    "CLOCK",
    "DISK FREE",
    "CONTAINERS",
)


def complete_node(context: typer.Context, incomplete: str) -> list[str]:
    """Return the nodes that a name could become; nothing while the server is away."""
    with contextlib.suppress(ClientError), cli.completing(context) as client:
        found = client.get_all("/api/nodes", node_views.NodeView)
        return [each.id for each in found if each.id.startswith(incomplete)]
    return []


_HELP: Final = """The VMs, and who may be their agents; without a command, they are shown.

Examples:

- `sdp nodes`
- `sdp nodes micro-92 --json`
- `sdp nodes enroll micro-92`
"""


class Nodes(TyperGroup):
    """`sdp nodes NAME` is `sdp nodes show NAME`, and `sdp nodes` lists them all."""

    @override
    def parse_args(self, ctx, args):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        named = [each for each in args if not each.startswith("-")]
        asks_for_help = set(args) & set(self.get_help_option_names(ctx))
        if not asks_for_help and (not named or named[0] not in self.commands):
            args = ["show", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(name="nodes", cls=Nodes, help=_HELP)

Node = Annotated[
    str, typer.Argument(help="The node's id in platform.yaml.", autocompletion=complete_node)
]


@app.command("show")
def show(
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

    Examples: `sdp nodes`; `sdp nodes micro-92`; `sdp nodes show enroll`, were there one.
    """
    with cli.failures():
        client = cli.client(context)
        if name is not None:
            one = client.get(_path(name), node_views.NodeDetail)
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


@app.command("enroll")
def enroll(
    context: typer.Context,
    name: Node,
    *,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="The control plane's data folder, on its own machine: for the first nodes, "
            "before anybody can log in.",
        ),
    ] = None,
    valid: Annotated[str, typer.Option(help="How long the token is good for.")] = VALID,
    as_json: cli.AsJson = False,
) -> None:
    """Make a token with which the agent of a node is enrolled, once. It is shown only here.

    Enrolling a node again replaces its agent's key, as soon as the token is used.

    Examples: `sdp nodes enroll micro-92`; `sdp nodes enroll micro-92 --valid 10m`;
    `sudo -u sdp sdp nodes enroll micro-92 --data-dir /var/lib/sdp`.
    """
    asked = _asked(valid)
    with cli.failures():
        if data_dir is None:
            client = cli.client(context)
            body = asked.model_dump()
            made = client.post(f"{_path(name)}/enroll", node_views.EnrolmentView, body)
        else:
            made = _enroll_here(data_dir, name, asked)
    if as_json:
        cli.print_json(made)
        return
    cli.say(f"on {name}: sdp agent --config FILE --enroll, and paste this when it asks.")
    cli.say(f"It is good once, until {made.until:%Y-%m-%d %H:%M:%S} UTC, and is not shown again.")
    if made.replaces:
        cli.say(f"{name} is enrolled already: the key of its agent now ends with its use.")
    typer.echo(made.token)


@app.command("revoke")
def revoke(
    context: typer.Context, name: Node, *, yes: Yes = False, as_json: cli.AsJson = False
) -> None:
    """Believe a node's agent no more: its session ends at once, its key and tokens are void.

    What runs there goes on, unseen and unchanged, until the node is enrolled again.

    Examples: `sdp nodes revoke micro-92`; `sdp nodes revoke micro-92 --yes`.
    """
    with cli.failures():
        client = cli.client(context)
        if not yes:
            cli.say(f"Nothing on {name} is seen or changed until it is enrolled again.")
            agreed("nodes revoke", f"Revoke {name}?", "not revoked")
        gone = client.post(f"{_path(name)}/revoke", node_views.BeliefView)
    if as_json:
        cli.print_json(gone)
    else:
        cli.say(f"{name} is {gone.state}; to take it again: sdp nodes enroll {name}")


def _asked(valid: str) -> EnrolRequest:
    try:
        return EnrolRequest(valid=valid)
    except ValidationError as error:
        said = error.errors()[0]["msg"].removeprefix("Value error, ")
        cli.fail(f"--valid {valid}: {said}", "give it such as 10m or 1h")


def _enroll_here(data_dir: Path, name: str, asked: EnrolRequest) -> node_views.EnrolmentView:
    """Make a token in the control plane's own folder, which it reads afresh."""
    from sdp.trust.folder import Trust  # noqa: PLC0415 -- late: no other command needs keys

    try:
        until = quantities.duration(asked.valid)
        made = Trust.open(data_dir).invite(name, getpass.getuser(), until, clock.now())
    except TrustError as error:
        cli.fail(str(error), error.fix)
    return node_views.EnrolmentView(
        node=name, token=made.token.reveal(), until=made.until, replaces=made.replaces
    )


def _path(name: str) -> str:
    return f"/api/nodes/{quote(name, safe='')}"


def _row(node: node_views.NodeView) -> tuple[str, ...]:
    return (
        node.id,
        node.type,
        node.ip_address,
        f"connected {node.agent_version}".rstrip() if node.connected else "silent",
        f"{node.trust} {node.trusted_since:%Y-%m-%d}" if node.trusted_since else node.trust,
        f"{node.heard_at:%Y-%m-%d %H:%M:%S}" if node.heard_at else "never",
        "" if node.skew_seconds is None else f"{node.skew_seconds:+.1f} s",
        "" if node.disk_free is None else f"{node.disk_free} %",
        str(node.containers),
        escape(node.engine_error or node.engine_version),
    )


_READABLE: Final = {
    "": "readable",
    "served": "readable, with its service credential",
    "wanted": "readable, with the credentials of who is logged in",
}


def _whole(node: node_views.NodeDetail) -> RenderableType:
    parts: list[RenderableType] = [cli.table((*_HEAD, "ENGINE"), [_row(node)])]
    ports = [(str(each.port), escape(each.party)) for each in node.ports]
    repositories = [
        (each.name, str(each.branches), escape(each.error or _READABLE[each.credentials]))
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
