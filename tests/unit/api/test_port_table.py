"""The table of ports answers: who has this one, and which one may I pin?"""

from starlette.testclient import TestClient

from sdp.api.app import create_app
from sdp.api.port_table import port_list
from sdp.reconciler import observed as observation
from tests.builders import GATEWAY, MICRO, PLATFORM, Simulation, desired, sandbox
from tests.fakes.control_plane import FakeControlPlane

SMALL = PLATFORM + "ports: {services: {first: 9001, last: 9010}}\n"
QA = sandbox("QA", "account: {branch: feature/a}, payment: {branch: feature/b, port: 9005}")


def converged(*sandboxes: str) -> Simulation:
    simulation = Simulation(desired(*sandboxes or (QA,), platform=SMALL))
    simulation.converge()
    return simulation


def rows(simulation: Simulation) -> list[tuple[int, str, str, str]]:
    found = port_list(simulation.world()).ports
    return [
        (e.port, f"{e.sandbox}/{e.service}", e.origin, e.use) for e in found if e.node == MICRO
    ]


def test_what_runs_is_listed_with_its_origin():
    assert rows(converged()) == [
        (9001, "QA/account", "allocated", "running"),
        (9005, "QA/payment", "pinned", "running"),
    ]


def test_what_is_stopped_keeps_its_port_and_what_has_no_container_reserves_one():
    simulation = converged()
    simulation.edit(MICRO, "sandbox-qa-account", state="exited", health="none")
    simulation.remove(MICRO, "sandbox-qa-payment")
    assert [row[3] for row in rows(simulation)] == ["stopped", "reserved"]


def test_a_pin_that_somebody_else_has_waits_beside_its_holder():
    simulation = converged()
    simulation.desired = desired(
        QA, sandbox("QB", "user: {branch: feature/a, port: 9005}"), platform=SMALL
    )
    simulation.converge()
    assert rows(simulation)[1:] == [
        (9005, "QA/payment", "pinned", "running"),
        (9005, "QB/user", "pinned", "waits"),
    ]


def test_free_ports_are_neither_leased_nor_pinned_nor_a_strangers():
    simulation = converged()
    simulation.listen(MICRO, 9002, "nginx (pid 7)")
    simulation.listen(MICRO, 22, "sshd (pid 1)")
    found = port_list(simulation.world())
    ranges = {each.node: (each.kind, each.free, each.lowest) for each in found.ranges}
    assert ranges == {MICRO: ("services", 7, 9003), GATEWAY: ("gateway", 919, 8081)}
    assert [(each.port, each.owner) for each in found.strangers] == [(9002, "nginx (pid 7)")]


def test_what_is_free_on_a_silent_node_is_not_known():
    simulation = converged()
    simulation.observed = observation.silent(simulation.observed, MICRO)
    assert {e.node: e.free for e in port_list(simulation.world()).ranges}[MICRO] is None


def test_the_table_is_served():
    control = FakeControlPlane()
    control.plane.leased = port_list(converged().world())
    answer = TestClient(create_app(control.ports)).get("/api/ports").json()
    assert answer["ports"][0] == {
        "node": GATEWAY,
        "port": 8080,
        "sandbox": "QA",
        "service": "gateway",
        "origin": "allocated",
        "use": "running",
        "container": "sandbox-qa-gateway",
    }
