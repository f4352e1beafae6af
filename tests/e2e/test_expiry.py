"""What nobody uses is warned of, stops, wakes, and goes by a commit; in doubt nothing happens."""

import pytest

from demo.world import GATEWAY, git
from tests.e2e.scenarios import Scenario, body
from tests.e2e.test_life import kept, sdp, states

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def life(scenario: Scenario, key: str) -> str:
    return str(scenario.status().get("lifecycle", {}).get(key))


def test_what_nobody_uses_stops_and_wakes_when_it_is_extended(scenario, world):
    scenario.commit("account: {branch: feature/login-error}")
    scenario.synced()
    before = kept(scenario)
    sdp(world, "set", scenario.name, "lifecycle.expire_after=15s")
    world.until(lambda: "ExpiresSoon" in scenario.conditions(), "it is warned of")
    assert f"sdp extend {scenario.name}" in scenario.conditions()
    world.until(lambda: life(scenario, "state") == "EXPIRED", "it expires")
    world.until(lambda: set(states(scenario).values()) == {"exited"}, "it is stopped")
    assert kept(scenario) == before
    shown = sdp(world, "status", scenario.name)
    assert "by sdp: not used since" in shown
    for verb in ("restart", "sync"):
        told = sdp(world, verb, scenario.name, code=1)
        assert f"fix: wake it: sdp extend {scenario.name}" in told
    sdp(world, "extend", scenario.name, "--by", "1d", "--wait")
    assert kept(scenario) == before
    assert scenario.ask("account") == "feature/login-error"
    used = life(scenario, "used_at")
    scenario.visit("account", "hello")
    world.until(lambda: life(scenario, "used_at") > used, "a request counts")
    assert life(scenario, "expires_at") > life(scenario, "used_at")
    kinds = ("EXPIRES_SOON", "EXPIRED", "REVIVED")
    assert [len(scenario.events(kind)) for kind in kinds] == [1, 1, 1]
    assert scenario.drifts() == ""


def test_in_doubt_nothing_expires_and_then_only_what_is_not_protected_goes(scenario, world):
    protected = Scenario(world, f"{scenario.name}-P")
    for each in (scenario, protected):
        each.commit("")
    for each in (scenario, protected):
        each.synced()
    world.kill(GATEWAY)
    soon = "expire_after: 2s, delete_after: 1s"
    texts = {
        scenario.path: f"{body(scenario.name, '')}lifecycle: {{{soon}}}\n",
        protected.path: f"{body(protected.name, '')}lifecycle: {{{soon}, protect: true}}\n",
    }
    world.commit(texts, "Let them expire")
    world.until(lambda: "ExpiryUnknown" in scenario.conditions(), "nobody knows")
    assert states(scenario) == {"gateway": "running"}
    world.start_agent(GATEWAY)
    world.until(lambda: not scenario.status(), "it is removed")
    git("pull", "--quiet", "--rebase", cwd=world.config)
    assert git("log", "-1", "--format=%an", "--", scenario.path, cwd=world.config) == "SDP\n"
    assert not (world.config / scenario.path).exists()
    assert states(scenario) == {}
    assert states(protected) == {"gateway": "running"}
    assert life(protected, "state") == "ACTIVE"
    world.commit({protected.path: body(protected.name, "")}, "Protect it no longer")
    protected.remove()
