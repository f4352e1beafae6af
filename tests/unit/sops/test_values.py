"""One value: what is encrypted comes back, and nothing else does."""

import base64
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdp.sops import values
from sdp.sops.form import ENCRYPTED, is_encrypted
from sdp.sops.problem import SopsError

KEY = bytes(range(32))
PATH = values.aad(("secrets", "DB_PASSWORD"))
NUMBERS = st.integers(-(10**15), 10**15) | st.floats(allow_nan=False, allow_infinity=False)


def encrypted(value: values.Scalar, path: bytes = PATH) -> str:
    return values.encrypt(value, KEY, path, os.urandom(32))


@given(st.text(st.characters(exclude_categories=["Cs"])) | st.booleans() | NUMBERS)
def test_a_value_comes_back_with_its_type(value):
    written = encrypted(value)
    if value == "":
        assert written == ""
        return
    assert is_encrypted(written)
    found = values.decrypt(written, KEY, PATH)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("value", "content"),
    [
        (True, b"True"),
        (False, b"False"),
        (1.0, b"1"),
        (1e23, b"1" + b"0" * 23),
        (1e-7, b"0.0000001"),
        (7, b"7"),
    ],
)
def test_values_are_written_as_go_writes_them(value, content):
    assert values.plain(value) == content


def test_a_value_at_another_path_is_refused():
    with pytest.raises(SopsError, match="not what was encrypted here"):
        values.decrypt(encrypted("x"), KEY, values.aad(("variables", "DB_PASSWORD")))


def test_every_flipped_bit_is_noticed():
    written = encrypted("hunter2")
    found = ENCRYPTED.fullmatch(written)
    assert found is not None
    for part in ("data", "iv", "tag"):
        start, end = found.span(part)
        for index in range(start, end):
            other = "B" if written[index] != "B" else "C"
            broken = written[:index] + other + written[index + 1 :]
            if _same_bytes(written, broken, part):
                continue  # the last digit of base64 has bits that stand for nothing
            with pytest.raises(SopsError) as caught:
                values.decrypt(broken, KEY, PATH)
            assert caught.value.reason == "Tampered"
            assert "hunter2" not in str(caught.value)


def _same_bytes(one: str, other: str, part: str) -> bool:
    parts = [ENCRYPTED.fullmatch(each) for each in (one, other)]
    try:
        decoded = [base64.b64decode(each[part], validate=True) for each in parts if each]
    except ValueError:
        return False
    return len(decoded) == 2 and decoded[0] == decoded[1]
