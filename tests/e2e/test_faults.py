"""What goes wrong around a sandbox: it is told in words, heals, and harms nobody else."""

import contextlib
import os
import shutil
import socket

import pytest
import yaml

from tests.e2e.scenarios import Scenario
from tests.testbed import images

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

QUICK = "health: {deadline: 3s}"


@contextlib.contextmanager
def neighbour(world, name: str):
    """A sandbox of somebody else."""
    other = Scenario(world, name)
    yield other
    other.remove()


def fails_and_is_mended(scenario, world, kind: str, line: str) -> None:
    """A branch can't serve: its own line is told, the version before and others go on."""
    broken = f"mended/{kind}"
    scenario.break_down(broken, kind)
    scenario.commit("account: {branch: feature/login-error}")
    scenario.answers("account", "feature/login-error")
    scenario.synced()
    scenario.commit(f"account: {{branch: {broken}, {QUICK}}}")
    world.until(lambda: line in scenario.conditions(), "the container's line is told", 60)
    assert line in world.sdp("explain", scenario.name).stdout
    assert scenario.status()["sync"] == "Failed"
    assert scenario.ask("account") == "feature/login-error"
    with neighbour(world, f"BESIDE-{kind}".upper()) as other:
        other.commit("account: {branch: feature/limits}")
        other.answers("account", "feature/limits")
        other.synced()
    assert scenario.ask("account") == "feature/login-error"
    scenario.mend("account", broken)
    scenario.sync()
    scenario.answers("account", broken)
    scenario.synced()


def test_a_branch_that_is_never_healthy(scenario, world):
    fails_and_is_mended(scenario, world, "unhealthy", "cannot reach ledger")


def test_a_branch_that_crashes(scenario, world):
    fails_and_is_mended(scenario, world, "crash", "LEDGER_DSN")


def test_config_php_edited_by_hand(scenario, world):
    scenario.commit("account: {branch: feature/login-error}")
    scenario.answers("account", "feature/login-error")
    scenario.synced()
    copies = world.root / "agents" / "gateway-186" / "copies" / scenario.name.lower()
    (config,) = copies.glob("*/tree/application/config/production/config.php")
    healthy = config.read_bytes()
    config.write_bytes(healthy + b"\n$config['account_url'] = 'http://127.0.0.1:9';\n")
    world.until(lambda: config.read_bytes() == healthy, "the file is healed", 15)
    scenario.answers("account", "feature/login-error", 15)
    world.until(lambda: "config.php" in scenario.drifts(), "the drift is told", 15)
    assert [b"127.0.0.1:9" in kept.read_bytes() for kept in copies.glob("*/edited-*.php")] == [
        True
    ]
    scenario.synced()


def test_drift_says_what_happened(scenario, world):
    scenario.commit("account: {branch: feature/login-error}")
    scenario.answers("account", "feature/login-error")
    scenario.synced()
    name = f"sandbox-{scenario.name.lower()}-account"
    first = scenario.container("account")
    world.engine.docker("rm", "-f", name)
    world.until(lambda: scenario.container_is_new("account", first), "it came back", 30)
    scenario.synced()
    assert f"container {name} is gone" in scenario.drifts()
    world.engine.docker("stop", name)
    world.until(lambda: f"container {name} is stopped" in scenario.drifts(), "told", 30)
    scenario.answers("account", "feature/login-error", 30)
    scenario.synced()


@contextlib.contextmanager
def user_runs_in(world, image: str):
    """For a while, the platform says another image for one service."""
    before = (world.config / "platform.yaml").read_text()
    spec = yaml.safe_load(before)
    spec["services"]["user"]["image"] = image
    world.commit({"platform.yaml": yaml.safe_dump(spec, sort_keys=False)}, "Take a new image")
    try:
        yield
    finally:
        world.commit({"platform.yaml": before}, "Take the image that is here")


def test_a_missing_image(scenario, world):
    image = "absent/image:1"
    with user_runs_in(world, image):
        scenario.commit("user: {branch: feature/profile}")
        world.until(lambda: "ImageMissing" in scenario.conditions(), "it is told", 60)
        for word in (image, "micro-92", "docker save"):
            assert word in scenario.conditions()
        world.engine.docker("tag", images.RUNTIME, image)
        try:
            scenario.answers("user", "feature/profile")
            scenario.synced()
        finally:
            world.engine.docker("rmi", image)
    scenario.synced()
    scenario.answers("user", "feature/profile")


def test_an_image_in_the_agents_folder_is_loaded(scenario, world):
    image = "carried/image:1"
    archive = world.root / "agents" / "micro-92" / "images" / "carried.tar"
    world.engine.docker("tag", images.RUNTIME, image)
    world.engine.docker("save", "-o", archive, image)
    world.engine.docker("rmi", image)
    try:
        with user_runs_in(world, image):
            scenario.commit("user: {branch: feature/profile}")
            scenario.answers("user", "feature/profile")
            scenario.synced()
            assert image in world.engine.docker("images", "--format", "{{.Repository}}:{{.Tag}}")
    finally:
        archive.unlink()
        world.engine.docker("rmi", image)


def test_a_missing_repository(scenario, world):
    scenario.push("payment", "feature/moved")
    clone = world.company.clone("payment")
    away = clone.with_name("payment-moved-away")
    shutil.move(clone, away)
    try:
        scenario.commit("payment: {branch: feature/moved}")
        scenario.sync()
        world.until(lambda: str(clone) in scenario.conditions(), "its path is told", 60)
        assert "clone it there" in scenario.conditions()
    finally:
        shutil.move(away, clone)
    scenario.sync()
    scenario.answers("payment", "feature/moved")
    scenario.synced()


def test_a_port_that_a_stranger_has(scenario, world):
    port = world.ports.services[1]
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stranger.bind(("0.0.0.0", port))
        stranger.listen()
        scenario.commit(f"account: {{branch: feature/limits, port: {port}}}")
        told = (f"port {port} of micro-92", f"(pid {os.getpid()})")
        world.until(
            lambda: all(word in scenario.conditions() for word in told),
            "the port and its process are told",
        )
    scenario.answers("account", "feature/limits")
    scenario.synced()
