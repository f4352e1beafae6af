"""Audit: who did what, or was kept from it. One value for all who have something to tell."""

import dataclasses
import datetime
from collections.abc import Sequence
from typing import Literal, Protocol, TypeAlias

ActKind: TypeAlias = Literal[
    "LOGIN",
    "LOGOUT",
    "CHANGE",
    "DEPLOYMENT",
    "ROUTE_CHANGE",
    "SECRET_CHANGE",
    "REQUEST",
    "NODE",
    "REFUSAL",
    "AUDIT",
]
ActStatus: TypeAlias = Literal["done", "failed", "refused"]


@dataclasses.dataclass(frozen=True, slots=True)
class Act:
    """What somebody did, or was kept from; what does not apply is empty.

    Attributes:
        at: when.
        kind: what it was.
        status: what came of it.
        user: who; ``sdp`` for what no person did, "" where nobody knows.
        action: in a few words, such as ``restart`` or ``node enrolled``.
        address: where a request came from.
        message: what there is to say of it, without secrets.
    """

    at: datetime.datetime
    kind: ActKind
    status: ActStatus
    user: str
    action: str
    address: str = ""
    repository: str = ""
    branch: str = ""
    commit: str = ""
    environment: str = ""
    sandbox: str = ""
    service: str = ""
    message: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """Which acts are wanted; "" and None: all. Names are compared in any case.

    ``since`` and ``until`` are both within; ``text`` is part of any field.
    """

    user: str = ""
    kind: ActKind | None = None
    status: ActStatus | None = None
    sandbox: str = ""
    service: str = ""
    repository: str = ""
    branch: str = ""
    environment: str = ""
    since: datetime.datetime | None = None
    until: datetime.datetime | None = None
    text: str = ""


class Auditor(Protocol):
    """Who keeps what is told, in order, for good."""

    async def record(self, acts: Sequence[Act]) -> None:
        """Keep these; when it returned, they are on disk."""
        ...
