"""The audit of a running company: what was done to a sandbox, each thing once, and by whom."""

import json

import pytest

from demo.world import World
from tests.e2e.scenarios import Scenario

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


SECRET = "canary-5e77-of-the-audit"


def acts(scenario: Scenario, kind: str, about: str = "sandbox") -> list[tuple[str, ...]]:
    """Return what was done to a scenario's sandbox or environment, oldest first, of one kind."""
    path = f"/api/audit?{about}={scenario.name.lower()}&kind={kind}&limit=500"
    found = scenario.world.api(path)["acts"]
    keys = ("user", "action", "status", "service", "branch", "message")
    return [tuple(each[key] for key in keys) for each in reversed(found)]


def faults(world: World, *words: str) -> list[str]:
    """Return what is wrong with the audit, but that another scenario lost the database."""
    told = json.loads(world.sdp("audit", "verify", "--json", *words).stdout)
    assert told["rows"] > 0
    found = [each["message"] for each in told["findings"]]
    return [each for each in found if "the database was lost" not in each]


@pytest.fixture
def environment(scenario, world):
    """The name of an environment of a scenario's own."""
    yield scenario.name.lower()
    path = f"environments/{scenario.name.lower()}.yaml"
    if (world.config / path).exists():
        world.commit({path: None}, f"Remove {path}")


def test_each_deploy_route_and_request_is_one_act_of_who_caused_it(scenario, world, tmp_path):
    scenario.commit("account: {branch: develop}")
    scenario.answers("account", "develop")
    scenario.synced()
    scenario.commit("account: {branch: broken/compile}")
    world.until(lambda: "BuildFailed" in scenario.conditions(), "the failure is told", 60)
    switches = len(acts(scenario, "ROUTE_CHANGE"))
    scenario.commit("account: {use_ocp: true}")
    scenario.answers("account", "ocp")
    scenario.synced()
    scenario.sync()

    assert sorted(acts(scenario, "DEPLOYMENT")) == [
        ("achmad", "deploy", "failed", "account", "broken/compile", "BuildFailed"),
        ("achmad", "deployed", "done", "account", "develop", ""),
        ("achmad", "deployed", "done", "gateway", "develop", ""),
        ("achmad", "stopped", "done", "account", "develop", "Removed"),
    ]
    [(user, action, status, service, _, message)] = acts(scenario, "ROUTE_CHANGE")[switches:]
    assert (user, action, status, service) == ("achmad", "route switched", "done", "account")
    assert message.endswith(f" → http://{world.address}:{world.ports.ocp}/account")
    assert [each[1] for each in acts(scenario, "REQUEST")] == ["sync"]

    file = tmp_path / "audit.jsonl"
    assert faults(world) == []
    done = world.sdp("audit", "export", "-o", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    assert faults(world, "--file", str(file)) == []
    assert "main.go" not in file.read_text()


def test_a_secret_change_is_told_without_the_secret(scenario, world, environment):
    def told() -> list[tuple[str, ...]]:
        return acts(scenario, "SECRET_CHANGE", "environment")

    for words, stdin in (
        (("set", environment, "MODE=qa"), ""),
        (("set-secret", environment, "TOKEN", "--stdin"), SECRET),
    ):
        done = world.sdp("env", *words, stdin=stdin)
        assert done.returncode == 0, done.stdout + done.stderr
    world.until(lambda: bool(told()), "the secret's change is told", 30)
    assert [each[1:3] for each in told()] == [("secrets changed", "done")]
    changed = acts(scenario, "CHANGE", "environment")
    assert [each[1:3] for each in changed] == [("environment changed", "done")]
    assert changed[0][0] == told()[0][0] != ""  # whoever this machine's git commits as
    assert SECRET not in world.sdp("audit", "export").stdout
