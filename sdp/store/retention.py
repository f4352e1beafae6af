"""Retention: once an hour, and at start, the past is forgotten that is older than is wanted."""

import asyncio
import datetime
from collections.abc import Callable
from typing import Final, Protocol

import structlog

from sdp import clock
from sdp.reconciler.journal import StoreUnavailable

HOUR: Final = 3600.0
SOON: Final = 5.0

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Past(Protocol):
    """What has a past: the store."""

    async def prune(self, before: datetime.datetime) -> None:
        """Delete what was before a time."""


async def forget(store: Past, history: Callable[[], datetime.timedelta | None]) -> None:
    """Forget until cancelled; ``history`` is how much stays, None while nobody knows."""
    while True:
        kept = history()
        try:
            if kept is not None:
                await store.prune(clock.now() - kept)
        except (StoreUnavailable, OSError) as error:  # said by whoever writes, too
            log.warning("the past could not be pruned", reason=str(error))
        await asyncio.sleep(SOON if kept is None else HOUR)
