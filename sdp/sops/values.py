"""One value of a SOPS file, encrypted and decrypted with the file's data key.

AES-256-GCM with a nonce of 32 bytes. What is authenticated beside the value is its path: the
mapping keys from the root, each followed by a colon; indices of lists are no part of it (the
format's rules are those of getsops/sops, ``aes/cipher.go`` and ``sops.go``).
"""

import base64
import binascii
import decimal
from collections.abc import Sequence
from typing import Final, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sdp.sops.form import ENCRYPTED
from sdp.sops.problem import SopsError

Scalar: TypeAlias = str | int | float | bool

NONCE_BYTES: Final = 32
TAG_BYTES: Final = 16
COMMENT: Final = "comment"


def aad(path: Sequence[str]) -> bytes:
    """Return what is authenticated beside the value at a path of keys."""
    return (":".join(path) + ":").encode()


def plain(value: Scalar) -> bytes:
    """Return a value's bytes as they are encrypted and hashed."""
    match value:
        case bool():
            return b"True" if value else b"False"
        case float():
            digits = format(decimal.Decimal(repr(value)), "f")
            return digits.removesuffix(".0").encode()
        case _:
            return str(value).encode()


def encrypt(value: Scalar, key: bytes, authenticated: bytes, nonce: bytes) -> str:
    """Return a value in its encrypted form; an empty text stays as it is.

    Args:
        value: what to hide.
        key: the file's data key.
        authenticated: ``aad`` of its path.
        nonce: 32 random bytes, new for each value.
    """
    if value == "":
        return ""
    return sealed(plain(value), _type(value), key, authenticated, nonce)


def sealed(content: bytes, kind: str, key: bytes, authenticated: bytes, nonce: bytes) -> str:
    """Return bytes in the encrypted form, as a value of a kind."""
    whole = AESGCM(key).encrypt(nonce, content, authenticated)
    data, tag = whole[:-TAG_BYTES], whole[-TAG_BYTES:]
    parts = (base64.b64encode(each).decode() for each in (data, nonce, tag))
    return "ENC[AES256_GCM,data:{},iv:{},tag:{},type:{}]".format(*parts, kind)


def decrypt(text: str, key: bytes, authenticated: bytes) -> Scalar:
    """Return the value that an encrypted form holds.

    Raises:
        SopsError: it is not what was encrypted with this key at this path.
    """
    found = ENCRYPTED.fullmatch(text)
    if found is None:
        raise SopsError("Tampered", "it has not the form of an encrypted value")
    content = opened(text, key, authenticated)
    try:
        return _typed(content.decode(), found["type"])
    except ValueError:
        raise SopsError("Tampered", f"it is no {found['type']}") from None


def opened(text: str, key: bytes, authenticated: bytes) -> bytes:
    """Return the bytes in an encrypted form.

    Raises:
        SopsError: as ``decrypt``.
    """
    found = ENCRYPTED.fullmatch(text)
    if found is None:
        raise SopsError("Tampered", "it has not the form of an encrypted value")
    try:
        data, nonce, tag = (
            base64.b64decode(found[each], validate=True) for each in ("data", "iv", "tag")
        )
        return AESGCM(key).decrypt(nonce, data + tag, authenticated)
    except (InvalidTag, ValueError, binascii.Error):
        raise SopsError("Tampered", "it is not what was encrypted here") from None


def _type(value: Scalar) -> str:
    match value:
        case bool():
            return "bool"
        case int():
            return "int"
        case float():
            return "float"
        case _:
            return "str"


def _typed(text: str, kind: str) -> Scalar:
    match kind:
        case "int":
            return int(text)
        case "float":
            return float(text)
        case "bool" if text in {"True", "False"}:
            return text == "True"
        case "str" | "bytes" | "time" | "comment":
            return text
        case _:
            raise ValueError(kind)
