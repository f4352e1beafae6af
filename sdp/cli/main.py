"""The sdp command: what commands there are, and what their exit codes mean."""

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Annotated

import typer
from typer.core import TyperGroup
from typing_extensions import override

from sdp.api.app import VERSION
from sdp.cli import (
    ask,
    audit,
    edit,
    env,
    follow,
    init,
    life,
    login,
    nodes,
    plan,
    ports,
    serve,
    show,
    specs,
    template,
)
from sdp.cli import context as cli
from sdp.cli.apply import apply
from sdp.cli.cancel import cancel
from sdp.cli.doctor import doctor
from sdp.cli.extend import extend
from sdp.cli.gc import gc
from sdp.cli.history import history
from sdp.cli.logs import logs
from sdp.cli.quotas import quotas
from sdp.cli.snapshot import rollback, snapshot
from sdp.cli.update import update


class Commands(TyperGroup):
    """Usage errors end with 64 (EX_USAGE): 2 means that there are changes."""

    @override
    def main(self, *args, **kwargs):  # type: ignore[no-untyped-def]  # noqa: ANN002, ANN003, ANN201
        usage = typer.BadParameter.__mro__[1]
        usage.exit_code = cli.USAGE  # type: ignore[attr-defined]
        return super().main(*args, **kwargs)


app = typer.Typer(
    name="sdp",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:  # noqa: FBT001 -- typer's callback
    if asked:
        typer.echo(VERSION)
        raise typer.Exit


@app.callback()
def shared(
    context: typer.Context,
    server: Annotated[
        str | None,
        typer.Option(
            help="URL of the control plane; else SDP_URL, else ~/.config/sdp/config.yaml."
        ),
    ] = None,
    *,
    version: Annotated[  # noqa: ARG001 -- done in the callback
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    """Your own running copy of the company's API, from YAML in git.

    `sdp new NAME --template T` writes a sandbox and commits it; or edit `sandboxes/NAME.yaml`,
    look with `sdp plan`, and make it so with `sdp apply`. See it with `sdp status`, and ask
    `sdp explain NAME` when something waits. Every writing command is one commit: `--dry-run`
    shows it first, `sdp revert` undoes it.

    Exit codes: 0 done; 1 an error; 2 `plan` found changes; 3 a saved plan is stale; 4 not healthy
    in time; 64 the command was written wrongly.
    """
    context.obj = cli.Shared(server)


GROUPS: Mapping[str, Mapping[str, Callable[..., None] | typer.Typer]] = {  # type: ignore[explicit-any]  # of any parameters
    "Write, as one commit each": {
        "new": edit.new,
        "set": edit.change,
        "clone": edit.clone,
        "snapshot": snapshot,
        "rollback": rollback,
        "delete": edit.delete,
        "route": edit.route,
        "suspend": life.suspend,
        "resume": life.resume,
        "stop": life.stop,
        "protect": life.protect,
        "extend": extend,
        "template": template.app,
        "env": env.app,
        "revert": edit.undo,
        "approve": edit.approve,
    },
    "Edit by hand, look, apply": {
        "init": init.init,
        "validate": specs.validate,
        "render": specs.render,
        "plan": plan.plan,
        "apply": apply,
        "schema": specs.schema,
    },
    "See": {
        "status": show.status,
        "explain": show.explain,
        "history": history,
        "logs": logs,
        "events": follow.events,
        "deployments": show.deployments,
        "nodes": nodes.app,
        "ports": ports.ports,
        "quotas": quotas,
        "doctor": doctor,
        "audit": audit.app,
    },
    "Act": {
        "sync": ask.sync,
        "update": update,
        "restart": ask.restart,
        "cancel": cancel,
        "gc": gc,
    },
    "Be known": {"login": login.login, "logout": login.logout, "whoami": login.whoami},
    "Run": {"serve": serve.serve, "agent": serve.agent},
}
for panel, commands in GROUPS.items():
    for name, command in commands.items():
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name, rich_help_panel=panel)
        else:
            app.command(name, rich_help_panel=panel)(command)


def _listed(text: str) -> str:
    """Return a command's help with a line for each of its examples."""
    head, found, rest = text.partition("\n\nExamples: ")
    examples, gap, rest = rest.partition("\n\n")
    lines = (f"\n- {each}" for each in re.split(r";\s+(?=`)", examples.removesuffix(".")))
    return "".join((head, "\n\nExamples:\n", *lines, gap, rest)) if found else text


for each in (app, template.app, env.app, nodes.app, audit.app):
    for one in each.registered_commands:
        one.epilog = cli.EXIT_CODES
        one.help = _listed(inspect.getdoc(one.callback) or "")
audit.app.info.epilog = cli.EXIT_CODES
audit.app.info.help = _listed(inspect.getdoc(audit.audit) or "")


def main() -> None:
    """Run the command line."""
    app()
