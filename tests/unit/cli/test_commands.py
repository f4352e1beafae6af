"""The command line against a control plane in memory: exit codes, and what goes where."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from sdp.api.views import Condition, LogLineView
from sdp.cli.main import app
from tests.fakes.control_plane import (
    FILES,
    NOW,
    change,
    plan,
    sandbox,
    served_in_thread,
)
from tests.unit.agent.repositories import git
from tests.unit.cli.repository import make, sdp

NOBODY = "http://127.0.0.1:9"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return make(tmp_path / "config")


READS = (
    ["status"], ["status", "QA-ONE"], ["explain", "QA-ONE"], ["events"], ["deployments"],
    ["nodes"], ["ports"], ["sync", "QA-ONE"], ["logs", "d-1"], ["cancel", "QA-ONE"],
    ["nodes", "micro-92"], ["history", "QA-ONE"], ["snapshot", "--list"],
)  # fmt: skip


@pytest.mark.parametrize("words", READS)
def test_without_a_control_plane_every_command_says_so_and_how_to_start_it(words):
    done = sdp(words, NOBODY)
    assert done.exit_code == 1
    assert done.stdout == ""
    assert f"no control plane at {NOBODY}" in done.stderr
    assert "sdp serve" in done.stderr


@pytest.mark.parametrize("words", READS)
def test_with_a_control_plane_every_read_succeeds(run, words):
    assert run(*words).exit_code == 0


@pytest.mark.parametrize("words", [["nope"], ["status", "--nope"], ["explain"], ["serve"]])
def test_usage_errors_end_with_64_because_2_means_changes(words):
    done = sdp(words, NOBODY)
    assert done.exit_code == 64
    assert done.stdout == ""


JSON = (
    ["status"], ["nodes"], ["nodes", "micro-92"], ["deployments"], ["explain", "QA-ONE"],
    ["cancel", "QA-ONE"], ["sync", "QA-ONE"], ["ports"], ["doctor"],
    ["template", "list"], ["env", "list"], ["route", "QA-ONE"], ["history", "QA-ONE"],
    ["snapshot", "--list"],
)  # fmt: skip


@pytest.mark.parametrize("words", JSON)
def test_json_is_json_and_alone_on_stdout(run, words):
    json.loads(run(*words, "--json").stdout)


def test_status_shows_the_row_uncoloured_and_uncut(control, run):
    control.plane.known = {"x": sandbox("QA-" + "X" * 37, url="http://" + "h" * 90 + ":8080/")}
    line = run("status").stdout.splitlines()[1]
    assert "\x1b" not in line
    for part in ("QA-" + "X" * 37, "Healthy", "Synced @9f3c1e7", "1 branch · 2 OCP", "h" * 90):
        assert part in line


def test_an_unknown_sandbox_is_an_error_with_a_fix(run):
    done = run("status", "NOPE")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "fix:" in done.stderr


def test_explain_shows_reason_message_fix_and_inert_last_lines(control, run):
    why = Condition(
        service="account", reason="BuildFailed", message="go build failed", failed=True,
        fix="push a commit that mends it", lines=("main.go:7: \x1b[2Jundefined",),
    )  # fmt: skip
    control.plane.known = {"qa-one": sandbox(sync="Failed", conditions=(why,))}
    said = run("explain", "qa-one").stdout
    for part in ("BuildFailed", "go build failed", "push a commit", "main.go:7"):
        assert part in said
    assert "\x1b" not in said


def test_events_end_at_what_is_there_and_follow_one_sandbox(control, run):
    control.journal.append("mine")
    control.journal.append("not mine", sandbox="OTHER")
    done = run("events", "--sandbox", "qa-one")
    assert "mine" in done.stdout
    assert "not mine" not in done.stdout


def test_logs_print_every_line_in_order(control, run):
    control.journal.lines = [
        LogLineView(seq=n, at=NOW, stage="go build", text=f"line {n}") for n in range(1, 4)
    ]
    assert run("logs", "d-1").stdout.splitlines() == [f"go build: line {n}" for n in (1, 2, 3)]


def test_plan_ends_with_0_for_nothing_2_for_changes_1_for_errors(control, run, config):
    assert run("plan", "-C", config).exit_code == 0
    control.plane.plan = plan(change())
    done = run("plan", "-C", config)
    assert (done.exit_code, done.stdout) == (2, "Plan: 1 to add.\n")
    (config / "platform.yaml").unlink()
    assert run("plan", "-C", config / "sandboxes").exit_code == 1


def test_plan_of_a_ref_reads_the_commit_and_not_the_working_tree(control, run, config):
    (config / "sandboxes/qa-one.yaml").write_text("sandbox: EDITED\n")
    run("plan", "-C", config, "--ref", "main")
    assert control.plane.previewed[-1][0] == FILES
    assert run("plan", "-C", config, "--ref", "nope").exit_code == 1


def test_apply_asks_and_without_an_answer_does_nothing(control, run, config):
    control.plane.plan = plan(change())
    done = run("apply", "-C", config)
    assert done.exit_code == 1
    assert "--yes" in done.stderr
    assert git(config, "rev-list", "--count", "HEAD") == "1"


def test_apply_commits_only_specs_and_ends_with_0_when_all_converged(control, run, config):
    (config / "sandboxes/qa-one.yaml").write_text("sandbox: QA-ONE\nowner: sari\n")
    (config / "notes.txt").write_text("mine")
    control.plane.plan = plan(change())

    def applied() -> None:
        control.plane.revision = git(config, "rev-parse", "main")
        known = sandbox(observed_generation=control.plane.revision)
        control.plane.known = {"qa-one": known}

    control.plane.on_read = applied
    done = run("apply", "-C", config, "--yes", "-m", "Give it to sari")
    assert done.exit_code == 0, done.stderr
    assert git(config, "log", "-1", "--format=%s") == "Give it to sari"
    assert git(config, "show", "--name-only", "--format=") == "sandboxes/qa-one.yaml"


def test_apply_tells_a_program_what_it_committed_and_planned(control, run, config):
    control.plane.plan = plan(change())
    (config / "sandboxes/qa-one.yaml").write_text("sandbox: QA-ONE\nowner: sari\n")
    base = git(config, "rev-parse", "main")
    asked = run("apply", "-C", config, "--json")
    assert (asked.exit_code, asked.stdout, git(config, "rev-parse", "main")) == (64, "", base)
    done = run("apply", "-C", config, "--yes", "--json", "--timeout", "1s")
    told = json.loads(done.stdout)
    assert (told["base"], told["commit"]) == (base, git(config, "rev-parse", "main"))
    assert told["paths"] == ["sandboxes/qa-one.yaml"]
    assert told["plan"]["sandboxes"][0]["sandbox"] == "QA-ONE"


def test_apply_does_not_take_the_state_before_the_commit_for_converged(control, run, config):
    (config / "sandboxes/qa-one.yaml").write_text("sandbox: QA-ONE\nowner: sari\n")
    control.plane.plan = plan(change())
    control.plane.revision = git(config, "rev-parse", "main")
    done = run("apply", "-C", config, "--yes", "--timeout", "1s")
    assert done.exit_code == 4
    assert "not healthy in time: QA-ONE" in done.stderr


def test_apply_fails_fast_on_what_only_a_new_spec_can_change(control, run, config):
    control.plane.plan = plan(change(), revision=git(config, "rev-parse", "main"))
    control.plane.revision = git(config, "rev-parse", "main")
    why = Condition(reason="ImageMissing", message="no alpine", fix="bring it", failed=True)
    control.plane.known = {"qa-one": sandbox(sync="Failed", conditions=(why,))}
    done = run("apply", "-C", config, "--yes")
    assert done.exit_code == 4
    assert "bring it" in done.stderr


def test_apply_on_another_branch_than_the_served_one_commits_nothing(control, run, config):
    (config / "sandboxes/qa-one.yaml").write_text("sandbox: QA-ONE\nowner: sari\n")
    control.plane.plan = plan(change())
    git(config, "switch", "-qc", "other")
    done = run("apply", "-C", config, "--yes")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "this clone is on other, and the control plane serves main" in done.stderr
    assert "fix: git switch main; or push it and open a pull request: git push" in done.stderr
    assert git(config, "rev-list", "--count", "HEAD") == "1"


def test_apply_tells_what_waits_once_and_goes_on_waiting(control, run, config):
    revision = control.plane.revision = git(config, "rev-parse", "main")
    control.plane.plan = plan(change(), revision=revision)
    why = Condition(
        service="account", reason="BranchMissing", message="no branch x", fix="push x first"
    )
    looks: list[int] = []

    def read() -> None:
        looks.append(control.journal.append("something else"))
        held = sandbox(sync="Held", conditions=(why,))
        control.plane.known = {"qa-one": held if len(looks) < 6 else sandbox()}

    control.plane.on_read = read
    done = run("apply", "-C", config, "--yes")
    assert done.exit_code == 0, done.stderr
    told = "QA-ONE/account waits: BranchMissing: no branch x\n  fix: push x first\n"
    assert done.stderr.count("BranchMissing") == done.stderr.count(told) == 1


def test_sync_waits_for_the_run_that_served_it(control, run):
    control.plane.known = {"qa-one": sandbox(served="n1")}
    assert run("sync", "qa-one", "--wait").exit_code == 0
    assert control.plane.asked == ["QA-ONE"]
    control.plane.known = {"qa-one": sandbox(served="older")}
    assert run("sync", "qa-one", "--wait", "--timeout", "1s").exit_code == 4


def completed(url: str) -> Result:
    words = {"_SDP_COMPLETE": "complete_bash", "COMP_WORDS": "sdp explain qa", "COMP_CWORD": "2"}
    return CliRunner(env={**words, "SDP_URL": url}).invoke(app, [], prog_name="sdp")


def test_completion_offers_the_servers_names_in_the_case_that_was_typed(control):
    with served_in_thread(control.ports) as url:
        assert completed(url).stdout.strip() == "qa-ONE"


def test_completion_says_nothing_while_the_server_is_away():
    away = completed(NOBODY)
    assert (away.stdout.strip(), away.stderr) == ("", "")


def test_serving_at_what_is_no_address_is_refused(tmp_path):
    words = ["serve", "--config-repo", tmp_path, "--data-dir", tmp_path / "d", "--host", "sdp"]
    done = sdp(words, NOBODY)
    assert done.exit_code == 1
    assert "'sdp' is no address" in done.stderr
    assert not (tmp_path / "d").exists()


EXAMPLES = (
    "plan", "apply", "status", "explain", "events", "sync", "logs", "cancel", "doctor", "nodes",
    "deployments",
)  # fmt: skip


@pytest.mark.parametrize("name", EXAMPLES)
def test_help_has_an_example(name):
    assert f"sdp {name}" in sdp([name, "--help"], NOBODY).stdout
    assert "Example" in sdp([name, "--help"], NOBODY).stdout


def test_the_plan_of_another_platform_is_refused(control, run, config):
    control.plane.plan = plan(instance="acme-2")
    done = run("plan", "-C", config)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "specs of the platform 'acme'" in done.stderr
    assert "serves 'acme-2'" in done.stderr
