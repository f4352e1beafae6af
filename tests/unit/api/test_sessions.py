"""Sessions: how they end, for requests, for streams, and for the credentials that they hold."""

import datetime

import httpx2
import pytest

from sdp import clock
from sdp.api.sessions import LASTS, MOST, Sessions, hashed
from sdp.protocol.secret import Secret
from sdp.reconciler.journal import StoreUnavailable
from tests.fakes.control_plane import NOW, FakeControlPlane, served
from tests.fakes.people import FakePeople

SECOND = datetime.timedelta(seconds=1)
HOUR = datetime.timedelta(hours=1)


@pytest.fixture
def people() -> FakePeople:
    return FakePeople(live=())


async def opened(people: FakePeople, user: str = "achmad", at: datetime.datetime = NOW) -> str:
    token, _ = await people.sessions.open(user, Secret("secret"), "bearer", at)
    return token


async def test_a_session_lasts_12_hours_and_then_nothing_of_it_is_left(people):
    token = await opened(people)
    ((_, secret),) = people.keeper.held.values()
    assert people.sessions.known(token, "bearer", NOW + LASTS - SECOND)
    assert people.sessions.known(token, "bearer", NOW + LASTS) is None
    await people.sessions.sweep(NOW + LASTS - SECOND)
    assert people.keeper.live() == {"achmad"}
    await people.sessions.sweep(NOW + LASTS)
    assert not people.keeper.held
    assert not people.store.rows
    assert secret.reveal() == ""


async def test_sessions_outlive_a_restart_and_their_credentials_do_not(people):
    token = await opened(people)
    restarted = FakePeople()
    sessions = await Sessions.load(people.store, restarted.keeper, NOW + SECOND)
    known = sessions.known(token, "bearer", NOW + SECOND)
    assert known
    assert known.user == "achmad"
    assert not restarted.keeper.held


async def test_a_session_that_ended_on_a_full_disk_does_not_come_back_with_a_restart(people):
    token = await opened(people)
    people.store.is_full = True
    with pytest.raises(StoreUnavailable):
        await people.sessions.end([hashed(token)])
    assert people.sessions.known(token, "bearer", NOW) is None
    assert not people.keeper.held
    await people.sessions.sweep(NOW)
    people.store.is_full = False
    await people.sessions.sweep(NOW)
    assert not people.store.rows


async def test_one_session_more_than_a_user_may_have_ends_the_oldest(people):
    await opened(people, "sari")
    first, second = await opened(people), await opened(people)
    for _ in range(MOST - 1):
        await opened(people)
    assert people.sessions.known(first, "bearer", NOW) is None
    assert people.sessions.known(second, "bearer", NOW)
    assert len(people.sessions.of("ACHMAD")) == MOST
    assert len(people.sessions.of("sari")) == 1
    assert len(people.store.rows) == MOST + 1


async def test_a_stream_ends_when_its_reader_may_not_read_any_more(people):
    token = await opened(people)
    known = people.sessions.known(token, "bearer", NOW)
    assert known
    may, ended = [True], list[str]()
    with people.sessions.reading(known.hash, lambda: may[0], lambda: ended.append("ended")):
        await people.sessions.sweep(NOW)
        assert not ended
        may[0] = False
        await people.sessions.sweep(NOW)
        assert ended == ["ended"]
    await people.sessions.sweep(NOW)
    assert ended == ["ended"]


@pytest.mark.parametrize("why", ["logout", "expiry", "revoked"])
async def test_a_live_stream_ends_with_its_session_and_others_go_on(people, why):
    control = FakeControlPlane(people=people)
    now = clock.now()
    mine, other = await opened(people, at=now - HOUR), await opened(people, "sari", now)
    async with served(control.ports) as port:
        base = f"http://127.0.0.1:{port}"
        async with (
            httpx2.AsyncClient(base_url=base, trust_env=False, headers=carrying(mine)) as a,
            httpx2.AsyncClient(base_url=base, trust_env=False, headers=carrying(other)) as b,
            a.stream("GET", "/api/events") as ending,
            b.stream("GET", "/api/events") as going_on,
        ):
            await anext(begun := ending.aiter_bytes())
            await anext(others := going_on.aiter_bytes())
            match why:
                case "logout":
                    assert (await a.post("/api/logout")).status_code == 200
                case "revoked":
                    revoked = await b.post("/api/sessions/revoke", json={"user": "achmad"})
                    assert revoked.status_code == 200
                case _:
                    await people.sessions.sweep(now + LASTS - HOUR)
            assert b"".join([part async for part in begun]) == b""
            assert (await a.get("/api/sandboxes")).status_code == 401
            control.journal.append("for those who are still there")
            assert b"still there" in await anext(others)


def carrying(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
