"""Signing: the control plane's own key, made at its first start, that signs what it commits.

With the public key listed in platform.yaml, a commit that it made in a person's name counts as
signed: it has checked who asked.
"""

import dataclasses
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sdp import durable, private
from sdp.spec import sshsig

FOLDER: Final = "trust"
FILE: Final = "commit.key"
_PRIVATE: Final = 0o600


class UnusableKeyError(Exception):
    """The key can't be read, or others could; ``fix`` says what to do."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.fix = fix


@dataclasses.dataclass(frozen=True, slots=True)
class Signer:
    """Signs commits; ``public`` is as platform.yaml lists it."""

    public: str
    _private: Ed25519PrivateKey = dataclasses.field(repr=False)

    def sign(self, payload: bytes) -> bytes:
        """Return the armored signature of a commit."""
        return sshsig.sign(self._private, payload)


def signer(data: Path) -> Signer:
    """Return who signs, with the key in the data folder; it is made where there is none.

    Raises:
        UnusableKeyError: there is one that can't be used.
    """
    path = data / FOLDER / FILE
    if not path.exists():
        _make(path)
    text = private.read(path)
    if isinstance(text, private.Refused):
        fix = text.fix or "let its owner run this command"
        raise UnusableKeyError(f"{path}, which signs commits: {text.message}", fix)
    try:
        key = serialization.load_ssh_private_key(text.encode(), None)
    except (ValueError, TypeError) as error:
        raise UnusableKeyError(
            f"{path} can't be read as an OpenSSH key without a passphrase",
            "bring it back, or move it away: then a new one is made, to be listed in platform.yaml",
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise UnusableKeyError(
            f"{path} is no Ed25519 key", f"ssh-keygen -t ed25519 -N '' -f {path}"
        )
    return Signer(sshsig.public(key), key)


def _make(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    text = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    durable.write(path, text, _PRIVATE)
