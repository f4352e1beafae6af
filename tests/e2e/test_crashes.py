"""Processes and the database are lost at the worst moment, and what was asked for still comes."""

import contextlib
import sys

import pytest

from tests.e2e.scenarios import agent_says

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
    for file in world.data.glob("sdp.db*"):
        file.unlink()
    world.start_control_plane()
    world.log_in()  # sessions were in there
    scenario.synced()
    assert {name: scenario.container(name) for name in names} == containers
    assert all(state.endswith("true") for state in containers.values())
    assert scenario.status()["url"] == url
    assert scenario.ask("account") == "feature/login-error"


ENGINE = "engine-of-micro"


def connect_engine(world, socket) -> None:
    engine = world.engine.host.removeprefix("unix://")
    world.run(ENGINE, [sys.executable, "-m", "tests.testbed.relay", str(socket), engine])
    world.until(socket.is_socket, "the engine's socket is there")


@contextlib.contextmanager
def engine_of_its_own(world):
    """The micro node's agent reaches its engine by a process that can be killed."""
    socket = world.root / "engine.sock"
    connect_engine(world, socket)
    try:
        with agent_says(world, "docker", f"unix://{socket}"):
            yield socket
    finally:
        if ENGINE in world.processes:
            world.kill(ENGINE)


def test_an_engine_that_is_down_is_told_and_nothing_is_replaced(scenario, world):
    scenario.commit("account: {branch: feature/login-error}")
    scenario.answers("account", "feature/login-error")
    scenario.synced()
    before = scenario.container("account")
    with engine_of_its_own(world) as socket:
        scenario.synced()
        world.kill(ENGINE)
        socket.unlink()
        world.until(lambda: "EngineUnavailable" in scenario.conditions(), "it is told", 30)
        assert "start the engine of micro-92" in scenario.conditions()
        assert scenario.status()["sync"] == "Unknown"
        scenario.commit("account: {branch: feature/login-error}, payment: {branch: develop}")
        assert scenario.ask("account") == "feature/login-error"
        connect_engine(world, socket)
        scenario.answers("payment", "develop")
        scenario.synced()
        assert scenario.container("account") == before
