"""A sandbox sleeps and wakes as it was, restarts once, and stays while it is protected."""

import json
from typing import Any

import pytest

from demo.world import git
from tests.e2e.scenarios import Scenario

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

SERVES = "account: {branch: feature/login-error}, payment: {branch: feature/refund}"


def sdp(world, *words: str, code: int = 0) -> str:
    done = world.sdp(*words)
    assert done.returncode == code, done.stdout + done.stderr
    return str(done.stdout + done.stderr)


def author(world) -> str:
    return git("log", "-1", "--format=%an", cwd=world.config).strip()


def containers(scenario: Scenario) -> dict[str, Any]:
    """Return what the engine says of a sandbox's containers, by service."""
    docker = scenario.world.engine.docker
    ids = docker("ps", "-aq", "--filter", f"label=sdp.sandbox={scenario.name}").split()
    found = json.loads(docker("inspect", *ids)) if ids else []
    return {each["Config"]["Labels"]["sdp.service"]: each for each in found}


def kept(scenario: Scenario) -> dict[str, Any]:
    """Return what a sleep must not change: which containers, at which ports, with what inside."""
    return {
        service: (each["Id"], each["HostConfig"]["PortBindings"], each["Config"]["Env"])
        for service, each in containers(scenario).items()
    }


def states(scenario: Scenario) -> dict[str, str]:
    return {service: each["State"]["Status"] for service, each in containers(scenario).items()}


def started(scenario: Scenario) -> dict[str, str]:
    return {service: each["State"]["StartedAt"] for service, each in containers(scenario).items()}


def memory(scenario: Scenario) -> set[str]:
    ids = [each["Id"] for each in containers(scenario).values()]
    stats = ("stats", "--no-stream", "--format", "{{.MemUsage}}", *ids)
    return {line.split()[0] for line in scenario.world.engine.docker(*stats).splitlines()}


def routes(scenario: Scenario) -> dict[str, str]:
    return {each["service"]: each["actual"] for each in scenario.status()["routes"]}


def test_a_suspended_sandbox_frees_its_resources_and_wakes_as_it_was(scenario, world):
    scenario.commit(SERVES)
    scenario.synced()
    before, led = kept(scenario), routes(scenario)
    sdp(world, "suspend", scenario.name, "-m", "waits for the fix", "--wait")
    assert set(states(scenario).values()) == {"exited"}
    assert memory(scenario) == {"0B"}
    told = sdp(world, "suspend", scenario.name.lower())
    assert "nothing to change" in told
    told = sdp(world, "restart", scenario.name, code=1)
    assert f"fix: wake it: sdp resume {scenario.name}" in told
    life = scenario.status()["lifecycle"]
    assert (life["state"], life["by"], life["why"]) == (
        "SUSPENDED",
        author(world),
        "waits for the fix",
    )
    assert f"UTC by {author(world)}: waits for the fix" in sdp(world, "status", scenario.name)
    scenario.sync()
    assert set(states(scenario).values()) == {"exited"}
    sdp(world, "resume", scenario.name, "--wait")
    assert kept(scenario) == before
    assert routes(scenario) == led
    assert scenario.ask("account") == "feature/login-error"
    assert scenario.status()["lifecycle"]["state"] == "ACTIVE"
    assert scenario.drifts() == ""


def test_one_service_is_stopped_and_started_again(scenario, world):
    scenario.commit(SERVES)
    scenario.synced()
    before, led = kept(scenario), routes(scenario)
    target = f"{scenario.name}/account"
    sdp(world, "stop", target, "-m", "how does the app take it", "--wait")
    assert states(scenario) == {"account": "exited", "gateway": "running", "payment": "running"}
    shown = {each["name"]: each for each in scenario.status()["services"]}
    assert shown["account"]["health"] == "Suspended"
    why = f"by {author(world)}: how does the app take it"
    assert why in shown["account"]["message"]
    assert why in sdp(world, "status", scenario.name)
    assert routes(scenario) == led
    assert (scenario.ask("account"), scenario.ask("payment")) == ("", "feature/refund")
    sdp(world, "resume", target, "--wait")
    assert scenario.ask("account") == "feature/login-error"
    assert kept(scenario) == before
    assert scenario.drifts() == ""


def test_what_is_restarted_is_the_same_once_started_anew(scenario, world):
    scenario.commit(SERVES)
    scenario.synced()
    before, first = kept(scenario), started(scenario)
    sdp(world, "restart", f"{scenario.name}/account", "--wait")
    second = started(scenario)
    assert {each for each in first if first[each] != second[each]} == {"account"}
    assert json.loads(world.sdp("restart", scenario.name, "--wait", "--json").stdout)["nonce"]
    third = started(scenario)
    assert {each for each in second if second[each] != third[each]} == set(second)
    assert kept(scenario) == before
    assert scenario.ask("account") == "feature/login-error"
    assert (scenario.drifts(), len(scenario.events("RESTARTED"))) == ("", 4)


def test_a_protected_sandbox_stays_and_a_sleeping_one_can_go(scenario, world):
    scenario.commit("")
    scenario.synced()
    sdp(world, "protect", scenario.name, "-m", "The demo is on Monday", "--wait")
    assert "Protected from being deleted" in sdp(world, "status", scenario.name)
    sdp(world, "suspend", scenario.name, "--wait")
    sdp(world, "delete", scenario.name, "--yes")
    world.until(lambda: "Protected" in scenario.conditions(), "it is held")
    assert states(scenario) == {"gateway": "exited"}
    sdp(world, "revert", "HEAD")
    sdp(world, "protect", scenario.name, "--off")
    sdp(world, "delete", scenario.name, "--yes", "--wait")
    assert containers(scenario) == {}
