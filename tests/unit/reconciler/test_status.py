"""Status: what is shown is what is, and what can't be seen is never green."""

import dataclasses
import datetime

from sdp.protocol.frames import Failed
from sdp.reconciler import observed as observation
from sdp.reconciler.authority import Withheld
from sdp.reconciler.history import Attempt, History, failed
from sdp.reconciler.plan import plan
from sdp.reconciler.status import SandboxStatus, ServiceStatus, status
from sdp.spec.needs import Need
from sdp.spec.tree import Problem
from tests.builders import GATEWAY, MICRO, NOW, Simulation, desired, sandbox

A = sandbox("QA-A", "account: {branch: develop}, user: {url: 'http://10.0.0.7:8080'}")


def converged(*sandboxes: str) -> Simulation:
    made = Simulation(desired(*(sandboxes or (A,))))
    made.converge()
    return made


def of(made: Simulation, previous: SandboxStatus | None = None, *busy: str) -> SandboxStatus:
    return status("qa-a", made.world(), plan("qa-a", made.world()), busy, previous)


def service(made: SandboxStatus, name: str) -> ServiceStatus:
    return next(each for each in made.services if each.name == name)


def test_a_converged_sandbox_is_synced_healthy_and_says_where_it_answers() -> None:
    made = of(converged())
    assert (made.sync, made.health) == ("Synced", "Healthy")
    assert made.url == "http://10.0.0.186:8080/"
    assert {each.service: each.state for each in made.routes} == {
        "account": "Verified",
        "payment": "Verified",
        "user": "Verified",
    }
    account = service(made, "account")
    assert account.target.startswith("branch develop @ ")
    assert (account.container, account.port) == ("sandbox-qa-a-account", 9001)
    assert service(made, "payment").target == "OCP"
    assert service(made, "user").target == "http://10.0.0.7:8080"


def test_what_is_planned_is_pending_and_what_is_in_flight_is_applying() -> None:
    made = Simulation(desired(A))
    assert (of(made).sync, of(made).health) == ("Pending", "Progressing")
    first = made.plans()["qa-a"].actions[0]
    assert of(made, None, first.key).sync == "Applying"


def test_unknown_beats_green() -> None:
    made = converged()
    made.observed = observation.silent(made.observed, MICRO)
    shown = of(made)
    assert (shown.sync, shown.health) == ("Unknown", "Unknown")
    assert service(shown, "account").health == "Unknown"
    assert service(shown, "gateway").health == "Healthy"
    assert "NodeSilent" in {each.reason for each in shown.conditions}


def test_a_silent_gateway_verifies_no_route() -> None:
    made = converged()
    made.observed = observation.silent(made.observed, GATEWAY)
    assert {each.state for each in of(made).routes} == {"Unverified"}


def test_a_route_that_says_something_else_is_drift() -> None:
    made = converged()
    report = made.observed[GATEWAY].report
    key, copy = next(iter(report.copies.items()))
    moved = copy.model_copy(update={"routes": {**copy.routes, "account_url": "http://elsewhere"}})
    edited = report.model_copy(update={"copies": {key: moved}})
    made.observed = observation.report(made.observed, GATEWAY, edited, 2, NOW)
    route = next(each for each in of(made).routes if each.service == "account")
    assert (route.state, route.actual) == ("Drift", "http://elsewhere")


def test_a_failed_update_leaves_the_sandbox_degraded_and_says_why() -> None:
    made = converged()
    made.desired = desired(sandbox("QA-A", "account: {branch: feature/a}"))
    version = next(each.version for each in made.plans()["qa-a"].actions if each.version)
    attempt = Attempt("QA-A", "account", version, "build")
    broken = failed(
        None, attempt, Failed(reason="BuildFailed", message="no", terminal=True), NOW, 0
    )
    made.history = History(failures={("QA-A", "account", version): broken})
    shown = of(made)
    assert (shown.sync, shown.health) == ("Failed", "Degraded")
    assert ("Failed", "BuildFailed") in {(each.type, each.reason) for each in shown.conditions}


def test_an_update_on_its_way_is_progressing_not_degraded() -> None:
    made = converged()
    made.desired = desired(sandbox("QA-A", "account: {branch: feature/a}"))
    assert of(made).health == "Progressing"


def test_a_missing_branch_is_held_with_its_fix() -> None:
    shown = of(converged(sandbox("QA-A", "account: {branch: nope}")))
    assert shown.sync == "Held"
    assert "push nope" in next(each.fix for each in shown.conditions)


def test_a_suspended_sandbox_is_suspended_not_unhealthy() -> None:
    made = converged()
    made.desired = desired(sandbox("QA-A", more="lifecycle: {suspended: true}"))
    made.converge()
    assert (of(made).sync, of(made).health) == ("Synced", "Suspended")


def test_a_broken_file_is_a_condition_with_its_place() -> None:
    made = converged()
    broken = dataclasses.replace(
        made.desired.sandboxes["qa-a"],
        problems=(Problem("sandboxes/0.yaml", 3, 7, "expected a branch"),),
    )
    made.desired = dataclasses.replace(made.desired, sandboxes={"qa-a": broken})
    condition = next(iter(of(made).conditions))
    assert condition.type == "SpecInvalid"
    assert "sandboxes/0.yaml:3:7: expected a branch" in condition.message


def test_times_stay_while_nothing_changes() -> None:
    made = converged()
    first = of(made)
    later = dataclasses.replace(made.world(), now=NOW + datetime.timedelta(minutes=5))
    assert status("qa-a", later, plan("qa-a", later), (), first) == first


def test_a_sandbox_that_goes_is_shown_until_it_is_gone() -> None:
    made = converged()
    made.desired = desired()
    shown = of(made)
    assert (shown.name, shown.sync, shown.health) == ("QA-A", "Pending", "Progressing")


def test_what_does_not_count_is_a_condition_of_the_sandbox_that_it_is_about() -> None:
    made = converged()
    needs = (Need("sandboxes/x.yaml", "delete sandboxes", "QA-A", "sari"),)
    waits = Withheld("sandboxes/x.yaml", "abcdef12", "dewi", NOW, "NotPermitted", needs, None)
    other = Withheld("templates/b.yaml", "abcdef12", "dewi", NOW, "NotSigned", (), "blob")
    withheld = {each.path: each for each in (waits, other)}
    made.desired = dataclasses.replace(made.desired, withheld=withheld)
    (condition,) = of(made).conditions
    assert (condition.type, condition.reason, condition.since) == ("Held", "NotPermitted", NOW)
    assert condition.message == (
        "the removal of sandboxes/x.yaml by dewi in abcdef1 does not count: "
        "it takes 'delete sandboxes', which BACKEND has"
    )
    assert (of(made).sync, of(made).health) == ("Synced", "Healthy")
