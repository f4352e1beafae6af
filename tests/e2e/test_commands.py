"""What the commands answer to a script: exit codes, and places of errors."""

import pytest

from tests.e2e.scenarios import body

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def test_plan_says_whether_there_is_something_to_do(scenario, world):
    scenario.commit("account: {branch: feature/login-error}")
    scenario.answers("account", "feature/login-error")
    scenario.synced()
    done = world.sdp("plan", "--sandbox", scenario.name)
    assert done.returncode == 0, done.stdout + done.stderr
    scenario.write(body(scenario.name, "account: {branch: feature/limits}"))
    done = world.sdp("plan", "--sandbox", scenario.name)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "feature/limits" in done.stdout
    assert scenario.ask("account") == "feature/login-error"
    scenario.write(f"sandbox: {scenario.name}\nservices:\n  account: {{branch: [}}\n")
    for command in ("plan", "validate"):
        done = world.sdp(command)
        assert done.returncode == 1, done.stdout + done.stderr
        told = done.stderr if command == "plan" else done.stdout
        assert f"{scenario.path}:3:" in told


def test_a_change_that_would_wait_is_a_change_until_it_is_committed(scenario, world):
    scenario.commit("account: {use_ocp: true}")
    scenario.synced()
    scenario.write(body(scenario.name, "account: {branch: feature/none}"))
    done = world.sdp("plan", "--sandbox", scenario.name)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "BranchMissing" in done.stdout or "no branch feature/none" in done.stdout
    scenario.commit("account: {branch: feature/none}")
    world.until(lambda: "BranchMissing" in scenario.conditions(), "it waits")
    done = world.sdp("plan", "--sandbox", scenario.name)
    assert done.returncode == 0, done.stdout + done.stderr


def test_apply_waits_until_it_runs(scenario, world):
    scenario.write(body(scenario.name, "account: {branch: feature/login-error}"))
    done = world.sdp("apply", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert scenario.ask("account") == "feature/login-error"
    done = world.sdp("plan")
    assert done.returncode == 0, done.stdout + done.stderr


def test_apply_ends_when_its_time_is_up(scenario, world):
    scenario.push("account", "feature/slow")
    scenario.write(body(scenario.name, "account: {branch: feature/slow}"))
    done = world.sdp("apply", "--yes", "--timeout", "1s")
    assert done.returncode == 4, done.stdout + done.stderr
    assert f"sdp explain {scenario.name}" in done.stderr
    scenario.answers("account", "feature/slow")


def test_apply_of_what_cannot_serve_says_why(scenario, world):
    scenario.write(body(scenario.name, "account: {branch: broken/compile}"))
    done = world.sdp("apply", "--yes")
    assert done.returncode == 4, done.stdout + done.stderr
    assert "BuildFailed" in done.stderr
    assert ".go:" in done.stderr
