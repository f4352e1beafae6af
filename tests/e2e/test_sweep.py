"""What is cleaned up, and when: never what is in use, and never what is somebody else's."""

import contextlib
import os
import shutil
import subprocess  # noqa: TID251 -- a small disk has to be mounted
from typing import Any

import pytest
import yaml

from sdp.reconciler.disk import LOW
from tests.e2e.scenarios import Scenario, body, platform_says, restart_agent
from tests.testbed import images

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def releases(world, repository: str) -> set[str]:
    """Return the commits of which a release is on the micro node's disk."""
    folder = world.root / "agents" / "micro-92" / "releases" / repository
    return {marker.parent.parent.name for marker in folder.glob("*/*/.sdp-release.json")}


@contextlib.contextmanager
def sleeper(world, name: str, services: str):
    """Another sandbox, which is suspended when it runs."""
    other = Scenario(world, name)
    other.commit(services)
    other.synced()
    text = body(name, services) + "lifecycle: {suspended: true}\n"
    world.commit({other.path: text}, f"Suspend {name}")
    world.until(lambda: other.status().get("health") == "Suspended", "it is suspended", 120)
    world.until(lambda: other.container("payment").endswith("false"), "its container stopped", 120)
    try:
        yield other
    finally:
        other.remove()


def micro(world) -> dict[str, Any]:
    """Return what is told of the micro node."""
    return next(each for each in world.api("/api/nodes") if each["id"] == "micro-92")


def quick(spec) -> None:
    spec["retention"] = {"unused": "1s"}


def test_releases_go_that_nothing_refers_to_and_the_others_stay(scenario, world):
    first, second = "feature/login-error", "feature/limits"
    old, new = (world.company.tip("account", each) for each in (first, second))
    with sleeper(world, "SLEEPS", "payment: {branch: feature/refund}") as other:
        scenario.commit(f"account: {{branch: {first}}}")
        scenario.answers("account", first)
        scenario.commit(f"account: {{branch: {second}}}")
        scenario.answers("account", second)
        scenario.synced()
        assert releases(world, "account") >= {old, new}
        with platform_says(world, quick):
            world.until(lambda: old not in releases(world, "account"), "the unused went", 120)
        assert new in releases(world, "account")
        assert world.company.tip("payment", "feature/refund") in releases(world, "payment")
        other.commit("payment: {branch: feature/refund}")
        other.answers("payment", "feature/refund")
    scenario.commit(f"account: {{branch: {first}}}")
    scenario.answers("account", first)  # built again, since it is wanted again
    scenario.synced()
    shown = world.sdp("gc", "--dry-run").stdout
    assert (new[:7] in shown, old[:7] in shown) == (True, False), shown
    done = world.sdp("gc", "--yes")
    assert (done.returncode, "removed " in done.stdout) == (0, True), done.stdout + done.stderr
    left = releases(world, "account")
    assert (old in left, new in left) == (True, False)
    assert scenario.ask("account") == first


def test_a_deleted_sandbox_leaves_nothing_behind(scenario, world):
    name = scenario.name.lower()
    scenario.commit("account: {use_ocp: true}")
    scenario.synced()
    state = world.root / "agents" / "gateway-186"
    left = [state / "copies" / name, state / "access" / name]
    assert [each.is_dir() for each in left] == [True, True]
    scenario.remove()
    world.until(lambda: scenario.status() == {}, "it is gone")
    assert [each.exists() for each in left] == [False, False]
    assert world.engine.docker("ps", "-aq", "--filter", f"label=sdp.sandbox={scenario.name}") == ""
    assert world.engine.docker("network", "ls", "-q", "--filter", f"name=sandbox-{name}$") == ""


@contextlib.contextmanager
def strangers(world, name: str):
    """Stopped containers that are not ours: one without labels, one of another instance."""
    label = ["--label", "sdp.instance=somebody-else", "--label", f"sdp.sandbox={name}"]
    made = [
        world.engine.docker("create", *labels, images.RUNTIME, "true").strip()
        for labels in ([], label)
    ]
    try:
        yield made
    finally:
        world.engine.docker("rm", *made)


def containers(world, scenario) -> list[str]:
    """Return the sandbox's containers, stopped ones too, with their states."""
    mine = ["--filter", f"label=sdp.instance={world.instance}"]
    mine += ["--filter", f"label=sdp.sandbox={scenario.name}"]
    form = '{{.Label "sdp.service"}} {{.State}}'
    return sorted(world.engine.docker("ps", "-a", *mine, "--format", form).splitlines())


def test_nothing_stopped_is_left_by_updates_that_fail_or_are_cut(scenario, world):
    settled = ["account running", "gateway running"]
    port = world.ports.services[1]
    with strangers(world, scenario.name) as others:
        scenario.commit(f"account: {{branch: feature/login-error, port: {port}}}")
        scenario.synced()
        scenario.commit(f"account: {{branch: broken/crash, port: {port}}}")
        world.until(lambda: "LEDGER_DSN" in scenario.conditions(), "the update failed", 60)
        scenario.answers("account", "feature/login-error")
        world.until(lambda: containers(world, scenario) == settled, "the failed one went", 30)
        before = len(scenario.events("CONTAINER_STARTED"))
        scenario.commit(f"account: {{branch: feature/limits, port: {port}}}")
        world.until(lambda: len(scenario.events("CONTAINER_STARTED")) > before, "it started")
        world.kill("control-plane")
        world.start_control_plane()
        scenario.answers("account", "feature/limits")
        scenario.synced()
        world.until(lambda: containers(world, scenario) == settled, "the one before went", 30)
        there = world.engine.docker("ps", "-aq", "--no-trunc")
        assert all(each in there for each in others)


@contextlib.contextmanager
def small_disk(world, tmp_path):
    """The micro node's agent keeps its state on a disk of its own, which can be filled."""
    disk, file = tmp_path / "disk", world.root / "agent-micro-92.yaml"
    disk.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1g", "tmpfs", disk], check=True)
    before = file.read_text()
    spec = yaml.safe_load(before)
    try:
        for part in ("caches", "trust"):
            shutil.copytree(f"{spec['state']}/{part}", disk / "state" / part)
        file.write_text(yaml.safe_dump({**spec, "state": str(disk / "state")}))
        restart_agent(world)
        yield disk
    finally:
        file.write_text(before)
        restart_agent(world)
        subprocess.run(["umount", "--lazy", disk], check=True)


def test_a_full_disk_holds_builds_and_lets_them_go_by_itself(scenario, world, tmp_path):
    with small_disk(world, tmp_path) as disk:
        scenario.commit("account: {branch: feature/login-error}")
        scenario.synced()
        with (disk / "filler").open("wb") as filler:
            filler.truncate(0)
            os.posix_fallocate(filler.fileno(), 0, shutil.disk_usage(disk).free - (8 << 20))
        world.until(lambda: micro(world)["disk_free"] < LOW, "the node tells of it", 30)
        scenario.commit("account: {branch: feature/limits}")
        world.until(lambda: "DiskLow" in scenario.conditions(), "it is held", 30)
        assert "free space on micro-92" in scenario.conditions()
        assert scenario.ask("account") == "feature/login-error"
        (disk / "filler").unlink()
        scenario.answers("account", "feature/limits")
        scenario.synced()
        scenario.remove()
        world.until(lambda: scenario.status() == {}, "nothing of it is on the small disk")
