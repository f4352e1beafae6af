"""What a commit must bring about, as seen from the containers, the routes and the answers."""

import pytest

from tests.e2e.scenarios import Scenario

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def test_a_commit_runs_the_branch_and_leaves_the_rest_to_ocp(scenario):
    scenario.commit("account: {branch: feature/login-error}, payment: {use_ocp: true}")
    scenario.answers("account", "feature/login-error")
    scenario.answers("payment", "ocp")
    scenario.answers("user", "ocp")
    scenario.synced()
    plan = scenario.world.sdp("plan", "--sandbox", scenario.name)
    assert plan.returncode == 0, plan.stdout + plan.stderr


def test_two_sandboxes_stand_side_by_side(scenario, world):
    other = Scenario(world, "OTHER-LIMITS")
    scenario.commit("account: {branch: feature/login-error}")
    other.commit("account: {branch: feature/limits}")
    scenario.answers("account", "feature/login-error")
    other.answers("account", "feature/limits")
    assert scenario.status()["url"] != other.status()["url"]
    other.remove()
    world.until(lambda: not other.container("account"), "the other is gone")
    assert scenario.ask("account") == "feature/login-error"


def test_one_service_changes_alone(scenario):
    scenario.commit("account: {branch: feature/login-error}")
    scenario.answers("account", "feature/login-error")
    scenario.synced()
    before = scenario.container("account")
    scenario.commit("account: {branch: feature/login-error}, payment: {branch: feature/refund}")
    scenario.answers("payment", "feature/refund")
    assert scenario.container("account") == before


def test_drift_is_healed(scenario, world):
    scenario.commit("account: {branch: feature/login-error}")
    scenario.answers("account", "feature/login-error")
    scenario.synced()
    name = f"sandbox-{scenario.name.lower()}-account"
    first = scenario.container("account")
    world.engine.docker("rm", "-f", name)
    world.until(lambda: scenario.container("account") not in {"", first}, "it came back", 30)
    scenario.answers("account", "feature/login-error", 30)
    scenario.synced()
    world.engine.docker("stop", name)
    world.until(lambda: scenario.container("account").endswith("true"), "it runs again", 30)
    scenario.answers("account", "feature/login-error", 30)


def test_a_broken_branch_fails_and_the_previous_version_serves(scenario, world):
    scenario.commit("account: {branch: feature/login-error}")
    scenario.answers("account", "feature/login-error")
    scenario.synced()
    scenario.commit("account: {branch: broken/compile}")
    world.until(lambda: "BuildFailed" in scenario.conditions(), "the failure is told", 60)
    assert ".go:" in scenario.conditions()
    assert scenario.ask("account") == "feature/login-error"
    scenario.commit("account: {branch: feature/limits}")
    scenario.answers("account", "feature/limits")


def test_a_yaml_error_keeps_the_sandbox_as_it_was(scenario, world):
    scenario.commit("account: {branch: feature/login-error}")
    scenario.answers("account", "feature/login-error")
    world.commit({scenario.path: f"sandbox: {scenario.name}\nservcies: {{}}\n"}, "Mistype")
    world.until(lambda: f"{scenario.path}:2:1" in scenario.conditions(), "its place is told", 30)
    assert scenario.ask("account") == "feature/login-error"


def test_a_removed_file_leaves_nothing(scenario, world):
    scenario.commit("account: {branch: feature/login-error}")
    scenario.answers("account", "feature/login-error")
    scenario.remove()
    label = f"label=sdp.sandbox={scenario.name}"
    world.until(
        lambda: not world.engine.docker("ps", "-aq", "--filter", label).strip(), "no container"
    )
    world.until(
        lambda: not world.engine.docker("network", "ls", "-q", "--filter", label).strip(),
        "no network",
    )


def test_killed_processes_come_back_to_the_same_containers(scenario, world):
    scenario.commit("account: {branch: feature/login-error}")
    scenario.answers("account", "feature/login-error")
    scenario.synced()
    before = scenario.container("account")
    world.kill("control-plane")
    world.kill("micro-92")
    world.start_control_plane()
    world.start_agent("micro-92")
    scenario.synced()
    assert scenario.container("account") == before
