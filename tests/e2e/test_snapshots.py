"""Back to what ran: by number and by name, with its variables and routes, and without a build."""

import hashlib
import json
from typing import Any

import pytest

from demo.company.build import identity
from tests.e2e.scenarios import Scenario

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

BRANCH = "feature/versions"


def sdp(scenario: Scenario, *words: str) -> str:
    done = scenario.world.sdp(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)


def push(scenario: Scenario, version: str) -> None:
    files = {"identity.go": identity("account", version)}
    scenario.world.company.push_branch("account", BRANCH, files, f"Be {version}")


def builds(scenario: Scenario) -> int:
    planned = [each["data"]["actions"] for each in scenario.events("PLANNED")]
    return sum(each["action"] == "build" for actions in planned for each in actions)


def mode(scenario: Scenario) -> str:
    """Return the hash of the variable MODE that account finds."""
    port = int(scenario.status()["url"].rpartition(":")[2].partition("/")[0])
    return str(scenario.world.ask(port, "account/environment?variable=MODE").get("MODE", ""))


def hashed(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()


def history(scenario: Scenario) -> Any:
    return json.loads(sdp(scenario, "history", scenario.name, "--json"))


def test_a_sandbox_goes_back_to_what_it_ran_and_forth_again(scenario, world):
    name, qa = scenario.name, scenario.name.lower()
    push(scenario, "v1")
    sdp(scenario, "env", "set", qa, "MODE=one")
    text = f"sandbox: {name}   # kept\nenvironment: {qa}\ngateway: {{branch: develop}}\n"
    services = f"services:\n  account: {{branch: {BRANCH}}}   # the fix\n"
    world.commit({scenario.path: text + services}, f"Begin {name}")
    scenario.answers("account", "v1")
    scenario.synced()
    sdp(scenario, "snapshot", name, f"{name}-GOOD", "-m", "It works")

    push(scenario, "v2")
    sdp(scenario, "env", "set", qa, "MODE=two")
    sdp(scenario, "route", name, "payment", "--to", "sandbox", "--branch", "feature/refund")
    scenario.sync()
    scenario.answers("account", "v2")
    scenario.answers("payment", "feature/refund")
    scenario.synced()
    assert mode(scenario) == hashed("two")
    newest, *_, first = history(scenario)
    assert (newest["current"], first["number"], first["names"]) == (True, 1, [f"{name}-GOOD"])
    before = builds(scenario)

    sdp(scenario, "rollback", name, "--to", f"{name}-good", "--yes", "--wait")
    scenario.answers("account", "v1", 5)
    scenario.answers("payment", "ocp", 5)
    assert mode(scenario) == hashed("one")
    assert history(scenario)[0]["names"] == [f"{name}-GOOD"]
    assert "# the fix" in (world.config / scenario.path).read_text()

    sdp(scenario, "rollback", name, "--to", f"#{newest['number']}", "--yes", "--wait")
    scenario.answers("account", "v2", 5)
    scenario.answers("payment", "feature/refund", 5)
    assert mode(scenario) == hashed("two")
    assert builds(scenario) == before

    shown = sdp(scenario, "rollback", name, "--to", first["revision"][:7], "--dry-run")
    assert f"commit: {first['pins']['services']['account']['commit']}" in shown
    sdp(scenario, "rollback", name, "--to", first["revision"][:7], "--yes", "--wait")
    scenario.answers("account", "v1", 5)
    scenario.answers("payment", "ocp", 5)
    assert builds(scenario) == before
    sdp(scenario, "suspend", name, "-m", "enough")
    world.until(lambda: scenario.status()["lifecycle"]["why"] == "enough", "it sleeps, and why")


def test_a_clone_and_a_sandbox_from_a_snapshot_run_beside_it(scenario, world):
    scenario.commit("account: {branch: feature/login-error}")
    scenario.answers("account", "feature/login-error")
    scenario.synced()
    sdp(scenario, "snapshot", scenario.name, "LOGIN-GOOD")
    clone, third = Scenario(world, "LOGIN-CLONE"), Scenario(world, "LOGIN-AGAIN")
    sdp(scenario, "clone", scenario.name, clone.name)
    sdp(scenario, "new", third.name, "--snapshot", "LOGIN-GOOD", "--wait")
    every = (scenario, clone, third)
    for each in every:
        each.answers("account", "feature/login-error")
        each.answers("payment", "ocp", 5)
    assert len({each.status()["url"] for each in every}) == 3
    commits = [{s["name"]: s["commit"] for s in each.status()["services"]} for each in every]
    assert commits[0] == commits[1] == commits[2]
    assert builds(clone) == builds(third) == 0
    for each in (clone, third):
        sdp(each, "delete", each.name, "--yes")
