"""A whole SOPS file: its values opened and its MAC verified, and both made anew.

Takes a parsed file: mappings in the file's order. Which values are encrypted shows in their form;
which are meant to be is the selector's, and matters to who writes. A file is authentic only as
far as git is: whoever may write it can encrypt other values for the same recipients.
"""

import dataclasses
import hashlib
import hmac
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from sdp.sops import identities, metadata, values
from sdp.sops.form import is_encrypted
from sdp.sops.identities import Identities
from sdp.sops.metadata import SECTION, Metadata
from sdp.sops.problem import SopsError
from sdp.sops.values import Scalar

Loc: TypeAlias = tuple[str | int, ...]

_MAC_OF_ENCRYPTED: Final = hashlib.sha256(b"sops").digest()
"""What the hash begins with, so that a MAC of some values is never one of all (sops.go)."""


@dataclasses.dataclass(frozen=True, slots=True)
class Opened:
    """A file's data key, its section, and its decrypted values by path of keys and indices."""

    key: bytes = dataclasses.field(repr=False)
    metadata: Metadata
    values: Mapping[Loc, Scalar] = dataclasses.field(repr=False)


def open_file(document: Mapping[str, object], held: Identities) -> Opened:
    """Return a file opened.

    Raises:
        SopsError: it can't be, or it is not as it was written.
    """
    section = metadata.read(document.get(SECTION))
    key = identities.data_key(section.age, held)
    found: dict[Loc, Scalar] = {}
    for loc, value in leaves(document):
        if isinstance(value, str) and is_encrypted(value):
            try:
                found[loc] = values.decrypt(value, key, values.aad(keys(loc)))
            except SopsError as error:
                raise SopsError(error.reason, f"{shown(loc)}: {error}") from None
    _verify(document, section, key, found)
    return Opened(key, section, found)


def _verify(
    document: Mapping[str, object], section: Metadata, key: bytes, found: Mapping[Loc, Scalar]
) -> None:
    try:
        said = values.decrypt(section.mac, key, section.lastmodified.encode())
    except SopsError:
        raise SopsError("Tampered", "its MAC, or the time of it, was changed") from None
    made = digest(document, found, only_encrypted=section.mac_only_encrypted)
    if not hmac.compare_digest(str(said).encode(), made.encode()):
        what = "encrypted values" if section.mac_only_encrypted else "values"
        raise SopsError("Tampered", f"its {what} are not those that were written together")


def mac(text: str, lastmodified: str, key: bytes, nonce: bytes) -> str:
    """Return a digest in its encrypted form."""
    return values.encrypt(text, key, lastmodified.encode(), nonce)


def digest(
    document: Mapping[str, object], plaintext: Mapping[Loc, Scalar], *, only_encrypted: bool
) -> str:
    """Return the digest of a file's values in its order.

    Args:
        document: the file as it is written.
        plaintext: what its encrypted values are.
        only_encrypted: leave the others out.
    """
    hashed = hashlib.sha512(_MAC_OF_ENCRYPTED if only_encrypted else b"")
    for loc, value in leaves(document):
        if loc in plaintext:
            hashed.update(values.plain(plaintext[loc]))
        elif not only_encrypted:
            hashed.update(values.plain(value))
    return hashed.hexdigest().upper()


def leaves(document: Mapping[str, object]) -> Iterator[tuple[Loc, Scalar]]:
    """Yield all values outside the section, in the file's order; nulls are none."""
    for key, value in document.items():
        if key != SECTION:
            yield from _leaves((key,), value)


def _leaves(loc: Loc, value: object) -> Iterator[tuple[Loc, Scalar]]:
    match value:
        case str() | bool() | int() | float():
            yield loc, value
        case Mapping():
            for key, each in value.items():
                yield from _leaves((*loc, str(key)), each)
        case Sequence():
            for index, each in enumerate(value):
                yield from _leaves((*loc, index), each)
        case _:
            return


def keys(loc: Loc) -> tuple[str, ...]:
    """Return a path without its indices, as it is authenticated."""
    return tuple(each for each in loc if isinstance(each, str))


def shown(loc: Loc) -> str:
    """Return a path as people read it."""
    return ".".join(str(each) for each in loc)
