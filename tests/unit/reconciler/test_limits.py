"""Limits reach containers in place; where the engine can't do that, another one takes its place."""

from sdp.protocol.actions import Limits, SetLimits
from sdp.protocol.frames import Failed
from sdp.protocol.report import Container
from sdp.reconciler import history as past
from sdp.reconciler.history import Attempt, History
from tests.builders import NOW, Simulation, desired, sandbox

ACCOUNT = "sandbox-qa-account"
GATEWAY = "sandbox-qa-gateway"


def qa(more: str = "", pin: str = "") -> str:
    return sandbox("QA", f"account: {{branch: feature/a{pin}}}", more=more)


def converged(*sandboxes: str) -> Simulation:
    made = Simulation(desired(*sandboxes))
    made.converge()
    made.remember()
    return made


def account(made: Simulation) -> Container:
    return made.containers()[ACCOUNT]


def causes(made: Simulation) -> list[str]:
    plans = made.plans().values()
    return [f"{each.service} {each.cause}" for plan in plans for each in plan.actions]


def refuse(made: Simulation, service: str = "account") -> None:
    """Let the node refuse to change a service's limits, as below what is in use."""
    told = Failed(reason="BelowUse", message="30 MB are in use", terminal=True)
    failures = {}
    for plan in made.plans().values():
        for each in plan.actions:
            if isinstance(each.action, SetLimits) and each.service == service:
                attempt = Attempt(each.sandbox, each.service, each.version, "limits")
                key = (attempt.sandbox, attempt.service, attempt.version)
                failures[key] = past.failed(None, attempt, told, NOW, 0.0)
    made.history = History(made.history.applied, failures)


def test_a_ceiling_reaches_every_container_in_place():
    made = converged(qa("resources: {memory: 1GB}"))
    before = {each.id for each in made.containers().values()}
    assert account(made).limits.memory_bytes == 512 << 20
    made.desired = desired(qa("resources: {memory: 2GB}"))
    assert causes(made) == [
        "gateway resources.memory 512MB → 1GB",
        "account resources.memory 512MB → 1GB",
    ]
    made.converge()
    assert {each.id for each in made.containers().values()} == before


def test_limits_are_lifted_in_place():
    made = converged(qa("resources: {cpu: 1, memory: 1GB}"))
    made.desired = desired(qa())
    assert causes(made)[1] == (
        "account resources cpu 500m, memory 512MB → cpu unlimited, memory unlimited"
    )
    made.converge()
    assert account(made).limits == Limits()


def test_another_service_changes_the_shares_of_those_that_stay():
    made = converged(qa("resources: {cpu: 1}"))
    both = "account: {branch: feature/a}, payment: {branch: feature/a}"
    made.desired = desired(sandbox("QA", both, more="resources: {cpu: 1}"))
    made.converge()
    assert {each.limits.cpu_milli for each in made.containers().values()} == {333}


def test_memory_below_use_is_brought_about_by_a_container_beside_the_one_that_serves():
    made = converged(qa("resources: {memory: 1GB}"))
    before = account(made)
    made.desired = desired(
        sandbox("QA", "account: {branch: feature/a, resources: {memory: 20MB}}")
    )
    refuse(made)
    said = [cause for cause in causes(made) if cause.startswith("account resources")]
    assert said == ["account resources.memory 512MB → 20MB, which is below its use"]
    stopped = [each for each in made.step() if each.action.kind == "stop"]
    assert stopped == []
    made.converge()
    after = account(made)
    assert (after.limits.memory_bytes, after.hash) == (20 << 20, before.hash)
    assert after.id != before.id
    assert after.host_port != before.host_port
    assert made.routes("QA")["account_url"].endswith(f":{after.host_port}")
    assert set(made.kinds()) == set()


def test_at_a_pinned_port_the_old_one_stops_first_and_comes_back_if_the_new_one_fails():
    made = converged(qa("resources: {memory: 1GB}", ", port: 9100"))
    before = account(made)
    made.desired = desired(
        sandbox("QA", "account: {branch: feature/a, port: 9100, resources: {memory: 20MB}}")
    )
    refuse(made)
    assert "account stop" in made.kinds()
    made.step()
    broken = Failed(reason="NeverHealthy", message="out of memory", terminal=True)
    attempt = Attempt("QA", "account", before.hash, "gate")
    failures = {
        **made.history.failures,
        ("QA", "account", before.hash): past.failed(None, attempt, broken, NOW, 0.0),
    }
    made.history = History(made.history.applied, failures)
    made.converge()
    standing = account(made)
    assert (standing.id, standing.state) == (before.id, "running")
    assert "NeverHealthy" in made.reasons()


def test_a_gateway_is_replaced_at_its_port():
    made = converged(qa("resources: {memory: 1GB}"))
    before = made.containers()[GATEWAY]
    made.desired = desired(
        sandbox("QA", "account: {branch: feature/a}", "branch: develop, resources: {memory: 20MB}")
    )
    refuse(made, "gateway")
    made.converge()
    after = made.containers()[GATEWAY]
    assert after.id != before.id
    assert (after.host_port, after.limits.memory_bytes) == (before.host_port, 20 << 20)


def test_once_replaced_nothing_is_left_to_do_when_the_refusal_is_forgotten():
    made = converged(qa("resources: {memory: 1GB}"))
    made.desired = desired(
        sandbox("QA", "account: {branch: feature/a, resources: {memory: 20MB}}")
    )
    refuse(made)
    made.converge()
    made.history = History(made.history.applied)
    assert made.kinds() == []


def test_another_limit_than_the_refused_one_is_set_in_place():
    made = converged(qa("resources: {memory: 1GB}"))
    before = account(made)
    made.desired = desired(
        sandbox("QA", "account: {branch: feature/a, resources: {memory: 20MB}}")
    )
    refuse(made)
    made.desired = desired(
        sandbox("QA", "account: {branch: feature/a, resources: {memory: 64MB}}")
    )
    made.converge()
    assert (account(made).id, account(made).limits.memory_bytes) == (before.id, 64 << 20)
