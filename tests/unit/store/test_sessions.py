"""Sessions in the store: they outlive the process, until they end or expire."""

import datetime

from sdp.store.sessions import Session
from sdp.store.store import Store

NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=datetime.UTC)
HOUR = datetime.timedelta(hours=1)


def session(name: str, hours: int = 12) -> Session:
    return Session(name, "achmad", "bearer", NOW, NOW + hours * HOUR)


async def test_sessions_outlive_the_process_until_they_end_or_expire(tmp_path):
    async with Store.open(tmp_path) as store:
        for each in (session("a"), session("b"), session("c", hours=1)):
            await store.put_session(each)
        await store.end_sessions(["b", "nobody's"])
    async with Store.open(tmp_path) as store:
        assert await store.live_sessions(NOW) == (session("a"), session("c", hours=1))
        assert await store.live_sessions(NOW + HOUR) == (session("a"),)


async def test_what_has_expired_is_purged(tmp_path):
    async with Store.open(tmp_path) as store:
        await store.put_session(session("a"))
        await store.put_session(session("b", hours=1))
        await store.purge_sessions(NOW + HOUR)
        assert await store.live_sessions(NOW) == (session("a"),)
