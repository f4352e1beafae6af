"""The feed's obligations: shared bytes, and nobody waits for a slow reader."""

import datetime

from sdp.store.follow import Batch, Closed, Feed
from sdp.store.values import Event, Resync

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def event(seq: int) -> Event:
    return Event(seq=seq, at=NOW, kind="k")


async def test_an_event_is_encoded_once_for_all():
    encoded = []

    def encode(one):
        encoded.append(one.seq)
        return b"x"

    feed = Feed(encode)
    with feed.subscribe() as a, feed.subscribe() as b:
        feed.publish([event(1), event(2)])
        first, second = await a.take(), await b.take()
        assert isinstance(first, Batch)
        assert first is second
        assert first.encoded == b"xx"
        assert encoded == [1, 2]
    feed.close()


async def test_a_slow_reader_is_cut_and_the_others_go_on():
    feed = Feed(bound=3)
    with feed.subscribe() as slow, feed.subscribe() as quick:
        for seq in range(1, 6):
            feed.publish([event(seq)])
            batch = await quick.take()
            assert isinstance(batch, Batch)
            assert batch.last == seq
        assert isinstance(await slow.take(), Resync)
    feed.close()


async def test_at_the_end_a_reader_gets_the_rest_first():
    feed = Feed()
    with feed.subscribe() as reader:
        feed.publish([event(1)])
        batch = await reader.take()
        assert isinstance(batch, Batch)
        assert batch.last == 1
        feed.close()
        assert await reader.take() == Closed()
