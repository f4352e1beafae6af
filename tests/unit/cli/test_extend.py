"""sdp extend: one commit, counted from when the control plane says that a sandbox would expire."""

import datetime
import json
from pathlib import Path

import pytest

from sdp import clock
from sdp.api.views import LifecycleView
from tests.fakes.control_plane import FakeControlPlane, sandbox, served_in_thread
from tests.unit.cli.test_write import message, sdp, served
from tests.unit.config_repo import SANDBOX, cloned, commit, serve

ENDS = datetime.datetime(2099, 12, 1, 9, 30, tzinfo=datetime.UTC)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    made = cloned(serve(tmp_path))
    commit(made, {"sandboxes/one.yaml": f"{SANDBOX}lifecycle: {{expire_after: 14d}}\n"})
    return made


def ending(control: FakeControlPlane, at: datetime.datetime | None) -> FakeControlPlane:
    control.plane.known["qa-one"] = sandbox(lifecycle=LifecycleView(expires_at=at))
    return control


def test_it_is_counted_from_when_it_would_expire_and_says_until_when(clone, control):
    with served_in_thread(ending(control, ENDS).ports) as url:
        done = sdp("extend", "QA-ONE", "--by", "7d", "-C", clone, "-m", "In review", url=url)
    assert done.exit_code == 0, done.stderr
    assert "Keep QA-ONE until 2099-12-08T09:30Z" in done.stderr
    assert message(clone).startswith("Sari\nKeep QA-ONE until 2099-12-08T09:30Z\n\nIn review")


def test_one_that_has_expired_is_counted_from_now(clone, control):
    before = clock.now()
    past = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    with served_in_thread(ending(control, past).ports) as url:
        done = sdp("extend", "QA-ONE", "-C", clone, "--dry-run", "--json", url=url)
    assert done.exit_code == 0, done.stderr
    said = json.loads(done.stdout)["subject"].rpartition(" ")[2]
    assert datetime.datetime.fromisoformat(said) >= before + datetime.timedelta(days=14)


def test_where_nobody_can_be_asked_it_says_that_it_counts_from_now(clone):
    before = served(clone)
    done = sdp("extend", "QA-ONE", "--until", "2099-12-24", "-C", clone)
    assert done.exit_code == 0, done.stderr
    assert "counted from now, and not from when it would expire: no control plane" in done.stderr
    assert message(clone).strip() == "Sari\nKeep QA-ONE until 2099-12-24"
    assert served(clone) != before


def test_outside_of_a_clone_the_control_plane_writes_it(control, tmp_path):
    with served_in_thread(ending(control, ENDS).ports) as url:
        done = sdp("extend", "QA-ONE", "--by", "7d", "-C", tmp_path, url=url)
    assert done.exit_code == 0, done.stderr
    (shown, made) = control.changes.asked
    assert (shown.dry_run, made.dry_run) == (True, False)
    (edit,) = made.edits
    assert edit.model_dump() == {
        "edit": "extend",
        "sandbox": "QA-ONE",
        "ends": ENDS,
        "by": "7d",
        "until": None,
    }


def test_without_a_clone_and_without_a_control_plane_nothing_can_be_done(tmp_path):
    done = sdp("extend", "QA-ONE", "-C", tmp_path)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "error: no control plane" in done.stderr
