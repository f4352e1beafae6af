"""Waiting for a commit to be applied: tell what happens, until all that it touches is healthy."""

import sys
from collections.abc import Callable, Iterator
from typing import Final

from rich.live import Live
from rich.table import Table
from rich.text import Text

from sdp.api.views import Condition, EventView, SandboxPage, SandboxView
from sdp.cli import context as cli
from sdp.cli import watch
from sdp.cli.client import Client, ClientError, Message
from sdp.cli.follow import line

_NOT_FOUND = 404
_STAYS: Final = frozenset({"Protected", "MassDeletion", "EmptyTree", "NotInHistory"})
"""Reasons for which a sandbox stays whose file is gone, until a person lets it go."""
_NEVER_FITS: Final = frozenset({"LargerThanQuota", "NoMemoryLimit"})
"""Reasons for which a sandbox would wait for a place for ever."""


class Follower:
    """Waits until the control plane has a commit, and every sandbox affected runs as it says."""

    def __init__(
        self,
        client: Client,
        target: str,
        affected: list[str],
        known: Callable[[str], bool],
        *,
        fresh: bool,
    ) -> None:
        """Take what to wait for.

        Args:
            client: whom to ask.
            target: the commit.
            affected: sandboxes that it touches.
            known: whether a revision is no later than the target; what is not was put on top.
            fresh: the commit is new, and only statuses that were made at it count.
        """
        self._client = client
        self._known = known
        self._target = target
        self._waiting = list(affected)
        self._names = {each.lower() for each in affected}
        self._seen: dict[str, SandboxView] = {}
        self._held: set[tuple[str, str, str]] = set()
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
                self._addresses()
                return True
            if live is not None:
                live.update(self._table(), refresh=True)
            if stuck := self._stuck():
                _explain(stuck)
                return False
            self._tell_waits(live)
        names = [self._seen[each].name if each in self._seen else each for each in self._waiting]
        cli.say(f"not healthy in time: {', '.join(names) or f'commit {self._target[:7]}'}")
        for name in names:
            cli.say(f"  look at it: sdp explain {name}")
        return False

    def _reached(self, page: SandboxPage) -> bool:
        return self._new(page.revision)

    def _new(self, revision: str) -> bool:
        """Whether a revision is the target, or one that somebody put on top of it since."""
        return revision == self._target or (revision != "" and not self._known(revision))

    def _check(self) -> bool:
        """Look at what is waited for; return whether nothing is any more."""
        still: list[str] = []
        for name in self._waiting:
            found = self._sandbox(name)
            if found is None:
                self._seen.pop(name, None)
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
        for found in self._current():
            if (condition := _needs_a_person(found)) is not None:
                return found, condition
        return None

    def _current(self) -> Iterator[SandboxView]:
        """Yield what is waited for, as far as its status speaks of the commit."""
        for name in self._waiting:
            found = self._seen.get(name)
            if found is not None and (not self._fresh or self._new(found.observed_generation)):
                yield found

    def _tell_waits(self, live: Live | None) -> None:
        """Tell what waits or failed, once: some of it lasts until somebody does something."""
        for found in self._current():
            for each in found.conditions:
                key = (found.name, each.service, each.reason)
                if key in self._held or not (each.failed or each.type == "Held"):
                    continue
                self._held.add(key)
                _say(_wait(found.name, each), live)

    def _tell(self, news: Message | None, live: Live | None) -> None:
        if news is None or news.event != "message":
            return
        event = EventView.model_validate_json(news.data)
        others = event.sandbox and event.sandbox.lower() not in self._names
        if others or event.kind == "STATUS":  # what changes in a status has an event of its own
            return
        _say(line(event), live)

    def _addresses(self) -> None:
        """Say where what was waited for answers."""
        for found in self._seen.values():
            if found.url and found.lifecycle.state == "ACTIVE":
                cli.say(f"{found.name} is {found.health}: {found.url}")

    def _table(self) -> Table:
        return cli.table(cli.SUMMARY, [cli.summary_row(each) for each in self._seen.values()])


def _say(text: str, live: Live | None) -> None:
    if live is not None:
        live.console.print(Text(text))
    else:
        cli.say(text)


def _wait(sandbox: str, why: Condition) -> str:
    what = f"{sandbox}/{why.service}" if why.service else sandbox
    state = "failed" if why.failed else "waits"
    fix = f"\n  fix: {why.fix}" if why.fix else ""
    return f"{what} {state}: {why.reason}: {cli.inert(why.message)}{fix}"


def _needs_a_person(found: SandboxView) -> Condition | None:
    """Return a failure that is final; once all else is done, a drift or a departure that is held."""
    if found.sync == "Failed":
        return next((c for c in found.conditions if c.failed and c.until is None), None)
    moving = any(each.sync in {"Pending", "Applying"} for each in found.services)
    if found.sync == "Held" and not moving:
        return next(
            (c for c in found.conditions if c.reason in {"Drift", *_NEVER_FITS, *_STAYS}), None
        )
    return None


def _explain(stuck: tuple[SandboxView, Condition]) -> None:
    sandbox, why = stuck
    what = "is not removed" if why.reason in _STAYS else "can't become healthy"
    cli.say(f"{sandbox.name} {what}: {why.reason}: {cli.inert(why.message)}")
    for each in why.lines:
        cli.say(f"  | {cli.inert(each)}")
    if why.fix:
        cli.say(f"  fix: {why.fix}")
