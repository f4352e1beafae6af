"""The update command: what is let in, what --wait waits for, and why nothing is done."""

import json

from sdp.api import views
from sdp.api.problems import ProblemError
from tests.fakes.control_plane import sandbox

OLD, NEW = "1" * 40, "2" * 40
MADE = views.Updated(
    sandbox="QA-ONE",
    services=(views.UpdatedService(service="account", branch="b", before=OLD, after=NEW),),
)


def account(commit: str, **changes: object) -> views.SandboxView:
    target = f"branch b @ {NEW[:7]}"
    service = views.ServiceView(
        name="account", target=target, health="Healthy", sync="Synced", commit=commit
    )
    return sandbox().model_copy(update={"services": (service,), **changes})


def test_what_is_let_in_is_told_and_is_json_for_programs(control, run):
    control.plane.known["qa-one"] = account(OLD)
    control.plane.updated = MADE
    done = run("update", "qa-one/account", "--json")
    assert done.exit_code == 0
    assert "QA-ONE/account: b 1111111 → 2222222" in done.stderr
    assert json.loads(done.stdout) == MADE.model_dump(mode="json")
    assert control.plane.asked == ["update QA-ONE account"]


def test_wait_waits_until_the_new_commit_runs(control, run):
    control.plane.updated = MADE
    control.plane.known["qa-one"] = account(NEW)
    done = run("update", "qa-one", "--wait")
    assert done.exit_code == 0, done.output
    assert "QA-ONE is Synced and Healthy" in done.stderr
    control.plane.known["qa-one"] = account(OLD)
    assert run("update", "qa-one", "--wait", "--timeout", "1s").exit_code == 4


def test_wait_does_not_wait_for_what_sleeps(control, run):
    control.plane.updated = MADE
    sleeping = account(OLD)
    (service,) = sleeping.services
    stopped = service.model_copy(update={"health": "Suspended"})
    control.plane.known["qa-one"] = sleeping.model_copy(update={"services": (stopped,)})
    done = run("update", "qa-one/account", "--wait")
    assert done.exit_code == 0, done.output


def test_wait_ends_with_4_when_the_new_commit_fails_for_good(control, run):
    failed = views.Condition(
        type="Failed", service="account", reason="BuildFailed", message="no", failed=True
    )
    control.plane.updated = MADE
    control.plane.known["qa-one"] = account(OLD, sync="Failed", conditions=(failed,))
    done = run("update", "qa-one", "--wait")
    assert done.exit_code == 4
    assert "account of QA-ONE failed: no" in done.stderr
    assert "sdp explain QA-ONE" in done.stderr


def test_why_nothing_is_let_in_is_told(control, run):
    control.plane.updated = ProblemError(409, "not-updated", "NothingNew", "nothing newer", "push")
    done = run("update", "qa-one")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "error: nothing newer" in done.stderr
    assert "fix: push" in done.stderr
