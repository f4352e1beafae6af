"""Running gateways: what a change of config.php needs of the container that serves a copy.

Only PHP and Apache, which every gateway image has, are asked to run in it.
"""

import re

from sdp.agent import probe
from sdp.agent.engine import Engine, Inspected
from sdp.protocol.actions import Probe

GATEWAY = "gateway"
LINT = ("php", "-l")
GRACEFUL = ("apachectl", "graceful")
STATUS = ("php", "-r", 'echo @file_get_contents("http://127.0.0.1/server-status?auto");')
_GENERATION = re.compile(rb"^ParentServerConfigGeneration: (\d+)", re.MULTILINE)
_STATUS_LINE = re.compile(r"HTTP/\S+ (\d{3})")


class RunningGateway:
    """One container."""

    def __init__(self, engine: Engine, container: str, port: int, told: Probe) -> None:
        self._engine = engine
        self._container = container
        self._port = port
        self._probe = told

    async def lint(self, source: bytes) -> str | None:
        code, said = await self._engine.execute(self._container, LINT, source)
        return None if code == 0 else _last_line(said)

    async def graceful(self) -> str | None:
        code, said = await self._engine.execute(self._container, GRACEFUL)
        return None if code == 0 else _last_line(said)

    async def generation(self) -> int | None:
        _, said = await self._engine.execute(self._container, STATUS)
        found = _GENERATION.search(said)
        return int(found[1]) if found else None

    async def answer(self) -> int:
        said = (await probe.ask(self._port, self._probe.path)).said
        found = _STATUS_LINE.match(said)
        return int(found[1]) if found else 0


class RunningGateways:
    """Finds them by label on the node's engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def running(self, sandbox: str, commit: str) -> RunningGateway | None:
        for identity in await self._engine.containers():
            found = await self._engine.inspect(identity)
            if found is not None and _serves(found, sandbox, commit):
                place = probe.probe_of(found)
                return RunningGateway(self._engine, found.id, *place) if place else None
        return None


def _serves(found: Inspected, sandbox: str, commit: str) -> bool:
    labels = found.labels
    return (
        found.state == "running"
        and labels.get("sdp.sandbox", "").lower() == sandbox.lower()
        and labels.get("sdp.service") == GATEWAY
        and labels.get("sdp.commit") == commit
    )


def _last_line(said: bytes) -> str:
    lines = said.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"
