"""The audit's chain: whatever acts come, it verifies; whatever is done to it, that is found."""

import dataclasses
import datetime
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sdp.reconciler.audit import Act
from sdp.reconciler.chain import ORIGIN, Entry, enchain, verify
from tests.property.profiles import UNTIMED

TEXTS = sorted({field.name for field in dataclasses.fields(Act)} - {"at", "kind", "status"})
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(TEXTS, st.text(max_size=5)),
    "at": st.datetimes(timezones=st.just(datetime.UTC)),
    "kind": st.sampled_from(("LOGIN", "DEPLOYMENT", "REFUSAL")),
    "status": st.sampled_from(("done", "failed", "refused")),
}
CHAINS = st.lists(st.builds(Act, **FIELDS), min_size=1, max_size=5).map(
    lambda made: list(enchain(ORIGIN, made))
)
SHORT = settings(UNTIMED, max_examples=60)


@SHORT
@given(CHAINS)
def test_any_sequence_of_acts_verifies_from_its_beginning_and_from_any_row_on(chain):
    head = chain[-1].head
    whole = verify(chain, ORIGIN, head)
    assert (whole.findings, whole.rows, whole.head) == ((), len(chain), head)
    for first in range(len(chain)):
        assert not verify(chain[first:], None, head).findings
        assert first == 0 or verify(chain[first:], None, chain[first - 1].head).findings


@SHORT
@given(CHAINS, st.data())
def test_any_single_mutation_is_found(chain, data):
    head, at = chain[-1].head, data.draw(st.integers(0, len(chain) - 1))
    mutated = data.draw(st.sampled_from((_changed, _removed, _moved, _doubled)))(chain, at, data)
    assume(mutated != chain)
    assert verify(mutated, ORIGIN, head).findings


def _changed(chain: list[Entry], at: int, data: st.DataObject) -> list[Entry]:
    name = data.draw(st.sampled_from((*FIELDS, "hash", "seq")))
    before = chain[at]
    if name == "seq":
        after = dataclasses.replace(before, seq=data.draw(st.integers(-1, 20)))
    elif name == "hash":
        after = dataclasses.replace(before, hash="0" * 64)
    else:
        change: dict[str, Any] = {name: data.draw(FIELDS[name])}
        after = dataclasses.replace(before, act=dataclasses.replace(before.act, **change))
    return [*chain[:at], after, *chain[at + 1 :]]


def _removed(chain: list[Entry], at: int, _: st.DataObject) -> list[Entry]:
    return chain[:at] + chain[at + 1 :]


def _moved(chain: list[Entry], at: int, data: st.DataObject) -> list[Entry]:
    rest = chain[:at] + chain[at + 1 :]
    to = data.draw(st.integers(0, len(rest)))
    return [*rest[:to], chain[at], *rest[to:]]


def _doubled(chain: list[Entry], at: int, _: st.DataObject) -> list[Entry]:
    return [*chain[: at + 1], *chain[at:]]
