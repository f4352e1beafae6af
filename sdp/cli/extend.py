"""sdp extend: keep a sandbox that would expire for longer."""

import datetime
from typing import Annotated

import typer

from sdp import clock
from sdp.cli import context as cli
from sdp.cli import watch
from sdp.cli.client import ClientError
from sdp.cli.write import Options, clone_at, write, writing
from sdp.spec import quantities
from sdp.spec.edits import Extend

NOT_FOUND = 404


def _duration(text: str) -> str:
    try:
        quantities.duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    return text


def _moment(text: str) -> str:
    try:
        quantities.moment(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    return text


@writing
def extend(
    context: typer.Context,
    options: Options,
    name: cli.SandboxName,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION",
            help="So long after it would expire, such as 7d; else its expire_after.",
            parser=_duration,
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Until then: 2026-12-24, or 2026-12-24T18:00Z.", parser=_moment
        ),
    ] = None,
) -> None:
    """Keep a sandbox that would expire for longer; one that has expired starts again.

    Writes `lifecycle.keep_until`, counted from when it would expire, or from now. Using a sandbox
    through its gateway keeps it too.

    Examples: `sdp extend QA-REFUND`; `sdp extend QA-REFUND --by 7d -m "The fix is in review"`;
    `sdp extend QA-REFUND --until 2026-12-24 --wait`.
    """
    if by is not None and until is not None:
        raise typer.BadParameter("found --by and --until, expected one of them")
    edit = Extend(sandbox=name, ends=_ends(context, options, name), by=by, until=until)
    write(context, options, [edit])


def _ends(context: typer.Context, options: Options, name: str) -> datetime.datetime:
    """Return when a sandbox would expire; now, where it has, or where nobody can be asked."""
    now = clock.now()
    try:
        told = watch.sandbox(cli.client(context), name).lifecycle.expires_at
    except ClientError as error:
        if clone_at(options.directory) is None:
            raise
        if error.status != NOT_FOUND:
            cli.say(f"counted from now, and not from when it would expire: {error}")
        return now
    return max(now, told or now)
