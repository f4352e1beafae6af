"""The broker: what people logged in with, held in memory while their sessions live, and lent.

To agents it goes sealed, to the writer of the config repo as it is; nobody else is given any, and
nothing of it is shown, stored or logged.
"""

import asyncio
import dataclasses
import datetime
from collections.abc import Callable
from typing import Final, Protocol

from typing_extensions import override

from sdp import clock
from sdp.api.people import Keeper
from sdp.protocol import sealed
from sdp.protocol.secret import Credentials, Secret
from sdp.reconciler.credentials import Lender

LIFETIME: Final = datetime.timedelta(hours=12)
"""As long as a session: who forgot to log out is forgotten here too."""
SWEEP_SECONDS: Final = 60.0


@dataclasses.dataclass(frozen=True, slots=True)
class _Held:
    credentials: Credentials
    until: datetime.datetime


class Listener(Protocol):
    def came(self, user: str) -> None:
        """Take it that a user logged in."""
        ...

    def went(self, user: str) -> None:
        """Take it that credentials of a user are not at hand any more."""
        ...


class Broker(Keeper, Lender):
    """Credentials by session; a ``listener`` is told whose came or went."""

    def __init__(self, now: Callable[[], datetime.datetime] = clock.now) -> None:
        self.listener: Listener | None = None
        self._now = now
        self._held: dict[str, _Held] = {}

    @override
    def keep(self, session: str, user: str, secret: Secret) -> None:
        self.drop(session)
        self._held[session] = _Held(Credentials(user, secret), self._now() + LIFETIME)
        if self.listener:
            self.listener.came(user.lower())

    @override
    def drop(self, session: str) -> None:
        if (held := self._held.pop(session, None)) is not None:
            held.credentials.secret.wipe()
            if self.listener:
                self.listener.went(held.credentials.user.lower())

    @override
    def live(self) -> frozenset[str]:
        now = self._now()
        held = self._held.values()
        return frozenset(each.credentials.user.lower() for each in held if now < each.until)

    @override
    def sealed(self, user: str, recipient: str, purpose: str) -> str:
        held = self.of(user)
        if held is None or not recipient:
            return ""
        return sealed.seal(held, recipient, purpose, self._now())

    def of(self, user: str) -> Credentials | None:
        """Return a user's credentials, as of the newest login, for use in this process."""
        now = self._now()
        for each in tuple(self._held.values())[::-1]:  # asked from other threads, too
            if each.credentials.user.lower() == user.lower() and now < each.until:
                return each.credentials
        return None

    async def run(self) -> None:
        """Wipe what is over, as it comes; and everything when cancelled."""
        try:
            while True:
                await asyncio.sleep(SWEEP_SECONDS)
                self.sweep()
        finally:
            for session in tuple(self._held):
                self.drop(session)

    def sweep(self) -> None:
        """Wipe what is over."""
        now = self._now()
        for session in [key for key, each in self._held.items() if each.until <= now]:
            self.drop(session)
