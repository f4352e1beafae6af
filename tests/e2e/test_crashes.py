"""Processes and the database are lost at the worst moment, and what was asked for still comes."""

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def test_a_control_plane_killed_while_it_deploys_goes_on(scenario, world):
    scenario.push("account", "feature/killed-plane")
    scenario.commit("account: {branch: feature/killed-plane}")
    world.until(lambda: scenario.events("BUILD_STARTED") != [], "the build began")
    world.kill("control-plane")
    world.start_control_plane()
    scenario.answers("account", "feature/killed-plane")
    scenario.synced()


def test_an_agent_killed_while_it_builds_begins_again(scenario, world):
    scenario.push("account", "feature/killed-agent")
    scenario.commit("account: {branch: feature/killed-agent}")
    world.until(lambda: scenario.events("BUILD_STARTED") != [], "the build began")
    world.kill("micro-92")
    world.start_agent("micro-92")
    scenario.answers("account", "feature/killed-agent")
    scenario.synced()


def test_a_deleted_database_restarts_nothing(scenario, world):
    scenario.commit("account: {branch: feature/login-error}, payment: {branch: feature/refund}")
    scenario.answers("payment", "feature/refund")
    scenario.synced()
    names = ("account", "payment", "gateway")
    containers = {name: scenario.container(name) for name in names}
    url = scenario.status()["url"]
    world.kill("control-plane")
    for file in (world.root / "data").glob("sdp.db*"):
        file.unlink()
    world.start_control_plane()
    scenario.synced()
    assert {name: scenario.container(name) for name in names} == containers
    assert all(state.endswith("true") for state in containers.values())
    assert scenario.status()["url"] == url
    assert scenario.ask("account") == "feature/login-error"
