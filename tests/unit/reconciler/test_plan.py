"""The planner's obligations, on simulated nodes in which ready actions take effect."""

import dataclasses

from sdp.protocol.frames import Failed
from sdp.protocol.report import Listener
from sdp.reconciler import observed as observation
from sdp.reconciler.diff import Version, diff
from sdp.reconciler.history import Attempt, History, failed
from tests.builders import GATEWAY, MICRO, NOW, Simulation, desired, nodes, sandbox

QA = sandbox("QA", "account: {branch: feature/a}")
ACCOUNT = "sandbox-qa-account"


def converged(*sandboxes: str) -> Simulation:
    simulation = Simulation(desired(*sandboxes or (QA,)))
    simulation.converge()
    applied = {
        (container.sandbox, container.service): container.hash
        for container in simulation.containers().values()
    }
    simulation.history = History(applied=applied)
    return simulation


def failing(simulation: Simulation, service: str, outcome: Failed) -> None:
    name, difference = "QA", diff(simulation.desired.sandboxes["qa"], simulation.observed)
    wanted = {each.service: each.wanted for each in (*difference.services, difference.gateway)}
    version = wanted[service]
    assert isinstance(version, Version)
    attempt = Attempt(name, service, version.hash, "gate")
    failure = failed(None, attempt, outcome, NOW, 0)
    failures = {(name, service, version.hash): failure}
    simulation.history = dataclasses.replace(simulation.history, failures=failures)


NEVER_HEALTHY = Failed(reason="NeverHealthy", message="503 for 60 s", terminal=True)


def test_a_converged_sandbox_plans_nothing():
    simulation = converged()
    assert simulation.plans()["qa"].empty
    assert simulation.routes("qa")["account_url"] == "http://10.0.0.92:9001"
    assert simulation.routes("qa")["payment_url"] == "http://ocp/payment"


def test_a_service_is_built_started_found_healthy_admitted_and_then_routed():
    actions = Simulation(desired(QA)).plans()["qa"].actions
    order = [each.action.kind for each in actions if each.service == "account"]
    assert order == ["fetch", "build", "start-service", "gate", "admit", "route"]
    by_kind = {each.action.kind: each for each in actions if each.service == "account"}
    assert by_kind["admit"].key in by_kind["route"].after
    assert by_kind["gate"].key in by_kind["admit"].after


def test_a_second_sandbox_has_its_own_port_and_leaves_the_first_alone():
    simulation = converged()
    before = simulation.containers()
    simulation.desired = desired(QA, sandbox("QB", "account: {branch: feature/b}"))
    assert simulation.plans()["qa"].empty
    simulation.converge()
    after = simulation.containers()
    assert after["sandbox-qb-account"].host_port != before[ACCOUNT].host_port
    assert {name: after[name] for name in before} == before


def test_a_changed_service_redeploys_only_that_service():
    simulation = converged()
    before = simulation.containers()
    simulation.desired = desired(
        sandbox("QA", "account: {branch: feature/a}, payment: {branch: feature/b}")
    )
    planned = simulation.plans()["qa"].actions
    assert {each.service for each in planned} == {"payment"}
    simulation.converge()
    assert simulation.containers()[ACCOUNT] == before[ACCOUNT]


def test_an_update_stands_beside_its_predecessor_until_it_is_routed_to():
    simulation = converged()
    simulation.desired = desired(sandbox("QA", "account: {branch: feature/b}"))
    seen_old_after_route = False
    for _ in range(12):
        simulation.step()
        old = simulation.containers().get(ACCOUNT)
        if simulation.routes("qa")["account_url"] == "http://10.0.0.92:9001":
            assert old is not None
            assert old.state == "running"
        else:
            seen_old_after_route = seen_old_after_route or old is not None
    assert seen_old_after_route
    account = simulation.containers()[ACCOUNT]
    assert (account.branch, account.host_port) == ("feature/b", 9002)
    assert simulation.plans()["qa"].empty


def test_a_removed_container_is_drift_and_comes_back_on_its_port():
    simulation = converged()
    simulation.remove(MICRO, ACCOUNT)
    start = next(a for a in simulation.plans()["qa"].actions if a.action.kind == "start-service")
    assert start.cause.field == "drift"
    simulation.converge()
    assert simulation.containers()[ACCOUNT].host_port == 9001


def test_a_stopped_container_is_started_again_not_replaced():
    simulation = converged()
    simulation.edit(MICRO, ACCOUNT, state="exited", health="none")
    assert simulation.kinds() == ["account resume", "account gate"]
    simulation.converge()
    assert simulation.containers()[ACCOUNT].id == "id0001"


def test_a_hand_edited_config_is_routed_again_and_named():
    simulation = converged()
    report = simulation.observed[GATEWAY].report
    (key, copy), *_ = report.copies.items()
    routes = {**copy.routes, "account_url": "http://elsewhere"}
    edited = copy.model_copy(update={"routes": routes, "edited": True})
    report = report.model_copy(update={"copies": {key: edited}})
    simulation.observed = observation.report(simulation.observed, GATEWAY, report, 2, NOW)
    causes = {str(each.cause) for each in simulation.plans()["qa"].actions}
    assert "config.php was edited by hand http://elsewhere → http://10.0.0.92:9001" in causes
    simulation.converge()
    assert simulation.routes("qa")["account_url"] == "http://10.0.0.92:9001"


def test_a_version_that_is_never_healthy_is_removed_and_the_previous_one_serves():
    simulation = converged()
    simulation.desired = desired(sandbox("QA", "account: {branch: feature/b}"))
    while not any(kind.endswith("gate") for kind in simulation.kinds()[:1]):
        simulation.step()
    failing(simulation, "account", NEVER_HEALTHY)
    simulation.converge()
    assert simulation.containers()[ACCOUNT].branch == "feature/a"
    assert simulation.routes("qa")["account_url"] == "http://10.0.0.92:9001"
    assert simulation.reasons() == ["NeverHealthy"]


def test_a_pinned_port_comes_back_to_the_previous_version_when_the_new_one_fails():
    simulation = converged(sandbox("QA", "account: {branch: feature/a, port: 9500}"))
    simulation.desired = desired(sandbox("QA", "account: {branch: feature/b, port: 9500}"))
    while not any(kind.endswith("gate") for kind in simulation.kinds()[:1]):
        simulation.step()
    assert simulation.containers()[ACCOUNT].state == "exited"
    failing(simulation, "account", NEVER_HEALTHY)
    simulation.converge()
    account = simulation.containers()[ACCOUNT]
    assert (account.branch, account.state) == ("feature/a", "running")


def test_a_pinned_version_that_is_wanted_again_gets_its_port_back_from_the_one_after_it():
    first = sandbox("QA", "account: {branch: feature/a, port: 9500}")
    simulation = converged(first)
    simulation.desired = desired(sandbox("QA", "account: {branch: feature/b, port: 9500}"))
    while not any(
        c.branch == "feature/b" and c.admitted for c in simulation.containers().values()
    ):
        simulation.step()
    simulation.desired = desired(first)
    while simulation.kinds():
        simulation.step()
        running = [c for c in simulation.containers().values() if c.state == "running"]
        assert len({each.host_port for each in running}) == len(running)
    account = simulation.containers()[ACCOUNT]
    assert (account.branch, account.state) == ("feature/a", "running")


def test_a_gateway_keeps_its_port_over_an_update():
    simulation = converged()
    simulation.desired = desired(
        sandbox("QA", "account: {branch: feature/a}", "branch: feature/a")
    )
    simulation.converge()
    gateway = simulation.containers()["sandbox-qa-gateway"]
    assert (gateway.branch, gateway.host_port) == ("feature/a", 8080)
    assert len(simulation.observed[GATEWAY].report.copies) == 1
    assert simulation.routes("qa")["account_url"] == "http://10.0.0.92:9001"


def test_a_service_given_back_to_ocp_is_routed_there_before_its_container_goes():
    simulation = converged()
    simulation.desired = desired(sandbox("QA", "account: {use_ocp: true}"))
    route, remove = simulation.plans()["qa"].actions
    assert (route.action.kind, remove.action.kind) == ("route", "remove")
    assert remove.after == (route.key,)
    simulation.converge()
    assert simulation.routes("qa")["account_url"] == "http://ocp/account"


def test_a_removed_sandbox_leaves_nothing_and_touches_no_other():
    other = sandbox("QB", "account: {branch: feature/b}")
    simulation = converged(QA, other)
    simulation.desired = desired(other)
    simulation.converge()
    for node in simulation.observed.values():
        assert set(node.held) == {"qb"}
    assert set(simulation.containers()) == {"sandbox-qb-account", "sandbox-qb-gateway"}


def test_a_silent_node_is_neither_emptied_nor_replaced():
    simulation = converged()
    simulation.observed = observation.silent(simulation.observed, MICRO)
    simulation.desired = desired(sandbox("QA", "payment: {branch: feature/b}"))
    assert all(each.node != MICRO for each in simulation.plans()["qa"].actions)
    assert "NodeSilent" in simulation.reasons()
    simulation.desired = desired()
    assert all(each.node != MICRO for each in simulation.plans()["qa"].actions)


def test_a_silent_gateway_keeps_the_containers_that_it_routes_to():
    simulation = converged()
    simulation.observed = observation.silent(simulation.observed, GATEWAY)
    simulation.desired = desired(sandbox("QA", "account: {use_ocp: true}"))
    assert simulation.kinds() == []


def test_a_stranger_on_a_pinned_port_is_a_hold_that_names_it():
    simulation = Simulation(desired(sandbox("QA", "account: {branch: feature/a, port: 9500}")))
    report = simulation.observed[MICRO].report
    report = report.model_copy(update={"listeners": {"9500": Listener(owner="nginx (pid 7)")}})
    simulation.observed = observation.report(simulation.observed, MICRO, report, 2, NOW)
    (hold,) = simulation.plans()["qa"].holds
    assert hold.reason == "PortConflict"
    assert "nginx (pid 7)" in hold.message


def test_two_sandboxes_that_pin_one_port_hold_the_second_and_name_the_first():
    first = sandbox("QA", "account: {branch: feature/a, port: 9500}")
    second = sandbox("QB", "account: {branch: feature/b, port: 9500}")
    simulation = Simulation(desired(first, second))
    simulation.converge()
    (hold,) = simulation.plans()["qb"].holds
    assert "QA/account" in hold.message


def test_a_missing_branch_is_a_hold_and_the_other_services_go_on():
    services = "account: {branch: feature/none}, payment: {branch: feature/a}"
    simulation = Simulation(desired(sandbox("QA", services)))
    simulation.converge()
    assert simulation.reasons() == ["BranchMissing"]
    assert "sandbox-qa-payment" in simulation.containers()


def test_suspending_stops_containers_and_resuming_starts_the_same_ones():
    simulation = converged()
    before = {name: each.id for name, each in simulation.containers().items()}
    simulation.desired = desired(
        sandbox("QA", "account: {branch: feature/a}", more="lifecycle: {suspended: true}")
    )
    simulation.converge()
    assert {each.state for each in simulation.containers().values()} == {"exited"}
    simulation.desired = desired(QA)
    simulation.converge()
    assert {name: each.id for name, each in simulation.containers().items()} == before


def test_changed_limits_are_set_in_place():
    simulation = converged()
    simulation.desired = desired(
        sandbox("QA", "account: {branch: feature/a, resources: {memory: 64MB}}")
    )
    assert simulation.kinds() == ["account limits"]


def test_plans_do_not_depend_on_the_order_of_files():
    one, two = QA, sandbox("QB", "account: {branch: feature/b}")
    forward, backward = Simulation(desired(one, two)), Simulation(desired(two, one))
    assert [p.actions for p in forward.plans().values()] == [
        p.actions for p in backward.plans().values()
    ]


def test_nothing_is_planned_where_no_node_has_reported():
    simulation = Simulation(desired(QA), observed={})
    assert simulation.kinds() == []
    assert set(simulation.reasons()) == {"NodeSilent"}


def test_an_engine_that_is_down_is_a_hold():
    simulation = Simulation(desired(QA), observed=nodes())
    report = simulation.observed[MICRO].report
    engine = report.engine.model_copy(update={"error": "cannot connect to docker.sock"})
    report = report.model_copy(update={"engine": engine})
    simulation.observed = observation.report(simulation.observed, MICRO, report, 2, NOW)
    assert "EngineUnavailable" in simulation.reasons()


def test_nothing_is_routed_while_there_is_no_gateway_to_route():
    made = Simulation(desired(sandbox("QA", "account: {url: 'http://10.9.9.9:8080'}")))
    made.take_effect(GATEWAY, made.plans()["qa"].actions[0].action)
    broken = Failed(reason="BuildFailed", message="no", terminal=True)
    failing(made, "gateway", broken)
    assert "account route" not in made.kinds()
    made.history = History()
    made.converge()
    assert made.routes("QA")["account_url"] == "http://10.9.9.9:8080"


def test_a_narrowed_plan_has_what_its_actions_come_after_and_nothing_else():
    both = "account: {branch: feature/a}, payment: {branch: feature/a}"
    made = Simulation(desired(sandbox("QA", both)))
    plan = made.plans()["qa"].narrowed(lambda service: service == "account")
    assert {each.service for each in plan.actions} == {"", "gateway", "account"}
    keys = {each.key for each in plan.actions}
    assert all(set(each.after) <= keys for each in plan.actions)
    made.converge()
    made.desired = desired(sandbox("QA", both.replace("feature/a", "feature/b")))
    plan = made.plans()["qa"].narrowed(lambda service: service == "payment")
    assert {each.service for each in plan.actions} == {"payment"}
