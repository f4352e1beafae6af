"""A flood of refusals is summed, of each address by itself; what was done is always written."""

import dataclasses
import datetime

from sdp.reconciler.audit import Act
from sdp.reconciler.restraint import ADDRESSES, MINUTE, MOST, Known, restrain
from tests.builders import NOW

REFUSED = Act(NOW, "REFUSAL", "refused", "sari", "gc", "10.0.0.7")
SECOND = datetime.timedelta(seconds=1)


def written(*acts: Act, known: Known | None = None) -> list[Act]:
    told: list[Act] = []
    state = known or {}
    for each in acts:
        state, more = restrain(state, each)
        told += more
    return told


def test_so_many_are_written_in_a_minute_and_the_number_of_the_others_later():
    later = dataclasses.replace(REFUSED, at=NOW + MINUTE)
    told = written(*[REFUSED] * (MOST + 7), later)
    assert told[:MOST] == [REFUSED] * MOST
    assert told[MOST].message.startswith("7 more in the minute from 2026")
    assert told[MOST + 1 :] == [later]


def test_the_number_is_told_also_where_the_address_never_comes_back():
    someone = dataclasses.replace(REFUSED, at=NOW + MINUTE, status="done", address="10.0.0.8")
    *_, left_out, last = written(*[REFUSED] * (MOST + 7), someone)
    assert left_out.message.startswith("7 more in the minute from 2026")
    assert (left_out.address, left_out.user, last) == (REFUSED.address, "", someone)


def test_who_is_forgotten_for_others_is_told_before():
    flood = [REFUSED] * (MOST + 1)
    others = [dataclasses.replace(REFUSED, address=str(n)) for n in range(ADDRESSES)]
    told = written(*flood, *others)
    assert [each.message[:6] for each in told if each.action == "too many refusals"] == ["1 more"]


def test_other_addresses_and_what_was_done_are_written_meanwhile():
    other = dataclasses.replace(REFUSED, address="10.0.0.8")
    done = dataclasses.replace(REFUSED, status="done")
    assert written(*[REFUSED] * MOST, REFUSED, other, done)[MOST:] == [other, done]


def test_a_clock_that_was_set_back_silences_nobody():
    back = dataclasses.replace(REFUSED, at=NOW - SECOND)
    assert written(*[REFUSED] * MOST, back)[-1] == back


def test_no_more_than_so_many_addresses_are_remembered():
    known: Known = {}
    for number in range(ADDRESSES + 5):
        known, _ = restrain(known, dataclasses.replace(REFUSED, address=str(number)))
    assert len(known) == ADDRESSES
    assert "4" not in known
