"""Logs, cancel, doctor and nodes against a control plane in memory: what goes where, and codes."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sdp.api.node_views import Finding
from sdp.api.views import ActionInFlight, Cancelled, DeploymentPage, LogLineView
from sdp.cli.main import app
from sdp.protocol.report import Disk, Engine, NodeReport, Repository
from sdp.reconciler import observed as observation
from sdp.reconciler.observed import Skew
from tests.fakes.control_plane import (
    NOW,
    FakeControlPlane,
    deployment,
    sandbox,
    served_in_thread,
)
from tests.unit.api.test_container_logs import shown
from tests.unit.cli.repository import sdp
from tests.unit.cli.test_commands import NOBODY


def lines(control: FakeControlPlane, *texts: str) -> None:
    control.journal.lines = [
        LogLineView(seq=number, at=NOW, stage="go build", text=text)
        for number, text in enumerate(texts, 1)
    ]


def test_a_deployments_log_is_narrowed_by_text_pattern_and_case(control, run):
    lines(control, "main.go:3: Undefined", "ok", "a+b")
    assert run("logs", "d-1", "--grep", "undefined").stdout == ""
    assert run("logs", "d-1", "--grep", "undefined", "-i").stdout.count("\n") == 1
    assert run("logs", "d-1", "--grep", r"\.go:\d").stdout.count("\n") == 1
    assert run("logs", "d-1", "--grep", "+b").stdout == "go build: a+b\n"
    told = run("logs", "d-1", "--grep", "ok", "--json").stdout
    assert json.loads(told)["text"] == "ok"


def test_a_deployments_log_is_narrowed_to_its_last_lines_and_to_a_time(control, run):
    lines(control, "one", "two", "three")
    assert run("logs", "d-1", "-n", "2").stdout == "go build: two\ngo build: three\n"
    assert run("logs", "d-1", "-n", "1", "-f").stdout == "go build: three\n"
    assert run("logs", "d-1", "--since", "2026-03-04T12:00:00+00:00").stdout.count("\n") == 3
    assert run("logs", "d-1", "--since", "2026-03-04T12:00:01+00:00").stdout == ""


def test_a_time_that_is_none_is_a_usage_error(run):
    assert run("logs", "d-1", "--since", "999999d").exit_code == 64
    done = run("logs", "d-1", "--since", "yesterday")
    assert done.exit_code == 64
    assert "10m" in done.stderr


def test_a_sandbox_alone_is_asked_for_its_service(control, run):
    control.plane.known = {"qa-one": shown("a")}
    done = run("logs", "qa-one")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "QA-ONE/account" in done.stderr


def test_the_newest_deployment_of_a_service_is_found(control, run):
    lines(control, "one")
    assert run("logs", "qa-one/account", "--build").stdout == "go build: one\n"
    assert control.journal.queries[0][:2] == ("QA-ONE", "account")


def test_a_service_that_was_never_deployed_or_is_none_says_so(control, run):
    control.plane.known = {"qa-one": shown("a")}
    control.journal.page = DeploymentPage(deployments=())
    assert "never deployed" in run("logs", "qa-one/account", "--build").stderr
    assert "has no service" in run("logs", "qa-one/nope", "--build").stderr


def test_a_log_on_a_silent_node_is_an_error_at_once(control, run):
    control.plane.known = {"qa-one": shown("a")}
    done = run("logs", "qa-one/account", "-f")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "node micro-92 is silent" in done.stderr
    assert "fix: look at its agent" in done.stderr


def completed(url: str, words: str, number: int) -> str:
    asked = {"_SDP_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(number)}
    runner = CliRunner(env={**asked, "SDP_URL": url})
    return runner.invoke(app, [], prog_name="sdp").stdout.strip()


def test_completion_offers_sandboxes_then_their_services_and_nodes(control):
    control.plane.known = {"qa-one": shown("a")}
    with served_in_thread(control.ports) as url:
        assert completed(url, "sdp logs qa", 2) == "qa-ONE/"
        assert completed(url, "sdp logs qa-one/a", 2) == "qa-one/account"
        assert completed(url, "sdp nodes mi", 2) == "micro-92"
    assert completed(NOBODY, "sdp logs qa-one/a", 2) == ""


def flight(kind: str = "build") -> ActionInFlight:
    return ActionInFlight(
        id="a",
        kind=kind,
        node="micro-92",
        sandbox="QA-ONE",
        service="account",
        deployment="d-1",
        deadline=NOW,
    )


def cancelled(**changes: object) -> Cancelled:
    bare = Cancelled(sandbox="QA-ONE", services=(), stopping=(), shared=())
    return bare.model_copy(update=changes)


def test_cancel_says_what_it_ended_and_waits_until_that_has_ended(control, run):
    control.plane.cancelled = cancelled(services=("account",), stopping=(flight(),))
    control.plane.flights = (flight(), flight(), flight())
    done = run("cancel", "qa-one", "--service", "account")
    assert done.exit_code == 1, "the fake's sandbox has no such service"
    control.plane.known = {"qa-one": shown("a")}
    done = run("cancel", "qa-one", "--service", "account")
    assert done.exit_code == 0
    assert "stopped    build of account on micro-92" in done.stdout
    assert "sdp sync QA-ONE" in done.stdout
    assert control.plane.asked == ["cancel QA-ONE account"]
    assert control.plane.flights == ()


def test_cancel_says_what_goes_on_for_others(control, run):
    control.plane.cancelled = cancelled(services=("account",), shared=(flight(),))
    assert "other sandboxes wait for it" in run("cancel", "qa-one").stdout


def test_cancel_ends_with_4_when_something_does_not_end_in_time(control, run):
    control.plane.cancelled = cancelled(services=("account",), stopping=(flight(),))
    control.plane.flights = (flight(),) * 9
    done = run("cancel", "qa-one", "--timeout", "1s")
    assert done.exit_code == 4
    assert "not ended in time: build of account on micro-92" in done.stderr


def test_nothing_to_cancel_is_no_error(run):
    done = run("cancel", "qa-one")
    assert done.exit_code == 0
    assert "nothing to cancel" in done.stdout


def finding(**changes: object) -> Finding:
    bare = Finding(
        severity="warning", node="micro-92", kind="disk", message="9 % free", fix="free space"
    )
    return bare.model_copy(update=changes)


def test_the_doctor_ends_with_0_unless_there_are_errors(control, run, tmp_path):
    done = run("doctor", "-C", tmp_path)
    assert (done.exit_code, done.stdout) == (0, "Nothing is wrong.\n")
    control.plane.findings = (finding(),)
    done = run("doctor", "-C", tmp_path)
    assert done.exit_code == 0
    assert "micro-92\n  warning  disk: 9 % free\n           fix: free space\n" in done.stdout
    control.plane.findings = (finding(), finding(severity="error", node="gateway-91"))
    done = run("doctor", "-C", tmp_path)
    assert done.exit_code == 1
    assert done.stdout.endswith("1 error, 1 warning\n")
    assert len(json.loads(run("doctor", "-C", tmp_path, "--json").stdout)) == 2


def test_the_doctor_looks_at_this_machine_while_the_control_plane_is_away(tmp_path: Path):
    (tmp_path / "sandboxes").mkdir()
    (tmp_path / "sandboxes" / "x.yaml").write_text("sandbox: X\nservcies: {}\n")
    done = sdp(("doctor", "-C", tmp_path, "--json"), NOBODY)
    assert done.exit_code == 1
    found = {(each["node"], each["kind"]) for each in json.loads(done.stdout)}
    assert found == {("this machine", "server"), ("this machine", "spec")}


def test_the_doctor_tells_another_version_of_the_control_plane(
    run, tmp_path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("sdp.cli.doctor.VERSION", "0.0.9")
    done = run("doctor", "-C", tmp_path)
    assert done.exit_code == 0
    assert "this sdp is 0.0.9" in done.stdout


def test_a_node_is_shown_whole_and_in_the_list(control, run):
    report = NodeReport(
        engine=Engine(version="20.10"),
        images={"alpine:3.20": "sha256:1"},
        repositories={
            "account": Repository(
                branches={"main": "1" * 40}, present=(), error="", checked_at=NOW
            )
        },
        facts={
            "disk/state": Disk(path="/sdp", total_bytes=1 << 40, free=9, inodes=50, writable=False)
        },
    )
    control.observe("micro-92", report)
    control.plane.observed = observation.timed(control.plane.observed, "micro-92", Skew(-1.5, 0.1))
    said = run("nodes", "micro-92").stdout
    for word in ("alpine:3.20", "account", "/sdp: 9 % of 1024.0 GB free", "read-only", "-1.5 s"):
        assert word in said
    assert "9 %" in run("nodes").stdout
    assert "did you mean micro-92" in run("nodes", "micro").stderr


def test_deployments_are_paged_and_chosen_by_status(control, run):
    control.journal.page = DeploymentPage(deployments=(deployment(),), following="7.d-1")
    done = run("deployments", "--status", "failed", "--cursor", "9.d-2")
    assert control.journal.queries[-1] == (None, None, "FAILED", 20, "9.d-2")
    assert "--cursor 7.d-1" in done.stderr
    assert run("deployments", "--status", "nope").exit_code == 64


def test_deployments_of_no_sandbox_guess_and_of_one_that_is_gone_are_shown(control, run):
    control.plane.known = {"qa-one": sandbox()}
    assert "d-1" in run("deployments", "--sandbox", "GONE").stdout
    control.journal.page = DeploymentPage(deployments=())
    done = run("deployments", "--sandbox", "QA-ON")
    assert done.exit_code == 1
    assert "did you mean QA-ONE" in done.stderr
    assert "no deployments" in run("deployments", "--sandbox", "qa-one").stderr
