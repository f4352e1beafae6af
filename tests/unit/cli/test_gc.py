"""The gc command shows what would go, asks, and says what stays and why."""

import json

import pytest
from typer.testing import CliRunner

from sdp.api.node_views import Doubt, Garbage
from sdp.cli.main import app
from tests.fakes.control_plane import UNUSED, FakeControlPlane, served_in_thread

SILENT = Doubt(node="gateway-91", repository="", message="it does not report", fix="start it")
UNRESOLVED = Doubt(node="micro-92", repository="user", message="no answer\x1b[2J", fix="wait")


@pytest.fixture
def control():
    return FakeControlPlane()


@pytest.fixture
def run(control):
    with served_in_thread(control.ports) as url:
        yield lambda *words: CliRunner(env={"SDP_URL": url}).invoke(app, ["gc", *words])


def test_a_dry_run_shows_what_would_go_and_removes_nothing(run, control):
    done = run("--dry-run")
    assert done.exit_code == 0
    assert "micro-92" in done.stdout
    assert "account @ 1111111" in done.stdout
    assert "2026-03-05 12:00 UTC" in done.stdout
    assert control.plane.asked == []


def test_with_yes_it_goes(run, control):
    done = run("--yes")
    assert (done.exit_code, done.stderr) == (0, "")
    assert "removed 1 release, 3MB" in done.stdout
    assert control.plane.asked == ["gc"]


def test_where_there_is_nothing_it_is_said(run, control):
    control.plane.unused = Garbage()
    done = run("--yes")
    assert done.exit_code == 0
    assert "nothing to remove" in done.stdout
    assert control.plane.asked == []


def test_a_silent_node_is_refused_with_the_reason_and_the_others_are_swept(run, control):
    control.plane.unused = Garbage(unused=(UNUSED,), doubts=(SILENT, UNRESOLVED))
    done = run("--yes")
    assert done.exit_code == 1
    assert "nothing of gateway-91 is removed: it does not report" in done.stderr
    assert "nothing of user on micro-92 is removed: no answer\ufffd[2J" in done.stderr
    assert "nothing was removed from gateway-91" in done.stderr
    assert control.plane.asked == ["gc"]


def test_what_does_not_go_in_time_is_told_with_its_own_exit_code(run, control, monkeypatch):
    monkeypatch.setattr(control.plane, "collect", control.plane.garbage)
    done = run("--yes", "--timeout", "1s")
    assert done.exit_code == 4
    assert "not gone in time: 1 release" in done.stderr


def test_programs_get_json(run):
    (release,) = json.loads(run("--dry-run", "--json").stdout)["unused"]
    assert (release["node"], release["bytes"]) == ("micro-92", 3 << 20)
    assert json.loads(run("--yes", "--json").stdout)["unused"] == [release]
