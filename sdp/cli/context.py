"""What every command shares: the server it asks, where words go, and how it fails.

Data goes to stdout; progress and errors to stderr; no colour where nobody looks.
"""

import contextlib
import dataclasses
import json
import re
import sys
from collections.abc import Generator, Iterable, Sequence
from typing import Annotated, NoReturn

import typer
from pydantic import BaseModel
from rich.console import Console
from rich.table import Table

from sdp.api.views import ConflictView, SandboxPage, SandboxSummary
from sdp.cli import keyring
from sdp.cli.client import Client, ClientError, find_url
from sdp.cli.keyring import KeyringError
from sdp.spec import quantities
from sdp.spec.finding import CannotChangeError

ERROR = 1
NOT_IN_TIME = 4
USAGE = 64
EXIT_CODES = (
    "Exit codes: 0 done; 1 an error; 64 the command was written wrongly; others: `sdp --help`."
)
"""Below the help of every command."""


@dataclasses.dataclass(slots=True)
class Shared:
    """Options before the command."""

    server: str | None = None


def completing(context: typer.Context) -> contextlib.closing[Client]:
    """Return the client for a completion, which nobody waits for."""
    root = context.find_root().params.get("server")
    server = root if isinstance(root, str) else None
    return contextlib.closing(_client(server, 1.0))


def complete_sandbox(context: typer.Context, incomplete: str) -> list[str]:
    """Return the sandboxes that a name could become; nothing while the server is away."""
    with contextlib.suppress(ClientError), completing(context) as asked:
        page = asked.get("/api/sandboxes", SandboxPage, {"q": incomplete, "limit": "200"})
        low = incomplete.lower()
        names = [each.name for each in page.sandboxes if each.name.lower().startswith(low)]
        # In the case that was typed: shells drop what does not begin as it does.
        return [incomplete + name[len(incomplete) :] for name in names]
    return []


def _seconds(said: object) -> float:
    """Return the seconds of a duration, or of a bare number of them."""
    text = str(said)
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text):
        return float(text)
    try:
        return quantities.duration(text).total_seconds()
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


Timeout = Annotated[
    float,
    typer.Option(
        metavar="DURATION", parser=_seconds, help="How long to wait: 90s, 10m; or seconds."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
SandboxName = Annotated[
    str, typer.Argument(help="The sandbox's name, in any case.", autocompletion=complete_sandbox)
]
SandboxOption = Annotated[
    str | None,
    typer.Option("--sandbox", help="Only this sandbox.", autocompletion=complete_sandbox),
]


def client(context: typer.Context) -> Client:
    """Return the client for this command's server; closed with the command."""
    shared = context.find_object(Shared)
    made = _client(shared.server if shared else None)
    context.call_on_close(made.close)
    return made


def _client(server: str | None, timeout: float = 30.0) -> Client:
    url = find_url(server)
    with keyring_failures():
        return Client(url, timeout, keyring.of(url))


@contextlib.contextmanager
def keyring_failures() -> Generator[None, None, None]:
    """Turn what is wrong with the keyring into a client's error."""
    try:
        yield
    except KeyringError as error:
        raise ClientError(str(error), error.fix) from error


def out() -> Console:
    """Return where data goes."""
    plain = not sys.stdout.isatty()
    # Wide where nobody looks: a table in a file or a pipe must not be cut to 80 columns.
    width = 1000 if plain else None
    return Console(file=sys.stdout, no_color=plain, width=width, highlight=False, soft_wrap=plain)


def say(text: str) -> None:
    """Print progress."""
    typer.echo(text, err=True)


def fail(message: str, fix: str = "", code: int = ERROR) -> NoReturn:
    """Print why not, and what to do; end."""
    say(f"error: {message}")
    if fix:
        say(f"  fix: {fix}")
    raise typer.Exit(code)


@contextlib.contextmanager
def failures() -> Generator[None, None, None]:
    """Turn what the control plane can't do into an error on stderr and exit code 1."""
    try:
        yield
    except ClientError as error:
        if error.conflict is not None:
            say_conflict(error.conflict)
        fail(str(error), error.fix)
    except CannotChangeError as error:
        fail(str(error), error.fix)


def say_conflict(found: ConflictView) -> None:
    """Print what others did to the same files."""
    for each in found.commits:
        say(f"  {each.sha[:7]} {each.author}, {each.at:%Y-%m-%d %H:%M} UTC: {inert(each.subject)}")
    for line in found.diff.splitlines():
        say(f"  {inert(line)}")


def print_json(value: BaseModel | Sequence[BaseModel]) -> None:
    """Print a value for programs."""
    if isinstance(value, BaseModel):
        typer.echo(value.model_dump_json(indent=2))
    else:
        typer.echo(json.dumps([each.model_dump(mode="json") for each in value], indent=2))


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """Return a flat table."""
    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for heading in headings:
        # Names and ids are there to be copied: only the last column may be broken.
        made.add_column(heading, overflow="fold", no_wrap=heading != headings[-1])
    for row in rows:
        made.add_row(*row)
    return made


def inert(line: str) -> str:
    """Return a line that can't steer the terminal: compilers and containers say anything."""
    return "".join(each if each.isprintable() or each == "\t" else "\ufffd" for each in line)


COLOURS = {
    "ACTIVE": "green",
    "Healthy": "green",
    "Synced": "green",
    "Progressing": "blue",
    "Applying": "blue",
    "Degraded": "yellow",
    "Pending": "yellow",
    "Held": "yellow",
    "Unhealthy": "red",
    "Failed": "red",
    "Unknown": "magenta",
}


def coloured(word: str) -> str:
    """Return a status word in the colour of its state."""
    colour = COLOURS.get(word, "bright_black")
    return f"[{colour}]{word}[/]"


def summary_row(sandbox: SandboxSummary) -> tuple[str, ...]:
    """Return a sandbox's row: name, state, health, sync, gateway branch, counts, owner, URL."""
    counts = [(sandbox.branches, "branch"), (sandbox.ocp, "OCP"), (sandbox.addresses, "URL")]
    sync = coloured(sandbox.sync)
    if sandbox.sync == "Synced" and sandbox.revision:
        sync += f" @{sandbox.revision[:7]}"
    if sandbox.queued:
        sync += f" queued {sandbox.queued}"
    return (
        sandbox.name,
        coloured(sandbox.lifecycle.state),
        coloured(sandbox.health),
        sync,
        sandbox.gateway_branch,
        " · ".join(f"{count} {what}" for count, what in counts if count),
        sandbox.owner,
        sandbox.url,
    )


SUMMARY = ("NAME", "STATE", "HEALTH", "SYNC", "GATEWAY", "SERVICES", "OWNER", "URL")
