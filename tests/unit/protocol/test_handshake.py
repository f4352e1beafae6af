"""What is signed for one connection says nothing in another; tokens show themselves once."""

import dataclasses

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sdp.protocol import handshake
from sdp.protocol.handshake import NotATokenError, Side, Token, Transcript, read_token
from sdp.protocol.secret import Secret
from tests.fakes.trust import nonce

KEY = Ed25519PrivateKey.generate()
SAID = Transcript(
    hello="{}",
    node="micro-92",
    instance="acme",
    agent_nonce=nonce(),
    server_nonce=nonce(),
    epoch=3,
    server_key=handshake.public(KEY),
)
OTHERS: dict[str, object] = {
    "hello": '{"recipient": "mine"}',
    "node": "gateway-91",
    "instance": "other",
    "agent_nonce": nonce(),
    "server_nonce": nonce(),
    "epoch": 4,
    "server_key": nonce(),
}


def test_every_part_of_what_was_said_has_its_row():
    assert OTHERS.keys() == {each.name for each in dataclasses.fields(Transcript)}


@pytest.mark.parametrize("part", OTHERS)
def test_a_signature_and_a_proof_hold_for_what_was_said_alone(part):
    changed = {**dataclasses.asdict(SAID), part: OTHERS[part]}
    other = Transcript(**changed)
    known = handshake.digest(Secret("s"))
    for side in ("control plane", "agent"):
        signature = handshake.sign(KEY, SAID, side)
        shown = handshake.proof(known, SAID, side)
        assert handshake.signed(signature, handshake.public(KEY), SAID, side)
        assert handshake.proves(shown, known, SAID, side)
        assert not handshake.signed(signature, handshake.public(KEY), other, side)
        assert not handshake.proves(shown, known, other, side)


def test_what_one_side_proves_is_no_proof_of_the_other():
    sides: tuple[Side, Side] = ("control plane", "agent")
    known = handshake.digest(Secret("s"))
    for one, other in (sides, sides[::-1]):
        assert not handshake.signed(
            handshake.sign(KEY, SAID, one), handshake.public(KEY), SAID, other
        )
        assert not handshake.proves(handshake.proof(known, SAID, one), known, SAID, other)


@pytest.mark.parametrize("bad", ["", "x", "é", "A" * 43, "=" * 86, "\ud800"])
def test_what_is_no_signature_or_key_is_just_wrong(bad):
    assert not handshake.signed(bad, handshake.public(KEY), SAID, "agent")
    assert not handshake.signed(handshake.sign(KEY, SAID, "agent"), bad, SAID, "agent")


@pytest.mark.parametrize("node", ["micro-92", "a.b.c", "A_1"])
def test_a_token_is_read_back_and_shows_itself_nowhere_else(node):
    token = Token(node, Secret(nonce()), nonce())
    secret = token.secret.reveal()
    back = read_token(f" {token.reveal()}\n")
    assert (back.node, back.secret.reveal(), back.server_key) == (node, secret, token.server_key)
    assert secret not in repr(token)


@pytest.mark.parametrize(
    "bad",
    ["", "sdp1", "sdp1.a", "sdp1.a.b.c", f"sdp2.a.{'A' * 43}.{'A' * 43}", "sdp1...", "é.é.é.é",
     f"sdp1.../x.{'A' * 43}.{'A' * 43}", f"sdp1.a.{'A' * 43}.{'A' * 44}"],
)  # fmt: skip
def test_what_is_no_token_is_refused_and_not_repeated(bad):
    with pytest.raises(NotATokenError) as refused:
        read_token(bad)
    assert bad in {"", "sdp1"} or bad not in str(refused.value)
