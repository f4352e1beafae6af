"""A secret shows itself nowhere."""

import copy
import pickle

import pytest

from sdp.protocol.secret import Secret


def test_a_secret_is_in_none_of_its_own_texts():
    held = Secret("canary")
    assert "canary" not in f"{held} {held!r} {[held]} {vars(type(held))}"
    assert held.reveal() == "canary"


@pytest.mark.parametrize("write", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_secret_is_not_written_or_copied(write):
    with pytest.raises(TypeError, match="not written"):
        write(Secret("canary"))


def test_a_wiped_secret_is_gone_from_where_it_was_held():
    held = Secret("canary")
    kept = held._held  # noqa: SLF001 -- the bytes themselves must be overwritten
    held.wipe()
    assert held.reveal() == ""
    assert b"canary" not in kept
