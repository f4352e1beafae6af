"""Apply in a clone that is behind its remote: refused before there is a commit. Real git."""

from pathlib import Path

import pytest

from tests.fakes.control_plane import change, plan
from tests.unit.agent.repositories import git
from tests.unit.cli.test_part import converging
from tests.unit.config_repo import ENVIRONMENT, SANDBOX, cloned, commit, head, others, serve

pytestmark = pytest.mark.timeout(30)  # each starts git a dozen times
ONE, QA = "sandboxes/one.yaml", "environments/qa.yaml"
PULL = "fix: git pull --rebase --autostash origin main, then look at the plan again: sdp plan"


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    return serve(tmp_path)


@pytest.fixture
def clone(bare: Path) -> Path:
    """A clone whose working tree gives QA-ONE to sari."""
    made = cloned(bare)
    (made / ONE).write_text(SANDBOX.replace("achmad", "sari"))
    return made


def state(clone: Path) -> tuple[str, str]:
    return head(clone), git(clone, "status", "--porcelain")


def test_what_others_did_to_the_same_file_is_shown_and_nothing_changes(control, run, bare, clone):
    control.plane.plan = plan(change())
    theirs = others(bare, ONE, SANDBOX.replace("achmad", "budi"))
    before = state(clone)
    done = run("apply", "-C", clone, "--yes")
    assert (done.exit_code, done.stdout) == (1, "")
    for word in (theirs[:7], "+owner: budi", f"{ONE} changed since {before[0][:7]}", PULL):
        assert word in done.stderr
    assert (state(clone), head(bare)) == (before, theirs)
    assert control.plane.previewed == []


def test_commits_to_other_files_are_to_be_pulled_first(control, run, bare, clone):
    control.plane.plan = plan(change())
    theirs = others(bare, QA, ENVIRONMENT.replace("MODE: qa", "MODE: test"))
    before = state(clone)
    done = run("apply", "-C", clone, "--yes")
    assert done.exit_code == 1
    assert "main of origin has commits that are not here" in done.stderr
    assert PULL in done.stderr
    assert (state(clone), head(bare)) == (before, theirs)


def test_a_clone_with_commits_of_its_own_sees_only_what_others_did(control, run, bare, clone):
    control.plane.plan = plan(change())
    mine = (clone / ONE).read_text()
    commit(clone, {ONE: mine}, push=False)
    (clone / ONE).write_text(mine.replace("sari", "tono"))
    others(bare, QA, ENVIRONMENT.replace("MODE: qa", "MODE: test"))
    before = state(clone)
    done = run("apply", "-C", clone, "--yes")
    assert done.exit_code == 1
    assert "has commits that are not here" in done.stderr
    assert state(clone) == before


def test_what_the_fix_says_lets_apply_go_on(control, run, bare, clone):
    control.plane.plan = plan(change())
    others(bare, QA, ENVIRONMENT.replace("MODE: qa", "MODE: test"))
    assert run("apply", "-C", clone, "--yes").exit_code == 1
    git(clone, "pull", "-q", "--rebase", "--autostash", "origin", "main")
    converging(control, clone, "QA-ONE")
    done = run("apply", "-C", clone, "--yes")
    assert done.exit_code == 0, done.stderr
    assert head(bare) == head(clone)


def test_a_remote_that_is_away_is_told_by_the_push(control, run, bare, clone):
    control.plane.plan = plan(change())
    bare.rename(bare.with_name("away.git"))
    done = run("apply", "-C", clone, "--yes")
    assert done.exit_code == 1
    assert "committed" in done.stderr
    assert "check that" in done.stderr
