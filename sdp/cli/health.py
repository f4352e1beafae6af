"""How well a sandbox does, as people read it: what is wrong and why, and what it uses."""

import datetime
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final

from rich.console import RenderableType
from rich.text import Text

from sdp.api import views
from sdp.cli import context as cli
from sdp.cli import watch
from sdp.cli.client import Client

BARS: Final = "▁▂▃▄▅▆▇█"
WIDTH: Final = 20
WRONG: Final = frozenset({"Unknown", "Unhealthy", "Degraded"})


def ago(moment: datetime.datetime | None, now: datetime.datetime) -> str:
    """Return how long ago something was, such as ``12 s ago``; the clocks may differ a little."""
    if moment is None:
        return "-"
    seconds = max(0, int((now - moment).total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def _untold(found: views.SandboxView, healths: Collection[str]) -> list[views.ServiceView]:
    """Return the services of these healths, but for what a condition tells already."""
    told = {(each.service, each.reason) for each in found.conditions}
    return [
        each
        for each in found.services
        if each.health in healths and each.node
        if told.isdisjoint({(each.name, each.reason), ("", each.reason)})
    ]


def paragraphs(found: views.SandboxView, now: datetime.datetime) -> Iterator[Text]:
    """Yield for each service that is not healthy why, since when, and what to do.

    Who sleeps with the whole sandbox is not told one by one.
    """
    asleep = {"Suspended"} if found.lifecycle.state == "ACTIVE" else set()
    for each in _untold(found, WRONG | {"Progressing"} | asleep):
        since = f" since {each.since:%H:%M:%S} UTC ({ago(each.since, now)})" if each.since else ""
        lines = [f"{each.name} is {each.health}{since}: {each.reason}", cli.inert(each.message)]
        if each.fix:
            lines.append(f"fix: {each.fix}")
        if each.until:
            lines.append(f"until {each.until:%H:%M:%S} UTC, if nothing else happens")
        yield Text("\n  ".join(lines))


def conditions(found: views.SandboxView) -> list[views.Condition]:
    """Return what does not do well, as something to be explained."""
    return [
        views.Condition(
            type=each.health,
            service=each.name,
            reason=each.reason,
            message=each.message,
            fix=each.fix,
            since=each.since,
            until=each.until,
        )
        for each in _untold(found, WRONG)
    ]


def complaints(found: Iterable[views.SandboxSummary]) -> Iterator[Text]:
    """Yield a line for each sandbox of a list that does not do well."""
    for each in found:
        if each.health in WRONG and each.health_message:
            yield Text(f"{each.name}: {cli.inert(each.health_message)}")


def withheld(found: Iterable[views.WithheldView]) -> Iterator[Text]:
    """Yield what was committed and does not count, each with its fix."""
    for each in found:
        yield Text(f"{each.reason}: {cli.inert(each.message)}\n  fix: {each.fix}")


def refuse_withheld(client: Client, commit: str) -> None:
    """End with 1 where something of a commit that was followed does not count."""
    for each in watch.moment(client).withheld:
        if each.commit == commit:
            cli.fail(each.message, each.fix)


def usage(used: views.UsageView) -> RenderableType | None:
    """Return a table of what containers use now and used of late; None where nothing is known."""
    rows = [
        (
            each.service,
            sparkline([s.cpu_milli for s in each.samples], each.cpu_limit_milli),
            _of(f"{each.samples[-1].cpu_milli}m", each.cpu_limit_milli, "m"),
            sparkline([s.memory_bytes for s in each.samples], each.memory_limit_bytes),
            _of(f"{each.samples[-1].memory_bytes >> 20}MB", each.memory_limit_bytes >> 20, "MB"),
        )
        for each in used.services
        if each.samples
    ]
    return cli.table(("USAGE", "CPU", "", "MEMORY", ""), rows) if rows else None


def sparkline(values: Sequence[int], limit: int) -> str:
    """Return up to twenty bars, the newest last; a full one is the limit, or else the highest.

    Where there are more values than bars, each bar is the highest of several.
    """
    step = -(-len(values) // WIDTH) or 1
    first = len(values) % step
    parts = [values[:first]] if first else []
    parts += [values[i : i + step] for i in range(first, len(values), step)]
    full = limit or max(values, default=0) or 1
    highest = (max(part) for part in parts)
    return "".join(BARS[min(each * len(BARS) // full, len(BARS) - 1)] for each in highest)


def _of(amount: str, limit: int, unit: str) -> str:
    return f"{amount} of {limit}{unit}" if limit else amount
