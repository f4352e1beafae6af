"""Nothing is lost by accident: what is deleted, applied in part, planned before, or changed by hand."""

import contextlib

import pytest

from demo.world import git
from tests.e2e.scenarios import Scenario, body

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

LABEL = "label=sdp.sandbox={}"


def beside(scenario: Scenario, *letters: str) -> list[Scenario]:
    """Return more sandboxes of a scenario, which run nothing but their gateways."""
    return [Scenario(scenario.world, f"{scenario.name[:20]}-{each}") for each in letters]


def containers(scenario: Scenario) -> list[str]:
    ps = ("ps", "-aq", "--filter", LABEL.format(scenario.name))
    return str(scenario.world.engine.docker(*ps)).split()


def gone(scenario: Scenario) -> None:
    scenario.world.until(lambda: not containers(scenario), f"{scenario.name} is gone")


def head(world) -> str:
    return git("rev-parse", "HEAD", cwd=world.config).strip()


@contextlib.contextmanager
def tidy(world):
    """Leave no change in the working tree behind."""
    try:
        yield
    finally:
        git("checkout", "--quiet", "--force", "main", cwd=world.config)
        git("clean", "--quiet", "-fd", cwd=world.config)


def test_many_deletions_wait_until_a_commit_lets_them_go(scenario, world):
    many = beside(scenario, "A", "B", "C", "D")
    world.commit({each.path: body(each.name, "") for each in many}, "Add many")
    for each in many:
        each.synced()
    world.commit({each.path: None for each in many}, "Remove many")
    for each in many:
        world.until(lambda each=each: "MassDeletion" in each.conditions(), "it is held")
        assert "sdp apply --allow-deletes 4" in each.conditions()
        assert len(containers(each)) == 1
    before = head(world)
    done = world.sdp("apply", "--allow-deletes", "3", "--yes")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "4 sandboxes would go" in done.stderr
    assert head(world) == before
    done = world.sdp("plan", "--allow-deletes", "4")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "removed from git" in done.stdout
    done = world.sdp("apply", "--allow-deletes", "4", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SDP-Allow-Deletes: 4" in git("log", "-1", "--format=%B", cwd=world.config)
    for each in many:
        gone(each)


def test_what_a_commit_lets_go_outlives_the_control_plane(scenario, world):
    many = beside(scenario, "A", "B", "C", "D")
    world.commit({each.path: body(each.name, "") for each in many}, "Add many")
    for each in many:
        each.synced()
    world.kill("control-plane")
    message = "Remove many\n\nSDP-Allow-Deletes: 4"
    world.commit({each.path: None for each in many}, message)
    world.commit({"templates/later.yaml": "template: LATER\n"}, "Something else")
    world.start_control_plane()
    for each in many:
        gone(each)
    world.commit({"templates/later.yaml": None}, "Something else again")


def test_a_protected_sandbox_outlives_its_file_and_any_word(scenario, world):
    protected = body(scenario.name, "") + "lifecycle: {protect: true}\n"
    world.commit({scenario.path: protected}, "Protect it")
    scenario.synced()
    scenario.remove()
    world.until(lambda: "Protected" in scenario.conditions(), "it is held")
    world.kill("control-plane")
    world.start_control_plane()
    world.until(lambda: "Protected" in scenario.conditions(), "it is held still")
    done = world.sdp("apply", "--allow-deletes", "9", "--yes")
    assert "no deletion waits" in done.stderr
    assert len(containers(scenario)) == 1
    world.commit({scenario.path: body(scenario.name, "")}, "Do not protect it")
    scenario.synced()
    scenario.remove()
    gone(scenario)


def test_an_emptied_repository_removes_nothing(scenario, world):
    world.commit({scenario.path: body(scenario.name, "")}, "Add one")
    scenario.synced()
    before = containers(scenario)
    git("rm", "-rq", ".", cwd=world.config)
    git("commit", "--quiet", "-m", "Oops", cwd=world.config)
    git("push", "--quiet", "origin", "HEAD:main", cwd=world.config)
    try:
        world.until(lambda: "EmptyTree" in scenario.conditions(), "it is held")
        assert "git revert" in scenario.conditions()
        world.kill("control-plane")
        world.start_control_plane()
        world.until(lambda: "EmptyTree" in scenario.conditions(), "it is held still")
    finally:
        git("revert", "--no-edit", "HEAD", cwd=world.config)
        git("push", "--quiet", "origin", "HEAD:main", cwd=world.config)
    scenario.synced()
    assert containers(scenario) == before


def test_a_part_is_applied_and_the_rest_waits_in_the_working_tree(scenario, world):
    (other,) = beside(scenario, "B")
    services = "account: {branch: feature/login-error}, payment: {use_ocp: true}"
    files = {scenario.path: body(scenario.name, services), other.path: body(other.name, "")}
    world.commit(files, "Add two")
    scenario.answers("account", "feature/login-error")
    scenario.synced()
    other.synced()
    with tidy(world):
        changed = services.replace("login-error", "limits").replace(
            "use_ocp: true", "url: 'http://x'"
        )
        scenario.write(body(scenario.name, changed))
        other.write(body(other.name, "account: {branch: feature/limits}"))
        done = world.sdp("plan", "--sandbox", scenario.name, "--service", "account")
        assert done.returncode == 2, done.stdout + done.stderr
        assert "payment" not in done.stdout.replace("payment, user  no change", "")
        done = world.sdp("apply", "--sandbox", scenario.name, "--service", "account", "--yes")
        assert done.returncode == 0, done.stdout + done.stderr
        said = f"partial: sandbox {scenario.name.lower()}, service account; left out: "
        assert said in done.stderr
        assert other.path in done.stderr.partition(said)[2].splitlines()[0]
        assert scenario.ask("account") == "feature/limits"
        committed = git("show", "--name-only", "--format=", "HEAD", cwd=world.config).split()
        assert committed == [scenario.path]
        assert "http://x" not in git("show", f"HEAD:{scenario.path}", cwd=world.config)
        left = git("diff", "--name-only", cwd=world.config).split()
        assert sorted(left) == sorted([scenario.path, other.path])
        before = head(world)
        done = world.sdp("apply", "--sandbox", f"{scenario.name}X", "--yes")
        assert done.returncode == 1, done.stdout + done.stderr
        assert f"did you mean '{scenario.name}'?" in done.stderr
        assert head(world) == before
    other.remove()


def test_a_saved_plan_is_stale_by_what_it_touches_and_by_nothing_else(scenario, world):
    (other,) = beside(scenario, "B")
    scenario.push("account", "feature/planned")
    world.commit({scenario.path: body(scenario.name, "")}, "Add one")
    scenario.synced()
    plan = str(world.root / "saved.plan")
    with tidy(world):
        scenario.write(body(scenario.name, "account: {branch: feature/limits}"))
        assert world.sdp("plan", "-o", plan).returncode == 2
        (world.config / other.path).write_text(body(other.name, ""))
        git("add", other.path, cwd=world.config)
        git("commit", "--quiet", "-m", "An unrelated one", cwd=world.config)
        git("push", "--quiet", "origin", "HEAD:main", cwd=world.config)
        other.synced()
        done = world.sdp("apply", plan, "--yes")
        assert done.returncode == 0, done.stdout + done.stderr
        assert scenario.ask("account") == "feature/limits"

        scenario.write(body(scenario.name, "account: {branch: feature/planned}"))
        assert world.sdp("plan", "-o", plan).returncode == 2
        before = head(world)
        tip = scenario.push("account", "feature/planned")
        scenario.sync()
        world.until(
            lambda: tip[:7] in world.sdp("plan", "--sandbox", scenario.name).stdout,
            "it is seen",
            90,
        )
        done = world.sdp("apply", plan, "--yes")
        assert done.returncode == 3, done.stdout + done.stderr
        assert f"sandbox {scenario.name}:" in done.stderr
        assert "  was: " in done.stderr
        assert tip[:7] in done.stderr
        assert head(world) == before
    other.remove()


def report(scenario: Scenario, services: str) -> None:
    text = body(scenario.name, services) + "heal: report\n"
    scenario.world.commit({scenario.path: text}, f"Change {scenario.name}")


def test_reported_drift_stays_until_a_sync_and_commits_apply_all_the_same(scenario, world):
    account = "account: {branch: feature/login-error}"
    report(scenario, account)
    scenario.answers("account", "feature/login-error")
    scenario.synced()
    world.engine.docker("rm", "-f", scenario.container("account").split()[0])
    world.until(lambda: "is gone" in scenario.conditions(), "the drift is told", 30)
    assert f"sdp sync {scenario.name} heals it once" in scenario.conditions()
    assert scenario.status()["sync"] == "Held"
    assert world.sdp("plan", "--sandbox", scenario.name).returncode == 0

    world.kill("control-plane")
    world.start_control_plane()
    world.until(lambda: "is gone" in scenario.conditions(), "it is told still", 30)
    report(scenario, f"{account}, payment: {{branch: feature/refund}}")
    scenario.answers("payment", "feature/refund")
    assert scenario.container("account") == ""

    done = world.sdp("sync", scenario.name, "--wait")
    assert done.returncode == 0, done.stdout + done.stderr
    assert scenario.ask("account") == "feature/login-error"
    container = scenario.container("account").split()[0]
    world.engine.docker("stop", "--time", "1", container)
    world.until(lambda: "is stopped" in scenario.conditions(), "the next drift is told", 30)
    assert scenario.container("account") == f"{container} false"
    assert len(scenario.events("DRIFT")) >= 2
