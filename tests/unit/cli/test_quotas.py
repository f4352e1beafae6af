"""The quotas command prints what is taken, and what each sandbox in the queue waits for."""

import json

import pytest
from typer.testing import CliRunner

from sdp.api import node_views
from sdp.cli.main import app
from tests.fakes.control_plane import NOW, FakeControlPlane, sandbox, served_in_thread

WAITS = node_views.QueuedView(
    number=1,
    sandbox="QA-4",
    owner="sari",
    since=NOW,
    reason="Queued",
    message="quotas.per_owner.running is 1, and sari has 1 running (QA-1)",
    fix="suspend or delete one: sdp suspend QA-1",
)
FOUND = node_views.QuotaList(
    quotas=(
        node_views.QuotaView(
            owner=None,
            running=2,
            running_limit=None,
            memory=3 << 30,
            memory_limit=16 << 30,
            over=False,
            sandboxes=("QA-1", "QA-2"),
        ),
        node_views.QuotaView(
            owner="sari",
            running=1,
            running_limit=1,
            memory=1 << 30,
            memory_limit=None,
            over=False,
            sandboxes=("QA-1",),
        ),
    ),
    queue=(WAITS,),
)


@pytest.fixture
def control():
    return FakeControlPlane()


def run(control: FakeControlPlane, *words: str) -> str:
    with served_in_thread(control.ports) as url:
        done = CliRunner(env={"SDP_URL": url, "COLUMNS": "200"}).invoke(app, list(words))
    assert done.exit_code == 0, done.output
    return done.stdout


def test_quotas_are_shown_with_who_has_them_and_who_waits(control):
    control.plane.taken = FOUND
    said = run(control, "quotas")
    rows = [line.split() for line in said.splitlines()]
    assert ["all", "2", "3GB", "16GB"] in rows
    assert ["sari", "1", "of", "1", "1GB", "-", "QA-1"] in rows
    assert f"QA-4: Queued since {NOW:%Y-%m-%d %H:%M:%S} UTC: {WAITS.message}" in said
    assert f"fix: {WAITS.fix}" in said


def test_quotas_as_json(control):
    control.plane.taken = FOUND
    assert json.loads(run(control, "quotas", "--json")) == FOUND.model_dump(mode="json")


def test_where_there_are_none_that_is_said(control):
    assert run(control, "quotas") == "No quotas: platform.yaml has no quotas: {…}\n"


def test_status_shows_a_queued_sandbox_with_its_number(control):
    control.plane.known = {"qa-4": sandbox("QA-4", sync="Held", queued=2)}
    assert "Held queued 2" in " ".join(run(control, "status").split())
