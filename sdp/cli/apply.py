"""The apply command: plan, ask, commit, push, and follow until what was asked for runs."""

import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sdp.api.views import Condition, EventView, SandboxPage, SandboxView
from sdp.cli import context as cli
from sdp.cli import watch
from sdp.cli.client import Client, ClientError, Message
from sdp.cli.follow import line
from sdp.cli.intended import AllowDeletes, Excluded, Sandboxes, Services, chosen
from sdp.cli.offer import Offer, held, offered, offered_again
from sdp.cli.plan import Directory, refuse_errors, show
from sdp.cli.publish import publish, record
from sdp.spec.quantities import duration
from sdp.spec.trailers import allowing

NOT_IN_TIME = 4
_NOT_FOUND = 404


def apply(
    context: typer.Context,
    plan_file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[SAVED]", exists=True, dir_okay=False, help="A plan that sdp plan -o saved."
        ),
    ] = None,
    directory: Directory = Path(),
    message: Annotated[str, typer.Option("--message", "-m", help="The commit's message.")] = "",
    timeout: Annotated[str, typer.Option(help="How long to wait, such as 90s or 10m.")] = "10m",
    sandbox: Sandboxes = None,
    service: Services = None,
    exclude: Excluded = None,
    allow_deletes: AllowDeletes = 0,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Commit and push the working tree's specs, and follow until all of it runs.

    With --sandbox, --service or --exclude only that part of the changes; the rest stays in the
    working tree. Templates, environments and platform.yaml are never part of a part.

    Exit code 0: everything affected is Synced and Healthy; 1: an error; 3: the saved plan is
    stale; 4: not healthy in time, or it can't become so.

    Examples: `sdp apply`; `sdp apply --yes -m "Try the refund branch"`; `sdp apply today.plan`;
    `sdp apply --sandbox qa-refund --service account`; `sdp apply --allow-deletes 5`.
    """
    seconds = _seconds(timeout)
    selection = chosen(sandbox, service, exclude)
    if plan_file is not None and (allow_deletes or not selection.whole):
        raise typer.BadParameter("a saved plan says itself what it is about", param_hint="SAVED")
    with cli.failures():
        client = cli.client(context)
        if plan_file is not None:
            offer = offered_again(client, plan_file)
        else:
            offer = offered(client, directory, selection, allow_deletes)
        _show(offer)
        if not offer.commits and not offer.affected and offer.tree.head == offer.made.revision:
            return
        if not yes and not _confirmed(offer):
            cli.fail("not applied")
        target = _committed(offer, message)
        publish(offer.tree, target)
        deadline = time.monotonic() + seconds
        if not Follower(client, offer, target).run(deadline):
            raise typer.Exit(NOT_IN_TIME)
        cli.say(f"{target[:7]} is applied")


def _show(offer: Offer) -> None:
    """Show what would be applied; end with 1 where it can't be."""
    offer.wish.tell()
    show(offer.made)
    if not offer.word:  # the files are committed already, and a word about them changes none
        refuse_errors(offer.made)
    if offer.deletes and (number := held(offer.made)):
        cli.fail(
            f"{number} sandboxes would go, and --allow-deletes {offer.deletes} lets "
            f"{offer.deletes} go; nothing was committed",
            f"look at them above, then: sdp apply --allow-deletes {number}",
        )


def _committed(offer: Offer, message: str) -> str:
    """Commit what there is to commit, and return where the branch is then."""
    if not offer.commits:
        return offer.tree.head
    said = message or _message(offer)
    said = allowing(said, offer.deletes) if offer.deletes else said
    return record(offer.tree, offer.wish.changes, said)


class Follower:
    """Waits until the control plane has a commit, and every sandbox affected runs as it says."""

    def __init__(self, client: Client, offer: Offer, target: str) -> None:
        self._client = client
        self._tree = offer.tree
        self._target = target
        self._waiting = list(offer.affected)
        self._names = {each.lower() for each in offer.affected}
        self._seen: dict[str, SandboxView] = {}
        # Without a new commit, statuses need not be made again before they count.
        self._fresh = target != offer.made.revision

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
        """Return what only a new spec or a person can change: waiting won't help."""
        for name in self._waiting:
            found = self._seen.get(name)
            if found is None or (self._fresh and not self._new(found.observed_generation)):
                continue
            if (condition := _needs_a_person(found)) is not None:
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


def _needs_a_person(found: SandboxView) -> Condition | None:
    """Return a failure that is final, or a drift that is only reported once all else is done."""
    if found.sync == "Failed":
        return next((c for c in found.conditions if c.failed and c.until is None), None)
    moving = any(each.sync in {"Pending", "Applying"} for each in found.services)
    if found.sync == "Held" and not moving:
        return next((c for c in found.conditions if c.reason == "Drift"), None)
    return None


def _explain(stuck: tuple[SandboxView, Condition]) -> None:
    sandbox, why = stuck
    cli.say(f"{sandbox.name} can't become healthy: {why.reason}: {cli.inert(why.message)}")
    for each in why.lines:
        cli.say(f"  | {cli.inert(each)}")
    if why.fix:
        cli.say(f"  fix: {why.fix}")


def _seconds(text: str) -> float:
    try:
        return duration(text).total_seconds()
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--timeout") from error


def _confirmed(offer: Offer) -> bool:
    for path in offer.wish.paths:
        cli.say(f"  to commit: {path}")
    if offer.deletes and offer.commits:
        cli.say(f"  the commit lets {offer.deletes} sandboxes go")
    if not sys.stdin.isatty():
        cli.fail("apply asks, and nobody is there to answer", "look at the plan, then: --yes")
    return typer.confirm("Apply this?", err=True)


def _message(offer: Offer) -> str:
    if offer.word:
        return f"Let {offer.deletes} sandboxes go"
    return f"Apply {', '.join(offer.wish.paths)}"
