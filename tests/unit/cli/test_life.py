"""Putting to sleep and waking from the command line: the reason is asked for, and shown."""

import datetime
import json
import os
import pty
import subprocess  # noqa: TID251 -- a terminal of its own
import sys
from pathlib import Path

import pytest

from sdp.api.problems import ProblemError
from sdp.api.views import LifecycleView
from sdp.cli.show import lived
from tests.fakes.control_plane import NOW, sandbox
from tests.unit.cli.test_write import message, sdp, served
from tests.unit.config_repo import cloned, head, serve

SDP = Path(sys.executable).parent / "sdp"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    return cloned(serve(tmp_path))


def test_what_is_so_already_is_no_commit(clone):
    assert sdp("suspend", "QA-ONE", "-C", clone).exit_code == 0
    before = served(clone)
    for words in (
        ["suspend", "qa-one"],
        ["resume", "QA-ONE/account"],
        ["protect", "QA-ONE", "--off"],
    ):
        done = sdp(*words, "-C", clone)
        assert done.exit_code == 0
        assert "nothing to change: the specs say so already" in done.stderr
    assert served(clone) == before


def test_a_resumed_sandbox_says_what_it_said_before(clone):
    before = (clone / "sandboxes/one.yaml").read_text()
    sdp("suspend", "QA-ONE", "-C", clone)
    assert (clone / "sandboxes/one.yaml").read_text() != before
    assert sdp("resume", "QA-ONE", "-C", clone, "-m", "Mended").exit_code == 0
    assert (clone / "sandboxes/one.yaml").read_text() == before
    assert message(clone).startswith("Sari\nResume QA-ONE\n\nMended")


@pytest.mark.timeout(30)  # a process of its own, on a machine that may be busy
def test_a_person_is_asked_why_and_a_program_is_not(clone):
    terminal, theirs = pty.openpty()
    with os.fdopen(terminal, "wb", buffering=0) as keyboard:
        keyboard.write(b"waits for the fix\n")
        words = [str(SDP), "stop", "QA-ONE/account", "-C", str(clone)]
        done = subprocess.run(words, stdin=theirs, capture_output=True, text=True, check=False)
        os.close(theirs)
    assert done.returncode == 0, done.stderr
    assert "Why?" in done.stderr
    assert message(clone).startswith("Sari\nStop account of QA-ONE\n\nwaits for the fix")
    assert head(clone) == served(clone)
    assert "Why?" not in sdp("suspend", "QA-ONE", "-C", clone).output
    assert message(clone).strip() == "Sari\nSuspend QA-ONE"


def test_what_has_expired_is_woken_by_extending_it(control, run, clone):
    before = served(clone)
    control.plane.known["qa-one"] = sandbox(lifecycle=LifecycleView(state="EXPIRED"))
    done = run("resume", "QA-ONE", "-C", str(clone))
    assert done.exit_code == 1
    assert "error: QA-ONE has expired\n  fix: wake it: sdp extend QA-ONE" in done.stderr
    assert served(clone) == before


def test_a_restart_waits_until_it_is_served_and_healthy(control, run):
    control.plane.known["qa-one"] = sandbox(served="n1")
    done = run("restart", "qa-one/gateway", "--wait")
    assert done.exit_code == 1
    assert "no service" in done.stderr
    done = run("restart", "qa-one", "--wait")
    assert (done.exit_code, done.stdout) == (0, "")
    assert "restart of gateway, account of QA-ONE is asked for" in done.stderr
    assert "QA-ONE is Synced and Healthy" in done.stderr
    assert control.plane.asked == ["restart QA-ONE"]
    control.plane.known["qa-one"] = sandbox(served="n0")
    done = run("restart", "qa-one", "--wait", "--timeout", "1s", "--json")
    assert done.exit_code == 4
    assert json.loads(done.stdout)["nonce"] == "n1"
    assert "sdp explain QA-ONE" in done.stderr


def test_what_sleeps_is_not_restarted(control, run):
    refused = ProblemError(409, "not-restarted", "Suspended", "QA-ONE is suspended", "sdp resume")
    control.plane.restarted = refused
    done = run("restart", "qa-one")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "error: QA-ONE is suspended\n  fix: sdp resume" in done.stderr


def test_status_shows_the_state_since_when_by_whom_and_why(control, run):
    life = LifecycleView(state="SUSPENDED", since=NOW, by="Sari", why="waits for the fix")
    control.plane.known["qa-one"] = sandbox(health="Suspended", lifecycle=life)
    assert (
        "SUSPENDED since 2026-03-04 12:00 UTC by Sari: waits for the fix"
        in run("status", "qa-one").stdout
    )
    head_line, row = run("status").stdout.splitlines()
    assert row.split()[head_line.split().index("STATE")] == "SUSPENDED"


def test_of_today_the_time_alone_is_shown():
    life = LifecycleView(since=NOW, by="Sari")
    assert lived(life, NOW) == "ACTIVE since 12:00 UTC by Sari"
    assert lived(LifecycleView(), NOW) == "ACTIVE"


def test_status_shows_when_what_nobody_uses_stops_and_goes():
    day = datetime.timedelta(days=1)
    life = LifecycleView(since=NOW, by="Sari", expires_at=NOW + 14 * day)
    assert lived(life, NOW) == "ACTIVE since 12:00 UTC by Sari · expires 18 Mar, in 14 days"
    soon = LifecycleView(expires_at=NOW + day / 8)
    assert lived(soon, NOW) == "ACTIVE · expires 4 Mar, in 3 hours"
    over = LifecycleView(
        state="EXPIRED", since=NOW, by="sdp", why="not used", deletes_at=NOW + 2 * day
    )
    assert (
        lived(over, NOW) == "EXPIRED since 12:00 UTC by sdp: not used · deleted 6 Mar, in 2 days"
    )
