"""Signatures of commits as ssh makes them (git's gpg.format=ssh), by Ed25519 keys. Pure.

The format is OpenSSH's PROTOCOL.sshsig; what can't be read is no signature.
"""

import base64
import binascii
import hashlib
import struct
import textwrap
from collections.abc import Iterable
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

MAX_BYTES: Final = 10_000
_MAGIC: Final = b"SSHSIG"
_VERSION: Final = 1
_NAMESPACE: Final = b"git"
_KIND: Final = b"ssh-ed25519"
_HASHES: Final = {b"sha512": hashlib.sha512, b"sha256": hashlib.sha256}
_BEGIN: Final = b"-----BEGIN SSH SIGNATURE-----"
_END: Final = b"-----END SSH SIGNATURE-----"
_LENGTH: Final = struct.Struct(">I")
_LINE: Final = 70


class _UnreadableError(Exception):
    """These bytes are no signature, or of another kind."""


def verifies(signature: bytes, payload: bytes, keys: Iterable[str]) -> bool:
    """Whether a signature is one of the payload, by one of these keys.

    Args:
        signature: armored, as in a commit's gpgsig.
        payload: the commit without it.
        keys: public keys as OpenSSH writes them: ``ssh-ed25519 AAAA… comment``.
    """
    try:
        key, digest, made = _read(signature)
        if key not in {_public(each) for each in keys}:
            return False
        Ed25519PublicKey.from_public_bytes(key).verify(made, _signed(digest, payload))
    except (_UnreadableError, InvalidSignature, ValueError):
        return False
    return True


def sign(private: Ed25519PrivateKey, payload: bytes) -> bytes:
    """Return the armored signature of a commit."""
    raw = private.public_key().public_bytes(
        serialization.Encoding.Raw, serialization.PublicFormat.Raw
    )
    digest = b"sha512"
    made = private.sign(_signed(digest, payload))
    whole = _MAGIC + _LENGTH.pack(_VERSION) + _text(_text(_KIND) + _text(raw))
    whole += b"".join(map(_text, (_NAMESPACE, b"", digest, _text(_KIND) + _text(made))))
    lines = textwrap.wrap(base64.b64encode(whole).decode(), _LINE)
    return b"\n".join((_BEGIN, *(line.encode() for line in lines), _END))


def public(private: Ed25519PrivateKey) -> str:
    """Return a key's public half as platform.yaml lists it."""
    return (
        private.public_key()
        .public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        .decode()
    )


def _signed(digest: bytes, payload: bytes) -> bytes:
    """Return the bytes that are signed: the payload's hash, and what it is used for."""
    hashed = _HASHES[digest](payload).digest()
    return _MAGIC + b"".join(map(_text, (_NAMESPACE, b"", digest, hashed)))


def _read(armored: bytes) -> tuple[bytes, bytes, bytes]:
    """Return a signature's key, the name of its hash, and the signature itself."""
    body = armored.strip()
    if len(body) > MAX_BYTES or not (body.startswith(_BEGIN) and body.endswith(_END)):
        raise _UnreadableError
    encoded = b"".join(body[len(_BEGIN) : -len(_END)].split())
    try:
        whole = base64.b64decode(encoded, validate=True)
    except binascii.Error as error:
        raise _UnreadableError from error
    head = _MAGIC + _LENGTH.pack(_VERSION)
    if not whole.startswith(head):
        raise _UnreadableError
    key, namespace, _, digest, made = _texts(whole[len(head) :], 5)
    if namespace != _NAMESPACE or digest not in _HASHES:
        raise _UnreadableError
    return _of_kind(key), digest, _of_kind(made)


def _public(key: str) -> bytes | None:
    try:
        return _of_kind(base64.b64decode(key.split()[1], validate=True))
    except (IndexError, binascii.Error, _UnreadableError):
        return None


def _of_kind(blob: bytes) -> bytes:
    kind, value = _texts(blob, 2)
    if kind != _KIND:
        raise _UnreadableError
    return value


def _texts(data: bytes, number: int) -> tuple[bytes, ...]:
    """Return the texts, each with its length before it, that bytes are made of."""
    found: list[bytes] = []
    for _ in range(number):
        if len(data) < _LENGTH.size:
            raise _UnreadableError
        (length,) = _LENGTH.unpack(data[: _LENGTH.size])
        text, data = data[_LENGTH.size :][:length], data[_LENGTH.size + length :]
        if len(text) != length:
            raise _UnreadableError
        found.append(text)
    if data:
        raise _UnreadableError
    return tuple(found)


def _text(data: bytes) -> bytes:
    return _LENGTH.pack(len(data)) + data
