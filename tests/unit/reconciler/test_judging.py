"""The loop sees what counts: a push without the right changes nothing, also after a restart."""

from pathlib import Path

import pytest

from sdp.reconciler.commit import write
from tests.builders import PLATFORM, sandbox
from tests.unit.reconciler.test_authority import ROLES
from tests.unit.reconciler.test_loop import Platform, platform, restarted

A = sandbox("QA-A", "account: {branch: develop}")
DEWI = "dewi <dewi@acme.example>"


def pushed(made: Platform, **files: str | None) -> str:
    """Push as somebody who may only look."""
    changes = {path: None if text is None else text.encode() for path, text in files.items()}
    return str(getattr(write(made.config.path, changes, "Push", DEWI, made.config.tip), "sha", ""))


async def test_a_deletion_without_the_right_stops_nothing_before_and_after_a_restart(
    tmp_path: Path,
) -> None:
    async with platform(tmp_path, a=A) as made:
        await made.synced("qa-a")
        made.config.put("Bind people", **{"platform.yaml": PLATFORM + ROLES})
        before = made.nodes.simulation.containers()
        sha = pushed(made, **{"sandboxes/a.yaml": None})
        await made.journal.until(lambda: bool(made.journal.of("CHANGE_REFUSED")))
        (refused,) = made.journal.of("CHANGE_REFUSED")
        assert (refused.sandbox, refused.data["commit"]) == ("QA-A", sha)
        await made.journal.until(lambda: "NotPermitted" in conditions(made))
        assert made.nodes.simulation.containers() == before
    async with restarted(made, tmp_path) as again:
        await again.journal.until(lambda: "NotPermitted" in conditions(again))
        assert again.nodes.simulation.containers() == before
    async with restarted(made, tmp_path / "again", made.journal) as again:
        await again.journal.until(lambda: "NotPermitted" in conditions(again))
        assert len(made.journal.of("CHANGE_REFUSED")) == 1


@pytest.mark.timeout(30)
async def test_a_full_disk_stops_no_loop_and_loses_no_act_of_a_commit(tmp_path: Path) -> None:
    async with platform(tmp_path, a=A) as made:
        await made.synced("qa-a")
        made.journal.is_full = True
        made.config.put("Another", **{"sandboxes/b.yaml": sandbox("QA-B")})
        await made.journal.until(lambda: made.journal.is_owing, 20)
        sha = made.config.tip
        made.journal.is_full = False
        await made.journal.until(lambda: made.is_synced("qa-b"), 20)
        told = [each.sandbox for each in made.journal.acts if each.commit == sha]
        assert told.count("QA-B") == 1
        assert made.journal.last_judged == sha


def conditions(made: Platform) -> list[str]:
    status = made.reconciler.status("qa-a")
    return [each.reason for each in status.conditions] if status else []
