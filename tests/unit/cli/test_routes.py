"""What people are shown of routes: wanted, actual, when it was read back, and the problem."""

import datetime
import json

import pytest
from typer.testing import CliRunner

from sdp import clock
from sdp.api.views import Condition, RouteProblem, RouteView
from sdp.cli.main import app
from tests.fakes.control_plane import FakeControlPlane, sandbox, served_in_thread

DUPLICATE = RouteProblem(
    kind="duplicate",
    where="config.php:12",
    message="config.php:12: overwritten on line 20",
    fix="remove this assignment",
    blocking=False,
)
CONDITIONAL = DUPLICATE.model_copy(
    update={
        "kind": "conditional",
        "message": "config.php:30: assigned inside if\x1b[2J",
        "fix": "assign it once",
        "blocking": True,
    }
)


@pytest.fixture
def run():
    routes = (
        RouteView(
            service="account",
            wanted="http://10.0.0.92:9001",
            actual="http://10.0.0.92:9001",
            state="Verified",
            verified_at=clock.now() - datetime.timedelta(minutes=12),
            problem=DUPLICATE,
        ),
        RouteView(service="user", wanted="http://w", actual="http://a", state="Drift"),
        RouteView(
            service="payment",
            wanted="http://w",
            actual="http://ocp",
            state="Drift",
            problem=CONDITIONAL,
        ),
    )
    held = Condition(service="payment", reason="RouteNotPatchable", message="it can't")
    control = FakeControlPlane()
    control.plane.known = {"qa-one": sandbox(routes=routes, conditions=(held,))}
    with served_in_thread(control.ports) as url:
        yield lambda *words: CliRunner(env={"SDP_URL": url}).invoke(app, words)


@pytest.mark.parametrize("command", [["status", "qa-one"], ["route", "QA-ONE"]])
def test_the_table_shows_both_addresses_the_time_and_the_problem(run, command):
    said = run(*command).stdout
    rows = {line.split()[0]: line.split()[1:] for line in said.splitlines() if line}
    assert rows["account"] == [
        "Verified", "http://10.0.0.92:9001", "12", "min", "ago", "duplicate"
    ]  # fmt: skip
    assert rows["user"] == ["Drift", "http://w", "http://a", "-"]
    assert rows["payment"][-1] == "conditional"
    for part in ("config.php:12: overwritten on line 20", "fix: remove this assignment"):
        assert part in said
    assert "\x1b" not in said


def test_explain_names_a_warning_and_nothing_twice(run):
    said = run("explain", "qa-one").stdout
    assert "account is warned of: RouteDuplicate" in said
    assert said.count("payment") == 1
    found = json.loads(run("explain", "qa-one", "--json").stdout)
    assert [(each["service"], each["type"]) for each in found] == [
        ("payment", "Held"),
        ("account", "Warning"),
    ]
