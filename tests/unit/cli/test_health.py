"""What a person is shown of a sandbox's health: why, since when, what to do, and what it uses."""

import datetime
import json

import pytest

from sdp.api import views
from sdp.cli.health import ago, sparkline
from sdp.cli.watch import converged
from tests.fakes.control_plane import NOW, sandbox

LOOP = "restarted 5 times in 10 minutes, last exit code 1"


def account(**changes: object) -> views.ServiceView:
    bare = views.ServiceView(
        name="account",
        target="branch main @ 1111111",
        health="Unhealthy",
        sync="Synced",
        reason="CrashLoop",
        message=LOOP,
        fix="read why: sdp logs QA-ONE/account",
        since=NOW,
        node="micro-92",
    )
    return bare.model_copy(update=changes)


def sick(*services: views.ServiceView, **changes: object) -> views.SandboxView:
    told = {"health": "Degraded", "health_message": f"account: {LOOP}", "services": services}
    return sandbox().model_copy(update={**told, **changes})


@pytest.fixture
def known(control):
    """A sandbox whose account falls again and again, and whose payment is OCP's."""
    elsewhere = account(
        name="payment", node="", health="Unknown", reason="Elsewhere", message="OCP serves it"
    )
    control.plane.known = {"qa-one": sick(account(), elsewhere)}
    return control


@pytest.mark.usefixtures("known")
def test_status_says_why_a_service_is_unhealthy_since_when_and_what_to_do(run):
    told = run("status", "qa-one").stdout
    assert "account is Unhealthy since 12:00:00 UTC (" in told
    for word in (f": CrashLoop\n  {LOOP}\n", "\n  fix: read why: sdp logs QA-ONE/account"):
        assert word in told
    assert "payment is Unknown" not in told


def test_status_says_why_a_service_was_stopped_but_not_of_each_that_sleeps_with_its_sandbox(
    control, run
):
    asleep = account(health="Suspended", reason="Suspended", message="suspended: the app")
    control.plane.known = {"qa-one": sick(asleep)}
    assert "account is Suspended since 12:00:00 UTC (" in run("status", "qa-one").stdout
    life = views.LifecycleView(state="SUSPENDED")
    asleep = asleep.model_copy(update={"fix": "wake it: sdp resume QA-ONE"})
    control.plane.known = {"qa-one": sick(asleep, lifecycle=life)}
    told = run("status", "qa-one").stdout
    assert "account is Suspended" not in told
    assert "SUSPENDED\n  fix: wake it: sdp resume QA-ONE\n" in told


def test_status_says_of_a_protected_one_how_to_let_it_go(control, run):
    control.plane.known = {"qa-one": sick(protect=True)}
    assert "sdp protect QA-ONE --off" in run("status", "qa-one").stdout


@pytest.mark.usefixtures("known")
def test_the_list_says_in_a_line_what_ails_each_sandbox(run):
    assert f"QA-ONE: account: {LOOP}" in run("status").stdout


def test_explain_says_it_too_and_once(known, run):
    told = run("explain", "qa-one").stdout
    assert f"account is Unhealthy: CrashLoop\n  {LOOP}\n  fix: read why" in told
    listed = json.loads(run("explain", "qa-one", "--json").stdout)
    assert [(each["service"], each["reason"]) for each in listed] == [("account", "CrashLoop")]
    condition = views.Condition(service="account", reason="CrashLoop", message=LOOP, failed=True)
    known.plane.known = {"qa-one": sick(account(), conditions=(condition,))}
    assert run("explain", "qa-one").stdout.count(LOOP) == 1
    assert run("status", "qa-one").stdout.count(LOOP) == 1


def test_a_container_that_speaks_to_the_terminal_is_shown_inert(control, run):
    control.plane.known = {"qa-one": sick(account(message="\x1b[2Jgone"))}
    assert "\x1b" not in run("status", "qa-one").stdout


def test_usage_is_drawn_against_the_limit_with_figures(control, run):
    samples = tuple(
        views.UsageSample(at=NOW, cpu_milli=cpu, memory_bytes=256 << 20) for cpu in (0, 250, 500)
    )
    used = views.ServiceUsage(
        service="account",
        container="a",
        cpu_limit_milli=500,
        memory_limit_bytes=512 << 20,
        samples=samples,
    )
    control.plane.used = views.UsageView(sandbox="QA-ONE", services=(used,))
    told = run("status", "qa-one").stdout
    for word in ("▁▅█", "500m of 500m", "▅▅▅", "256MB of 512MB"):
        assert word in told


@pytest.mark.parametrize(
    ("values", "limit", "drawn"),
    [
        ([], 0, ""),
        ([0, 0], 0, "▁▁"),
        ([1, 2, 4], 0, "▃▅█"),
        ([999], 10, "█"),
        ([*range(40)], 40, "▁▁▂▂▂▃▃▄▄▄▅▅▆▆▆▇▇███"),
        ([8, *[0] * 40], 8, "█" + "▁" * 13),
    ],
)
def test_a_sparkline_has_at_most_twenty_bars_and_hides_no_peak(values, limit, drawn):
    assert sparkline(values, limit) == drawn


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "0 s ago"), (-3, "0 s ago"), (119, "119 s ago"), (120, "2 min ago"), (7200, "2 h ago")],
)
def test_an_age_is_told_in_the_largest_unit_that_fits(seconds, told):
    assert ago(NOW, NOW + datetime.timedelta(seconds=seconds)) == told


def test_what_serves_is_nothing_to_wait_for_and_what_does_not_is():
    assert converged(sick(health_reason="Restarted"))
    assert not converged(sick(health_reason="CrashLoop"))
    assert not converged(sick(health_reason="Restarted", sync="Failed"))
