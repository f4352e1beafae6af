"""How far a node's agent is believed. Values; pure."""

import dataclasses
import datetime
from typing import Literal, TypeAlias

from sdp.protocol.handshake import Token

State: TypeAlias = Literal["never enrolled", "enrolled", "revoked"]


@dataclasses.dataclass(frozen=True, slots=True)
class Belief:
    """A node's agent, as it was enrolled or revoked last.

    Attributes:
        state: whether it is believed.
        key: its public key; "" for one that was never enrolled.
        since: when it became so.
        by: who made it so.
    """

    state: State = "never enrolled"
    key: str = ""
    since: datetime.datetime | None = None
    by: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Invitation:
    """A token that was just made.

    Attributes:
        token: to be shown once.
        until: when it is of no more use.
        replaces: an agent of this node is enrolled now, whose key will not be taken any more.
    """

    token: Token
    until: datetime.datetime
    replaces: bool


class NotEnrolledError(Exception):
    """A key was not taken; the text says why, and what to do."""


class TrustError(Exception):
    """The folder can't be used; ``fix`` says what to do."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.fix = fix
