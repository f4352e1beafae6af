"""The doctor command: what would fail before it fails, on the nodes and here."""

import datetime
import itertools
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import typer

from sdp import clock
from sdp.api.app import VERSION
from sdp.api.node_views import Examination, Finding, Severity
from sdp.cli import context as cli
from sdp.cli.client import Client, ClientError
from sdp.cli.plan import Directory
from sdp.cli.specs import past_of, read_folder
from sdp.spec.load import load
from sdp.spec.resolve import problems

HERE = "this machine"
SKEWED = 30.0
"""Seconds between this machine's clock and the control plane's that are told."""


def doctor(
    context: typer.Context, directory: Directory = Path(), *, as_json: cli.AsJson = False
) -> None:
    """Say what would fail before it fails, each with what to do about it.

    Looks at every node: images, tools, ports, disks, clocks, repositories; and at this machine:
    git, the config repo in this folder, the way to the control plane.

    Exit code 0: nothing, or warnings only; 1: errors.

    Examples: `sdp doctor`; `sdp doctor --json`; `sdp doctor -C ~/config`.
    """
    with cli.failures():
        told = _asked(cli.client(context))
        found = [*told.findings, *_near(directory)]
    if as_json:
        cli.print_json(found)
    else:
        _print(found)
        if told.signing_key:
            typer.echo(f"The control plane signs its commits with {told.signing_key}")
    if any(each.severity == "error" for each in found):
        raise typer.Exit(cli.ERROR)


def _asked(client: Client) -> Examination:
    """Return what the control plane finds, and what is found of it."""
    asked = clock.now()
    try:
        told = client.get("/api/doctor", Examination)
    except ClientError as error:
        away = _here("error", "server", str(error), error.fix)
        return Examination(version="", now=asked, findings=(away,))
    findings = (*told.findings, *_of_it(told, asked))
    return told.model_copy(update={"findings": findings})


def _of_it(told: Examination, asked: datetime.datetime) -> Iterator[Finding]:
    way = (clock.now() - asked).total_seconds()
    if told.version != VERSION:
        message = f"this sdp is {VERSION}, the control plane's {told.version}"
        yield _here("warning", "server", message, f"install sdp {told.version} here")
    ahead = (told.now - asked).total_seconds() - way / 2
    if abs(ahead) - way / 2 > SKEWED:
        message = f"this machine's clock is {abs(ahead):.0f} s off the control plane's"
        yield _here("warning", "clock", message, "let both follow the same time server")


def _near(directory: Path) -> Iterator[Finding]:
    """Yield what is wrong with this machine and the folder."""
    if shutil.which("git") is None:
        fix = "install it: apt install git"
        yield _here("error", "tool", "git is missing: sdp apply can't push", fix)
    blobs = read_folder(directory)
    for problem in problems(load(blobs, past=past_of(directory))) if blobs else ():
        fix = "mend it before it is committed: sdp validate"
        yield _here(problem.severity, "spec", str(problem), fix)


def _here(severity: Severity, kind: str, message: str, fix: str) -> Finding:
    return Finding(severity=severity, node=HERE, kind=kind, message=message, fix=fix)


def _print(found: Sequence[Finding]) -> None:
    for node, findings in itertools.groupby(found, key=lambda each: each.node):
        typer.echo(node or "the config repo")
        for each in findings:
            typer.echo(f"  {each.severity:<7}  {each.kind}: {cli.inert(each.message)}")
            typer.echo(f"           fix: {cli.inert(each.fix)}")
        typer.echo("")
    errors = sum(each.severity == "error" for each in found)
    counts = f"{_counted(errors, 'error')}, {_counted(len(found) - errors, 'warning')}"
    typer.echo(counts if found else "Nothing is wrong.")


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
