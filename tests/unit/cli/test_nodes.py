"""Nodes are enrolled and revoked by command, here or over the API; tokens go to stdout alone."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sdp.cli.main import app
from sdp.protocol.handshake import read_token
from sdp.protocol.report import NodeReport, Repository
from sdp.trust.folder import Trust
from tests.fakes.control_plane import FILES, PLATFORM, FakeControlPlane, served_in_thread, tree

MICRO = "micro-92"


@pytest.fixture
def control():
    return FakeControlPlane()


@pytest.fixture
def sdp(control):
    with served_in_thread(control.ports) as url:
        yield lambda *words, **more: CliRunner().invoke(app, ["--server", url, *words], **more)


def test_a_token_is_alone_on_stdout_and_what_to_do_with_it_on_stderr(control, sdp):
    done = sdp("nodes", "enroll", MICRO, "--valid", "10m")
    assert done.exit_code == 0
    token = read_token(done.stdout)
    assert (token.node, token.server_key) == (MICRO, control.trust.key)
    assert "sdp agent --config FILE --enroll" in done.stderr
    assert "enrolled already" in done.stderr
    assert token.secret.reveal() not in done.stderr
    acts = [each.act for each in control.audit.kept]
    assert [(each.user, each.action, each.message) for each in acts] == [
        ("achmad", "enrolment token made", MICRO)
    ]


def test_json_has_the_token_and_its_end(sdp):
    told = json.loads(sdp("nodes", "enroll", MICRO, "--json").stdout)
    assert (told["node"], told["replaces"]) == (MICRO, True)
    assert read_token(told["token"]).node == MICRO


def test_the_first_nodes_are_enrolled_in_the_data_folder_where_nobody_can_log_in_yet(tmp_path):
    words = ["nodes", "enroll", MICRO, "--data-dir", str(tmp_path)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0
    assert read_token(done.stdout).server_key == Trust.open(tmp_path).key
    assert "enrolled already" not in done.stderr


def test_a_revoked_node_is_said_to_be_and_shown_so(control, sdp):
    done = sdp("nodes", "revoke", MICRO, "--yes")
    assert (done.exit_code, done.stdout) == (0, "")
    assert f"{MICRO} is revoked" in done.stderr
    assert control.trust.belief(MICRO).state == "revoked"
    assert "revoked" in sdp("nodes", MICRO).stdout
    assert "enrolled 2026-03-04" in sdp("nodes").stdout


def test_a_node_that_is_called_like_a_command_can_be_shown(control, sdp):
    named = PLATFORM.replace("micro-92", "enroll")
    control.plane.specs = tree({**FILES, "platform.yaml": named})
    assert "enroll" in sdp("nodes", "show", "enroll").stdout


@pytest.mark.parametrize(
    ("typed", "word"),
    [("", "no enrolment token"), ("sdp1.x", "no enrolment token"), (None, "is of micro-93")],
)
def test_what_is_typed_and_no_token_for_this_node_is_refused(tmp_path: Path, typed, word):
    config = tmp_path / "agent.yaml"
    config.write_text(f"node: {MICRO}\ninstance: acme\nstate: {tmp_path}/state\n")
    if typed is None:
        words = ["nodes", "enroll", "micro-93", "--data-dir", str(tmp_path)]
        typed = CliRunner().invoke(app, words).stdout
    words = ["agent", "--config", str(config), "--enroll"]
    done = CliRunner().invoke(app, words, input=typed)
    assert done.exit_code == 1
    assert word in done.stderr
    assert "sdp nodes enroll micro-92" in done.stderr
    assert not (tmp_path / "state").exists()


def test_an_agent_is_enrolled_by_command(control, tmp_path: Path):
    with served_in_thread(control.ports) as url:
        address = f"{url.replace('http', 'ws')}/ws/agent"
        config = tmp_path / "agent.yaml"
        config.write_text(
            f"node: {MICRO}\ninstance: acme\nstate: {tmp_path}/state\ncontrol_plane: {address}\n"
        )
        words = ["agent", "--config", str(config), "--enroll"]
        for said in ("is enrolled, and obeys", "enrolled again, with a new key"):
            token = CliRunner().invoke(app, ["--server", url, "nodes", "enroll", MICRO]).stdout
            done = CliRunner().invoke(app, words, input=token)
            assert done.exit_code == 0, done.stderr
            assert said in done.stderr
            assert read_token(token).secret.reveal() not in done.output
        again = CliRunner().invoke(app, words, input=token)
    assert again.exit_code == 1
    assert "used already" in again.stderr


def test_a_control_plane_that_is_not_there_is_named(tmp_path: Path):
    config = tmp_path / "agent.yaml"
    config.write_text(
        f"node: {MICRO}\ninstance: acme\nstate: {tmp_path}/s\ncontrol_plane: ws://127.0.0.1:9/x\n"
    )
    made = CliRunner().invoke(app, ["nodes", "enroll", MICRO, "--data-dir", str(tmp_path)]).stdout
    done = CliRunner().invoke(app, ["agent", "--config", str(config), "--enroll"], input=made)
    assert done.exit_code == 1
    assert "ws://127.0.0.1:9/x did not answer" in done.stderr
    assert "control_plane:" in done.stderr


def test_a_node_says_with_whose_credentials_it_reads_a_repository(control, sdp):
    told = Repository(branches={}, present=(), error="", checked_at=None, credentials="wanted")
    control.observe(MICRO, NodeReport(repositories={"account": told}))
    assert "with the credentials of who is logged in" in sdp("nodes", MICRO).stdout
