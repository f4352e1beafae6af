"""What merging a branch would do, without merging it."""

import json
from pathlib import Path

import pytest

from sdp.api.views import Problem
from tests.fakes.control_plane import (
    PLATFORM,
    SANDBOX,
    FakeControlPlane,
    change,
    plan,
    sandbox,
)
from tests.unit.agent.repositories import git
from tests.unit.cli.repository import commit, make, put

pytestmark = pytest.mark.timeout(30)  # each starts git a dozen times
ONE, TWO, THREE = (f"sandboxes/qa-{name}.yaml" for name in ("one", "two", "three"))


@pytest.fixture
def control() -> FakeControlPlane:
    made = FakeControlPlane()
    made.plane.known = {"qa-one": sandbox(), "qa-two": sandbox("QA-TWO")}
    return made


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A repository with a branch that changes QA-ONE, and main that went on meanwhile."""
    folder = make(tmp_path / "config")
    put(folder, {TWO: SANDBOX.replace("QA-ONE", "QA-TWO")})
    commit(folder, "two")
    git(folder, "checkout", "-qb", "feature/x")
    put(folder, {ONE: SANDBOX.replace("achmad", "sari")})
    commit(folder, "Give it to sari")
    git(folder, "checkout", "-q", "main")
    put(folder, {THREE: SANDBOX.replace("QA-ONE", "QA-THREE")})
    commit(folder, "three")
    git(folder, "checkout", "-q", "feature/x")
    return folder


def asked(control: FakeControlPlane) -> tuple[dict[str, str], list[str]]:
    files, selection, _ = control.plane.previewed[-1]
    return dict(files), sorted(selection.sandboxes)


def test_the_bases_tip_with_the_branchs_changes_is_planned(control, run, config):
    control.plane.plan = plan(change())
    assert run("plan", "-C", config, "--base", "main").exit_code == 2
    files, sandboxes = asked(control)
    assert "sari" in files[ONE]
    assert THREE in files
    assert sandboxes == ["qa-one"]


def test_the_working_tree_is_no_part_of_a_pull_request(control, run, config):
    put(config, {TWO: SANDBOX.replace("QA-ONE", "QA-TWO").replace("achmad", "budi")})
    run("plan", "-C", config, "--base", "main")
    assert "budi" not in asked(control)[0][TWO]


def test_a_template_names_the_sandboxes_that_it_changes(control, run, config):
    put(config, {TWO: "sandbox: QA-TWO\ntemplate: BASE\ngateway: {branch: develop}\n"})
    commit(config, "Use the template")
    git(config, "checkout", "-q", "main")
    git(config, "merge", "-q", "--no-edit", "feature/x")
    git(config, "checkout", "-qb", "feature/y")
    put(config, {"templates/base.yaml": "template: BASE\nowner: budi\n"})
    commit(config, "Give it to budi")
    run("plan", "-C", config, "--base", "main")
    assert asked(control)[1] == ["qa-two"]


def test_a_branch_that_defines_nothing_otherwise_has_nothing_to_do(control, run, config):
    git(config, "checkout", "-q", "main")
    control.plane.plan = plan(change())
    done = run("plan", "-C", config, "--base", "main")
    assert done.exit_code == 0, done.stderr
    assert "HEAD defines no sandbox otherwise than main" in done.stdout
    markdown = run("plan", "-C", config, "--base", "main", "--format", "markdown").stdout
    assert "**Nothing to do**" in markdown


def test_a_removed_sandbox_is_planned_where_it_is_there(control, run, config):
    (config / TWO).unlink()
    commit(config, "Remove two")
    run("plan", "-C", config, "--base", "main")
    assert asked(control)[1] == ["qa-one", "qa-two"]
    del control.plane.known["qa-two"]
    run("plan", "-C", config, "--base", "main")
    assert asked(control)[1] == ["qa-one"]


def test_a_file_that_both_changed_is_named(run, config):
    git(config, "checkout", "-q", "main")
    put(config, {ONE: SANDBOX.replace("achmad", "budi")})
    commit(config, "Give it to budi")
    git(config, "checkout", "-q", "feature/x")
    done = run("plan", "-C", config, "--base", "main", "--format", "markdown")
    assert (done.exit_code, done.stdout) == (1, "")
    assert f"main and HEAD both changed {ONE}" in done.stderr
    assert "git merge main" in done.stderr


def test_the_same_change_on_both_sides_is_no_conflict(run, config):
    git(config, "checkout", "-q", "main")
    put(config, {ONE: SANDBOX.replace("achmad", "sari")})
    commit(config, "The same")
    git(config, "checkout", "-q", "feature/x")
    assert run("plan", "-C", config, "--base", "main").exit_code == 0


@pytest.mark.parametrize(
    ("words", "said", "fix"),
    [
        (["--base", "nowhere"], "there is no commit 'nowhere' here", "git fetch origin nowhere"),
        (["--base", "main", "--ref", "gone"], "there is no commit 'gone' here", "git fetch"),
        (["--base", "orphan"], "have no commit in common", "clone: {depth: full}"),
        (["--base", "main", "--sandbox", "qa-on"], "did you mean 'QA-ONE'?", "sdp status"),
    ],
)
def test_what_cannot_be_compared_is_an_error_with_a_fix(run, config, words, said, fix):
    git(config, "checkout", "-q", "--orphan", "orphan")
    git(config, "commit", "-qm", "Another root")
    git(config, "checkout", "-q", "feature/x")
    done = run("plan", "-C", config, *words)
    assert (done.exit_code, done.stdout) == (1, "")
    assert said in done.stderr
    assert fix in done.stderr


def test_outside_of_a_repository_it_says_so(run, tmp_path):
    done = run("plan", "-C", tmp_path, "--base", "main")
    assert done.exit_code == 1
    assert "is no git repository" in done.stderr


def test_a_base_that_is_only_at_origin_is_found(control, run, config, tmp_path):
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", "--branch", "feature/x", str(config), str(clone))
    git(clone, "remote", "set-head", "origin", "--delete")
    run("plan", "-C", clone, "--base", "main")
    assert asked(control)[1] == ["qa-one"]


def problem(path: str, message: str = "wrong") -> Problem:
    return Problem(path=path, line=2, column=1, message=message, severity="error")


def test_errors_that_merging_would_bring_end_with_1_and_come_first(control, run, config):
    control.plane.plan = plan(change(), problems=(problem(THREE), problem(ONE)))
    done = run("plan", "-C", config, "--base", "main", "--format", "markdown")
    assert done.exit_code == 1
    assert done.stdout.index(f"{ONE}:2:1") < done.stdout.index(f"{THREE}:2:1")
    assert "the specs have 2 errors" in done.stderr


def test_errors_that_the_base_has_already_do_not_count(control, run, config):
    git(config, "checkout", "-q", "main")
    put(config, {TWO: "sandbox: QA-TWO\nzzz: 1\ngateway: {branch: develop}\n"})
    commit(config, "Break two")
    said = json.loads(run("validate", config, "--json").stdout)[0]["message"]
    git(config, "checkout", "-q", "feature/x")
    control.plane.plan = plan(change(), problems=(problem(TWO, said),))
    done = run("plan", "-C", config, "--base", "main", "--format", "markdown")
    assert done.exit_code == 2, done.stderr
    assert "**Problems that were there before (1)**" in done.stdout


@pytest.mark.parametrize("words", [["--json"], ["--format", "json"]])
def test_json_is_the_plan_and_alone(control, run, config, words):
    control.plane.plan = plan(change())
    done = run("plan", "-C", config, "--base", "main", *words)
    assert json.loads(done.stdout)["changes"] is True


def test_a_working_trees_plan_can_be_markdown_too(control, run, config):
    control.plane.plan = plan(change())
    done = run("plan", "-C", config, "--format", "markdown")
    assert done.exit_code == 2
    assert done.stdout.startswith("### SDP: the working tree\n")


def test_an_unknown_format_is_a_usage_error(run, config):
    assert run("plan", "-C", config, "--format", "html").exit_code == 64


def test_no_value_of_a_variable_is_shown(control, run, config):
    put(config, {"environments/qa.yaml": "environment: qa\nvariables: {TOKEN: canary}\n"})
    commit(config, "Another variable")
    control.plane.plan = plan(change())
    for form in ("text", "markdown", "json"):
        done = run("plan", "-C", config, "--base", "main", "--format", form)
        assert done.exit_code == 2
        assert "canary" not in done.output
    assert PLATFORM in asked(control)[0].values()
