"""Limits: a ceiling that containers share, changed under them; and quotas, with a queue."""

import contextlib
import json
from typing import Any

import pytest

from tests.e2e.scenarios import Scenario, body, platform_says

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

MB = 1 << 20
OWNER = "limits-tester"
CGROUP = ("memory/memory.limit_in_bytes", "memory.max")
"""Where a container finds its limit: in the first version of control groups, or the second."""


def commit(scenario: Scenario, services: str, more: str = "") -> None:
    text = f"{body(scenario.name, services)}owner: {OWNER}\n{more}"
    scenario.world.commit({scenario.path: text}, f"Change {scenario.name}")


def inspected(scenario: Scenario, service: str) -> Any:
    name = f"sandbox-{scenario.name.lower()}-{service}"
    return json.loads(scenario.world.engine.docker("inspect", name))[0]


def memory(scenario: Scenario, service: str) -> int:
    return int(inspected(scenario, service)["HostConfig"]["Memory"])


def in_effect(scenario: Scenario, service: str) -> int:
    """Return the limit that the kernel has for a container, in bytes."""
    files = " ".join(f"/sys/fs/cgroup/{each}" for each in CGROUP)
    container = inspected(scenario, service)["Id"]
    script = f"cat {files} 2>/dev/null | head -n 1"
    return int(scenario.world.engine.docker("exec", container, "sh", "-c", script))


def reaches(scenario: Scenario, **wanted: int) -> None:
    scenario.world.until(
        lambda: all(in_effect(scenario, each) == most for each, most in wanted.items()),
        f"{scenario.name} has the limits {wanted}",
    )


def test_a_ceiling_is_shared_and_changes_under_running_containers(scenario, world):
    account = "account: {branch: feature/limits}"
    commit(scenario, account, "resources: {cpu: 1, memory: 512MB}\n")
    scenario.answers("account", "feature/limits")
    scenario.synced()
    for service in ("gateway", "account"):
        config = inspected(scenario, service)["HostConfig"]
        assert config["Memory"] == config["MemorySwap"] == 256 * MB
        assert config["CpuQuota"] / config["CpuPeriod"] == 0.5
        assert config["PidsLimit"] > 0
        assert config["Init"]
        assert config["LogConfig"]["Config"]["max-size"]
    before = {each: inspected(scenario, each)["Id"] for each in ("gateway", "account")}
    commit(scenario, account, "resources: {memory: 768MB}\n")
    reaches(scenario, gateway=384 * MB, account=384 * MB)
    commit(scenario, account, "resources: null\n")
    world.until(lambda: in_effect(scenario, "account") > 1 << 40, "the limit is lifted")
    scenario.synced()
    assert {each: inspected(scenario, each)["Id"] for each in before} == before
    assert scenario.ask("account") == "feature/limits"


def test_memory_below_use_takes_another_container(scenario, world):
    account = "account: {branch: feature/limits}"
    commit(scenario, account)
    scenario.synced()
    before = inspected(scenario, "account")["Id"]
    world.engine.docker("exec", before, "sh", "-c", "head -c 31457280 /dev/zero > /dev/shm/fill")
    commit(scenario, account.replace("}", ", resources: {memory: 24MB}}"))
    world.until(
        lambda: (
            scenario.container_is_new("account", f"{before} true")
            and memory(scenario, "account") == 24 * MB
        ),
        "account is another container, with less memory",
    )
    scenario.answers("account", "feature/limits")
    scenario.synced()
    done = world.sdp("plan")
    assert done.returncode == 0, done.stdout + done.stderr


def test_who_comes_after_the_quota_is_queued_and_starts_when_a_place_is_free(scenario, world):
    with contextlib.ExitStack() as stack:
        stack.enter_context(
            platform_says(world, lambda spec: spec.update(quotas={"per_owner": {"running": 1}}))
        )
        commit(scenario, "account: {use_ocp: true}")
        scenario.synced()
        second = Scenario(world, "QUOTA-SECOND")
        stack.callback(second.remove)
        commit(second, "account: {use_ocp: true}")
        told = ("Queued", "quotas.per_owner.running is 1", scenario.name, "number 1 of 1")
        world.until(
            lambda: all(each in second.conditions() for each in told), f"it is told {told}"
        )
        assert second.container("gateway") == ""
        shown = json.loads(world.sdp("quotas", "--json").stdout)
        assert [each["sandbox"] for each in shown["queue"]] == [second.name]
        assert "queued 1" in " ".join(world.sdp("status", second.name).stdout.split())
        planned = world.sdp("plan")
        assert "Queued" in planned.stdout
        commit(scenario, "account: {use_ocp: true}", "lifecycle: {suspended: true}\n")
        second.synced()
        assert scenario.container("gateway").endswith("false")
        commit(scenario, "account: {use_ocp: true}")
        world.until(lambda: second.name in scenario.conditions(), "who took its place is told")
        waits = scenario.status()
        assert (waits["health"], waits["health_reason"]) == ("Progressing", "Queued")
