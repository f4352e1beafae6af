"""Use of a real gateway: what Apache logs of people, of probes and of itself, and of what is emptied."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sdp import clock
from sdp.agent import activity, probe
from sdp.agent.activity import AccessLogs
from sdp.agent.apache import ApacheGateways
from sdp.agent.dockerd import DockerEngine
from sdp.protocol.frames import Succeeded
from sdp.protocol.report import Activity
from tests.docker.test_gateway import COMMIT, COMMITTED, URL, World
from tests.testbed.engine import ensure_engine
from tests.testbed.images import GATEWAY, ensure_image

pytestmark = [pytest.mark.docker, pytest.mark.timeout(90)]

EVERYTHING = {
    "/etc/apache2/conf-enabled/zz-all.conf": "GlobalLog /var/log/sdp/access.log combined\n"
}
"""An image that logs probes too."""
PERSON = "GET /erangel/index.php HTTP/1.0\r\nHost: x\r\nUser-Agent: Dalvik/2.1\r\n\r\n"


class Watched(World):
    """A gateway whose start, with its requests, is behind it."""

    async def measure(self) -> None:
        await self.start(EVERYTHING)
        self.log = self.access / "access.log"
        os.truncate(self.log, 0)
        self.logs = AccessLogs(self.access.parent, self.folder / "activity.json", clock.now)

    def look(self) -> Activity:
        return self.logs.look()[self.sandbox]

    async def person(self) -> None:
        assert await self.get(PERSON) == "http://ocp/account;end"


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Watched]:
    if URL.startswith("unix:///var/run/"):
        ensure_image(ensure_engine(tmp_path / "engine"), GATEWAY)
    engine = DockerEngine(URL, f"test-{uuid.uuid4().hex[:8]}", "gateway-186")
    world = Watched(engine, tmp_path, COMMITTED)
    try:
        await world.measure()
        yield world
    finally:
        await world.end()
        engine.close()


async def test_a_person_counts_and_neither_probes_nor_apache_itself_do(gateway: Watched) -> None:
    found = await ApacheGateways(gateway.engine).running(gateway.sandbox, COMMIT)
    assert found is not None
    assert (await probe.ask(gateway.port, "/erangel/index.php")).healthy
    await found.environment()
    await gateway.route("http://ocp/account")  # with a graceful reload, and a look at its status
    assert await found.graceful() is None
    assert await found.generation() is not None
    seen = gateway.look()
    assert (seen.last_request_at, seen.error) == (None, "")
    written = gateway.log.read_text()
    assert "sdp-probe" in written
    await gateway.person()
    told = gateway.look().last_request_at
    assert told is not None
    assert told >= seen.since.replace(microsecond=0)


async def test_a_large_log_is_emptied_while_apache_writes(
    gateway: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activity, "LARGE", 1000)
    for _ in range(10):
        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(gateway.person())
            await asyncio.to_thread(gateway.look)
    gateway.look()
    gateway.look()
    assert gateway.log.stat().st_size < 1000
    await gateway.person()
    assert b"\0" not in gateway.log.read_bytes()
    assert await gateway.route("http://vm:9001") == Succeeded()
    assert gateway.look().error == ""
