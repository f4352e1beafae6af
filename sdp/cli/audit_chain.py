"""The audit's export and its verification, which needs no control plane for an exported file."""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, TextIO

import typer
from pydantic import ValidationError

from sdp.api.audit_views import ActPage, ActView, AuditFinding, AuditVerdict
from sdp.cli import context as cli
from sdp.cli.client import Client
from sdp.cli.moments import moment
from sdp.reconciler import chain
from sdp.reconciler.chain import ORIGIN, Entry, Head

_ANCHOR: Final = re.compile(r"([0-9]{1,15}):([0-9a-f]{64})")


class _NoActError(Exception):
    """A line of a file that is no act."""


def export(
    context: typer.Context,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", dir_okay=False, help="A file; one that is there goes on."),
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Only from then on: 30d ago, or 2026-11-25T10:00.")
    ] = None,
    after: Annotated[
        int, typer.Option(min=0, max=10**15 - 1, help="Only what has a higher number.")
    ] = 0,
) -> None:
    """Export who did what: a line of JSON each, oldest first, with its number and hash.

    A file that is there goes on after its last whole line, so that running this again adds what
    is new. Keep the last line's number and hash, which are said at the end, where nobody who can
    write the control plane's data can reach them: `sdp audit verify --anchor` compares with them.

    Examples: `sdp audit export -o audit.jsonl`; `sdp audit export --since 30d | gzip > month.gz`.
    """
    query = {"after": str(after)}
    if at := moment(since, "--since"):
        query["since"] = at.isoformat()
    with cli.failures(), contextlib.ExitStack() as stack:
        client = cli.client(context)
        target: TextIO | None = None
        if output is not None:
            last = _resumed(output)
            query = {"after": str(last)} if last else query
            target = stack.enter_context(_appending(output))
        count, head = 0, None
        for each in client.lines("/api/audit/export", query):
            head, count = each, count + 1
            typer.echo(each, file=target)
    if head is None:
        cli.say("nothing new")
        return
    act = ActView.model_validate_json(head)
    cli.say(f"{count} acts; the last is {act.seq}:{act.hash}")


def verify(
    context: typer.Context,
    file: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="An exported file, instead of the server."),
    ] = None,
    anchor: Annotated[
        str | None, typer.Option(metavar="NUMBER:HASH", help="What an earlier export ended with.")
    ] = None,
    *,
    as_json: cli.AsJson = False,
) -> None:
    """Check that the audit is as it was written: no row changed, moved or missing.

    It finds what somebody changed in the database or in a file. Who can write all of the control
    plane's data can write a whole new chain: what an export ended with, kept elsewhere, shows it.

    Exit code 0: it is as it was written; 1: it is not, and what is wrong is said.

    Examples: `sdp audit verify`; `sdp audit verify --file audit.jsonl`;
    `sdp audit verify --anchor 1204:9c1e…`.
    """
    wanted = _anchor(anchor)
    if file is not None:
        found = _of_file(file, wanted)
    else:
        with cli.failures():
            found = _of_server(cli.client(context), wanted)
    if as_json:
        cli.print_json(found)
    elif found.rows:
        part = "" if found.first == 1 else f"; what was before row {found.first} is not in it"
        typer.echo(f"rows {found.first} to {found.last} were read; the last is "
                   f"{found.last}:{found.hash}{part}")  # fmt: skip
    else:
        typer.echo("there is no row yet")
    for each in found.findings:
        cli.say(f"row {each.seq}: {cli.inert(each.message)}")
    if not found.ok:
        cli.fail(
            "the audit is not as it was written",
            "find out who could write the data folder, and compare with an export from before",
        )


def _anchor(text: str | None) -> Head | None:
    if text is None:
        return None
    if (parts := _ANCHOR.fullmatch(text)) is None:
        raise typer.BadParameter("expected NUMBER:HASH", param_hint="--anchor")
    return Head(int(parts[1]), parts[2])


def _of_server(client: Client, anchor: Head | None) -> AuditVerdict:
    found = client.get("/api/audit/verify", AuditVerdict)
    if anchor is None:
        return found
    asked = {"cursor": str(anchor.seq + 1), "limit": "1"}
    page = client.get("/api/audit", ActPage, asked)
    if any((each.seq, each.hash) == (anchor.seq, anchor.hash) for each in page.acts):
        return found
    return _with(found, AuditFinding(seq=anchor.seq, message="it is not the one of --anchor"))


def _with(found: AuditVerdict, finding: AuditFinding) -> AuditVerdict:
    return found.model_copy(update={"ok": False, "findings": (*found.findings, finding)})


def _of_file(file: Path, anchor: Head | None) -> AuditVerdict:
    try:
        first = next(_entries(file), None)
        start = ORIGIN if first is None or first.seq == 1 else None
        return AuditVerdict.of(chain.verify(_entries(file), start, anchor))
    except _NoActError as error:
        cli.fail(str(error), "name a file that sdp audit export wrote")


def _entries(file: Path) -> Iterator[Entry]:
    """Yield the rows of an exported file; raises _NoActError for a line that is none."""
    with file.open("rb") as lines:
        for number, each in enumerate(lines, 1):
            yield _act(each, f"{file}:{number}").entry


def _act(text: bytes, place: str) -> ActView:
    try:
        return ActView.model_validate_json(text)
    except ValidationError as error:
        raise _NoActError(f"{place} is no act of an audit") from error


def _resumed(file: Path) -> int:
    """Return the number of a file's last act; the rest of a line that was cut is removed."""
    try:
        if not file.exists() or not file.stat().st_size:
            return 0
        with file.open("r+b") as lines:
            last, number, size = b"", 0, 0
            for each in lines:
                if each.endswith(b"\n"):
                    last, number, size = each, number + 1, size + len(each)
            act = _act(last, f"{file}:{number}")
            os.truncate(lines.fileno(), size)
    except OSError as error:
        cli.fail(f"{file} can't be read: {error.strerror}", "name another file with -o")
    except _NoActError as error:
        cli.fail(str(error), "name a file that sdp audit export wrote, or a new one")
    return act.seq


def _appending(file: Path) -> TextIO:
    try:
        return file.open("a", encoding="utf-8")
    except OSError as error:
        cli.fail(f"{file} can't be written: {error.strerror}", "name another file with -o")
