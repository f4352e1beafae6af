"""Who caused an operation lends for it; what waits says for whom, and what is here goes on."""

import dataclasses

import pytest

from sdp.protocol.report import Repository
from sdp.reconciler import borrowing
from sdp.reconciler.credentials import MOST_REFUSALS, Lenders
from sdp.reconciler.draft import World
from sdp.reconciler.lifecycle import LastChange, Life, Lives
from sdp.reconciler.plan import Plan, plan
from sdp.reconciler.updates import Look
from tests.builders import MICRO, NOW, PLATFORM, Simulation, commit, desired, sandbox

QA = sandbox("QA", "account: {branch: feature/a}, payment: {branch: develop}", more="owner: Sari")
ROLES = PLATFORM + "roles: {users: {Budi: {role: ADMIN, emails: [b@home.example]}}}\n"
FETCH = "waiting for credentials of sari: fetching account needs them"
FIX = "sdp login --user sari, or give the agent of micro-92 a service credential"


class Case:
    """A sandbox whose service account has an origin that asks for a password."""

    def __init__(self, **changes: object) -> None:
        self.simulation = Simulation(desired(QA, platform=ROLES))
        self.lenders = Lenders()
        self.changed: LastChange | None = None
        self.set(credentials="wanted", **changes)

    def set(self, **changes: object) -> None:
        report = self.simulation.observed[MICRO].report
        known = report.repositories["account"].model_copy(update=changes)
        repositories = {**report.repositories, "account": known}
        self.simulation.report(MICRO, report.model_copy(update={"repositories": repositories}))

    def world(self) -> World:
        lives = Lives("", {"qa": Life(self.changed)})
        made = self.simulation.world()
        return dataclasses.replace(made, lenders=self.lenders, lives=lives)

    def plan(self) -> Plan:
        return plan("qa", self.world())

    def held(self) -> list[tuple[str, str, str]]:
        return [(each.reason, each.message, each.fix) for each in self.plan().holds]

    def fetched(self) -> list[str]:
        kinds = ("fetch", "build")
        return [each.service for each in self.plan().actions if each.action.kind in kinds]


def unlooked() -> dict[str, object]:
    return {"branches": {}, "checked_at": None}


def test_a_fetch_that_nobody_lends_for_is_held_and_the_other_services_go_on():
    world = Case()
    assert world.held() == [("WaitingForCredentials", FETCH, FIX)]
    assert set(world.fetched()) == {"payment", "gateway"}


def test_a_login_of_the_owner_lifts_it():
    world = Case()
    world.lenders = Lenders(frozenset({"sari"}))
    assert world.held() == []
    assert "account" in world.fetched()


def test_another_users_login_does_not():
    world = Case()
    world.lenders = Lenders(frozenset({"achmad"}))
    assert world.held() == [("WaitingForCredentials", FETCH, FIX)]


def test_who_changed_the_sandbox_last_comes_before_its_owner():
    world = Case()
    world.changed = LastChange("c", NOW, "Budi S.", "", "b@home.example")
    whole = dataclasses.replace(world.world(), lenders=Lenders(frozenset({"sari", "budi"})))
    assert borrowing.lender("QA", "account", whole) == "budi"
    assert "credentials of budi" in world.held()[0][1]


def test_what_is_fetched_already_needs_nobody():
    world = Case(present=(commit("account", "feature/a"),))
    assert world.held() == []
    assert "account" in world.fetched()


@pytest.mark.parametrize("credentials", ["", "served"])
def test_an_origin_that_its_agent_can_ask_makes_nothing_wait(credentials):
    world = Case()
    world.set(credentials=credentials)
    assert world.held() == []


def test_a_branch_that_nobody_can_look_for_waits_too():
    world = Case(**unlooked())
    (held,) = world.held()
    assert held[1] == "waiting for credentials of sari: looking at account needs them"
    world.lenders = Lenders(frozenset({"sari"}))
    assert [each[0] for each in world.held()] == ["NotLooked"]


def test_a_branch_that_was_not_there_at_the_last_look_is_looked_for_with_somebodys():
    world = Case(branches={"develop": "1" * 40})
    assert world.held()[0][0] == "WaitingForCredentials"
    world.lenders = Lenders(frozenset({"sari"}))
    assert world.held()[0][0] == "BranchMissing"


def test_what_was_refused_is_not_lent_again_and_says_so():
    world = Case()
    world.lenders = Lenders(frozenset({"sari"}), frozenset({("sari", "account")}))
    (held,) = world.held()
    assert held[1] == f"{FETCH} (those at hand were refused)"
    assert world.fetched().count("account") == 0


def test_a_password_that_several_origins_refuse_is_tried_with_none():
    names = [f"r{number}" for number in range(MOST_REFUSALS)]
    one_less = Lenders(frozenset({"sari"}), frozenset(("sari", each) for each in names[1:]))
    assert one_less.of("account") == {"sari"}
    all_of_them = Lenders(frozenset({"sari"}), frozenset(("sari", each) for each in names))
    assert all_of_them.of("account") == frozenset()


def test_only_origins_that_want_somebodys_are_looked_at_with_theirs():
    world = Case()
    assert list(borrowing.looks(world.world())) == []
    world.lenders = Lenders(frozenset({"sari"}))
    assert list(borrowing.looks(world.world())) == [(Look(MICRO, "account"), "sari")]
    world.set(credentials="served")
    assert list(borrowing.looks(world.world())) == []


def test_reports_of_before_load():
    old: dict[str, object] = {"branches": {}, "present": [], "error": "", "checked_at": None}
    assert Repository.model_validate(old).credentials == ""
