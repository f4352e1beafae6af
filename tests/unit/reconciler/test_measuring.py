"""What containers use turns health in a round of its own, once, and never makes a plan."""

from pathlib import Path

from sdp.protocol.frames import Sample
from tests.builders import MICRO, sandbox
from tests.unit.reconciler.test_loop import Platform, platform

LIMITED = sandbox("QA-A", "account: {branch: develop, resources: {memory: 100MB}}")


def use(made: Platform, megabytes: int) -> None:
    """Let the node measure account."""
    container = made.nodes.simulation.containers()["sandbox-qa-a-account"]
    sample = Sample(container=container.id, cpu_milli=1, memory_bytes=megabytes << 20)
    made.reconciler.measured(MICRO, [sample])


async def test_memory_near_its_limit_is_told_once_for_each_turn(tmp_path: Path) -> None:
    async with platform(tmp_path, a=LIMITED) as made:
        await made.synced("qa-a")
        performed, planned = len(made.nodes.performed), len(made.journal.of("PLANNED"))
        before = len(made.journal.of("STATUS"))

        def turned(health: str, reason: str) -> bool:
            status = made.reconciler.status("qa-a")
            return status is not None and (status.health, status.health_reason) == (health, reason)

        for megabytes in (50, 95, 97, 85, 99):
            use(made, megabytes)
        await made.journal.until(lambda: turned("Degraded", "MemoryHigh"))
        assert made.reconciler.statuses()["qa-a"].sync == "Synced"
        use(made, 50)
        await made.journal.until(lambda: turned("Healthy", ""))
        assert len(made.journal.of("STATUS")) == before + 2
        assert len(made.nodes.performed) == performed
        assert len(made.journal.of("PLANNED")) == planned
