"""Attempts to log in: bounded per user and per address, and those in flight in all.

Each counts from its beginning, so that no number of them at once gets past the bound; one that
succeeds takes back what its user had. Where a user has logged in from before is counted apart, or
anybody could keep them out. In memory: who restarts the control plane starts anew.
"""

import contextlib
import math
from collections import OrderedDict
from collections.abc import Generator
from typing import Final

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from sdp import clock
from sdp.api.problems import ProblemError

WINDOW_MINUTES: Final = 5
PER_USER: Final = 10
PER_ADDRESS: Final = 60
IN_FLIGHT: Final = 8
_USER: Final = RateLimitItemPerMinute(PER_USER, WINDOW_MINUTES, namespace="user")
_ADDRESS: Final = RateLimitItemPerMinute(PER_ADDRESS, WINDOW_MINUTES, namespace="address")
_SOON: Final = 5
_MOST_HOMES: Final = 10_000


class Attempts:
    """Counts them."""

    def __init__(self) -> None:
        self._counts = MemoryStorage()
        self._limiter = FixedWindowRateLimiter(self._counts)
        self._in_flight = 0
        self._homes: OrderedDict[tuple[str, str], None] = OrderedDict()

    @contextlib.contextmanager
    def made(self, user: str, address: str) -> Generator[None, None, None]:
        """Count an attempt while it is made.

        Raises:
            ProblemError: there were too many.
        """
        if not self._limiter.hit(_ADDRESS, address):
            raise self._too_many(_ADDRESS, (address,), f"from {address}")
        who = self._who(user, address)
        if not self._limiter.hit(_USER, *who):
            raise self._too_many(_USER, who, f"as {user}")
        if self._in_flight >= IN_FLIGHT:
            raise _refusal("Too many people log in at this moment.", _SOON)
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1

    def succeeded(self, user: str, address: str) -> None:
        """Forget the attempts that a user made, and this one of the address, which many share."""
        self._limiter.clear(_USER, *self._who(user, address))
        self._counts.decr(_ADDRESS.key_for(address))
        self._homes[user.lower(), address] = None
        self._homes.move_to_end((user.lower(), address))
        if len(self._homes) > _MOST_HOMES:
            self._homes.popitem(last=False)

    def _who(self, user: str, address: str) -> tuple[str, ...]:
        """Return what a user's attempts are counted by."""
        home = user.lower(), address
        return home if home in self._homes else home[:1]

    def _too_many(self, limit: RateLimitItem, key: tuple[str, ...], who: str) -> ProblemError:
        left = self._limiter.get_window_stats(limit, *key).reset_time - clock.now().timestamp()
        detail = f"There were more than {limit.amount} attempts to log in {who}."
        return _refusal(detail, max(1, math.ceil(left)))


def _refusal(detail: str, seconds: int) -> ProblemError:
    return ProblemError(
        429,
        "too-many-logins",
        "Too many logins",
        detail,
        f"try again in {seconds} s, with the password that Bitbucket takes",
    ).with_headers(Retry_After=str(seconds))
