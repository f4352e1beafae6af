"""Updates under load: no tester's request is dropped, whatever is deployed."""

import pytest

from demo.company.build import identity
from tests.e2e.load import load

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

SLOW = b"""package main

import (
	"net/http"
	"os/signal"
	"syscall"
	"time"
)

// Dies at once when it is told to stop, as programs do that do not care.
func init() { time.AfterFunc(time.Second, func() { signal.Reset(syscall.SIGTERM) }) }

func environment(w http.ResponseWriter, r *http.Request) {
	time.Sleep(2 * time.Second)
	identify(w, r)
}
"""


def push(world, branch: str, version: str) -> str:
    """Push a version of account that answers slowly at /environment, and drains nothing itself."""
    files = {"identity.go": identity("account", version), "environment.go": SLOW}
    return str(world.company.push_branch("account", branch, files, f"Begin {version}"))


def port_of(scenario) -> int:
    return int(scenario.status()["url"].rpartition(":")[2].partition("/")[0])


def account(scenario) -> dict[str, object]:
    services = scenario.status().get("services", ())
    return next((each for each in services if each["name"] == "account"), {})


def containers(scenario) -> list[str]:
    """Return the ids of account's containers."""
    about = (f"label=sdp.sandbox={scenario.name}", "label=sdp.service=account")
    filters = [word for each in about for word in ("--filter", each)]
    return str(scenario.world.engine.docker("ps", "-aq", *filters)).split()


def memory(scenario) -> int:
    form = "{{.HostConfig.Memory}}"
    return int(scenario.world.engine.docker("inspect", "-f", form, *containers(scenario)))


def test_an_update_drops_no_request_and_is_seen_once(scenario, world):
    branch = "feature/under-load"
    push(world, branch, "one")
    scenario.commit(f"account: {{branch: {branch}}}")
    scenario.answers("account", "one")
    scenario.synced()
    with load(port_of(scenario), "account/hello", "account/environment") as made:
        commit = push(world, branch, "two")
        scenario.sync()
        world.until(lambda: account(scenario).get("commit") == commit, "the new one serves")
        scenario.synced()
    assert made.faults == [], f"{len(made.faults)} of {len(made.asked)} failed"
    made.assert_flips_once("one", "two")


def test_a_failed_deploy_leaves_the_previous_version_serving(scenario, world):
    scenario.commit("account: {branch: feature/limits}")
    scenario.answers("account", "feature/limits")
    scenario.synced()
    before = scenario.container("account")
    with load(port_of(scenario), "account/hello") as made:
        scenario.commit("account: {branch: broken/unhealthy, health: {deadline: 3s}}")
        world.until(lambda: "NeverHealthy" in scenario.conditions(), "the failure is told")
        world.until(lambda: len(containers(scenario)) == 1, "what failed is removed")
        scenario.commit("account: {branch: broken/compile}")
        world.until(lambda: "BuildFailed" in scenario.conditions(), "the other one is told")
    assert made.faults == [], f"{len(made.faults)} of {len(made.asked)} failed"
    assert made.answers() == ["feature/limits"]
    assert scenario.container("account") == before


def test_limits_and_routes_change_under_load(scenario, world):
    scenario.commit("account: {branch: feature/limits}")
    scenario.answers("account", "feature/limits")
    scenario.synced()
    before = scenario.container("account")
    with load(port_of(scenario), "account/hello") as made:
        scenario.commit("account: {branch: feature/limits, resources: {memory: 64MB}}")
        world.until(lambda: memory(scenario) == 64 << 20, "the limit is in place")
        assert scenario.container("account") == before
        scenario.commit("account: {use_ocp: true}")
        scenario.answers("account", "ocp")
        world.until(lambda: containers(scenario) == [], "the container is gone")
        scenario.commit("account: {branch: feature/limits}")
        scenario.answers("account", "feature/limits")
        scenario.synced()
    assert made.faults == [], f"{len(made.faults)} of {len(made.asked)} failed"
    assert made.answers() == ["feature/limits", "ocp", "feature/limits"]


# Who is tried on a pinned port answers there: what makes it unhealthy is all that is wrong with it.
def test_a_pinned_port_is_handed_over_once_the_new_one_is_built_and_back_when_it_fails(
    scenario, world
):
    pin = f"port: {world.ports.services[1] - 9}"
    scenario.commit(f"account: {{branch: feature/login-error, {pin}}}")
    scenario.answers("account", "feature/login-error")
    scenario.synced()
    with load(port_of(scenario), "account/hello") as made:
        scenario.commit(f"account: {{branch: feature/limits, {pin}}}")
        scenario.answers("account", "feature/limits")
        scenario.synced()
        serving = scenario.container("account")
        broken = "branch: broken/unhealthy, health: {deadline: 3s}"
        scenario.commit(f"account: {{{broken}, {pin}}}")
        world.until(lambda: "NeverHealthy" in scenario.conditions(), "the failure is told")
        scenario.answers("account", "feature/limits")
        world.until(lambda: len(containers(scenario)) == 1, "what failed is removed")
    print(f"pinned: {len(made.faults)} of {len(made.asked)} failed")  # noqa: T201 -- told, not held to
    assert scenario.container("account") == serving
    assert made.answers()[-1] == "feature/limits"
