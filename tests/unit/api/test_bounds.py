"""However much somebody asks for, and however slowly, the control plane takes bounded harm."""

import asyncio
import contextlib
import gzip
import json
from collections.abc import AsyncGenerator

import pytest
from limits import RateLimitItemPerMinute
from starlette.testclient import TestClient
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from sdp.api import app, bounds, changes, patience, sandboxes
from sdp.api.app import create_app
from sdp.api.problems import MEDIA_TYPE
from sdp.protocol import frames
from tests.fakes.control_plane import served
from tests.unit.api.test_agents import agent, answer

BODIES = ["/api/validate", "/api/plan", "/api/changes", "/api/sandboxes/qa-one/cancel"]


@pytest.mark.parametrize("path", BODIES)
def test_a_body_is_read_no_further_than_its_bound_with_or_without_a_length(
    monkeypatch, control, path
):
    monkeypatch.setattr(app, "MAX_BODY", 1000)
    monkeypatch.setattr(sandboxes, "MAX_BODY", 1000)
    monkeypatch.setattr(changes, "MAX_BODY", 1000)
    client = TestClient(create_app(control.ports), raise_server_exceptions=False)
    for content in (b"x" * 2_000_000, iter([b"x" * 1000] * 2000)):
        told = client.post(path, content=content)
        assert (told.status_code, told.headers["content-type"]) == (413, MEDIA_TYPE)
    assert control.plane.previewed == []


def test_a_bomb_stays_packed(client):
    packed = gzip.compress(b" " * 10_000_000)
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    told = client.post("/api/plan", content=packed, headers=headers)
    assert told.status_code in {400, 422}
    assert told.headers["content-type"] == MEDIA_TYPE


@pytest.mark.parametrize(
    "body",
    [
        "[" * 100_000,
        '{"files":' * 50_000,
        '{"files": {"a": "\\ud800"}}',
        '{"files": {"\\u0000": "\\u0000"}}',
        '{"files": ' + "9" * 5000 + "}",
        '{"files": NaN}',
        "\0",
        "",
    ],
)
def test_a_body_that_is_no_tree_is_refused_or_named_invalid(client, body):
    for path in ("/api/validate", "/api/plan", "/api/changes"):
        told = client.post(path, content=body, headers={"Content-Type": "application/json"})
        assert told.status_code < 500


def test_who_asks_without_end_is_told_when_to_come_again(client, monkeypatch):
    monkeypatch.setattr(bounds, "PER_SESSION", RateLimitItemPerMinute(5, namespace="session"))
    mine, theirs = ({"Authorization": f"Bearer {name}"} for name in "ab")
    told = [client.get("/api/session", headers=mine).status_code for _ in range(6)]
    assert told == [401] * 5 + [429]
    refused = client.get("/api/session", headers=mine)
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert refused.json()["type"] == "urn:sdp:problem:too-many-requests"
    assert client.get("/api/session", headers=theirs).status_code == 401


def test_one_address_has_a_bound_over_all_that_it_carries(client, monkeypatch):
    monkeypatch.setattr(bounds, "PER_ADDRESS", RateLimitItemPerMinute(5, namespace="address"))
    told = [
        client.get("/healthz", headers={"Authorization": f"Bearer {number}"}).status_code
        for number in range(6)
    ]
    assert told == [200] * 5 + [429]


def test_an_address_without_end_is_not_looked_up(client):
    told = client.get("/api/sandboxes", params={"q": "x" * bounds.LONGEST_TARGET})
    assert (told.status_code, told.headers["content-type"]) == (414, MEDIA_TYPE)


async def test_streams_are_counted_and_room_is_made_when_one_ends(control, monkeypatch):
    monkeypatch.setattr(bounds, "STREAMS_PER_ADDRESS", 2)
    async with served(control.ports) as port:
        async with opened(port, "/api/events"), opened(port, "/api/events") as second:
            assert "200 OK" in await head(second)
            async with opened(port, "/api/events") as third:
                assert "429" in await head(third)
        async with asyncio.timeout(4):
            while True:
                async with opened(port, "/api/events") as again:
                    if "200 OK" in await head(again):
                        break


async def test_agents_connections_are_counted(control, monkeypatch):
    monkeypatch.setattr(bounds, "SOCKETS_PER_ADDRESS", 1)
    async with served(control.ports) as port, agent(port) as first:
        assert isinstance(await answer(first), frames.Welcome)
        with pytest.raises(InvalidStatus):
            async with connect(f"ws://127.0.0.1:{port}/ws/agent", proxy=None):
                pass


@contextlib.asynccontextmanager
async def opened(
    port: int, path: str = "", said: bytes = b""
) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter], None]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(said or f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        yield reader, writer
    finally:
        writer.close()


async def head(connection: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> str:
    async with asyncio.timeout(4):
        return (await connection[0].readuntil(b"\r\n\r\n")).decode()


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ",
        b"POST /api/validate HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{",
    ],
    ids=["silent", "header", "body"],
)
async def test_a_request_that_never_ends_is_cut(control, monkeypatch, begun):
    monkeypatch.setattr(patience, "REQUEST_SECONDS", 0.2)
    async with (
        served(control.ports) as port,
        opened(port, said=begun or b" ") as (reader, writer),
        asyncio.timeout(4),
    ):
        with contextlib.suppress(ConnectionError):
            while await asyncio.wait_for(reader.read(4096), 4):
                pass
        writer.close()


async def test_an_agents_connection_outlives_what_a_request_may_take(control, monkeypatch):
    monkeypatch.setattr(patience, "REQUEST_SECONDS", 0.2)
    async with served(control.ports) as port, agent(port) as connection, asyncio.timeout(4):
        assert isinstance(await answer(connection), frames.Welcome)
        async with opened(port, said=b"GET / HTTP/1.1\r\n") as (reader, _):
            with contextlib.suppress(ConnectionError):
                await reader.read()  # what began later is cut by now
        await (await connection.ping())


async def test_a_header_without_end_is_refused(control):
    endless = b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * (2 * patience.LARGEST_HEADER)
    async with served(control.ports) as port, opened(port, said=endless) as connection:
        assert " 400 " in await head(connection)


async def test_a_stream_and_a_slow_answer_are_not_cut(control, monkeypatch):
    monkeypatch.setattr(patience, "REQUEST_SECONDS", 0.05)
    async with served(control.ports) as port, opened(port, "/api/events") as (reader, writer):
        assert "200 OK" in await head((reader, writer))
        async with asyncio.timeout(4):
            await reader.readuntil(b"id: 0\n\n")
            control.journal.append("later")
            told = await reader.readuntil(b"}\n\n")
    assert json.loads(told.partition(b"data: ")[2].partition(b"\n")[0])["message"] == "later"
