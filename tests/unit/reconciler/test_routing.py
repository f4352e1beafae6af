"""What stands in a route's way is named with its place and its fix, and not tried."""

import pytest

from sdp.protocol.report import ConfigProblem, Copy
from sdp.reconciler.plan import plan
from sdp.reconciler.routes import RouteStatus
from sdp.reconciler.routing import patchable, problem
from sdp.reconciler.status import status
from tests.builders import GATEWAY, NOW, Simulation, desired, sandbox

FILE = "application/config/production/config.php"
LAPTOP = sandbox("QA", "account: {url: 'http://10.0.0.7:8080'}")
BRANCH = sandbox("QA", "account: {branch: feature/a}")


def found(kind: str, key: str = "account_url", line: int = 7) -> ConfigProblem:
    told = {"kind": kind, "key": key, "file": FILE, "line": line, "message": "as it is"}
    return ConfigProblem.model_validate(told)


def held(*problems: ConfigProblem, **defaults: str) -> Copy:
    return Copy(
        sandbox="QA",
        commit="c" * 40,
        routes=defaults,
        defaults=defaults,
        edited=False,
        problems=problems,
        verified_at=NOW,
    )


def with_problems(text: str, *problems: ConfigProblem) -> Simulation:
    """A simulation in which the gateway's config.php has these problems."""
    simulation = Simulation(desired(text))
    simulation.problems = problems
    simulation.converge()
    return simulation


def route(simulation: Simulation) -> RouteStatus:
    whole = simulation.world()
    made = status("qa", whole, plan("qa", whole), (), None)
    return next(each for each in made.routes if each.service == "account")


@pytest.mark.parametrize(
    ("kind", "blocking"), [("conditional", True), ("not-literal", True), ("duplicate", False)]
)
def test_an_entrys_problem_is_told_with_its_place_and_fix(kind, blocking):
    told = problem("account_url", FILE, held(found(kind), account_url="http://ocp"))
    assert told is not None
    assert (told.kind, told.where, told.blocking) == (kind, f"{FILE}:7", blocking)
    assert told.message == f"{FILE}:7: as it is"
    assert "$config['account_url']" in told.fix


def test_what_blocks_is_told_before_what_only_warns():
    both = held(found("duplicate", line=3), found("conditional"), account_url="http://ocp")
    told = problem("account_url", FILE, both)
    assert told is not None
    assert told.kind == "conditional"


def test_another_keys_problem_is_not_this_ones():
    assert problem("user_url", FILE, held(found("conditional"), user_url="http://ocp")) is None


def test_a_file_that_does_not_parse_stands_in_every_routes_way():
    told = problem("user_url", FILE, held(found("syntax", key=""), user_url="http://ocp"))
    assert told is not None
    assert (told.kind, told.blocking) == ("syntax", True)


def test_a_gateway_that_reads_another_file_is_in_every_routes_way():
    copy = held(found("environment", key="", line=0), account_url="http://ocp")
    told = problem("account_url", FILE, copy)
    assert told is not None
    assert (told.kind, told.where, told.blocking) == ("environment", FILE, True)
    assert "PassEnv CI_ENV" in told.fix


def test_a_missing_entry_names_the_file_and_what_stands_in_its_stead():
    told = problem("user_url", FILE, held())
    assert told is not None
    assert (told.kind, told.where) == ("missing", FILE)
    instead = problem("user_url", FILE, held(found("not-literal", key="")))
    assert instead is not None
    assert (instead.kind, instead.where) == ("not-literal", f"{FILE}:7")


def test_only_routes_that_can_be_written_are():
    copy = held(found("conditional"), account_url="http://a", user_url="http://u")
    wanted = {"account_url": "http://1", "user_url": "http://2", "new_url": "http://3"}
    assert patchable(wanted, FILE, copy) == {"user_url": "http://2"}


@pytest.mark.parametrize("text", [LAPTOP, BRANCH])
@pytest.mark.parametrize("kind", ["conditional", "not-literal"])
def test_a_route_that_cannot_be_patched_holds_its_service_and_nothing_else(text, kind):
    simulation = with_problems(text, found(kind))
    (hold,) = simulation.plans()["qa"].holds
    assert (hold.service, hold.reason) == ("account", "RouteNotPatchable")
    assert f"{FILE}:7: as it is ({kind})" in hold.message
    assert simulation.containers()["sandbox-qa-gateway"].health == "healthy"
    assert route(simulation).problem == problem("account_url", FILE, _copy(simulation))


def test_a_route_whose_entry_is_doubtful_is_not_called_verified():
    simulation = with_problems(sandbox("QA"), found("conditional"))
    assert simulation.plans()["qa"].empty
    shown = route(simulation)
    assert (shown.state, shown.wanted) == ("Unverified", shown.actual)


def test_a_duplicate_is_patched_and_told():
    simulation = with_problems(BRANCH, found("duplicate"))
    shown = route(simulation)
    assert (shown.state, shown.actual) == ("Verified", "http://10.0.0.92:9001")
    assert shown.problem is not None
    assert simulation.plans()["qa"].empty


def test_notes_of_an_older_agent_in_words_are_passed_over():
    old = held().model_dump(mode="json") | {"problems": ["config.php:3: account_url: twice"]}
    assert Copy.model_validate(old).problems == ()


def _copy(simulation: Simulation) -> Copy:
    (copy,) = simulation.observed[GATEWAY].report.copies.values()
    return copy
