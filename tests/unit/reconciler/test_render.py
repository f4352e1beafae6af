"""Render: the text that people decide by, compared as text."""

import json

from sdp.reconciler.render import as_json, text
from tests.builders import Simulation, desired, sandbox

A = sandbox("QA-A", "account: {branch: develop}")


def shown(made: Simulation) -> str:
    return text(made.plans(), made.world())


def converged(*sandboxes: str) -> Simulation:
    made = Simulation(desired(*sandboxes))
    made.converge()
    return made


def test_a_converged_system_has_nothing_to_do() -> None:
    assert shown(converged(A)) == "Nothing to do: matches c0ffee0.\n"


def test_an_update_shows_the_container_and_the_route_it_leads_to() -> None:
    made = converged(A)
    made.desired = desired(sandbox("QA-A", "account: {branch: feature/a}"))
    lines = shown(made).splitlines()
    assert lines[0] == "  sandbox QA-A"
    assert lines[1].startswith("  ~ account      develop @ ")
    assert [line.split()[:2] for line in lines[2:6]] == [
        ["+", "fetch"],
        ["+", "build"],
        ["+", "container"],
        ["~", "route"],
    ]
    assert "http://10.0.0.92:9001 → http://10.0.0.92:9002" in lines[5]
    assert lines[5].endswith("once healthy")
    assert lines[6] == "    payment, user  no change"
    assert lines[-1] == "Plan: 3 to add, 1 to change, 0 to destroy, 0 held."


def test_an_end_shows_what_is_destroyed_by_name() -> None:
    made = converged(A)
    made.desired = desired()
    said = shown(made)
    assert "- container  sandbox-qa-a-account " in said
    assert "removed from git" in said


def test_a_hold_shows_its_reason_and_its_fix() -> None:
    said = shown(Simulation(desired(sandbox("QA-A", "account: {branch: nope}"))))
    assert "sandbox QA-A account   BranchMissing: account has no branch nope" in said
    assert "fix: push nope, or name another branch" in said
    assert "1 held." in said


def test_a_shared_build_is_counted_once() -> None:
    one = Simulation(desired(sandbox("QA-A", "", "branch: develop")))
    two = Simulation(desired(sandbox("QA-A"), sandbox("QA-B")))
    assert shown(two).count("api-gateway @") == 4
    counted = as_json(two.plans(), two.world())["summary"]
    alone = as_json(one.plans(), one.world())["summary"]
    assert isinstance(counted, dict)
    assert isinstance(alone, dict)
    assert int(str(counted["add"])) == 2 * int(str(alone["add"])) - 2


def test_the_same_plan_gives_the_same_text() -> None:
    made = Simulation(desired(A, sandbox("QA-B", "user: {branch: develop}")))
    plans = made.plans()
    backwards = dict(reversed(plans.items()))
    assert text(plans, made.world()) == text(backwards, made.world())


def test_no_environment_and_no_file_is_in_the_json() -> None:
    made = Simulation(desired(A))
    said = json.dumps(as_json(made.plans(), made.world()))
    assert '"environment": {"CGO_ENABLED"' in said
    assert "SDP_SANDBOX" not in said
    assert '"files"' not in said
