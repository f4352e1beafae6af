"""Commands about how a sandbox lives: suspend, resume, stop, protect. Each is one commit."""

import contextlib
import dataclasses
import sys
from typing import Annotated

import typer

from sdp.cli import context as cli
from sdp.cli import watch
from sdp.cli.client import ClientError
from sdp.cli.logs import complete_target
from sdp.cli.write import Options, write, writing
from sdp.spec.edits import Switch

Target = Annotated[
    str,
    typer.Argument(
        metavar="SANDBOX[/SERVICE]",
        help="A sandbox, in any case, or one service of it.",
        autocompletion=complete_target,
        show_default=False,
    ),
]


@writing
def suspend(context: typer.Context, options: Options, name: cli.SandboxName) -> None:
    """Put a sandbox to sleep: its containers stop, and everything is kept.

    Ports, containers, routes and data stay; memory and CPU are free for others. The reason is
    asked for, and shown to whoever looks at the sandbox.

    Examples: `sdp suspend QA-REFUND -m "Waits for the fix of PAY-12"`;
    `sdp suspend QA-REFUND --wait`; `sdp suspend QA-REFUND --dry-run`.
    """
    sandbox, slash, service = name.partition("/")
    if slash:
        cli.fail(
            f"suspend is about all of {sandbox}", f"one service: sdp stop {sandbox}/{service}"
        )
    write(context, _with_reason(options), [Switch(sandbox=name, key="suspended", on=True)])


@writing
def resume(context: typer.Context, options: Options, target: Target) -> None:
    """Wake a sandbox, or one service that was stopped: the same containers start again.

    What was committed meanwhile comes too. Services that were stopped alone stay so.

    Examples: `sdp resume QA-REFUND --wait`; `sdp resume QA-REFUND/account`.
    """
    sandbox, _, service = target.partition("/")
    _refuse_expired(context, sandbox)
    write(context, options, [Switch(sandbox=sandbox, service=service, key="suspended", on=False)])


@writing
def stop(context: typer.Context, options: Options, target: Target) -> None:
    """Stop one service of a sandbox, and keep its container, port and route.

    It does not count in the sandbox's health, and `sdp resume` starts it again.

    Examples: `sdp stop QA-REFUND/account -m "Tests how the app takes its absence"`;
    `sdp stop QA-REFUND/account --wait`.
    """
    sandbox, _, service = target.partition("/")
    if not service:
        cli.fail(
            "stop is about one service",
            f"name it: sdp stop {sandbox}/SERVICE; all of it: sdp suspend {sandbox}",
        )
    edit = Switch(sandbox=sandbox, service=service, key="suspended", on=True)
    write(context, _with_reason(options), [edit])


@writing
def protect(
    context: typer.Context,
    options: Options,
    name: cli.SandboxName,
    *,
    off: Annotated[bool, typer.Option("--off", help="Let it be deleted again.")] = False,
) -> None:
    """Keep a sandbox from being deleted: even when its file is removed, it stays.

    Examples: `sdp protect QA-REFUND -m "The demo is on Monday"`; `sdp protect QA-REFUND --off`.
    """
    write(context, options, [Switch(sandbox=name, key="protect", on=not off)])


def _refuse_expired(context: typer.Context, sandbox: str) -> None:
    """End where no file says that a sandbox sleeps: it has expired. Unasked, nobody knows."""
    with contextlib.suppress(ClientError):
        found = watch.sandbox(cli.client(context), sandbox)
        if found.lifecycle.state == "EXPIRED":
            cli.fail(f"{found.name} has expired", f"wake it: sdp extend {found.name}")


def _with_reason(options: Options) -> Options:
    """Ask a person why, who did not say; without anybody there, it may be missing."""
    if options.why or options.dry_run or not sys.stdin.isatty():
        return options
    said = typer.prompt("Why? It is shown in sdp status", "", show_default=False, err=True)
    return dataclasses.replace(options, why=str(said).strip())
