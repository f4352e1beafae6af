"""What an agent and its control plane sign and prove to each other. Pure.

Each side signs the same transcript under its own context, so that nothing that was signed once
says anything elsewhere. Keys and signatures travel as unpadded base64url.
"""

import base64
import binascii
import dataclasses
import hashlib
import hmac
import json
import re
from typing import Final, Literal, TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from sdp.protocol.secret import Secret

Side: TypeAlias = Literal["control plane", "agent"]

NODE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
KEY_BYTES: Final = 32
MAX_FRAME: Final = 64 << 10
"""Bytes of the largest frame before both have proven who they are."""

_CONTEXT: Final = "sdp handshake 1"
_BEGINS: Final = "sdp1"


class HandshakeError(Exception):
    """The other side is not who it should be; the text says what to do about it."""


class NotATokenError(ValueError):
    """A text is no enrolment token; it is not repeated."""


@dataclasses.dataclass(frozen=True, slots=True)
class Transcript:
    """All that was said before anybody proves anything.

    Attributes:
        hello: the agent's first frame, as it was sent.
        node: whom the agent says it is.
        instance: whose agent it says it is.
        agent_nonce: what the agent made up.
        server_nonce: what the control plane made up.
        epoch: how often this control plane has started.
        server_key: its public key.
    """

    hello: str
    node: str
    instance: str
    agent_nonce: str
    server_nonce: str
    epoch: int
    server_key: str

    def said_by(self, side: Side) -> bytes:
        """Return what one side signs."""
        hello = hashlib.sha256(self.hello.encode()).hexdigest()
        rest = dataclasses.astuple(self)[1:]
        return json.dumps([_CONTEXT, side, hello, *rest]).encode()


@dataclasses.dataclass(frozen=True, slots=True)
class Token:
    """What enrols one agent, once: its node, a secret, and the control plane's public key."""

    node: str
    secret: Secret
    server_key: str

    def reveal(self) -> str:
        """Return it as it is shown, once."""
        return f"{_BEGINS}.{self.node}.{self.secret.reveal()}.{self.server_key}"


def read_token(text: str) -> Token:
    """Return the token that a text is; raises NotATokenError."""
    kind, _, rest = text.strip().partition(".")
    node, secret, key = [*rest.rsplit(".", 2), "", ""][:3]
    whole = NODE.fullmatch(node) and is_key(secret) and is_key(key)
    if kind != _BEGINS or not whole:
        raise NotATokenError("that is no enrolment token, which begins with sdp1.")
    return Token(node, Secret(secret), key)


def digest(secret: Secret) -> str:
    """Return what the control plane keeps of a token's secret, and both sides prove to know."""
    return encode(hashlib.sha256(f"{_CONTEXT} token {secret.reveal()}".encode()).digest())


def proof(known: str, transcript: Transcript, side: Side) -> str:
    """Return the proof of one side that it knows a token's secret, given its digest."""
    return encode(hmac.digest(decode(known), transcript.said_by(side), "sha256"))


def proves(shown: str, known: str, transcript: Transcript, side: Side) -> bool:
    """Whether a proof is right."""
    return hmac.compare_digest(shown.encode(), proof(known, transcript, side).encode())


def public(key: Ed25519PrivateKey) -> str:
    """Return a key's public half."""
    return encode(key.public_key().public_bytes_raw())


def sign(key: Ed25519PrivateKey, transcript: Transcript, side: Side) -> str:
    """Return one side's signature."""
    return encode(key.sign(transcript.said_by(side)))


def signed(signature: str, key: str, transcript: Transcript, side: Side) -> bool:
    """Whether a signature is one side's own."""
    try:
        known = Ed25519PublicKey.from_public_bytes(decode(key))
        known.verify(decode(signature), transcript.said_by(side))
    except (InvalidSignature, ValueError):
        return False
    return True


def is_key(text: str) -> bool:
    """Whether a text has the form of a key, a nonce or a token's secret."""
    try:
        return len(decode(text)) == KEY_BYTES and encode(decode(text)) == text
    except ValueError:
        return False


def encode(value: bytes) -> str:
    """Return bytes as text."""
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """Return the bytes that a text stands for; raises ValueError."""
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        return base64.b64decode(padded, altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise ValueError("not base64url") from error


def fingerprint(key: str) -> str:
    """Return what people compare keys by."""
    return key[:12]
