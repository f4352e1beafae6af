"""Snapshots, rollbacks and history on the command line: in a clone and without one. Real git."""

import json
from pathlib import Path

import pytest

from sdp.api.snapshot_views import NamedSnapshotView, PinChange, RollbackTarget
from sdp.api.views import CommitView, Condition
from tests.fakes.control_plane import (
    NOW,
    PINS,
    REVISION,
    sandbox,
    snapshot,
)
from tests.unit.agent.repositories import git
from tests.unit.config_repo import cloned, head, serve

FILE = f"""\
snapshot: GOOD
sandbox: QA-ONE
taken_at: 2026-03-04T12:00:00Z
revision: {REVISION}
gateway: {{branch: develop, commit: {"a" * 40}}}
services:
  account: {{branch: feature/a, commit: {"b" * 40}}}
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    return cloned(serve(tmp_path))


def subject(clone: Path) -> str:
    return git(clone.parent / "config.git", "log", "-1", "--format=%s", "main")


def test_what_runs_gets_a_name_as_one_commit(run, clone):
    done = run("snapshot", "qa-one", "GOOD", "-C", clone)
    assert done.exit_code == 0, done.output
    assert (clone / "snapshots/good.yaml").read_text() == FILE
    assert subject(clone) == "Take snapshot GOOD of QA-ONE"


def test_what_is_not_in_sync_gets_no_name_but_its_last_state_may(control, run, clone):
    why = Condition(reason="BuildFailed", message="account: go build failed")
    control.plane.known = {"qa-one": sandbox(sync="Failed", conditions=(why,))}
    control.past.kept = [snapshot(7, current=False)]
    done = run("snapshot", "QA-ONE", "GOOD", "-C", clone)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "QA-ONE is Failed" in done.stderr
    assert "account: go build failed" in done.stderr
    assert "#7 since 2026-03-04 12:00 UTC: --last" in done.stderr
    done = run("snapshot", "QA-ONE", "GOOD", "--last", "-C", clone)
    assert done.exit_code == 0, done.output
    assert (clone / "snapshots/good.yaml").read_text() == FILE


def test_a_sandbox_that_never_ran_gets_no_snapshot(control, run, clone):
    control.past.kept = []
    done = run("snapshot", "QA-ONE", "GOOD", "--last", "-C", clone)
    assert done.exit_code == 1
    assert "QA-ONE was never in sync" in done.stderr


def test_snapshots_are_listed_and_removed(control, run, clone):
    named = NamedSnapshotView(
        name="GOOD", path="snapshots/good.yaml", sandbox="QA-ONE",
        taken_at="2026-03-04T12:00:00Z", revision=REVISION, pins=PINS,
    )  # fmt: skip
    control.past.files = [named, named.model_copy(update={"name": "OTHER", "sandbox": "QA-TWO"})]
    said = run("snapshot", "--list", "qa-one").stdout
    assert "GOOD" in said
    assert "OTHER" not in said
    assert [e["name"] for e in json.loads(run("snapshot", "--list", "--json").stdout)] == [
        "GOOD",
        "OTHER",
    ]
    run("snapshot", "QA-ONE", "GOOD", "-C", clone)
    done = run("snapshot", "--delete", "good", "--yes", "-C", clone)
    assert done.exit_code == 0, done.output
    assert subject(clone) == "Delete snapshot good"
    assert not (clone / "snapshots/good.yaml").exists()


def test_a_rollback_is_one_commit_that_says_how_to_follow_branches_again(run, clone):
    before = head(clone)
    shown = run("rollback", "QA-ONE", "--to", "#1", "--dry-run", "-C", clone)
    assert (shown.exit_code, head(clone)) == (0, before), shown.output
    assert f"commit: {'b' * 40}" in shown.stdout
    done = run("rollback", "QA-ONE", "--to", "#1", "--yes", "-C", clone)
    assert done.exit_code == 0, done.output
    assert subject(clone) == "Roll QA-ONE back to #1"
    assert f"follow the branches again: sdp revert {head(clone)[:7]}" in done.stderr
    undone = run("revert", head(clone), "-C", clone)
    assert undone.exit_code == 0, undone.output
    assert git(clone, "diff", before, "HEAD") == ""


def test_without_a_clone_the_control_plane_makes_the_commit(control, run, tmp_path):
    done = run("rollback", "QA-ONE", "--to", "#1", "--yes", "-C", tmp_path)
    assert done.exit_code == 0, done.output
    edit = control.changes.asked[-1].edits[0]
    assert (edit.edit, edit.sandbox, edit.to, edit.pins) == ("rollback", "QA-ONE", "#1", PINS)


def test_history_shows_what_ran_since_when_by_whom_and_what_changed(control, run):
    commit = CommitView(sha=REVISION, author="Sari <s@x>", at=NOW, subject="Try the refund")
    changes = (PinChange(what="account", before="1a2b3c4", after="9f8e7d6"),)
    control.past.kept = [
        snapshot(18, changes=changes, commit=commit, names=("GOOD",)),
        snapshot(17, current=False),
    ]
    lines = run("history", "QA-ONE").stdout.splitlines()
    assert lines[1].split()[:4] == ["*", "#18", "GOOD", "2026-03-04"]
    assert "account 1a2b3c4 → 9f8e7d6" in lines[1]
    assert "Sari: Try the refund" in lines[1]
    assert lines[2].split()[0] == "#17"
    told = json.loads(run("history", "QA-ONE", "-n", "1", "--json").stdout)
    assert [each["number"] for each in told] == [18]


def test_history_of_a_sandbox_that_is_gone_is_shown_while_it_is_kept(control, run):
    control.plane.known = {}
    assert "#1" in run("history", "QA-ONE").stdout


def test_a_note_of_what_a_rollback_means_is_told_first(control, run, clone):
    text = (clone / "sandboxes/one.yaml").read_text().replace("feature/a", "feature/old")
    note = "branches are at their tips"
    control.past.commits["1a2b3c4"] = RollbackTarget(to="1a2b3c4", note=note, text=text)
    done = run("rollback", "QA-ONE", "--to", "1a2b3c4", "-y", "-C", clone)
    assert done.exit_code == 0, done.output
    assert done.stderr.startswith("branches are at their tips\n")
    assert (clone / "sandboxes/one.yaml").read_text() == text
