"""Applying a part of a working tree, a saved plan, and the deletion of many sandboxes."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from sdp.api.views import ActionView, Condition, PlanView, SandboxPlan
from tests.fakes.control_plane import (
    SANDBOX,
    FakeControlPlane,
    change,
    plan,
    sandbox,
    served_in_thread,
)
from tests.unit.agent.repositories import git
from tests.unit.cli.repository import commit, make, put, sdp

Run = Callable[..., Result]
pytestmark = pytest.mark.timeout(30)  # each starts git a dozen times
ONE, TWO = "sandboxes/qa-one.yaml", "sandboxes/qa-two.yaml"
QA_TWO = SANDBOX.replace("QA-ONE", "QA-TWO")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A repository whose working tree changes two sandboxes and a template."""
    folder = make(tmp_path / "config")
    put(folder, {TWO: QA_TWO})
    commit(folder, "two")
    put(folder, {ONE: SANDBOX.replace("achmad", "sari"), TWO: QA_TWO.replace("achmad", "sari")})
    put(folder, {"templates/base.yaml": "template: BASE\nowner: budi\n"})
    return folder


def converging(control: FakeControlPlane, config: Path, *names: str) -> None:
    """Let the control plane be in sync with whatever the branch's tip is."""

    def applied() -> None:
        control.plane.revision = git(config, "rev-parse", "main")
        known = {n.lower(): sandbox(n, observed_generation=control.plane.revision) for n in names}
        control.plane.known = known

    control.plane.on_read = applied


def committed(config: Path) -> list[str]:
    return git(config, "show", "--name-only", "--format=").splitlines()


def commits(config: Path) -> int:
    return int(git(config, "rev-list", "--count", "HEAD"))


def test_a_part_is_committed_and_the_rest_stays_in_the_working_tree(control, run, config):
    control.plane.plan = plan(change())
    converging(control, config, "QA-ONE")
    done = run("apply", "-C", config, "--sandbox", "qa-one", "--yes")
    assert done.exit_code == 0, done.stderr
    assert committed(config) == [ONE]
    assert git(config, "status", "--short") == f" M {TWO}\n M templates/base.yaml"
    assert f"partial: sandbox qa-one; left out: {TWO}, templates/base.yaml" in done.stderr


def test_only_the_part_is_planned(control, run, config):
    assert run("plan", "-C", config, "--exclude", "QA-TWO").exit_code == 0
    ((files, selection, _),) = control.plane.previewed
    assert "sari" in files[ONE]
    assert "achmad" in files[TWO]
    assert "budi" not in files["templates/base.yaml"]
    assert selection.takes("qa-one")
    assert not selection.takes("qa-two")


def test_a_services_part_of_a_file_is_committed(control, run, config):
    put(config, {ONE: SANDBOX.replace("achmad", "sari") + "services: {account: {branch: x}}\n"})
    control.plane.plan = plan(change())
    converging(control, config, "QA-ONE")
    words = ("--sandbox", "QA-ONE", "--service", "account", "--yes")
    assert run("apply", "-C", config, *words).exit_code == 0
    said = git(config, "show", f"HEAD:{ONE}")
    assert "branch: x" in said
    assert "owner: achmad" in said
    assert "owner: sari" in (config / ONE).read_text()


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["--sandbox", "qa-on"], "did you mean 'QA-ONE'?"),
        (["--sandbox", "QA-ONE", "--service", "acount"], "did you mean 'account'?"),
        (["--exclude", "qa-tow"], "did you mean 'QA-TWO'?"),
        (["--exclude", "qa-two/acount"], "did you mean 'account'?"),
    ],
)
@pytest.mark.parametrize("command", ["plan", "apply"])
def test_an_unknown_name_is_refused_with_what_was_perhaps_meant(
    run, config, command, words, meant
):
    done = run(command, "-C", config, *words)
    assert done.exit_code == 1
    assert meant in done.stderr
    assert commits(config) == 2


def test_a_part_that_cannot_be_told_apart_is_refused(run, config):
    (config / ONE).unlink()
    done = run("apply", "-C", config, "--sandbox", "qa-one", "--service", "account", "--yes")
    assert done.exit_code == 1
    assert "fix: take all of it: --sandbox QA-ONE" in done.stderr
    assert commits(config) == 2


# Saved plans.


def step(line: str, identity: str, name: str = "QA-ONE") -> SandboxPlan:
    action = ActionView(
        key="k", kind="build", node="micro-92", service="account", cause="new", after=()
    )
    return SandboxPlan(sandbox=name, identity=identity, lines=(line,), actions=(action,))


FIRST = step("      + container  sandbox-qa-one-account :9001", "first")


@pytest.fixture
def saved(control: FakeControlPlane, run: Run, config: Path, tmp_path: Path) -> Path:
    """A saved plan of QA-ONE alone."""
    control.plane.plan = plan(FIRST)
    path = tmp_path / "saved.plan"
    done = run("plan", "-C", config, "--sandbox", "qa-one", "-o", path)
    assert done.exit_code == 2, done.stderr
    return path


def test_a_saved_plan_is_applied_as_it_was_seen(control, run, config, saved):
    converging(control, config, "QA-ONE")
    done = run("apply", saved, "--yes")
    assert done.exit_code == 0, done.stderr
    assert committed(config) == [ONE]


def test_what_happens_elsewhere_does_not_make_it_stale(control, run, config, saved):
    put(config, {"sandboxes/qa-three.yaml": SANDBOX.replace("QA-ONE", "QA-THREE")})
    git(config, "add", "sandboxes/qa-three.yaml")
    git(config, "commit", "-qm", "An unrelated one")
    put(config, {TWO: QA_TWO.replace("achmad", "budi")})
    control.plane.plan = plan(FIRST, step("      ~ route", "other", "QA-TWO"), revision="b" * 40)
    converging(control, config, "QA-ONE")
    done = run("apply", saved, "--yes")
    assert done.exit_code == 0, done.stderr
    assert committed(config) == [ONE]


def stale(run: Run, config: Path, saved: Path, *words: str) -> None:
    before = commits(config)
    done = run("apply", saved, "--yes")
    assert done.exit_code == 3, done.stderr
    for word in words:
        assert word in done.stderr
    assert commits(config) == before
    assert "sdp plan" in done.stderr


def test_another_step_makes_it_stale_and_is_shown_old_and_new(control, run, config, saved):
    control.plane.plan = plan(step("      + container  sandbox-qa-one-account :9002", "second"))
    stale(run, config, saved, "sandbox QA-ONE:", "was: + container", ":9001", "now: ", ":9002")


def test_the_same_words_about_another_version_make_it_stale(control, run, config, saved):
    control.plane.plan = plan(step(FIRST.lines[0], "second"))
    stale(run, config, saved, "sandbox QA-ONE:", "versions or ports changed: first → second")


def test_an_edit_of_its_file_makes_it_stale(run, config, saved):
    put(config, {ONE: SANDBOX.replace("achmad", "budi")})
    stale(
        run, config, saved, f"{ONE}: it was edited in the working tree", "its definition changed"
    )


def test_a_removal_of_its_file_makes_it_stale(run, config, saved):
    (config / ONE).unlink()
    stale(run, config, saved, f"{ONE}: it was removed in the working tree")


def test_a_commit_to_its_file_makes_it_stale(run, config, saved):
    mine = (config / ONE).read_text()
    put(config, {ONE: SANDBOX + "# theirs\n"})
    git(config, "add", ONE)
    git(config, "commit", "-qm", "Theirs")
    put(config, {ONE: mine})
    stale(run, config, saved, f"{ONE}: it was committed to")


def test_a_sandbox_that_would_change_too_makes_it_stale(control, run, config, tmp_path):
    path = tmp_path / "all.plan"
    control.plane.plan = plan(FIRST)
    put(config, {"templates/base.yaml": "template: BASE\nowner: budi\n"})
    assert run("plan", "-C", config, "-o", path).exit_code == 2
    three = "sandbox: QA-THREE\ntemplate: BASE\ngateway: {branch: develop}\n"
    put(config, {"sandboxes/qa-three.yaml": three})
    git(config, "add", "sandboxes/qa-three.yaml")
    git(config, "commit", "-qm", "One more that uses the template")
    stale(run, config, path, "sandbox QA-THREE: the plan was not about it")


def test_a_plan_of_another_control_plane_is_refused(saved, config):
    other = FakeControlPlane()
    with served_in_thread(other.ports) as url:
        done = sdp(("apply", saved, "--yes"), url)
    assert done.exit_code == 1
    assert "was saved against the control plane at" in done.stderr
    assert commits(config) == 2


def test_a_plan_of_another_platform_is_refused(control, run, config, saved):
    control.plane.plan = plan(FIRST, instance="staging")
    done = run("apply", saved, "--yes")
    assert done.exit_code == 1
    assert "these are the specs of the platform 'acme'" in done.stderr
    assert "serves 'staging'" in done.stderr
    assert commits(config) == 2


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"directory": ".", "sandbox": null, "plan": {}}', "it has format 1, and this"),
        ('{"format": 99}', "it has format 99, and this"),
        ('{"format": 2}', "is no saved plan of this sdp"),
        ("[]", "is no saved plan of this sdp"),
        ("\0", "is no saved plan of this sdp"),
    ],
)
def test_what_is_no_saved_plan_of_this_version_is_refused(run, tmp_path, content, words):
    path = tmp_path / "odd.plan"
    path.write_text(content)
    done = run("apply", path, "--yes")
    assert done.exit_code == 1
    assert words in done.stderr
    assert "sdp plan -o" in done.stderr


def test_a_saved_plan_holds_no_contents(config, run, tmp_path, control):
    control.plane.plan = plan(FIRST)
    put(config, {"environments/qa.yaml": "environment: qa\nvariables: {TOKEN: canary}\n"})
    path = tmp_path / "all.plan"
    assert run("plan", "-C", config, "-o", path).exit_code == 2
    assert "canary" not in path.read_text()
    assert json.loads(path.read_text())["files"].keys() >= {"environments/qa.yaml", ONE}


def test_a_saved_plan_says_itself_what_it_is_about(run, saved):
    assert run("apply", saved, "--sandbox", "QA-ONE").exit_code == 64
    assert run("apply", saved, "--allow-deletes", "2").exit_code == 64


def test_only_a_working_trees_plan_is_saved(run, config, tmp_path):
    assert run("plan", "-C", config, "--ref", "main", "-o", tmp_path / "x").exit_code == 64
    assert not (tmp_path / "x").exists()


# Many deletions.


def deletions(number: int, reason: str = "MassDeletion") -> PlanView:
    held = Condition(reason=reason, message="too many", fix="sdp apply --allow-deletes")
    return plan(
        *(SandboxPlan(sandbox=f"QA-{n}", leaving=True, holds=(held,)) for n in range(number))
    )


def test_too_few_allowed_deletions_commit_nothing_and_say_how_many(control, run, config):
    control.plane.plan = deletions(4)
    done = run("apply", "-C", config, "--allow-deletes", "3", "--yes")
    assert done.exit_code == 1
    assert "4 sandboxes would go, and --allow-deletes 3 lets 3 go" in done.stderr
    assert "sdp apply --allow-deletes 4" in done.stderr
    assert commits(config) == 2


def test_the_commit_says_how_many_may_go(control, run, config):
    control.plane.plan = plan(change())
    converging(control, config, "QA-ONE", "QA-TWO")
    done = run("apply", "-C", config, "--allow-deletes", "3", "--yes", "-m", "Clean up")
    assert done.exit_code == 0, done.stderr
    assert git(config, "log", "-1", "--format=%B") == "Clean up\n\nSDP-Allow-Deletes: 3"
    assert control.plane.previewed[0][2] == 3


def test_a_word_alone_is_a_commit_of_the_same_files(control, run, config):
    git(config, "stash", "-q")
    control.plane.answers = lambda deletes: deletions(4) if deletes < 4 else plan()
    converging(control, config)
    done = run("apply", "-C", config, "--allow-deletes", "4", "--yes")
    assert done.exit_code == 0, done.stderr
    assert git(config, "log", "-1", "--format=%B") == (
        "Let 4 sandboxes go\n\nSDP-Allow-Deletes: 4"
    )
    assert committed(config) == []


def test_a_word_that_nobody_waits_for_is_not_committed(control, run, config):
    git(config, "stash", "-q")
    control.plane.revision = git(config, "rev-parse", "main")
    control.plane.plan = plan(revision=control.plane.revision)
    done = run("apply", "-C", config, "--allow-deletes", "4", "--yes")
    assert done.exit_code == 0, done.stderr
    assert "no deletion waits" in done.stderr
    assert commits(config) == 2


def test_an_emptied_folder_needs_a_word(control, run, config):
    git(config, "rm", "-rqf", ".")
    git(config, "commit", "-qm", "Empty it")
    assert run("apply", "-C", config, "--yes").exit_code == 1
    control.plane.answers = lambda deletes: deletions(2 - deletes, "EmptyTree")
    converging(control, config)
    done = run("apply", "-C", config, "--allow-deletes", "2", "--yes")
    assert done.exit_code == 0, done.stderr
    assert "SDP-Allow-Deletes: 2" in git(config, "log", "-1", "--format=%B")


@pytest.mark.parametrize("reason", ["Protected", "MassDeletion", "EmptyTree", "NotInHistory"])
def test_a_removal_that_is_held_ends_the_wait_with_why(control, run, config, reason):
    git(config, "stash", "-q")
    (config / TWO).unlink()
    why = Condition(reason=reason, message="QA-TWO was protected", fix="bring the file back")
    control.plane.plan = plan(SandboxPlan(sandbox="QA-TWO", leaving=True, holds=(why,)))

    def committed() -> None:
        control.plane.revision = git(config, "rev-parse", "main")
        held = {"sync": "Held", "health": "Progressing", "conditions": (why,), "path": ""}
        generation = control.plane.revision
        stays = sandbox("QA-TWO", observed_generation=generation, **held)
        control.plane.known = {"qa-two": stays}

    control.plane.on_read = committed
    done = run("apply", "-C", config, "--yes")
    assert done.exit_code == 4
    told = f"QA-TWO is not removed: {reason}: QA-TWO was protected\n  fix: bring the file back\n"
    assert told in done.stderr
    assert "is applied" not in done.stderr


@pytest.mark.parametrize("number", ["-1", "many", "1000000"])
def test_a_number_that_is_none_is_a_usage_error(run, config, number):
    assert run("apply", "-C", config, "--allow-deletes", number).exit_code == 64
