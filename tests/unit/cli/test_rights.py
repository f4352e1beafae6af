"""Rights on the command line: what may not be done is said before it is, and what waits is told."""

import pytest

from sdp.api.views import NeedView, WithheldView
from tests.fakes.control_plane import NOW, change, plan
from tests.unit.agent.repositories import git
from tests.unit.cli.repository import make

WAITS = WithheldView(
    path="templates/base.yaml",
    commit="4c1d2aa" + "0" * 33,
    user="sari",
    since=NOW,
    reason="NotPermitted",
    message="the change of templates/base.yaml by sari in 4c1d2aa does not count",
    fix="undo it: sdp revert 4c1d2aa; or let who may change it say: sdp approve 4c1d2aa",
)
REFUSED = NeedView(path="templates/base.yaml", permission="manage templates", role="BACKEND")


@pytest.fixture
def config(tmp_path):
    return make(tmp_path / "config")


def test_apply_commits_nothing_that_the_asking_person_may_not(control, run, config):
    control.plane.plan = plan(change(), refused=(REFUSED,))
    before = git(config, "rev-parse", "HEAD")
    done = run("apply", "--yes", "-C", config)
    assert done.exit_code == 1
    assert "you may not commit that: templates/base.yaml takes 'manage templates'" in done.stderr
    assert "ask somebody who is BACKEND" in done.stderr
    assert git(config, "rev-parse", "HEAD") == before


def test_a_plan_that_is_refused_keeps_its_exit_code_and_a_comment_says_so(control, run, config):
    control.plane.plan = plan(change(), refused=(REFUSED,))
    assert run("plan", "-C", config).exit_code == 2
    told = run("plan", "-C", config, "--format", "markdown").stdout
    assert "**Not allowed (1)**" in told
    assert "takes 'manage templates', which BACKEND has" in told


def test_status_tells_of_what_does_not_count(control, run):
    control.plane.waiting = [WAITS]
    told = run("status").stdout
    assert "NotPermitted: the change of templates/base.yaml by sari" in told
    assert "sdp approve 4c1d2aa" in told
    control.plane.known = {}
    assert "sdp approve 4c1d2aa" in run("status").stdout


def test_an_approval_is_asked_of_the_control_plane(control, run, tmp_path):
    done = run("approve", "4C1D2AA", "-m", "Agreed", "-C", tmp_path)
    assert done.exit_code == 0, done.stderr
    asked = control.changes.asked
    assert [(each.approve, each.message, each.dry_run) for each in asked] == [
        ("4c1d2aa", "Agreed", True), ("4c1d2aa", "Agreed", False)
    ]  # fmt: skip


def test_the_doctor_says_which_key_the_control_plane_signs_with(control, run, tmp_path):
    control.plane.signing_key = "ssh-ed25519 AAAA"
    told = run("doctor", "-C", tmp_path).stdout
    assert told.endswith("The control plane signs its commits with ssh-ed25519 AAAA\n")
