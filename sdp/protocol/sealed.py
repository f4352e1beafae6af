"""Credentials as they travel: sealed with age to one agent, for one purpose, until a moment. Pure.

Who records a frame can't read it, and can't have the agent use it for anything else, or later.
"""

import datetime
from collections.abc import Collection
from typing import Final

import pyrage
from pydantic import ValidationError
from pyrage import x25519

from sdp.protocol.actions import Value
from sdp.protocol.secret import Credentials, Secret
from sdp.sops.identities import Identities

VALID: Final = datetime.timedelta(minutes=15)
"""How long sealed credentials may be used: what waits for its turn on a node, and clocks apart."""


class UnsealError(Exception):
    """Credentials can't be used; the text says why, without them."""


class _Letter(Value):
    user: str
    password: str
    purpose: str
    until: datetime.datetime


def performing(action_id: str, repository: str) -> str:
    """Return the purpose of what is lent with an action."""
    return f"perform {action_id} on {repository}"


def looking(repositories: Collection[str]) -> str:
    """Return the purpose of what is lent with a look at origins."""
    return f"look at {' '.join(sorted(repositories))}"


def checking(request: str, repository: str) -> str:
    """Return the purpose of credentials that are to be proven."""
    return f"check {request} with {repository}"


def seal(credentials: Credentials, recipient: str, purpose: str, now: datetime.datetime) -> str:
    """Return credentials that only one agent can open.

    Args:
        credentials: whose they are, and they.
        recipient: the agent's age public key.
        purpose: what alone they may be used for.
        now: from when on they may, for as long as VALID.

    Raises:
        ValueError: the recipient is no age public key.
    """
    letter = _Letter(
        user=credentials.user,
        password=credentials.secret.reveal(),
        purpose=purpose,
        until=now + VALID,
    )
    try:
        to = x25519.Recipient.from_str(recipient)
    except pyrage.RecipientError:
        raise ValueError("the agent's recipient is no age public key") from None
    return pyrage.encrypt(letter.model_dump_json().encode(), [to], armored=True).decode()


def unseal(text: str, identities: Identities, purpose: str, now: datetime.datetime) -> Credentials:
    """Return what was sealed for this agent, this purpose and a time like now.

    Raises:
        UnsealError: it was not.
    """
    try:
        letter = _Letter.model_validate_json(
            pyrage.decrypt(text.encode(), list(identities.secret))
        )
    except (pyrage.DecryptError, ValidationError):
        raise UnsealError("they are not sealed for this agent as it runs now") from None
    if letter.purpose != purpose:
        raise UnsealError("they were sealed for something else")
    if now > letter.until:
        late = f"they were over at {letter.until:%H:%M:%S} UTC, and here it is {now:%H:%M:%S}"
        raise UnsealError(late)
    return Credentials(letter.user, Secret(letter.password))
