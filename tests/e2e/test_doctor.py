"""The doctor finds what would fail before it does, and says what to do."""

import contextlib
import json
import os
import shutil
import socket

import pytest

from tests.e2e.scenarios import platform_says

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def examined(world, *words: str) -> tuple[int, list[dict[str, str]]]:
    done = world.sdp(*words, "doctor", "--json")
    return done.returncode, json.loads(done.stdout)


def finds(world, node: str, kind: str, *told: str) -> None:
    """Wait until the doctor finds an error that says all this, and fails."""

    def holds() -> bool:
        code, found = examined(world)
        return code == 1 and any(
            (each["severity"], each["node"], each["kind"]) == ("error", node, kind)
            and each["fix"]
            and all(word in each["message"] + each["fix"] for word in told)
            for each in found
        )

    world.until(holds, f"the doctor finds {kind} of {node}: {told}", 60)


def test_a_healthy_company_has_no_errors(scenario, world):
    scenario.commit("account: {branch: feature/login-error}")
    scenario.answers("account", "feature/login-error")
    scenario.synced()
    code, found = examined(world)
    assert (code, [each for each in found if each["severity"] == "error"]) == (0, [])
    done = world.sdp("doctor")
    assert done.stdout.count("fix:") == len(found)


def test_a_missing_image(scenario, world):
    def edit(spec):
        spec["services"]["user"]["image"] = "absent/image:1"

    with platform_says(world, edit):
        scenario.commit("user: {branch: feature/profile}")
        finds(world, "micro-92", "image", "absent/image:1", f"{scenario.name}/user", "docker load")
        shown = world.sdp("doctor")
        assert shown.returncode == 1
        assert "micro-92\n  error    image: image absent/image:1 is missing" in shown.stdout


def test_a_repository_that_cannot_be_read_and_a_branch_that_is_not_there(scenario, world):
    scenario.commit("account: {branch: feature/never-pushed}, payment: {branch: feature/refund}")
    finds(world, "micro-92", "repository", "account has no branch feature/never-pushed", "push")
    clone = world.company.clone("payment")
    away = clone.with_name("payment-moved-away")
    shutil.move(clone, away)
    try:
        scenario.sync()
        finds(world, "micro-92", "repository", str(clone), f"{scenario.name}/payment")
    finally:
        shutil.move(away, clone)
    scenario.sync()


def test_a_stranger_on_a_pinned_port(scenario, world):
    port = world.ports.services[1]
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stranger.bind(("0.0.0.0", port))
        stranger.listen()
        scenario.commit(f"account: {{branch: feature/limits, port: {port}}}")
        finds(world, "micro-92", "port", str(port), scenario.name, f"(pid {os.getpid()})")


def test_a_silent_agent(scenario, world):
    scenario.commit("account: {branch: feature/login-error}")
    scenario.synced()
    world.kill("micro-92")
    try:
        finds(world, "micro-92", "agent", "silent since", "sdp agent --config")
    finally:
        world.start_agent("micro-92")
        world.until(world.heard, "both agents are heard", 30)


@contextlib.contextmanager
def written(world, path: str, text: str):
    """A file in the working tree that nobody commits."""
    (world.config / path).write_text(text)
    try:
        yield
    finally:
        (world.config / path).unlink()


def test_this_machine_is_examined_while_the_control_plane_is_away(world):
    with written(world, "sandboxes/mistyped.yaml", "sandbox: MISTYPED\nservcies: {}\n"):
        code, found = examined(world, "--server", "http://127.0.0.1:9")
    assert code == 1
    assert {(each["node"], each["kind"]) for each in found} == {
        ("this machine", "server"),
        ("this machine", "spec"),
    }
    assert any("sandboxes/mistyped.yaml:2:1" in each["message"] for each in found)


def test_a_node_is_shown_whole(scenario, world):
    scenario.commit("account: {branch: feature/login-error}")
    scenario.answers("account", "feature/login-error")
    scenario.synced()
    shown = world.sdp("nodes", "micro-92").stdout
    for word in ("tool/git", "disk/state", "sdp-testbed/runtime:1", f"{scenario.name}/account"):
        assert word in shown
    done = world.sdp("nodes", "micro-9")
    assert (done.returncode, done.stdout) == (1, "")
    assert "did you mean micro-92" in done.stderr
