"""Ports: who gets which, who gives one up, and what a hold says of the other party."""

import dataclasses

import pytest

from sdp.reconciler import observed as observation
from sdp.reconciler.draft import Hold
from sdp.reconciler.drift import INTENT
from tests.builders import GATEWAY, MICRO, PLATFORM, Simulation, desired, sandbox

QA = sandbox("QA", "account: {branch: feature/a}")
QB = sandbox("QB", "account: {branch: feature/b}")
SUSPENDED = "lifecycle: {suspended: true}"


def pinned(name: str, port: int) -> str:
    return sandbox(name, f"account: {{branch: feature/b, port: {port}}}")


def converged(*sandboxes: str, platform: str = PLATFORM) -> Simulation:
    simulation = Simulation(desired(*sandboxes, platform=platform))
    simulation.converge()
    return simulation


def port(simulation: Simulation, name: str, service: str = "account") -> int:
    return simulation.containers()[f"sandbox-{name.lower()}-{service}"].host_port


def hold(simulation: Simulation, name: str) -> Hold:
    (found,) = simulation.plans()[name.lower()].holds
    assert found.reason == "PortConflict"
    assert found.fix
    return found


def test_pins_are_reserved_before_ports_are_given_out():
    simulation = converged(QA, pinned("QZ", 9001))
    assert (port(simulation, "QA"), port(simulation, "QZ")) == (9002, 9001)


def test_a_pin_outside_of_the_range_is_taken_as_it_is():
    assert port(converged(pinned("QA", 443)), "QA") == 443


def test_a_pin_of_a_service_that_ocp_serves_reserves_nothing():
    simulation = converged(sandbox("QB", "account: {use_ocp: true, port: 9001}"), QA)
    assert port(simulation, "QA") == 9001


def test_an_allocated_service_gives_its_port_to_a_pin_without_a_gap():
    simulation = converged(QA)
    simulation.desired = desired(QA, pinned("QB", 9001))
    held = hold(simulation, "QB")
    assert held.message == "port 9001 of micro-92 is QA/account's, which is to give it up"
    start = next(a for a in simulation.plans()["qa"].actions if a.action.kind == "start-service")
    assert str(start.cause) == "port 9001 → 9002"
    while simulation.plans()["qa"].actions:
        states = {(c.state, c.health) for c in simulation.containers().values() if c.admitted}
        assert ("running", "healthy") in states
        simulation.step()
    simulation.converge()
    assert (port(simulation, "QA"), port(simulation, "QB")) == (9002, 9001)
    assert simulation.routes("qa")["account_url"] == "http://10.0.0.92:9002"
    assert simulation.reasons() == []


def test_a_move_for_a_pin_is_no_drift():
    simulation = converged(QA)
    applied = {(c.sandbox, c.service): c.hash for c in simulation.containers().values()}
    applied["QA", INTENT] = simulation.desired.sandboxes["qa"].intent_digest
    simulation.history = dataclasses.replace(simulation.history, applied=applied)
    simulation.desired = desired(QA, pinned("QB", 9001))
    found = []
    while simulation.step():
        found += [each.message for each in simulation.plans()["qa"].drifts]
    assert found == []
    assert port(simulation, "QA") == 9002


def test_a_suspended_service_gives_its_port_to_a_pin_and_comes_back_on_another():
    simulation = converged(QA)
    asleep = sandbox("QA", "account: {branch: feature/a}", more=SUSPENDED)
    simulation.desired = desired(asleep)
    simulation.converge()
    simulation.desired = desired(asleep, pinned("QB", 9001))
    simulation.converge()
    assert port(simulation, "QB") == 9001
    simulation.desired = desired(QA, pinned("QB", 9001))
    simulation.converge()
    assert port(simulation, "QA") == 9002


def test_a_gateway_keeps_the_port_that_it_was_given_against_a_pin():
    simulation = converged(QA)
    simulation.desired = desired(QA, sandbox("QB", "", "branch: develop, port: 8080"))
    simulation.converge()
    assert "QA/gateway" in hold(simulation, "QB").message
    assert port(simulation, "QA", "gateway") == 8080


def test_who_has_a_pinned_port_keeps_it_and_the_other_gets_it_when_it_is_given_up():
    simulation = converged(pinned("QB", 9500))
    simulation.desired = desired(pinned("QA", 9500), pinned("QB", 9500))
    simulation.converge()
    assert hold(simulation, "QA").message == "port 9500 of micro-92 is pinned by QB/account too"
    assert port(simulation, "QB") == 9500
    simulation.desired = desired(pinned("QA", 9500), pinned("QB", 9501))
    simulation.converge()
    assert (port(simulation, "QA"), port(simulation, "QB")) == (9500, 9501)


def both(name: str, account: int, payment: int) -> str:
    services = f"account: {{branch: feature/b, port: {account}}}"
    return sandbox(name, f"{services}, payment: {{branch: feature/b, port: {payment}}}")


def exchanged(simulation: Simulation, *sandboxes: str) -> None:
    """Commit other pins, and let it converge; meanwhile each service serves."""
    serving = sum(each.service != "gateway" for each in simulation.containers().values())
    simulation.desired = desired(*sandboxes)
    while simulation.step():
        standing = [
            each
            for each in simulation.containers().values()
            if (each.state, each.health, each.admitted) == ("running", "healthy", True)
        ]
        assert len({(c.sandbox, c.service) for c in standing if c.service != "gateway"}) == serving
    simulation.converge()
    assert simulation.reasons() == []


def test_two_that_exchange_their_pins_are_never_interrupted():
    simulation = converged(pinned("QA", 9500), pinned("QB", 9501))
    exchanged(simulation, pinned("QA", 9501), pinned("QB", 9500))
    assert (port(simulation, "QA"), port(simulation, "QB")) == (9501, 9500)
    assert simulation.routes("qa")["account_url"] == "http://10.0.0.92:9501"


def test_three_that_pass_their_pins_on_all_get_them():
    simulation = converged(pinned("QA", 9500), pinned("QB", 9501), pinned("QC", 9502))
    exchanged(simulation, pinned("QA", 9502), pinned("QB", 9500), pinned("QC", 9501))
    assert [port(simulation, name) for name in ("QA", "QB", "QC")] == [9502, 9500, 9501]


def test_two_services_of_a_sandbox_exchange_their_pins():
    simulation = converged(both("QA", 9500, 9501))
    exchanged(simulation, both("QA", 9501, 9500))
    assert port(simulation, "QA") == 9501
    assert port(simulation, "QA", "payment") == 9500


def test_two_gateways_exchange_their_pins():
    before = [sandbox(n, "", f"branch: develop, port: {p}") for n, p in (("QA", 81), ("QB", 82))]
    after = [sandbox(n, "", f"branch: develop, port: {p}") for n, p in (("QA", 82), ("QB", 81))]
    simulation = converged(*before)
    exchanged(simulation, *after)
    assert port(simulation, "QA", "gateway") == 82
    assert port(simulation, "QB", "gateway") == 81


def test_who_went_elsewhere_meanwhile_says_who_has_its_port():
    simulation = converged(pinned("QA", 9500), pinned("QB", 9501))
    simulation.desired = desired(pinned("QA", 9501), pinned("QB", 9500))
    while not any(
        c.host_port == 9500 and c.sandbox == "QB" for c in simulation.containers().values()
    ):
        assert simulation.step()
    assert "9501" in hold(simulation, "QA").message


def test_a_used_up_range_names_itself_its_holders_and_heals():
    small = PLATFORM + "ports: {services: {first: 9001, last: 9002}}\n"
    simulation = Simulation(desired(QA, QB, platform=small))
    simulation.listen(MICRO, 9001, "nginx (pid 7)")
    simulation.converge()
    held = hold(simulation, "QB")
    assert held.message == (
        "no port is free on micro-92 in 9001-9002: nginx (pid 7), QA/account have them"
    )
    assert "widen ports:" in held.fix
    simulation.desired = desired(QB, platform=small)
    simulation.converge()
    assert port(simulation, "QB") == 9002


def test_many_who_use_a_range_up_are_counted():
    small = PLATFORM + "ports: {services: {first: 9001, last: 9008}}\n"
    simulation = Simulation(desired(QA, platform=small))
    for each in range(9001, 9009):
        simulation.listen(MICRO, each, f"stranger-{each}")
    assert hold(simulation, "QA").message.endswith("stranger-9005 and 3 more have them")


def test_a_strangers_port_is_passed_over():
    simulation = Simulation(desired(QA))
    simulation.listen(MICRO, 9001, "nginx (pid 7)")
    simulation.converge()
    assert port(simulation, "QA") == 9002


def test_a_service_whose_port_a_stranger_took_while_it_slept_moves():
    simulation = converged(QA)
    simulation.edit(MICRO, "sandbox-qa-account", state="exited", health="none")
    simulation.listen(MICRO, 9001, "nginx (pid 7)")
    simulation.converge()
    assert port(simulation, "QA") == 9002
    assert len(simulation.containers()) == 2


def test_a_gateway_whose_port_a_stranger_took_moves_too():
    simulation = converged(QA)
    simulation.edit(GATEWAY, "sandbox-qa-gateway", state="exited", health="none")
    simulation.listen(GATEWAY, 8080, "nginx (pid 7)")
    simulation.converge()
    assert port(simulation, "QA", "gateway") == 8081


def test_a_pinned_service_waits_for_a_stranger_that_took_its_port():
    simulation = converged(pinned("QA", 9500))
    simulation.edit(MICRO, "sandbox-qa-account", state="exited", health="none")
    simulation.listen(MICRO, 9500, "container web (image nginx)")
    assert simulation.kinds() == []
    assert hold(simulation, "QA").message == (
        "port 9500 of micro-92 is taken by container web (image nginx)"
    )
    simulation.listen(MICRO, 9500, "")
    simulation.converge()
    assert simulation.containers()["sandbox-qa-account"].state == "running"


@pytest.mark.parametrize("known", [True, False])
def test_ports_are_the_same_after_a_suspension_and_without_a_record(known):
    simulation = converged(QA, QB)
    before = {name: each.host_port for name, each in simulation.containers().items()}
    asleep = [sandbox(n, "account: {branch: feature/a}", more=SUSPENDED) for n in ("QA", "QB")]
    simulation.desired = desired(*asleep)
    simulation.converge()
    if not known:
        simulation.leases = {}
    simulation.desired = desired(QB, QA)
    simulation.converge()
    assert {n: each.host_port for n, each in simulation.containers().items()} == before


def test_nothing_moves_on_a_silent_node():
    simulation = converged(QA)
    simulation.observed = observation.silent(simulation.observed, MICRO)
    simulation.desired = desired(QA, pinned("QB", 9001))
    assert all(each.node != MICRO for p in simulation.plans().values() for each in p.actions)
