"""Quotas: who comes in, who waits and why, who keeps its place; and what plans make of it."""

import dataclasses
import datetime
from collections.abc import Mapping

from sdp.reconciler.admission import admission, admit
from sdp.reconciler.plan import plan_all
from sdp.reconciler.quota import Admission, Claimant, Place
from sdp.reconciler.status import status
from sdp.spec import models
from tests.builders import GATEWAY, MICRO, NOW, PLATFORM, Simulation, desired, sandbox

MB = 1 << 20
LATER = NOW + datetime.timedelta(minutes=1)


def quotas(
    running: int | None = None, memory: str | None = None, each: int | None = None
) -> models.Quotas:
    """Return everybody's quotas, and how many ``each`` owner may run."""
    per_owner = models.OwnerQuota(running=each)
    return models.Quotas(running=running, memory=memory, per_owner=per_owner)


def box(  # a sandbox that is meant to run and does not yet
    name: str, owner: str = "sari", memory: int | None = 100 * MB, *, wants: bool = True,
    runs: bool = False,
) -> Claimant:  # fmt: skip
    return Claimant(name, owner, wants, runs, memory)


def let(
    limits: models.Quotas,
    *claiming: Claimant,
    before: Mapping[str, Place] | None = None,
    now: datetime.datetime = NOW,
) -> Admission:
    return admit(limits, claiming, before or {}, now)


def placed(found: Admission) -> set[str]:
    return {name for name, place in found.places.items() if place.memory is not None}


def test_those_who_come_in_one_commit_come_in_by_name_and_the_others_wait():
    found = let(quotas(running=2), box("QC"), box("QA"), box("QB"))
    assert placed(found) == {"qa", "qb"}
    note = found.queue["qc"].note
    assert (note.reason, note.message, note.fix) == (
        "Queued",
        "quotas.running is 2, and there are 2 running (QA, QB); it is number 1 of 1 that wait",
        "suspend or delete one: sdp suspend QA; or raise quotas.running in platform.yaml",
    )


def test_who_waited_first_comes_in_first_whatever_its_name():
    first = let(quotas(running=1), box("QB"), box("QC"))
    later = let(quotas(running=1), box("QA"), box("QB"), box("QC"), before=first.places, now=LATER)
    assert list(later.queue) == ["qc", "qa"]
    last = let(quotas(running=1), box("QA"), box("QC"), before=later.places, now=LATER)
    assert placed(last) == {"qc"}


def test_an_owners_quota_does_not_hold_up_other_owners():
    found = let(quotas(running=3, each=1), box("QA"), box("QB"), box("QC", "achmad"))
    assert placed(found) == {"qa", "qc"}
    assert found.queue["qb"].note.message == (
        "quotas.per_owner.running is 1, and sari has 1 running (QA); it is number 1 of 1 that wait"
    )


def test_what_is_suspended_is_not_counted_once_it_has_stopped():
    limits = quotas(running=1)
    stopping = let(limits, box("QA", wants=False, runs=True), box("QB"))
    assert placed(stopping) == {"qa"}
    stopped = let(limits, box("QA", wants=False), box("QB"), before=stopping.places)
    assert placed(stopped) == {"qb"}


def test_a_place_is_kept_through_a_crash():
    before = let(quotas(running=1), box("QA", runs=True), box("QB")).places
    assert placed(let(quotas(running=1), box("QA"), box("QB"), before=before)) == {"qa"}


def test_a_lower_quota_stops_nobody_and_says_so():
    limits = quotas(running=1)
    found = let(limits, box("QA", runs=True), box("QB", runs=True), box("QC"))
    assert placed(found) == {"qa", "qb"}
    assert set(found.queue) == {"qc"}
    assert found.over["qa"].reason == "OverQuota"
    assert "quotas.running is 1, and there are 2 running (QA, QB)" in found.over["qa"].message


def test_memory_is_counted_by_ceilings_and_told_in_peoples_units():
    found = let(quotas(memory="1GB"), box("QA", memory=768 * MB), box("QB", memory=512 * MB))
    assert found.queue["qb"].note.message == (
        "quotas.memory is 1GB, and 768MB of it is taken (QA 768MB), and it asks for 512MB; "
        "it is number 1 of 1 that wait"
    )


def test_a_small_one_does_not_pass_one_that_waits_for_the_same():
    limits = quotas(memory="1GB")
    found = let(limits, box("QA", memory=768 * MB), box("QB", memory=512 * MB), box("QC"))
    assert list(found.queue) == ["qb", "qc"]
    assert "QB waits before it; it is number 2 of 2" in found.queue["qc"].note.message


def test_what_never_fits_is_told_at_once_and_holds_up_nobody():
    found = let(quotas(memory="1GB"), box("QA", memory=2048 * MB), box("QB"))
    assert placed(found) == {"qb"}
    assert (found.queue["qa"].note.reason, found.queue["qa"].number) == ("LargerThanQuota", 0)
    assert found.queue["qa"].note.message == (
        "it asks for 2GB, and quotas.memory is 1GB in all: it never fits"
    )


def test_under_a_memory_quota_a_sandbox_without_a_limit_is_told_to_have_one():
    found = let(
        quotas(memory="1GB"), box("QA", memory=None), box("QB"), box("QC", memory=None, runs=True)
    )
    assert found.queue["qa"].note.reason == "NoMemoryLimit"
    assert "platform.yaml's defaults" in found.queue["qa"].note.fix
    assert found.over["qc"].reason == "NoMemoryLimit"
    assert placed(found) == {"qb", "qc"}


def test_one_that_runs_waits_for_more_memory_and_keeps_what_it_has():
    limits = quotas(memory="1GB")
    before = let(limits, box("QA", memory=512 * MB), box("QB", memory=512 * MB)).places
    found = let(limits, box("QA", memory=768 * MB), box("QB", memory=512 * MB), before=before)
    assert placed(found) == {"qa", "qb"}
    assert "and it asks for 256MB" in found.queue["qa"].note.message
    less = let(limits, box("QA", memory=768 * MB), box("QB", memory=256 * MB), before=found.places)
    assert less.queue == {}
    assert less.places["qa"].memory == 768 * MB


def test_what_a_node_did_not_tell_yet_is_counted_and_not_started():
    unheard = Claimant("QA", "sari", True, False, MB, unheard="micro-92")  # noqa: FBT003
    found = let(quotas(running=1), unheard, box("QB"))
    assert placed(found) == set()
    assert "micro-92 has not reported yet" in found.queue["qa"].note.message


def simulation(said: str, *sandboxes: str) -> Simulation:
    return Simulation(desired(*sandboxes, platform=f"{PLATFORM}quotas: {said}\n"))


def test_a_queued_sandbox_plans_nothing_and_is_shown_with_its_number():
    one, two = (sandbox(name, "account: {branch: feature/a}") for name in ("QA", "QB"))
    made = simulation("{running: 1}", one, two)
    whole = made.world()
    found = admission(whole.desired, whole.observed, {}, NOW)
    whole = dataclasses.replace(whole, admission=found)
    plans = plan_all(whole)
    assert plans["qa"].actions
    assert plans["qb"].actions == ()
    assert [hold.reason for hold in plans["qb"].holds] == ["Queued"]
    shown = status("qb", whole, plans["qb"], (), None)
    assert (shown.sync, shown.queued) == ("Held", 1)
    assert {lease.sandbox for lease in plans["qb"].leases} == set()


def test_the_sandboxs_memory_is_its_ceiling_else_the_sum_of_its_containers():
    each = "account: {branch: feature/a, resources: {memory: 64MB}}"
    made = simulation(
        "{memory: 1GB}",
        sandbox("QA", each, more="resources: {memory: 512MB}"),
        sandbox("QB", each, "branch: develop, resources: {memory: 128MB}"),
        sandbox("QC", each),
    )
    found = admission(made.desired, made.observed, {}, NOW)
    assert {name: place.memory for name, place in found.places.items()} == {
        "qa": 512 * MB,
        "qb": 192 * MB,
        "qc": None,
    }
    assert {MICRO, GATEWAY} == made.observed.keys()
