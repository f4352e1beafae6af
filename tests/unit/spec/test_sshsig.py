"""Signatures of commits: those of ssh-keygen are read, and ours are read by git."""

import base64
import subprocess  # noqa: TID251 - plays ssh-keygen

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from sdp.spec.sshsig import public, sign, verifies

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32))
PAYLOAD = b"tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n\nsigned\n"


def keygen(*argv: str, told: bytes = b"") -> bytes:
    return subprocess.run(
        ["ssh-keygen", *argv], input=told, capture_output=True, check=True
    ).stdout


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "key"
    text = KEY.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    path.write_bytes(text)
    path.chmod(0o600)
    return path


def test_what_ssh_keygen_signed_verifies(key_file):
    made = keygen("-Y", "sign", "-q", "-n", "git", "-f", str(key_file), told=PAYLOAD)
    assert verifies(made, PAYLOAD, [public(OTHER), public(KEY) + " sari@laptop"])
    assert not verifies(made, PAYLOAD + b" ", [public(KEY)])
    assert not verifies(made, PAYLOAD, [public(OTHER)])
    assert not verifies(made, PAYLOAD, [])


def test_what_was_signed_for_another_use_does_not(key_file):
    made = keygen("-Y", "sign", "-q", "-n", "file", "-f", str(key_file), told=PAYLOAD)
    assert not verifies(made, PAYLOAD, [public(KEY)])


def test_ssh_keygen_verifies_what_we_sign(tmp_path):
    (tmp_path / "signature").write_bytes(sign(KEY, PAYLOAD))
    (tmp_path / "allowed").write_text(f"sdp {public(KEY)}\n")
    allowed, made = str(tmp_path / "allowed"), str(tmp_path / "signature")
    told = keygen(
        "-Y", "verify", "-f", allowed, "-I", "sdp", "-n", "git", "-s", made, told=PAYLOAD
    )
    assert b"Good" in told


def test_a_key_that_cannot_be_read_is_none_and_spoils_no_other():
    assert verifies(sign(KEY, PAYLOAD), PAYLOAD, ["ssh-ed25519 AAAA", "x", "", public(KEY)])


@given(st.binary(max_size=300))
def test_what_is_no_signature_verifies_nothing(data):
    armored = b"-----BEGIN SSH SIGNATURE-----\n%s\n-----END SSH SIGNATURE-----"
    assert not verifies(data, PAYLOAD, [public(KEY)])
    assert not verifies(armored % data, PAYLOAD, [public(KEY)])
    assert not verifies(armored % base64.b64encode(data), PAYLOAD, [public(KEY)])


@given(st.data())
def test_a_signature_with_any_byte_changed_verifies_nothing(data):
    made = sign(KEY, PAYLOAD)
    head, body, foot = (
        made.split(b"-----\n", 1)[0],
        *made.split(b"-----\n", 1)[1].split(b"\n-----"),
    )
    raw = bytearray(base64.b64decode(b"".join(body.split())))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    spoiled = head + b"-----\n" + base64.b64encode(raw) + b"\n-----" + foot
    assert not verifies(spoiled, PAYLOAD, [public(KEY)])
