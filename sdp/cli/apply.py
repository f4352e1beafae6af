"""The apply command: plan, ask, commit, push, and follow until what was asked for runs."""

import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sdp.api.views import Condition, EventView, PlanView, SandboxPage, SandboxView
from sdp.cli import context as cli
from sdp.cli import watch
from sdp.cli.client import Client, ClientError, Message
from sdp.cli.follow import line
from sdp.cli.plan import Directory, SavedPlan, ask, read_tree, refuse_errors, show
from sdp.cli.publish import Checkout, checkout, publish
from sdp.cli.specs import read_folder
from sdp.spec.load import load
from sdp.spec.quantities import duration

STALE = 3
NOT_IN_TIME = 4
_NOT_FOUND = 404


def apply(
    context: typer.Context,
    saved: Annotated[
        Path | None,
        typer.Argument(exists=True, dir_okay=False, help="A plan that sdp plan -o saved."),
    ] = None,
    directory: Directory = Path(),
    message: Annotated[str, typer.Option("--message", "-m", help="The commit's message.")] = "",
    timeout: Annotated[str, typer.Option(help="How long to wait, such as 90s or 10m.")] = "10m",
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Commit and push the working tree's specs, and follow until all of it runs.

    Exit code 0: everything affected is Synced and Healthy; 1: an error; 3: the saved plan is
    stale; 4: not healthy in time, or it can't become so.

    Examples: `sdp apply`; `sdp apply --yes -m "Try the refund branch"`; `sdp apply today.plan`.
    """
    seconds = _seconds(timeout)
    with cli.failures():
        client = cli.client(context)
        before = _read(saved) if saved else None
        root = Path(before.directory) if before else directory
        made = ask(client, read_tree(root), before.sandbox if before else None)
        if before is not None and made.identity != before.plan.identity:
            show(made)
            cli.fail(
                "the saved plan is stale: above is what would happen now",
                "plan again: sdp plan",
                STALE,
            )
        show(made)
        refuse_errors(made)
        tree = checkout(root)
        paths = tree.changed()
        affected = _affected(made, root, paths)
        if not paths and not affected and tree.head == made.revision:
            return
        if not yes and not _confirmed(paths):
            cli.fail("not applied")
        target = publish(tree, paths, message or _message(paths))
        deadline = time.monotonic() + seconds
        follower = Follower(client, tree, target, affected, fresh=target != made.revision)
        if not follower.run(deadline):
            raise typer.Exit(NOT_IN_TIME)
        cli.say(f"{target[:7]} is applied")


def _affected(made: PlanView, root: Path, paths: list[str]) -> list[str]:
    """Return the sandboxes to wait for: what is done something about, and what is committed.

    One that only waits, and is no part of the commit, was waiting before.
    """
    files = load(read_folder(root)).sandboxes
    written = {files[path].spec.sandbox.lower() for path in paths if path in files}
    return [
        each.sandbox for each in made.sandboxes if each.actions or each.sandbox.lower() in written
    ]


class Follower:
    """Waits until the control plane has a commit, and every sandbox affected runs as it says."""

    def __init__(
        self, client: Client, tree: Checkout, target: str, affected: list[str], *, fresh: bool
    ) -> None:
        self._client = client
        self._tree = tree
        self._target = target
        self._waiting = list(affected)
        self._names = {each.lower() for each in affected}
        self._seen: dict[str, SandboxView] = {}
        # Without a new commit, statuses need not be made again before they count.
        self._fresh = fresh

    def run(self, deadline: float) -> bool:
        """Follow; return whether all came to run before the deadline."""
        console = cli.out()
        console.file = sys.stderr
        if not sys.stderr.isatty():
            return self._followed(deadline, None)
        with Live(console=console, auto_refresh=False, transient=True) as live:
            return self._followed(deadline, live)

    def _followed(self, deadline: float, live: Live | None) -> bool:
        for news in watch.changes(self._client, None, deadline):
            self._tell(news, live)
            page = watch.moment(self._client)
            if self._reached(page) and self._check():
                return True
            if live is not None:
                live.update(self._table(), refresh=True)
            if stuck := self._stuck():
                _explain(stuck)
                return False
        names = ", ".join(self._waiting) or f"commit {self._target[:7]}"
        cli.say(f"not healthy in time: {names}")
        for name in self._waiting:
            cli.say(f"  look at it: sdp explain {name}")
        return False

    def _reached(self, page: SandboxPage) -> bool:
        return self._new(page.revision)

    def _new(self, revision: str) -> bool:
        """Whether a revision is the target, or one that somebody put on top of it since."""
        return revision == self._target or (revision != "" and not self._tree.has(revision))

    def _check(self) -> bool:
        """Look at what is waited for; return whether nothing is any more."""
        still: list[str] = []
        for name in self._waiting:
            found = self._sandbox(name)
            if found is None:
                continue
            self._seen[name] = found
            current = not self._fresh or self._new(found.observed_generation)
            if not (current and watch.converged(found)):
                still.append(name)
        self._waiting = still
        return not still

    def _sandbox(self, name: str) -> SandboxView | None:
        try:
            return watch.sandbox(self._client, name)
        except ClientError as error:
            if error.status == _NOT_FOUND:
                return None
            raise

    def _stuck(self) -> tuple[SandboxView, Condition] | None:
        """Return a failure that only a new spec or a person can change: waiting won't help."""
        for name in self._waiting:
            found = self._seen.get(name)
            if found is None or (self._fresh and not self._new(found.observed_generation)):
                continue
            if found.sync == "Failed":
                terminal = (c for c in found.conditions if c.failed and c.until is None)
                if (condition := next(terminal, None)) is not None:
                    return found, condition
        return None

    def _tell(self, news: Message | None, live: Live | None) -> None:
        if news is None or news.event != "message":
            return
        event = EventView.model_validate_json(news.data)
        others = event.sandbox and event.sandbox.lower() not in self._names
        if others or event.kind == "STATUS":  # what changes in a status has an event of its own
            return
        if live is not None:
            live.console.print(Text(line(event)))
        else:
            cli.say(line(event))

    def _table(self) -> Table:
        return cli.table(cli.SUMMARY, [cli.summary_row(each) for each in self._seen.values()])


def _explain(stuck: tuple[SandboxView, Condition]) -> None:
    sandbox, why = stuck
    cli.say(f"{sandbox.name} can't become healthy: {why.reason}: {cli.inert(why.message)}")
    for each in why.lines:
        cli.say(f"  | {cli.inert(each)}")
    if why.fix:
        cli.say(f"  fix: {why.fix}")


def _read(path: Path) -> SavedPlan:
    try:
        return SavedPlan.model_validate_json(path.read_bytes())
    except ValidationError:
        cli.fail(f"{path} is no saved plan of this sdp", f"save one: sdp plan -o {path}")


def _seconds(text: str) -> float:
    try:
        return duration(text).total_seconds()
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--timeout") from error


def _confirmed(paths: list[str]) -> bool:
    for path in paths:
        cli.say(f"  to commit: {path}")
    if not sys.stdin.isatty():
        cli.fail("apply asks, and nobody is there to answer", "look at the plan, then: --yes")
    return typer.confirm("Apply this?", err=True)


def _message(paths: list[str]) -> str:
    return f"Apply {', '.join(paths)}"
