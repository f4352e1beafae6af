"""An agent obeys only its control plane, and the control plane only believes its agents."""

import contextlib
import datetime
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from demo.person import SDP
from demo.world import GATEWAY, World
from sdp import clock

pytestmark = pytest.mark.e2e

INTRUDER = "intruder"


def log(world: World, name: str) -> str:
    path = world.root / f"{name}.log"
    return path.read_text() if path.exists() else ""


def restart_agent(world: World) -> None:
    """Start the gateway's agent anew, which waits for nothing then, and see it let in."""
    if GATEWAY in world.processes:
        world.kill(GATEWAY)
    world.start_agent(GATEWAY)
    world.until(world.heard, "both agents are heard", 30)


def copied(world: World, state: Path) -> str:
    """Steal what the gateway's agent is known by; return the thief's own file."""
    told = yaml.safe_load(world.agent_file(GATEWAY).read_text())
    shutil.copytree(Path(told["state"]) / "trust", state / "trust")
    file = world.root / f"{state.name}.yaml"
    file.write_text(yaml.safe_dump({**told, "state": str(state)}))
    return str(file)


@contextlib.contextmanager
def intruder(world: World, file: str) -> Iterator[None]:
    """Run an agent of somebody else's."""
    (world.root / f"{INTRUDER}.log").unlink(missing_ok=True)
    argv = [str(SDP), "agent", "--config", file]
    world.run(INTRUDER, argv)
    try:
        yield
    finally:
        world.kill(INTRUDER)


def findings(world: World) -> list[str]:
    told = world.api("/api/doctor")
    assert isinstance(told, dict)
    return [each["message"] for each in told["findings"]]


def token(world: World, *words: str) -> tuple[str, datetime.datetime]:
    told = json.loads(world.sdp("nodes", "enroll", GATEWAY, "--json", *words).stdout)
    return str(told["token"]), datetime.datetime.fromisoformat(told["until"])


def test_a_token_is_good_once_and_for_a_while_and_only_the_right_one(world):
    def enroll(text: str) -> str:
        config = str(world.agent_file(GATEWAY))
        done = world.sdp("agent", "--config", config, "--enroll", stdin=text)
        assert done.returncode == 1
        return str(done.stderr)

    assert "used already" in enroll(world.enrolments[GATEWAY])
    good, _ = token(world)
    wrong = good.replace(good.split(".")[2], world.enrolments[GATEWAY].split(".")[2])
    assert "not the token" in enroll(wrong)
    short, until = token(world, "--valid", "1s")
    world.until(lambda: clock.now() > until, "it is too late")
    assert "was good until" in enroll(short)
    restart_agent(world)  # nothing has changed


def test_a_stolen_key_ends_with_a_new_one_and_a_revoked_node_is_out(world, tmp_path):
    stolen = copied(world, tmp_path / "stolen")
    world.enrolments[GATEWAY] = world.enroll(GATEWAY)
    with intruder(world, stolen):
        told = f"not the key of {GATEWAY}"
        world.until(lambda: told in log(world, INTRUDER), "the old key is refused", 30)
    restart_agent(world)
    world.sdp("nodes", "revoke", GATEWAY, "--yes").check_returncode()
    world.until(lambda: not world.heard(), "its session ends", 10)
    world.until(lambda: f"{GATEWAY} was revoked" in log(world, GATEWAY), "it is told", 10)
    assert any(f"{GATEWAY} was revoked by achmad" in each for each in findings(world))
    world.enrolments[GATEWAY] = world.enroll(GATEWAY)
    restart_agent(world)


def test_two_agents_of_one_node_are_named_and_the_newer_one_is_served(world, tmp_path):
    with intruder(world, copied(world, tmp_path / "second")):
        world.until(lambda: " connected " in log(world, INTRUDER), "the second is served", 30)
        world.until(
            lambda: any("two agents say" in each for each in findings(world)),
            "both are named",
            60,
        )
        world.until(lambda: "two agents say" in log(world, GATEWAY), "the first knows why", 10)
        assert "took over" not in log(world, INTRUDER)
    restart_agent(world)


def test_an_old_copy_of_the_control_plane_is_not_obeyed(world, tmp_path):
    shutil.copytree(world.data / "trust", tmp_path / "trust")
    for _ in range(2):
        world.kill("control-plane")
        world.start_control_plane()
    world.until(world.heard, "both agents are heard", 30)
    newer = world.data / "trust-of-now"
    world.kill("control-plane")
    (world.data / "trust").rename(newer)
    shutil.copytree(tmp_path / "trust", world.data / "trust")
    world.start_control_plane()
    world.until(lambda: "it is an old copy" in log(world, GATEWAY), "it is refused", 30)
    assert not world.heard()
    world.kill("control-plane")
    shutil.rmtree(world.data / "trust")
    newer.rename(world.data / "trust")
    world.start_control_plane()
    for name in [each for each in world.processes if each.startswith(("micro", "gateway"))]:
        world.kill(name)
        world.start_agent(name)
    world.until(world.heard, "both agents are heard again", 30)


def test_an_agent_runs_no_image_that_its_own_file_does_not_allow(world, scenario):
    file = world.agent_file(GATEWAY)
    before = file.read_text()
    try:
        file.write_text(before + "allow: {images: ['acme/*']}\n")
        restart_agent(world)
        scenario.commit("account: {use_ocp: true}")
        world.until(lambda: "NotAllowed" in scenario.conditions(), "its file refuses the image")
        assert scenario.container("gateway") == ""
    finally:
        file.write_text(before)
        restart_agent(world)
    scenario.sync()
    scenario.synced()
