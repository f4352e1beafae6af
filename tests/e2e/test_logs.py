"""What containers say reaches whoever asks, while they say it."""

import contextlib
import json
import signal

import pytest

from demo.person import SDP

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

FOLLOWER = "follower"


@contextlib.contextmanager
def following(world, *words: str):
    """Run sdp logs beside the test; yield what it has printed so far."""
    log = world.root / f"{FOLLOWER}.log"
    log.unlink(missing_ok=True)
    world.run(FOLLOWER, [str(SDP), "logs", *words])
    try:
        yield lambda: log.read_text(errors="replace")
    finally:
        if FOLLOWER in world.processes:
            world.kill(FOLLOWER)


def runs(scenario) -> str:
    """Bring a service about, and return the target of its log."""
    scenario.commit("account: {branch: feature/login-error}")
    scenario.answers("account", "feature/login-error")
    scenario.synced()
    return f"{scenario.name.lower()}/account"


def read(world, *words: str) -> str:
    done = world.sdp("logs", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)


def test_last_lines_since_and_grep(scenario, world):
    target = runs(scenario)
    for page in ("apple", "banana", "cherry"):
        scenario.visit("account", page)
    whole = read(world, target)
    assert "listens on port" in whole
    assert whole.index("/apple") < whole.index("/banana") < whole.index("/cherry")
    assert [line.split("GET ")[1] for line in read(world, target, "-n", "2").splitlines()] == [
        "/banana",
        "/cherry",
    ]
    assert read(world, target, "--grep", "BANANA|cherry", "-i").count("GET") == 2
    assert read(world, target, "--grep", "BANANA") == ""
    told = [json.loads(line) for line in read(world, target, "-n", "2", "--json").splitlines()]
    assert "/cherry" in read(world, target, "--since", told[1]["at"][:26] + "Z")
    assert "/banana" not in read(world, target, "--since", told[1]["at"][:26] + "Z")
    assert "/apple" in read(world, target, "--since", "1h")


def test_the_gateway_has_a_log_too(scenario, world):
    runs(scenario)
    assert "Apache" in read(world, f"{scenario.name}/gateway")


def test_follow_shows_a_new_line_and_ends_quietly(scenario, world):
    target = runs(scenario)
    with following(world, target, "-f", "-n", "1") as printed:
        world.until(lambda: printed() != "", "the last line is there", 30)
        scenario.visit("account", "fresh")
        world.until(lambda: "/fresh" in printed(), "the new line came", 30)
        process = world.processes.pop(FOLLOWER)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        assert "Traceback" not in printed()


def test_follow_goes_on_over_a_restarted_control_plane(scenario, world):
    target = runs(scenario)
    with following(world, target, "-f") as printed:
        scenario.visit("account", "before")
        world.until(lambda: "/before" in printed(), "a line came", 30)
        world.kill("control-plane")
        world.start_control_plane()
        scenario.synced()
        scenario.visit("account", "after")
        world.until(lambda: "/after" in printed(), "a line came afterwards", 60)
        assert printed().count("/before") == 1
        assert printed().count("listens on port") == 1


def test_follow_goes_on_with_the_container_that_replaces_it(scenario, world):
    target = runs(scenario)
    with following(world, target, "-f") as printed:
        world.until(lambda: "listens" in printed(), "its lines are there", 30)
        scenario.commit("account: {branch: feature/limits}")
        scenario.answers("account", "feature/limits")
        new = "branch feature/limits listens"
        world.until(lambda: new in printed(), "the new one's first line came", 60)
        assert "the container was replaced" in printed()
        scenario.visit("account", "later")
        world.until(lambda: "/later" in printed(), "and it goes on", 30)


def test_a_builds_log_is_found_by_its_service(scenario, world):
    scenario.commit("account: {branch: broken/compile}")
    world.until(lambda: "BuildFailed" in scenario.conditions(), "the failure is told", 60)
    target = f"{scenario.name}/account"
    assert ".go:" in read(world, target, "--build")
    assert ".go:" in read(world, target, "--build", "--grep", r"\.go:\d+", "-n", "100")


def test_wrong_names(scenario, world):
    target, name = runs(scenario), scenario.name
    for wrong, told in (
        (f"{name}X/account", f"did you mean {name}"),
        (f"{name}/acount", "did you mean account"),
        (f"{name}/payment", "does not run here: OCP"),
        (name, f"{name}/gateway"),
        ("d-nope", "sdp deployments"),
    ):
        done = world.sdp("logs", wrong)
        assert (done.returncode, done.stdout) == (1, "")
        assert told in done.stderr
        assert "fix:" in done.stderr
    assert world.sdp("logs", target, "--since", "yesterday").returncode == 64


def test_a_silent_node_is_said_at_once(scenario, world):
    target = runs(scenario)
    world.kill("micro-92")
    try:
        world.until(lambda: not world.heard(), "the agent is missed", 30)
        done = world.sdp("logs", target)
        assert done.returncode == 1
        assert "node micro-92 is silent" in done.stderr
    finally:
        world.start_agent("micro-92")
        world.until(world.heard, "both agents are heard", 30)
