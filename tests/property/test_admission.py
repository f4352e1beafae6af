"""Whatever people want to run, and whatever the quotas: what letting in never does."""

import datetime
from collections.abc import Mapping, Sequence

from hypothesis import given
from hypothesis import strategies as st

from sdp.reconciler.admission import admit
from sdp.reconciler.quota import KINDS, Admission, Claimant, Place
from sdp.spec import models
from sdp.spec.limits import MEMORY
from tests.builders import NOW
from tests.property.profiles import UNTIMED

MB = 1 << 20
COUNTS = st.none() | st.integers(1, 4)
AMOUNTS = st.none() | st.integers(6, 1000).map(lambda amount: f"{amount}MB")
QUOTAS = st.builds(
    models.Quotas,
    running=COUNTS,
    memory=AMOUNTS,
    per_owner=st.builds(models.OwnerQuota, running=COUNTS, memory=AMOUNTS),
)
CLAIMANTS = st.lists(
    st.builds(
        Claimant,
        name=st.sampled_from("ABCDEFGH").map(lambda each: f"Q{each}"),
        owner=st.sampled_from(["sari", "achmad", ""]),
        wants=st.booleans(),
        runs=st.booleans(),
        memory=st.none() | st.integers(1, 1200).map(lambda amount: amount * MB),
    ),
    unique_by=lambda each: each.name,
    max_size=8,
)


def standing(before: Mapping[str, Place]) -> set[str]:
    return {name for name, place in before.items() if place.memory is not None}


def let(
    quotas: models.Quotas, claiming: Sequence[Claimant], before: Admission | None = None
) -> Admission:
    return admit(quotas, claiming, before.places if before else {}, NOW)


@UNTIMED
@given(QUOTAS, CLAIMANTS)
def test_no_quota_is_exceeded_by_letting_in(quotas, claiming):
    ran = {each.name.lower() for each in claiming if each.runs}
    found = let(quotas, claiming)
    for scope, use in found.uses.items():
        new = {name for name in use.has if name.lower() not in ran}
        assert not new or not any(use.over(kind) for kind in KINDS), (scope, new)


@UNTIMED
@given(QUOTAS, CLAIMANTS)
def test_who_is_to_run_has_a_place_or_waits_with_a_reason_and_a_fix(quotas, claiming):
    found = let(quotas, claiming)
    for each in claiming:
        name = each.name.lower()
        if each.wants:
            assert (name in standing(found.places)) or name in found.queue
            assert not each.runs or name in standing(found.places)
        else:
            assert name not in found.queue
    assert all(each.note.message and each.note.fix for each in found.queue.values())


@UNTIMED
@given(QUOTAS, QUOTAS, CLAIMANTS)
def test_looking_again_changes_nothing_and_another_quota_takes_no_place_away(one, other, claiming):
    found = let(one, claiming)
    again = let(one, claiming, found)
    assert (again.places, again.queue, again.over) == (found.places, found.queue, found.over)
    ran = standing(found.places)
    assert ran <= standing(let(other, claiming, found).places)


@UNTIMED
@given(QUOTAS, CLAIMANTS)
def test_the_order_in_which_claimants_are_told_does_not_matter(quotas, claiming):
    assert let(quotas, claiming[::-1]).queue == let(quotas, claiming).queue


@UNTIMED
@given(QUOTAS, CLAIMANTS)
def test_the_queue_drains_as_others_go(quotas, claiming):
    """Whoever can fit at all comes in at last: none starves, none blocks another for ever."""
    limits = [quotas.memory, quotas.per_owner.memory]
    most = min((MEMORY.parse(each) for each in limits if each), default=None)
    left = [each for each in claiming if each.wants]
    came: set[str] = set()
    found = let(quotas, left)
    for _ in range(len(left) + 1):
        came |= standing(found.places)
        left = [each for each in left if each.name.lower() not in came]
        found = admit(quotas, left, found.places, NOW + datetime.timedelta(seconds=1))
    fits = {each.name.lower() for each in claiming if each.wants and each.memory is not None}
    if most is not None:
        fits = {
            each.name.lower()
            for each in claiming
            if each.wants and each.memory is not None and each.memory <= most
        }
    assert fits <= came
