"""Streams: nothing lost, nothing doubled, across lost connections and lost cursors."""

import json

import httpx2
import pytest

from sdp.api.views import LogLineView
from tests.fakes.control_plane import NOW, served


async def read(port: int, path: str, count: int, cursor: str = "") -> list[httpx2.ServerSentEvent]:
    """Read so many events that carry data, then hang up."""
    headers = {"Last-Event-ID": cursor} if cursor else {}
    found: list[httpx2.ServerSentEvent] = []
    async with (
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
        client.stream("GET", path, headers=headers) as response,
    ):
        async for event in httpx2.EventSource(response):
            if event.data:
                found.append(event)
            if len(found) == count:
                break
    return found


async def test_resuming_by_cursor_loses_and_doubles_nothing(control):
    for number in range(20):
        control.journal.append(f"e{number}")
    seen: list[int] = []
    async with served(control.ports) as port:
        cursor = "0"
        for step in (3, 1, 7, 9):
            part = await read(port, "/api/events", step, cursor)
            seen += [json.loads(each.data)["seq"] for each in part]
            cursor = part[-1].id
    assert seen == list(range(1, 21))


async def test_the_header_of_a_browsers_reconnect_wins_over_the_address(control):
    for number in range(5):
        control.journal.append(f"e{number}")
    async with served(control.ports) as port:
        first = await read(port, "/api/events?last_event_id=1", 1)
        again = await read(port, "/api/events?last_event_id=1", 1, "3")
    assert (first[0].id, again[0].id) == ("2", "4")


@pytest.mark.parametrize("cursor", ["99", "-1", "rubbish", "1"])
async def test_a_cursor_that_is_gone_or_beyond_gets_resync_and_goes_on(control, cursor):
    for number in range(5):
        control.journal.append(f"e{number}")
    control.journal.pruned = 3
    async with (
        served(control.ports) as port,
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
        client.stream("GET", f"/api/events?last_event_id={cursor}") as response,
    ):
        events = aiter(httpx2.EventSource(response))
        resync = await anext(events)
        assert (resync.event, resync.id) == ("resync", "5")
        control.journal.append("after")
        assert json.loads((await anext(events)).data)["message"] == "after"


async def test_without_a_cursor_the_stream_starts_now_and_says_where_that_is(control):
    control.journal.append("before")
    async with (
        served(control.ports) as port,
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
        client.stream("GET", "/api/events") as response,
    ):
        events = aiter(httpx2.EventSource(response))
        start = await anext(events)
        assert (start.id, start.data) == ("1", "")
        control.journal.append("after")
        assert json.loads((await anext(events)).data)["message"] == "after"


async def test_a_stream_that_does_not_follow_ends(control):
    control.journal.append("mine")
    control.journal.append("other", sandbox="OTHER")
    async with served(control.ports) as port:
        url = "/api/events?follow=false&last_event_id=0&sandbox=QA-ONE"
        found = await read(port, url, 99)
    assert [each.event for each in found] == ["message", "end"]


async def test_a_log_resumes_by_line_and_ends_when_the_deployment_is_done(control):
    control.journal.lines = [
        LogLineView(seq=n, at=NOW, stage="go build", text=f"line {n}") for n in range(1, 6)
    ]
    async with served(control.ports) as port:
        whole = await read(port, "/api/deployments/d-1/logs", 99)
        rest = await read(port, "/api/deployments/d-1/logs?follow=false", 99, "3")
    assert [each.id for each in whole[:-1]] == ["1", "2", "3", "4", "5"]
    assert whole[-1].event == "end"
    assert [json.loads(each.data).get("seq") for each in rest] == [4, 5, None]


async def test_the_log_of_no_deployment_is_a_problem_document(control):
    async with (
        served(control.ports) as port,
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
    ):
        answer = await client.get("/api/deployments/d-9/logs")
    assert (answer.status_code, answer.json()["type"]) == (
        404,
        "urn:sdp:problem:no-such-deployment",
    )
