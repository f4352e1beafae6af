"""Health: the worst of what is found, with its reason, since when, and what to do."""

import dataclasses
import datetime

import pytest

from sdp.protocol.actions import Limits
from sdp.protocol.frames import Sample
from sdp.protocol.report import Engine
from sdp.reconciler import observed as observation
from sdp.reconciler.draft import World
from sdp.reconciler.memory import Memory
from sdp.reconciler.plan import plan
from sdp.reconciler.status import SandboxStatus, ServiceStatus, status
from tests.builders import GATEWAY, MICRO, NOW, Simulation, desired, sandbox

A = sandbox("QA-A", "account: {branch: develop, resources: {cpu: 500m, memory: 512MB}}")
ACCOUNT = "sandbox-qa-a-account"
SECOND = datetime.timedelta(seconds=1)
MINUTE = datetime.timedelta(minutes=1)


@pytest.fixture
def made() -> Simulation:
    simulation = Simulation(desired(A))
    simulation.converge()
    simulation.remember()
    return simulation


def world(made: Simulation, after: datetime.timedelta = SECOND) -> World:
    return dataclasses.replace(made.world(), now=NOW + after)


def of(
    made: Simulation,
    after: datetime.timedelta = SECOND,
    previous: SandboxStatus | None = None,
) -> SandboxStatus:
    whole = world(made, after)
    return status("qa-a", whole, plan("qa-a", whole), (), previous)


def account(found: SandboxStatus) -> ServiceStatus:
    return next(each for each in found.services if each.name == "account")


def fall(made: Simulation, times: int, **changes: object) -> None:
    """Let the engine start account again so many times; it runs again, and is not asked yet."""
    for _ in range(times):
        count = made.containers()[ACCOUNT].restarts + 1
        ended = {"state": "restarting", "health": "none", "exit_code": 1, "restarts": count}
        made.edit(MICRO, ACCOUNT, **{**ended, **changes})
    made.edit(MICRO, ACCOUNT, state="running", health="starting", exit_code=0)


def test_a_service_that_falls_again_and_again_is_a_crash_loop_with_count_and_exit_code(made):
    fall(made, 5)
    told = account(of(made))
    assert (told.health, told.reason) == ("Unhealthy", "CrashLoop")
    assert told.message == "restarted 5 times in 10 minutes, last exit code 1"
    assert "sdp logs QA-A/account" in told.fix


def test_one_that_was_killed_for_memory_says_so_and_names_its_limit(made):
    fall(made, 3, exit_code=137, oom_killed=True)
    told = account(of(made))
    assert (told.health, told.reason) == ("Unhealthy", "OutOfMemory")
    assert "killed for memory at its limit of 512MB" in told.message
    assert "services.account.resources.memory" in told.fix


def test_the_planner_leaves_a_fallen_service_to_the_engine(made):
    fall(made, 1)
    assert not plan("qa-a", made.world()).actions
    assert (account(of(made)).health, account(of(made)).reason) == ("Progressing", "Starting")


def test_one_that_stands_again_is_degraded_for_ten_minutes_and_then_healthy(made):
    fall(made, 1)
    made.edit(MICRO, ACCOUNT, health="healthy")
    first = of(made)
    told = account(first)
    assert (told.health, told.reason) == ("Degraded", "Restarted")
    assert told.message == "restarted once in 10 minutes, last exit code 1; healthy now"
    assert told.until == NOW + 10 * MINUTE
    later = of(made, 10 * MINUTE, first)
    assert (later.health, account(later).health) == ("Healthy", "Healthy")


def test_a_loop_is_no_loop_any_more_when_it_has_stood_for_a_minute(made):
    fall(made, 4)
    made.edit(MICRO, ACCOUNT, health="healthy")
    assert account(of(made)).reason == "CrashLoop"
    assert account(of(made)).until == NOW + MINUTE
    assert account(of(made, MINUTE)).reason == "Restarted"


def test_who_starts_a_container_by_hand_begins_anew(made):
    fall(made, 4)
    made.edit(MICRO, ACCOUNT, restarts=0, health="healthy")
    assert account(of(made)).health == "Healthy"


def test_what_fell_before_the_control_plane_came_is_told_by_its_last_start(made):
    fall(made, 7)
    report = made.observed[MICRO].report
    fresh = observation.report({}, MICRO, report, 1, NOW + SECOND)[MICRO]
    made.observed = {**made.observed, MICRO: fresh}
    made.edit(MICRO, ACCOUNT, health="healthy")
    assert account(of(made)).message == "restarted once in 10 minutes; healthy now"


def test_one_that_ended_says_how(made):
    made.edit(MICRO, ACCOUNT, state="exited", health="none", exit_code=3)
    told = account(of(made))
    assert (told.health, told.reason) == ("Unhealthy", "Exited")
    assert told.message == "is exited, last exit code 3"


def test_one_that_does_not_answer_well_says_what_it_answered(made):
    said = "GET /healthz: HTTP/1.1 500 Internal Server Error"
    made.edit(MICRO, ACCOUNT, health="unhealthy", reason=said)
    told = account(of(made))
    assert (told.health, told.reason, told.message) == ("Unhealthy", "ProbeFailing", said)


def use(made: Simulation, cpu: int, memory: int, seconds: int = 0) -> frozenset[str]:
    sample = Sample(
        container=made.containers()[ACCOUNT].id, cpu_milli=cpu, memory_bytes=memory << 20
    )
    at = NOW + seconds * SECOND
    made.observed, turned = observation.measured(made.observed, MICRO, [sample], at)
    return turned


def test_memory_near_its_limit_degrades_once_and_only_well_below_it_no_more(made):
    assert use(made, 10, 100) == frozenset()
    assert use(made, 10, 470) == {"qa-a"}
    told = account(of(made))
    assert (told.health, told.reason) == ("Degraded", "MemoryHigh")
    assert told.message == "uses 91 % of its memory limit of 512MB"
    for memory in (500, 420, 470):
        assert use(made, 10, memory) == frozenset()
        assert account(of(made)).message == told.message
    assert use(made, 10, 400) == {"qa-a"}
    assert account(of(made)).health == "Healthy"


def test_cpu_at_its_limit_degrades_only_when_it_lasts_for_a_minute(made):
    for second in range(0, 60, 10):
        assert use(made, 500, 10, second) == frozenset()
    assert use(made, 500, 10, 60) == {"qa-a"}
    assert account(of(made)).reason == "CpuHigh"
    assert use(made, 100, 10, 70) == frozenset()


def test_without_a_limit_nothing_is_near_it(made):
    made.edit(MICRO, ACCOUNT, limits=Limits())
    assert use(made, 9000, 9000) == frozenset()


def test_the_last_sixty_samples_are_kept_and_those_of_the_gone_are_not(made):
    for second in range(0, 700, 10):
        use(made, second, 10, second)
    (used,) = made.observed[MICRO].used.values()
    assert [each.cpu_milli for each in used.samples] == [*range(100, 700, 10)]
    made.remove(MICRO, ACCOUNT)
    made.observed, _ = observation.measured(made.observed, MICRO, [], NOW)
    assert not made.observed[MICRO].used


def test_a_silent_node_is_unknown_and_says_when_it_was_heard_last(made):
    made.observed = observation.silent(made.observed, MICRO)
    told = account(of(made))
    assert (told.health, told.reason) == ("Unknown", "NodeSilent")
    assert "last heard at 09:00:00 UTC" in told.message
    assert of(made).health_message == f"account: {told.message}"


def test_an_engine_that_is_away_is_unknown_with_what_it_said(made):
    report = made.observed[MICRO].report.model_copy(update={"engine": Engine(error="refused")})
    made.report(MICRO, report)
    told = account(of(made))
    assert (told.health, told.reason) == ("Unknown", "EngineUnavailable")
    assert "refused" in told.message


def test_a_route_that_is_led_back_is_progressing_and_one_that_is_left_is_degraded(made):
    def mislead() -> None:
        report = made.observed[GATEWAY].report
        key, copy = next(iter(report.copies.items()))
        wrong = copy.model_copy(update={"routes": {**copy.routes, "account_url": "http://x"}})
        made.report(GATEWAY, report.model_copy(update={"copies": {key: wrong}}))

    mislead()
    assert (account(of(made)).health, account(of(made)).reason) == ("Progressing", "Routing")
    made.desired = desired(A + "heal: report\n")
    made.remember()
    told = account(of(made))
    assert (told.health, told.reason) == ("Degraded", "RouteDrift")
    assert "http://x" in told.message


def test_one_service_of_two_makes_the_sandbox_degraded_and_is_blamed(made):
    fall(made, 3)
    found = of(made)
    assert (found.health, found.health_reason) == ("Degraded", "CrashLoop")
    assert found.health_message.startswith("account: restarted 3 times")


def test_a_gateway_that_falls_makes_the_sandbox_unhealthy_and_is_blamed_first(made):
    fall(made, 3)
    made.edit(GATEWAY, "sandbox-qa-a-gateway", health="unhealthy", reason="GET /: no answer")
    found = of(made)
    assert found.health == "Unhealthy"
    assert found.health_message == "gateway: GET /: no answer (and 1 more)"


def test_since_stays_while_numbers_change_and_begins_anew_with_another_reason(made):
    fall(made, 3)
    first = of(made)
    fall(made, 1)
    second = of(made, 2 * SECOND, first)
    assert account(second).since == account(first).since
    assert account(second).message != account(first).message
    made.edit(MICRO, ACCOUNT, state="exited", restarts=0, health="none")
    assert account(of(made, 3 * SECOND, second)).since == NOW + 3 * SECOND


def test_what_changes_by_itself_is_looked_at_when_it_does(made):
    fall(made, 1)
    made.edit(MICRO, ACCOUNT, health="healthy")
    memory = Memory()
    memory.statuses = {"qa-a": of(made)}
    assert memory.turning(NOW + 9 * MINUTE) == frozenset()
    assert memory.turning(NOW + 10 * MINUTE) == {"qa-a"}
    assert memory.patience(NOW + 10 * MINUTE - SECOND, 30) == 1
