"""A standing container is asked again and again; one bad answer is not yet bad health."""

import asyncio
import contextlib
import datetime
from collections.abc import AsyncIterator

from sdp.agent.engine import PORT, PROBE, Inspected
from sdp.agent.probe import Prober
from sdp.protocol.actions import Limits, Probe

START = datetime.datetime(2026, 11, 25, 9, 0, tzinfo=datetime.UTC)
LONG_AFTER = START.timestamp() + 3600


class Service:
    """Answers with the status that is set."""

    def __init__(self) -> None:
        self.status = "200 OK"
        self.turns: list[str] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {self.status}\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    @contextlib.asynccontextmanager
    async def container(self) -> AsyncIterator[Inspected]:
        server = await asyncio.start_server(self.answer, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            probe = Probe(path="/healthz", deadline_seconds=5).model_dump_json()
            labels = {PORT: str(port), PROBE: probe}
            yield Inspected("a", "a", "i", labels, "running", 0, 0, START, Limits(), {})


async def test_two_bad_answers_in_a_row_turn_a_standing_container_and_one_good_heals_it():
    service = Service()
    prober = Prober(service.turns.append)
    async with service.container() as container:
        prober.watch({"a": container}, LONG_AFTER)

        async def asked(status: str) -> tuple[str, str]:
            service.status = status
            await prober.ask_now("a")
            return prober.health(container)

        assert await asked("200 OK") == ("healthy", "")
        assert await asked("500 No") == ("healthy", "")
        assert await asked("200 OK") == ("healthy", "")
        assert await asked("500 No") == ("healthy", "")
        assert await asked("500 No") == ("unhealthy", "GET /healthz: HTTP/1.1 500 No")
        assert await asked("200 OK") == ("healthy", "")
        assert service.turns == ["a", "a", "a"]


async def test_one_that_has_not_answered_by_its_deadline_is_unhealthy_at_once():
    service = Service()
    service.status = "503 Not yet"
    prober = Prober(service.turns.append)
    async with service.container() as container:
        prober.watch({"a": container}, START.timestamp())
        await prober.ask_now("a")
        assert prober.health(container) == ("starting", "")
        prober.watch({"a": container}, LONG_AFTER)
        await prober.ask_now("a")
        assert prober.health(container) == ("unhealthy", "GET /healthz: HTTP/1.1 503 Not yet")
