"""The queue in the loop: a place that becomes free is taken at once, whoever that is about."""

from pathlib import Path

from tests.builders import PLATFORM, sandbox
from tests.unit.reconciler.test_loop import Platform, platform

ACCOUNT = "account: {branch: develop}"
ONE = f"{PLATFORM}quotas: {{running: 1}}\n"


def box(name: str, *, suspended: bool = False) -> str:
    return sandbox(name, ACCOUNT, more=f"lifecycle: {{suspended: {str(suspended).lower()}}}")


def queued(made: Platform, name: str) -> bool:
    status = made.reconciler.status(name)
    return status is not None and [c.reason for c in status.conditions] == ["Queued"]


async def both(made: Platform) -> None:
    """Let one run and the other wait."""
    made.config.put(**{"platform.yaml": ONE})
    made.config.sandboxes(a=box("QA-A"))
    await made.synced("qa-a")
    made.config.sandboxes(b=box("QA-B"))
    await made.journal.until(lambda: queued(made, "qa-b"))
    assert {each.sandbox for each in made.nodes.simulation.containers().values()} == {"QA-A"}


async def test_what_waits_starts_by_itself_when_another_is_suspended(tmp_path: Path) -> None:
    async with platform(tmp_path) as made:
        await both(made)
        made.config.sandboxes(a=box("QA-A", suspended=True))
        await made.synced("qa-b")


async def test_what_waits_starts_by_itself_when_another_is_deleted(tmp_path: Path) -> None:
    async with platform(tmp_path) as made:
        await both(made)
        made.config.sandboxes(a=None)
        await made.synced("qa-b")


async def test_what_waits_starts_by_itself_when_the_quota_is_raised(tmp_path: Path) -> None:
    async with platform(tmp_path) as made:
        await both(made)
        made.config.put(**{"platform.yaml": ONE.replace("1}", "2}")})
        await made.synced("qa-a", "qa-b")


async def test_what_is_resumed_waits_behind_who_took_its_place(tmp_path: Path) -> None:
    async with platform(tmp_path) as made:
        await both(made)
        made.config.sandboxes(a=box("QA-A", suspended=True))
        await made.synced("qa-b")
        made.config.sandboxes(a=box("QA-A"))
        await made.journal.until(lambda: queued(made, "qa-a"))
        waits = made.reconciler.status("qa-a")
        assert waits is not None
        assert (waits.health, waits.health_reason) == ("Progressing", "Queued")
        made.config.sandboxes(b=box("QA-B", suspended=True))
        await made.synced("qa-a")
