"""Fan-out of committed events to subscribers in this process; a slow one is cut, nobody waits.

Events that come close together leave as one batch, encoded once, shared by all.
"""

import asyncio
import contextlib
import dataclasses
import functools
from collections import deque
from collections.abc import Callable, Generator, Sequence
from typing import TypeAlias

from sdp.store.values import Event, Resync

Encode: TypeAlias = Callable[[Event], bytes]

BOUND = 4_096
"""Events that a subscriber may be behind."""

GATHER_SECONDS = 0.05
"""After a batch left, events gather this long; the first one after a quiet time leaves at once."""


@dataclasses.dataclass(frozen=True, slots=True)
class Published:
    """A committed event and its bytes."""

    event: Event
    encoded: bytes


@dataclasses.dataclass(frozen=True)
class Batch:
    """Consecutive events."""

    items: tuple[Published, ...]

    @functools.cached_property
    def encoded(self) -> bytes:
        """All the events' bytes, joined once for whoever asks."""
        return b"".join(item.encoded for item in self.items)

    @property
    def last(self) -> int:
        """The number of the last event."""
        return self.items[-1].event.seq


@dataclasses.dataclass(frozen=True, slots=True)
class Closed:
    """The feed has ended."""


def encode_json(event: Event) -> bytes:
    """Return an event as a line of JSON."""
    return event.model_dump_json().encode() + b"\n"


class Subscription:
    """One reader's place; used on the feed's event loop."""

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._behind = 0
        self._batches: deque[Batch] = deque()
        self._end: Resync | Closed | None = None
        self._news = asyncio.Event()

    async def take(self) -> Batch | Resync | Closed:
        """Return the next batch; or that this reader was too slow; or that the feed ended."""
        while not self._batches:
            if self._end is not None:
                return self._end
            self._news.clear()
            await self._news.wait()
        batch = self._batches.popleft()
        self._behind -= len(batch.items)
        return batch

    def offer(self, batch: Batch) -> bool:
        """Queue a batch; False: this reader is cut, and what it had not read is dropped."""
        self._behind += len(batch.items)
        if self._behind > self._bound:
            self._batches.clear()
            self.end(Resync(reason=f"more than {self._bound} events behind"))
            return False
        self._batches.append(batch)
        self._news.set()
        return True

    def end(self, how: Resync | Closed) -> None:
        """Let the reader end after what is queued."""
        self._end = how
        self._news.set()


class Feed:
    """Everyone who follows. Made on the event loop; ``publish`` may come from any thread."""

    def __init__(self, encode: Encode = encode_json, bound: int = BOUND) -> None:
        self._encode = encode
        self._bound = bound
        self._loop = asyncio.get_running_loop()
        self._subscriptions: set[Subscription] = set()
        self._gathered: list[Published] = []
        self._gathering: asyncio.TimerHandle | None = None
        self._closed = False

    @contextlib.contextmanager
    def subscribe(self) -> Generator[Subscription, None, None]:
        """Follow what is published from now on."""
        subscription = Subscription(self._bound)
        if self._closed:
            subscription.end(Closed())
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    def batch(self, events: Sequence[Event]) -> Batch:
        """Return events with their bytes."""
        return Batch(tuple(Published(event, self._encode(event)) for event in events))

    def publish(self, events: Sequence[Event]) -> None:
        """Hand on committed events, in the order of their numbers."""
        self._loop.call_soon_threadsafe(self._gather, self.batch(events).items)

    def close(self) -> None:
        """End every subscription, after what it has not read yet."""
        self._flush()
        if self._gathering is not None:
            self._gathering.cancel()
        self._closed = True
        for subscription in self._subscriptions:
            subscription.end(Closed())

    def _gather(self, items: Sequence[Published]) -> None:
        self._gathered.extend(items)
        if self._gathering is None and not self._closed:
            self._flush()
            self._gathering = self._loop.call_later(GATHER_SECONDS, self._gathered_enough)

    def _gathered_enough(self) -> None:
        self._gathering = None
        if self._gathered:
            self._gather(())

    def _flush(self) -> None:
        if not self._gathered:
            return
        batch = Batch(tuple(self._gathered))
        self._gathered.clear()
        cut = [one for one in self._subscriptions if not one.offer(batch)]
        self._subscriptions.difference_update(cut)
