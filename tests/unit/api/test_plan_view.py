"""A plan as the API shows it: what counts as a change."""

from sdp.api import showing
from tests.builders import Simulation, desired, sandbox

MISSING = sandbox("QA", "account: {branch: feature/none}")


def test_what_would_wait_is_a_change_and_what_waits_already_is_none():
    simulation = Simulation(desired(sandbox("QA", "account: {use_ocp: true}")))
    simulation.converge()
    simulation.desired = desired(MISSING)
    simulation.converge()
    plans, whole = simulation.plans(), simulation.world()
    waiting = [hold for plan in plans.values() for hold in plan.holds]
    assert [hold.reason for hold in waiting] == ["BranchMissing"]
    assert showing.plan(plans, whole, waiting=()).changes
    assert not showing.plan(plans, whole, waiting=waiting).changes
    assert not showing.plan(plans, whole).changes
