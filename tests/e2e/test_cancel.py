"""A cancel ends what is running, keeps what serves, and holds what it ended."""

import contextlib
from pathlib import Path

import pytest

from tests.e2e.scenarios import agent_says, platform_says

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


class Brake:
    """A program between go and its compiler, which waits while the brake is on."""

    def __init__(self, folder: Path) -> None:
        self.program = folder / "brake.sh"
        self._on = folder / "brake-is-on"
        self.program.write_text(
            f'#!/bin/sh\nif [ -e {self._on} ]; then sleep 600; fi\nexec "$@"\n'
        )
        self.program.chmod(0o755)

    def pull(self) -> None:
        self._on.touch()

    def release(self) -> None:
        self._on.unlink(missing_ok=True)

    def waits(self) -> bool:
        """Whether any process of a build that goes through here is alive."""
        name = str(self.program).encode()
        return any(name in _argv(process) for process in Path("/proc").glob("[0-9]*"))


def _argv(process: Path) -> bytes:
    with contextlib.suppress(OSError):  # it ended meanwhile
        return (process / "cmdline").read_bytes()
    return b""


@pytest.fixture
def brake(world):
    """Such words are given to go only where the agent's own file allows them."""
    made = Brake(world.root)
    word = f"-toolexec={made.program}"

    def edit(spec):
        spec["services"]["user"]["build"] = {"flags": [word]}

    with agent_says(world, "allow", {"go_flags": [word]}), platform_says(world, edit):
        yield made
    made.release()


def test_a_word_that_runs_a_program_is_not_given_to_go(scenario, world):
    def edit(spec):
        spec["services"]["user"]["build"] = {"flags": ["-toolexec=/bin/true"]}

    with platform_says(world, edit):
        scenario.push("user", "feature/executes")
        scenario.commit("user: {branch: feature/executes}")
        told = "'-toolexec=/bin/true' is not given to go"
        world.until(lambda: told in scenario.conditions(), "it is refused")


def test_a_running_build_is_cancelled_and_a_sync_brings_it(scenario, world, brake):
    scenario.push("user", "feature/serves")
    scenario.push("user", "feature/cancelled")
    scenario.commit("user: {branch: feature/serves}")
    scenario.answers("user", "feature/serves")
    scenario.synced()
    brake.pull()
    scenario.commit("user: {branch: feature/cancelled}")
    world.until(brake.waits, "the build runs")
    done = world.sdp("cancel", scenario.name, "--service", "user")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "build of user on micro-92" in done.stdout
    assert not brake.waits()
    world.until(lambda: "Cancelled" in scenario.conditions(), "it is held")
    assert f"sdp sync {scenario.name}" in scenario.conditions()
    assert scenario.ask("user") == "feature/serves"
    listed = world.sdp("deployments", "--sandbox", scenario.name, "--status", "stopped").stdout
    assert "Cancelled" in listed
    assert len(scenario.events("CANCELLED")) == 1
    world.kill("control-plane")
    world.start_control_plane()
    world.until(lambda: "Cancelled" in scenario.conditions(), "it is held still")
    assert not brake.waits()
    assert scenario.ask("user") == "feature/serves"
    brake.release()
    scenario.sync()
    scenario.answers("user", "feature/cancelled")
    scenario.synced()


def test_a_build_that_a_killed_control_plane_began_is_cancelled_too(scenario, world, brake):
    scenario.push("user", "feature/orphan")
    brake.pull()
    scenario.commit("user: {branch: feature/orphan}")
    world.until(brake.waits, "the build runs")
    world.kill("control-plane")
    world.start_control_plane()
    world.until(lambda: in_flight(scenario) == ["build"], "it is asked for again", 30)
    assert world.sdp("cancel", scenario.name).returncode == 0
    world.until(lambda: not brake.waits(), "the build is gone", 10)


def in_flight(scenario) -> list[str]:
    try:
        found = scenario.world.api("/api/actions")
    except OSError:
        return []
    return [each["kind"] for each in found if each["sandbox"] == scenario.name]


def test_nothing_to_cancel(scenario, world):
    scenario.commit("account: {branch: feature/login-error}")
    scenario.answers("account", "feature/login-error")
    scenario.synced()
    before = scenario.container("account")
    done = world.sdp("cancel", scenario.name)
    assert done.returncode == 0
    assert "nothing to cancel" in done.stdout
    scenario.synced()
    assert scenario.container("account") == before


def test_wrong_names(scenario, world):
    scenario.commit("account: {branch: feature/login-error}")
    scenario.synced()
    for words, told in (
        (("NO-SUCH-SANDBOX",), "There is no sandbox 'NO-SUCH-SANDBOX'"),
        ((scenario.name, "--service", "acount"), "did you mean account"),
    ):
        done = world.sdp("cancel", *words)
        assert (done.returncode, done.stdout) == (1, "")
        assert told in done.stderr
        assert "fix:" in done.stderr
    assert scenario.status()["sync"] == "Synced"
