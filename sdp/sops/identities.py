"""age keys: whose a file's data key is, and for whom it is encrypted.

Secret keys are read in the form of age-keygen and of sops's keys.txt: a line each, comments
allowed. They are shown by nothing here; ``repr`` leaves them out.
"""

import dataclasses
from collections.abc import Iterable
from typing import Final

import pyrage
from pyrage import x25519

from sdp.sops.metadata import Recipient
from sdp.sops.problem import SopsError

KEY_BYTES: Final = 32
_BEGINS: Final = "AGE-SECRET-KEY-1"


@dataclasses.dataclass(frozen=True, slots=True)
class Identities:
    """Secret keys, and their public ones."""

    secret: tuple[x25519.Identity, ...] = dataclasses.field(repr=False)
    public: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class NewIdentity:
    """A secret key that was just made."""

    secret: str = dataclasses.field(repr=False)
    public: str


def generate() -> NewIdentity:
    """Return a new secret key."""
    made = x25519.Identity.generate()
    return NewIdentity(str(made), str(made.to_public()))


def read(text: str) -> Identities:
    """Return the secret keys in a file's text.

    Raises:
        SopsError: there is none, or a line is none; the line itself is not told.
    """
    found: list[x25519.Identity] = []
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if not line.startswith(_BEGINS):
            raise SopsError("NoIdentity", f"line {number} is no {_BEGINS}… line")
        try:
            found.append(x25519.Identity.from_str(line))
        except pyrage.IdentityError:
            message = f"line {number} is no whole {_BEGINS}… line"
            raise SopsError("NoIdentity", message) from None
    if not found:
        raise SopsError("NoIdentity", f"there is no {_BEGINS}… line in it")
    return Identities(tuple(found), tuple(str(each.to_public()) for each in found))


def is_recipient(text: str) -> bool:
    """Tell whether a text is an age public key."""
    try:
        x25519.Recipient.from_str(text)
    except pyrage.RecipientError:
        return False
    return True


def sealed_for(key: bytes, recipients: Iterable[str]) -> tuple[Recipient, ...]:
    """Return the data key, encrypted for each of these public keys."""
    return tuple(
        Recipient(
            each, pyrage.encrypt(key, [x25519.Recipient.from_str(each)], armored=True).decode()
        )
        for each in recipients
    )


def data_key(recipients: Iterable[Recipient], identities: Identities) -> bytes:
    """Return the data key.

    Raises:
        SopsError: WrongKey when it is for others; Tampered when it is for one of these
            identities, and yet can't be opened.
    """
    named = tuple(recipients)
    for each in named:
        try:
            key = pyrage.decrypt(each.enc.encode(), list(identities.secret))
        except pyrage.DecryptError:
            continue
        if len(key) != KEY_BYTES:
            raise SopsError("Tampered", f"the data key for {each.recipient} is none")
        return key
    for each in named:
        if each.recipient in identities.public:
            raise SopsError("Tampered", f"the data key for {each.recipient} was changed")
    theirs = ", ".join(each.recipient for each in named)
    ours = ", ".join(identities.public)
    raise SopsError("WrongKey", f"it is encrypted for {theirs}, not for {ours}")
