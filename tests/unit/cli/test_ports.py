"""The ports command prints what the control plane says, whole or of one node."""

import json

import pytest
from typer.testing import CliRunner

from sdp.api.node_views import LeaseView, PortList, RangeView, StrangerView
from sdp.cli.main import app
from tests.fakes.control_plane import FakeControlPlane, served_in_thread

FOUND = PortList(
    ports=(
        LeaseView(
            node="micro-92",
            port=9001,
            sandbox="QA",
            service="account",
            origin="allocated",
            use="running",
            container="sandbox-qa-account",
        ),
    ),
    ranges=(
        RangeView(node="micro-92", kind="services", first=9001, last=9999, free=997, lowest=9003),
        RangeView(node="gateway-91", kind="gateway", first=8080, last=8999),
    ),
    strangers=(StrangerView(node="micro-92", port=9002, owner="nginx\x1b[2J (pid 7)"),),
)


@pytest.fixture
def run():
    control = FakeControlPlane()
    control.plane.leased = FOUND
    with served_in_thread(control.ports) as url:
        yield lambda *words: CliRunner(env={"SDP_URL": url}).invoke(app, ["ports", *words])


def lines(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_leases_ranges_and_strangers_are_shown(run):
    said = lines(run().stdout)
    assert ["micro-92", "9001", "QA/account", "allocated", "running"] in said
    assert ["micro-92", "services", "9001-9999", "997", "9003"] in said
    assert ["gateway-91", "gateway", "8080-8999", "unknown", "-"] in said
    assert ["micro-92", "9002", "nginx\ufffd[2J", "(pid", "7)"] in said


def test_one_node_alone_as_json(run):
    found = json.loads(run("--node", "gateway-91", "--json").stdout)
    assert (found["ports"], found["strangers"]) == ([], [])
    assert [each["node"] for each in found["ranges"]] == ["gateway-91"]


def test_an_unknown_node_is_an_error_that_names_those_there_are(run):
    done = run("--node", "nope")
    assert done.exit_code == 1
    assert done.stdout == ""
    assert "micro-92" in done.stderr
