"""Cancel: what was being brought about stops and stays stopped; everything else goes on."""

import asyncio
from pathlib import Path

import pytest

from sdp.protocol.actions import Admit, Build, Gate, StartService
from sdp.protocol.frames import Failed, Succeeded
from sdp.reconciler.loop import Reconciler
from sdp.reconciler.source import Source
from tests.builders import GATEWAY, MICRO, commit, sandbox
from tests.fakes.remover import FakeRemover
from tests.unit.reconciler.test_loop import A, Platform, platform, reasons

B = sandbox("QA-B", "account: {branch: develop}")
A_NEWER = sandbox("QA-A", "account: {branch: feature/a}")


def builds_of(made: Platform, branch: str) -> int:
    tip = commit("account", branch)
    return sum(isinstance(e, Build) and e.commit == tip for e in made.nodes.performed)


async def building(made: Platform, branch: str = "feature/a") -> None:
    """Wait until a build of a branch of account is under way that does not end by itself."""
    tip = commit("account", branch)
    made.nodes.slow = lambda action: isinstance(action, Build) and action.commit == tip
    await made.journal.until(lambda: builds_of(made, branch) > 0)


async def test_a_running_build_is_stopped_and_the_version_before_serves(tmp_path: Path) -> None:
    async with platform(tmp_path, a=A) as made:
        await made.synced("qa-a")
        before = dict(made.nodes.simulation.containers())
        made.nodes.slow = lambda action: isinstance(action, Build)
        made.config.sandboxes(a=A_NEWER)
        await building(made)
        done = await made.reconciler.cancel("QA-A")
        assert [each.service for each in done.attempts] == ["account"]
        assert [each.planned.action.kind for each in done.stopping] == ["build"]
        await made.journal.until(lambda: not made.reconciler.flying())
        await made.journal.until(lambda: "Cancelled" in reasons(made, "qa-a"))
        assert builds_of(made, "feature/a") == 1
        assert made.nodes.simulation.containers() == before
        status = made.reconciler.status("qa-a")
        assert status is not None
        assert (status.sync, status.health) == ("Failed", "Degraded")
        assert [each.service for each in made.journal.of("CANCELLED")] == ["account"]
        stopped = [e for e in made.journal.put.values() if e.status == "STOPPED"]
        assert [(e.service, e.reason) for e in stopped] == [("account", "Cancelled")]


async def test_what_was_cancelled_comes_with_a_sync(tmp_path: Path) -> None:
    async with platform(tmp_path) as made:
        made.nodes.slow = lambda action: isinstance(action, Build)
        made.config.sandboxes(a=A)
        await building(made, "develop")
        await made.reconciler.cancel("QA-A", "account")
        made.nodes.slow = lambda _: False
        made.reconciler.sync("QA-A")
        await made.synced("qa-a")
        of_account = [e.status for e in made.journal.put.values() if e.service == "account"]
        assert of_account == ["STOPPED", "RUNNING"]


async def test_what_was_cancelled_comes_with_another_version(tmp_path: Path) -> None:
    async with platform(tmp_path) as made:
        made.nodes.slow = lambda action: isinstance(action, Build)
        made.config.sandboxes(a=A)
        await building(made, "develop")
        await made.reconciler.cancel("QA-A", "account")
        made.config.sandboxes(a=A_NEWER)
        await made.synced("qa-a")


async def test_an_unrelated_commit_does_not_begin_it_again(tmp_path: Path) -> None:
    async with platform(tmp_path) as made:
        made.nodes.slow = lambda action: isinstance(action, Build)
        made.config.sandboxes(a=A)
        await building(made, "develop")
        await made.reconciler.cancel("QA-A", "account")
        made.config.sandboxes(a=A + "owner: sari\n", b=sandbox("QA-C"))
        await made.synced("qa-c")
        assert builds_of(made, "develop") == 1
        assert "Cancelled" in reasons(made, "qa-a")


async def test_only_the_named_service_is_cancelled(tmp_path: Path) -> None:
    both = sandbox("QA-A", "account: {branch: develop}, user: {branch: develop}")
    async with platform(tmp_path) as made:
        made.nodes.slow = lambda action: isinstance(action, Build)
        made.config.sandboxes(a=both)
        await building(made, "develop")
        await made.reconciler.cancel("QA-A", "account")
        await made.journal.until(lambda: "sandbox-qa-a-user" in made.nodes.simulation.containers())
        assert {e.service for e in made.journal.of("CANCELLED")} == {"account"}


@pytest.mark.parametrize("first", ["QA-A", "QA-B"])
async def test_a_build_that_another_sandbox_waits_for_goes_on(tmp_path: Path, first: str) -> None:
    async with platform(tmp_path) as made:
        made.nodes.slow = lambda action: isinstance(action, Build)
        made.config.sandboxes(a=A, b=B)
        await building(made, "develop")
        done = await made.reconciler.cancel(first, "account")
        assert (len(done.stopping), len(done.shared)) == (0, 1)
        other = "QA-B" if first == "QA-A" else "QA-A"
        last = await made.reconciler.cancel(other, "account")
        assert (len(last.stopping), len(last.shared)) == (1, 0)
        assert builds_of(made, "develop") == 1


async def test_the_other_sandbox_gets_what_was_built_for_both(tmp_path: Path) -> None:
    async with platform(tmp_path) as made:
        made.nodes.slow = lambda action: isinstance(action, Build)
        made.config.sandboxes(a=A, b=B)
        await building(made, "develop")
        await made.reconciler.cancel("QA-A", "account")
        (flight,) = (e for e in made.reconciler.flying() if e.planned.service == "account")
        made.nodes.slow = lambda _: False
        await made.nodes.finish(flight)
        await made.synced("qa-b")
        assert builds_of(made, "develop") == 1
        assert "sandbox-qa-a-account" not in made.nodes.simulation.containers()


async def test_what_only_waits_is_held_too(tmp_path: Path) -> None:
    failure = Failed(reason="Unreachable", message="no route to the origin")
    async with platform(tmp_path) as made:
        made.nodes.outcome = lambda a: failure if isinstance(a, Build) else Succeeded()
        made.config.sandboxes(a=A)
        await made.journal.until(lambda: "Unreachable" in reasons(made, "qa-a"))
        made.nodes.outcome = lambda _: Succeeded()
        done = await made.reconciler.cancel("QA-A")
        assert [each.service for each in done.attempts] == ["account", "gateway"]
        assert {each.retry_at for each in made.journal.failures.values()} == {None}


async def test_nothing_to_cancel_is_said_and_changes_nothing(tmp_path: Path) -> None:
    async with platform(tmp_path, a=A) as made:
        await made.synced("qa-a")
        done = await made.reconciler.cancel("QA-A")
        assert (done.attempts, done.stopping, done.shared) == ((), (), ())
        assert not made.journal.of("CANCELLED")
        assert not made.journal.failures


async def test_a_result_that_comes_too_late_lifts_nothing(tmp_path: Path) -> None:
    async with platform(tmp_path) as made:
        made.nodes.slow = lambda action: isinstance(action, Build)
        made.nodes.deaf = True
        made.config.sandboxes(a=A)
        await building(made, "develop")
        done = await made.reconciler.cancel("QA-A")
        late = Failed(reason="AgentRestarted", message="the agent ended")
        for flight in done.stopping:
            await made.nodes.finish(flight, late)
        await made.journal.until(lambda: not made.reconciler.flying())
        assert {each.reason for each in made.journal.failures.values()} == {"Cancelled"}


@pytest.mark.parametrize("kind", [StartService, Gate, Admit])
async def test_a_container_that_was_not_admitted_yet_goes(tmp_path: Path, kind: type) -> None:
    async with platform(tmp_path, a=A) as made:
        await made.synced("qa-a")
        before = made.nodes.simulation.containers()
        made.nodes.slow = lambda action: isinstance(action, kind)
        made.config.sandboxes(a=A_NEWER)
        await made.journal.until(
            lambda: any(isinstance(e.planned.action, kind) for e in made.reconciler.flying())
        )
        await made.reconciler.cancel("QA-A")
        await made.journal.until(lambda: not made.reconciler.flying())
        await made.journal.until(lambda: made.nodes.simulation.containers() == before)
        await made.journal.until(lambda: reasons(made, "qa-a") == {"Cancelled"})


async def test_what_a_silent_node_builds_is_cancelled_when_it_is_back(tmp_path: Path) -> None:
    async with platform(tmp_path) as made:
        made.nodes.slow = lambda action: isinstance(action, Build)
        made.config.sandboxes(a=A)
        await building(made, "develop")
        (flight,) = (e for e in made.reconciler.flying() if e.planned.service == "account")
        await made.reconciler.disconnected(MICRO, made.nodes.sends[MICRO])
        done = await made.reconciler.cancel("QA-A", "account")
        assert [each.action_id for each in done.stopping] == [flight.action_id]
        await made.nodes.connect(MICRO)
        await made.journal.until(lambda: reasons(made, "qa-a") == {"Cancelled"})
        assert made.nodes.cancelled == [flight.action_id]
        assert builds_of(made, "develop") == 1


async def test_a_restarted_control_plane_still_holds_it(tmp_path: Path) -> None:
    async with platform(tmp_path) as made:
        made.nodes.slow = lambda action: isinstance(action, Build)
        made.config.sandboxes(a=A)
        await building(made, "develop")
        await made.reconciler.cancel("QA-A", "account")
        await made.journal.until(lambda: not made.reconciler.flying())
    (tmp_path / "again").mkdir()
    again = Reconciler(Source(str(made.config.path), "main", tmp_path / "again"), made.journal)
    made.nodes.slow, made.nodes.reconciler, made.reconciler = (lambda _: False), again, again
    made.nodes.performed.clear()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(again.run(FakeRemover())), group.create_task(made.nodes.run())]
        await made.nodes.connect(MICRO)
        await made.nodes.connect(GATEWAY)
        await made.journal.until(
            lambda: "sandbox-qa-a-gateway" in made.nodes.simulation.containers()
        )
        await made.journal.until(lambda: "Cancelled" in reasons(made, "qa-a"))
        for task in tasks:
            task.cancel()
    assert builds_of(made, "develop") == 0
