"""Writing commands: in a clone and without one; shown, refused, undone. Real git."""

import datetime
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from sdp import clock
from sdp.api.problems import ProblemError
from sdp.api.views import CommitView, ConflictView
from sdp.cli import keyring
from sdp.cli.keyring import Kept
from sdp.cli.main import app
from tests.fakes.control_plane import NOW, FakeControlPlane, sandbox, served_in_thread
from tests.unit.agent.repositories import git
from tests.unit.config_repo import FILES, cloned, commit, head, others, serve

NOBODY = "http://127.0.0.1:9"
DAY = datetime.timedelta(days=1)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    return cloned(serve(tmp_path))


def sdp(*words: object, url: str = NOBODY, text: str | None = None) -> Result:
    return CliRunner(env={"SDP_URL": url}).invoke(app, [str(word) for word in words], input=text)


def served(clone: Path) -> str:
    return head(clone.parent / "config.git")


def message(clone: Path) -> str:
    return git(clone.parent / "config.git", "log", "-1", "--format=%an%n%B", "main")


WRITES = (
    (["new", "QA-TWO", "-t", "BASE", "--set", "services.account.branch=x"], "Create sandbox QA-TWO from template BASE"),
    (["set", "qa-one", "owner=sari", "--unset", "gateway.port"], "Set owner of qa-one to sari, and 1 more"),
    (["clone", "QA-ONE", "QA-TWO", "--set", "owner=sari"], "Clone sandbox QA-ONE as QA-TWO"),
    (["delete", "QA-ONE", "--yes"], "Delete sandbox QA-ONE"),
    (["route", "QA-ONE", "account", "--to", "ocp"], "Route account of QA-ONE to ocp"),
    (["suspend", "QA-ONE"], "Suspend QA-ONE"),
    (["stop", "QA-ONE/account"], "Stop account of QA-ONE"),
    (["protect", "QA-ONE"], "Protect QA-ONE"),
    (["template", "new", "NEXT", "--from", "BASE"], "Clone template BASE as NEXT"),
    (["template", "set", "BASE", "owner=budi"], "Set owner of BASE to budi"),
    (["template", "delete", "BASE", "--yes"], "Delete template BASE"),
)  # fmt: skip


@pytest.mark.parametrize(("words", "subject"), WRITES)
def test_a_writing_command_is_one_pushed_commit_that_says_what_and_why(clone, words, subject):
    before = served(clone)
    done = sdp(*words, "-C", clone, "-m", "Because QA asked.")
    assert done.exit_code == 0, done.stderr
    assert served(clone) == git(clone, "rev-parse", "HEAD") != before
    assert message(clone).startswith(f"Sari\n{subject}\n\nBecause QA asked.")
    assert git(clone, "status", "--porcelain") == ""
    assert f"committed {served(clone)[:7]} to main, pushed to origin: {subject}" in done.stderr
    assert f"undo it: sdp revert {served(clone)[:7]}" in done.stderr


@pytest.mark.parametrize(("words", "subject"), WRITES)
def test_a_dry_run_shows_the_diff_and_changes_nothing(clone, words, subject):
    before = served(clone)
    done = sdp(*words, "-C", clone, "--dry-run", "--json")
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["subject"], told["commit"], told["plan"]) == (subject, "", None)
    assert told["diff"].startswith("--- ")
    assert "no plan: no control plane" in done.stderr
    assert (served(clone), git(clone, "status", "--porcelain")) == (before, "")


def test_a_dry_run_sends_no_environment_that_may_hold_a_secret(clone):
    plain = "environment: qa\nsecrets: {DB_PASSWORD: canary}\n"
    commit(clone, {"environments/qa.yaml": plain})
    control = FakeControlPlane()
    with served_in_thread(control.ports) as url:
        done = sdp("set", "QA-ONE", "owner=sari", "-C", clone, "--dry-run", url=url)
    assert done.exit_code == 1
    assert "may hold secrets" in done.stderr
    assert "canary" not in done.output
    assert control.plane.previewed == []


def test_a_dry_run_shows_the_plan_where_a_control_plane_answers(clone):
    control = FakeControlPlane()
    with served_in_thread(control.ports) as url:
        done = sdp("set", "QA-ONE", "owner=sari", "-C", clone, "--dry-run", url=url)
    assert "+owner: sari     # asks for it" in done.stdout
    assert control.plane.plan.text.strip() in done.stdout
    ((files, *_),) = control.plane.previewed
    assert "owner: sari" in files["sandboxes/one.yaml"]


@pytest.mark.parametrize(
    ("words", "why", "code"),
    [
        (["new", "QA-ONE"], "QA-ONE is there already", 1),
        (["new", "QA TWO"], "letters, digits and inner dashes", 1),
        (["new", "QA-TWO", "-t", "NONE"], "unknown template 'NONE'", 1),
        (["new", "QA-TWO", "--set", "owner"], "expected KEY=VALUE", 64),
        (["new", "QA-TWO", "--set", "a..b=1"], "expected names with dots", 64),
        (["set", "QA-ONE"], "expected KEY=VALUE, or --unset KEY", 64),
        (["set", "QA-ONE", "ownr=x"], "did you mean 'owner'", 1),
        (["set", "NOBODY", "owner=x"], "unknown sandbox 'NOBODY'", 1),
        (["set", "QA-ONE", "--unset", "template"], "does not say template itself", 1),
        (["clone", "NOBODY", "QA-TWO"], "unknown sandbox 'NOBODY'", 1),
        (["clone", "QA-ONE", "QA-ONE"], "QA-ONE is there already", 1),
        (["delete", "NOBODY", "-y"], "unknown sandbox 'NOBODY'", 1),
        (["delete", "QA-ONE"], "nobody is there to answer", 1),
        (["route", "QA-ONE", "nobody", "--to", "ocp"], "unknown service 'nobody'", 1),
        (["route", "QA-ONE", "account", "--to", "ftp://x"], "expected an address", 1),
        (["route", "QA-ONE", "--to", "ocp"], "--to is about one service", 1),
        (["route", "QA-ONE", "account", "--branch", "x"], "without --to sandbox", 1),
        (["route", "QA-ONE", "account", "--to", "ocp", "--branch", "x"], "--branch says nothing", 1),
        (["revert", "1234567"], "there is no commit '1234567'", 1),
        (["template", "new", "BASE"], "BASE is there already", 1),
        (["template", "set", "NONE", "owner=x"], "unknown template 'NONE'", 1),
        (["template", "delete", "NONE", "-y"], "unknown template 'NONE'", 1),
    ],
)  # fmt: skip
def test_bad_input_is_told_and_changes_nothing(clone, words, why, code):
    before = served(clone)
    done = sdp(*words, "-C", clone)
    assert (done.exit_code, done.stdout) == (code, "")
    assert why in " ".join(done.stderr.replace("│", " ").split())
    assert (served(clone), git(clone, "rev-parse", "HEAD")) == (before, before)
    assert git(clone, "status", "--porcelain") == ""


def test_a_template_that_is_used_is_not_deleted(clone):
    sdp("new", "QA-TWO", "-t", "BASE", "-C", clone)
    before = served(clone)
    done = sdp("template", "delete", "BASE", "--yes", "-C", clone)
    assert done.exit_code == 1
    assert "sandboxes/qa-two.yaml:2:11: unknown template 'BASE'" in done.stderr
    assert served(clone) == before


def test_a_commit_is_undone_by_another_one(clone):
    sdp("set", "QA-ONE", "owner=sari", "-C", clone)
    done = sdp("revert", served(clone)[:9], "-C", clone)
    assert done.exit_code == 0, done.stderr
    assert (clone / "sandboxes/one.yaml").read_text() == FILES["sandboxes/one.yaml"]
    assert message(clone).startswith('Sari\nRevert "Set owner of QA-ONE to sari"')


def test_a_conflict_shows_who_did_what_meanwhile(clone):
    path = clone / "sandboxes/one.yaml"
    path.write_text(path.read_text().replace("achmad", "dewi"))
    before = served(clone)
    done = sdp("set", "QA-ONE", "owner=sari", "-C", clone)
    assert done.exit_code == 1
    assert "sandboxes/one.yaml has changes that are not committed" in done.stderr
    assert (served(clone), "dewi" in path.read_text()) == (before, True)


def test_what_a_colleague_pushed_to_the_same_file_is_shown_and_not_overwritten(clone):
    theirs = others(
        clone.parent / "config.git", "sandboxes/one.yaml", "sandbox: QA-ONE\nowner: eve\n"
    )
    before = head(clone)
    done = sdp("set", "QA-ONE", "owner=sari", "-C", clone)
    assert (done.exit_code, served(clone), head(clone)) == (1, theirs, before)
    for word in ("+owner: eve", "Change sandboxes/one.yaml", "changed since", "git pull"):
        assert word in done.stderr


def test_a_clone_that_is_on_no_branch_is_not_committed_in(clone):
    before = git(clone, "rev-parse", "HEAD")
    git(clone, "checkout", "-q", "--detach")
    done = sdp("set", "QA-ONE", "owner=sari", "-C", clone)
    assert (done.exit_code, git(clone, "rev-parse", "HEAD")) == (1, before)
    assert "is on no branch" in done.stderr
    assert "git switch main" in done.stderr


def test_what_is_said_already_is_told_so(clone):
    before = served(clone)
    done = sdp("set", "QA-ONE", "owner=achmad", "-C", clone)
    assert (done.exit_code, served(clone)) == (0, before)
    assert "nothing to change" in done.stderr


def test_on_another_branch_nothing_is_waited_for_and_a_pull_request_can_be_prepared(clone):
    git(clone, "switch", "-qc", "other")
    git(clone, "push", "-q", "-u", "origin", "other")
    before = git(clone, "rev-parse", "HEAD")
    words = ("set", "QA-ONE", "owner=sari", "-C", clone)
    with served_in_thread(FakeControlPlane().ports) as url:
        refused = sdp(*words, "--wait", url=url)
        assert git(clone, "rev-parse", "HEAD") == before
        done = sdp(*words, url=url)
    assert refused.exit_code == 1
    assert "this clone is on other, and the control plane serves main" in refused.stderr
    assert "fix: git switch main; or leave --wait out, and open a pull request" in refused.stderr
    assert done.exit_code == 0, done.stderr
    assert "to other, pushed to origin: Set owner of QA-ONE to sari" in done.stderr
    assert "applied" not in done.stderr
    assert (served(clone), git(clone, "rev-parse", "origin/other~")) == (before, before)


def test_without_a_clone_the_control_plane_commits(tmp_path):
    control = FakeControlPlane()
    with served_in_thread(control.ports) as url:
        done = sdp("set", "QA-ONE", "owner=sari", "-C", tmp_path, "-m", "Why.", url=url)
    assert done.exit_code == 0, done.stderr
    shown, made = control.changes.asked
    assert (shown.dry_run, made.dry_run) == (True, False)
    assert (made.message, made.edits[0].edit) == ("Why.", "set")
    assert "committed 9f3c1e7 to the config repo: Set owner of QA-ONE to sari" in done.stderr


def test_a_repository_of_something_else_is_no_clone(tmp_path):
    git(tmp_path, "init", "-q")
    (tmp_path / "templates").mkdir()
    control = FakeControlPlane()
    with served_in_thread(control.ports) as url:
        done = sdp("set", "QA-ONE", "owner=sari", "-C", tmp_path, url=url)
    assert done.exit_code == 0, done.stderr
    assert len(control.changes.asked) == 2


def test_without_a_clone_a_conflict_is_shown_too(tmp_path):
    control = FakeControlPlane()
    said = CommitView(sha="7" * 40, author="Budi <b@c>", at=NOW, subject="Take it over")
    found = ConflictView(
        base="1" * 40, tip="7" * 40, paths=("a.yaml",), commits=(said,), diff="+owner: budi\n"
    )
    control.changes.answer = ProblemError(
        409, "conflict", "C", "a.yaml changed", "f", conflict=found
    )
    with served_in_thread(control.ports) as url:
        done = sdp("set", "QA-ONE", "owner=sari", "-C", tmp_path, url=url)
    assert done.exit_code == 1
    for word in ("7777777 Budi", "Take it over", "+owner: budi", "a.yaml changed"):
        assert word in done.stderr


def test_without_a_clone_and_a_control_plane_nothing_can_be_written(tmp_path):
    done = sdp("set", "QA-ONE", "owner=sari", "-C", tmp_path)
    assert done.exit_code == 1
    assert f"no control plane at {NOBODY}" in done.stderr


def test_routes_are_shown_without_to():
    control = FakeControlPlane()
    control.plane.known = {"qa-one": sandbox()}
    with served_in_thread(control.ports) as url:
        done = sdp("route", "QA-ONE", url=url)
        unknown = sdp("route", "QA-ONE", "nobody", url=url)
    head = ["ROUTE", "STATE", "WANTED", "ACTUAL", "READ", "BACK", "PROBLEM"]
    assert (done.exit_code, done.stdout.split()) == (0, head)
    assert "has no route of 'nobody'" in unknown.stderr


def logged_in(monkeypatch: pytest.MonkeyPatch, folder: Path, user: str) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    keyring.keep(NOBODY, Kept(user=user, token="t", expires_at=clock.now() + DAY))


@pytest.mark.parametrize("words", [["new", "QA-TWO"], ["clone", "QA-ONE", "QA-TWO"]])
def test_a_new_sandbox_is_of_who_is_logged_in_unless_it_is_said_whose(
    clone, tmp_path, monkeypatch, words
):
    logged_in(monkeypatch, tmp_path / "state", "budi")
    assert "+owner: budi" in sdp(*words, "-C", clone, "--dry-run").stdout
    said = sdp(*words, "-C", clone, "--dry-run", "--set", "owner=dewi").stdout
    assert "+owner: dewi" in said
    assert "budi" not in said


@pytest.mark.parametrize(("user", "told"), [("budi", True), ("sari", False)])
def test_whose_rights_count_is_told_where_git_commits_as_somebody_else(
    clone, tmp_path, monkeypatch, user, told
):
    logged_in(monkeypatch, tmp_path / "state", user)
    done = sdp("set", "QA-ONE", "heal=report", "-C", clone)
    assert done.exit_code == 0, done.stderr
    assert ("whose rights count" in done.stderr) is told


def test_without_a_clone_a_commit_is_named_by_its_digits(tmp_path):
    done = sdp("revert", "HEAD", "-C", tmp_path)
    assert done.exit_code == 64
    assert "7 digits at least" in done.stderr
