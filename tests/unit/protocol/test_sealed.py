"""What is lent is of use to one agent, for one purpose, for a while."""

import datetime

import pytest

from sdp.protocol import sealed
from sdp.protocol.secret import Credentials, Secret
from sdp.sops import identities
from tests.builders import NOW

SARI = Credentials("sari", Secret("hunter2"))
MADE = identities.generate()
MINE = identities.read(MADE.secret)
PURPOSE = sealed.performing("a-1", "account")
SEALED = sealed.seal(SARI, MADE.public, PURPOSE, NOW)


def test_the_agent_that_it_is_for_opens_it_for_what_it_is_for():
    found = sealed.unseal(SEALED, MINE, PURPOSE, NOW + sealed.VALID)
    assert (found.user, found.secret.reveal()) == ("sari", "hunter2")
    assert "hunter2" not in SEALED + repr(found)


@pytest.mark.parametrize(
    "purpose",
    [
        sealed.performing("a-2", "account"),
        sealed.performing("a-1", "user"),
        sealed.looking(("account",)),
        sealed.checking("a-1", "account"),
        "",
    ],
)
def test_a_recorded_frame_serves_nothing_else(purpose):
    with pytest.raises(sealed.UnsealError, match="something else"):
        sealed.unseal(SEALED, MINE, purpose, NOW)


def test_what_is_over_is_over():
    late = NOW + sealed.VALID + datetime.timedelta(seconds=1)
    with pytest.raises(sealed.UnsealError, match="over at"):
        sealed.unseal(SEALED, MINE, PURPOSE, late)


@pytest.mark.parametrize("text", ["", "hunter2", SEALED[:-60], SEALED.replace("\n", "", 1)])
def test_what_is_damaged_or_anothers_is_refused_without_its_text(text):
    with pytest.raises(sealed.UnsealError) as refused:
        sealed.unseal(text, MINE, PURPOSE, NOW)
    assert "hunter2" not in str(refused.value)
    other = identities.read(identities.generate().secret)
    with pytest.raises(sealed.UnsealError):
        sealed.unseal(SEALED, other, PURPOSE, NOW)


def test_nothing_is_sealed_to_what_is_no_key():
    with pytest.raises(ValueError, match="no age public key"):
        sealed.seal(SARI, "age1nonsense", PURPOSE, NOW)
