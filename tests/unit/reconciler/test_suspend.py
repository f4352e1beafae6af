"""Suspending: what sleeps is stopped and kept, stays as it is, and wakes as it was."""

from sdp.reconciler.plan import plan
from sdp.reconciler.status import SandboxStatus, ServiceStatus, status
from tests.builders import GATEWAY, MICRO, Simulation, commit, desired, sandbox

BOTH = "account: {branch: develop}, payment: {branch: develop}"
STOPPED = "account: {branch: develop, suspended: true}, payment: {branch: develop}"
ASLEEP = "lifecycle: {suspended: true}"


def converged() -> Simulation:
    made = Simulation(desired(sandbox("QA-A", BOTH)))
    made.converge()
    made.remember()
    return made


def commit_and_converge(made: Simulation, text: str) -> None:
    made.desired = desired(text)
    made.converge()
    made.remember()


def of(made: Simulation) -> SandboxStatus:
    return status("qa-a", made.world(), plan("qa-a", made.world()), (), None)


def service(made: SandboxStatus, name: str) -> ServiceStatus:
    return next(each for each in made.services if each.name == name)


def test_a_stopped_service_keeps_container_port_and_route() -> None:
    made = converged()
    before, routes = made.containers(), made.routes("QA-A")
    made.desired = desired(sandbox("QA-A", STOPPED))
    assert made.kinds() == ["account stop"]
    made.converge()
    made.remember()
    after = made.containers()
    assert {name: each.state for name, each in after.items()} == {
        "sandbox-qa-a-account": "exited",
        "sandbox-qa-a-gateway": "running",
        "sandbox-qa-a-payment": "running",
    }
    assert {n: (c.id, c.host_port) for n, c in before.items()} == {
        n: (c.id, c.host_port) for n, c in after.items()
    }
    assert made.routes("QA-A") == routes
    assert (MICRO, before["sandbox-qa-a-account"].host_port) in made.leases


def test_a_stopped_service_is_suspended_and_does_not_count() -> None:
    made = converged()
    commit_and_converge(made, sandbox("QA-A", STOPPED))
    shown = of(made)
    assert (shown.sync, shown.health, shown.lifecycle.state) == ("Synced", "Healthy", "ACTIVE")
    assert service(shown, "account").health == "Suspended"
    assert {each.service: each.state for each in shown.routes}["account"] == "Verified"


def test_what_is_resumed_is_the_same_container_and_no_drift() -> None:
    for asleep in (sandbox("QA-A", STOPPED), sandbox("QA-A", BOTH, more=ASLEEP)):
        made = converged()
        before = made.containers()
        commit_and_converge(made, asleep)
        made.desired = desired(sandbox("QA-A", BOTH))
        assert made.plans()["qa-a"].drifts == ()
        assert "wanted stopped → running" in str(made.plans()["qa-a"].actions[0].cause)
        made.converge()
        assert made.containers() == before


def test_what_sleeps_is_not_healed() -> None:
    made = converged()
    commit_and_converge(made, sandbox("QA-A", BOTH, more=ASLEEP))
    made.remove(MICRO, "sandbox-qa-a-payment")
    made.edit(GATEWAY, "sandbox-qa-a-gateway", name="by-hand")
    assert made.kinds() == []
    assert made.plans()["qa-a"].drifts == ()


def test_a_crash_loop_is_stopped_too() -> None:
    made = converged()
    made.edit(MICRO, "sandbox-qa-a-account", state="restarting", health="none")
    made.desired = desired(sandbox("QA-A", BOTH, more=ASLEEP))
    assert "account stop" in made.kinds()


def test_a_gateway_that_is_updated_keeps_the_route_of_what_sleeps() -> None:
    made = converged()
    commit_and_converge(made, sandbox("QA-A", STOPPED))
    route = made.routes("QA-A")["account_url"]
    commit_and_converge(made, sandbox("QA-A", STOPPED, gateway="branch: feature/a"))
    assert made.routes("QA-A")["account_url"] == route
    gateway = made.containers()["sandbox-qa-a-gateway"]
    assert gateway.commit == commit("api-gateway", "feature/a")


def test_a_stopped_service_does_not_follow_its_branch_until_it_is_resumed() -> None:
    made = converged()
    commit_and_converge(made, sandbox("QA-A", STOPPED))
    report = made.observed[MICRO].report
    account = report.repositories["account"]
    moved = account.model_copy(update={"branches": {**account.branches, "develop": "9" * 40}})
    repositories = {**report.repositories, "account": moved}
    made.report(MICRO, report.model_copy(update={"repositories": repositories}))
    assert made.kinds() == []
    commit_and_converge(made, sandbox("QA-A", BOTH))
    assert made.containers()["sandbox-qa-a-account"].commit == "9" * 40


def test_a_service_that_runs_elsewhere_can_not_sleep() -> None:
    made = converged()
    made.desired = desired(
        sandbox("QA-A", "account: {use_ocp: true, suspended: true}, payment: {branch: develop}")
    )
    made.converge()
    assert "sandbox-qa-a-account" not in made.containers()
    assert not made.desired.sandboxes["qa-a"].sleeps("account")
