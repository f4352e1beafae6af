"""What ails a service is told with its reason and its fix, and is over when it is over."""

import contextlib
import json
import urllib.error
import urllib.request
from typing import Any

import pytest

from demo.world import MICRO
from tests.e2e.scenarios import Scenario

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

LIMITED = (
    "account: {branch: feature/login-error, resources: {cpu: 500m, memory: 48MB}}, "
    "payment: {branch: feature/refund}"
)


def service(scenario: Scenario, name: str = "account") -> Any:
    found = scenario.status().get("services", ())
    return next((each for each in found if each["name"] == name), {})


def becomes(scenario: Scenario, health: str, reason: str, seconds: float = 60) -> Any:
    """Wait until account's health is this, and return how it is told."""

    def holds() -> bool:
        told = service(scenario)
        return (told.get("health"), told.get("reason")) == (health, reason)

    scenario.world.until(holds, f"account of {scenario.name} is {health}: {reason}", seconds)
    return service(scenario)


def ail(scenario: Scenario, how: str) -> None:
    """Let account suffer; one that dies of it does not answer."""
    port = service(scenario)["port"]
    with contextlib.suppress(OSError, urllib.error.URLError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/ail?how={how}", timeout=5).close()


def answers_again(scenario: Scenario) -> None:
    scenario.answers("account", "feature/login-error")


def says(scenario: Scenario, *words: str) -> None:
    """What a person is shown holds these words, and the way to the log."""
    for command in ("status", "explain"):
        told = scenario.world.sdp(command, scenario.name).stdout
        for word in (*words, f"sdp logs {scenario.name}/account"):
            assert word in told, told


def test_an_ailing_service(scenario, world):
    """One life: sick, well, measured, fallen, standing again, killed for memory, in a loop."""
    scenario.commit(LIMITED)
    scenario.answers("account", "feature/login-error")
    scenario.synced()

    ail(scenario, "sick")
    told = becomes(scenario, "Unhealthy", "ProbeFailing")
    assert told["message"] == "GET /healthz: HTTP/1.1 500 Internal Server Error"
    assert told["since"]
    assert scenario.status()["health"] == "Degraded"
    assert scenario.status()["health_message"] == f"account: {told['message']}"
    says(scenario, "account is Unhealthy", "ProbeFailing", told["message"])
    listed = json.loads(world.sdp("status", "--json").stdout)
    assert told["message"] in next(
        each["health_message"] for each in listed if each["name"] == scenario.name
    )
    ail(scenario, "well")
    scenario.synced()

    world.until(lambda: service(scenario)["memory_bytes"], "its usage is told", 40)
    assert service(scenario)["memory_limit_bytes"] == 48 << 20
    used = world.api(f"/api/sandboxes/{scenario.name}/usage")
    assert {each["service"] for each in used["services"]} == {"account", "payment", "gateway"}
    assert "of 48MB" in world.sdp("status", scenario.name).stdout

    before = scenario.container("account")
    ail(scenario, "crash")
    told = becomes(scenario, "Degraded", "Restarted")
    assert told["message"] == "restarted once in 10 minutes, last exit code 3; healthy now"
    assert told["until"]
    assert scenario.container("account") == before
    assert not scenario.events("DEPLOY_FAILED")
    waited = world.sdp("sync", scenario.name, "--wait")
    assert waited.returncode == 0, waited.stderr

    answers_again(scenario)
    ail(scenario, "hungry")
    world.until(
        lambda: "killed for memory at its limit of 48MB" in service(scenario)["message"],
        "the reason of its death is told",
    )
    answers_again(scenario)
    ail(scenario, "hungry")
    told = becomes(scenario, "Unhealthy", "OutOfMemory")
    assert "restarted 3 times in 10 minutes" in told["message"]
    assert scenario.container("account").split()[0] == before.split()[0]
    says(scenario, "OutOfMemory", "services.account.resources.memory")


def test_a_silent_agent(scenario, world):
    """What an agent holds is Unknown while it is away, and healthy when it is back."""
    scenario.commit("account: {branch: feature/login-error}")
    scenario.answers("account", "feature/login-error")
    scenario.synced()
    before = scenario.container("account")
    world.kill(MICRO)
    told = becomes(scenario, "Unknown", "NodeSilent")
    assert f"node {MICRO} does not report; last heard at" in told["message"]
    assert scenario.status()["health"] == "Unknown"
    assert scenario.ask("account") == "feature/login-error"
    shown = world.sdp("status", scenario.name).stdout
    assert f"node {MICRO} does not report (last heard at " in shown
    world.start_agent(MICRO)
    scenario.synced()
    assert scenario.container("account") == before
    assert not scenario.events("DEPLOY_FAILED")
