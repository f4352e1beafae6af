"""Running gateways in containers: Apache with mod_php, reached by docker exec and by its port."""

from typing import Final

from sdp.agent import live_environment, probe
from sdp.agent.engine import SANDBOX, Engine, Inspected, NotFound
from sdp.agent.gateway_port import Gateway

CAPABILITIES: Final = ("CHOWN", "DAC_OVERRIDE", "KILL", "SETGID", "SETUID")
"""What Apache needs as root: workers that are not, its logs in a folder that may be another's.

Without KILL it can't end its workers, without CHOWN Debian's apachectl complains. Ports below 1024
are everybody's in a container since engine 20.10.
"""

STATUS = "http://127.0.0.1/server-status?auto"
# The probes' user agent, so that asking is not taken for use of the sandbox.
_ASK = f"echo @file_get_contents('{STATUS}');"
_GENERATION = "ParentServerConfigGeneration:"
_NO_PROGRAM = frozenset({126, 127})
"""Exit codes of docker exec where the program is not in the image."""


class ApacheGateways:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def running(self, sandbox: str, commit: str) -> Gateway | None:
        """Return what serves a copy; containers whose names speak of gateways are asked first."""
        listed = await self._engine.containers()
        alive = [(item.name, key) for key, item in listed.items() if item.state == "running"]
        for _, key in sorted(alive, key=lambda item: ("gateway" not in item[0], item)):
            found = await self._engine.inspect(key)
            if found is not None and _serves(found, sandbox, commit):
                return ApacheGateway(self._engine, found)
        return None


class ApacheGateway:
    def __init__(self, engine: Engine, container: Inspected) -> None:
        self._engine = engine
        self._container = container

    async def lint(self, source: bytes) -> str | None:
        """An image without php on its command line can't lint: its server will judge."""
        code, output = await self._execute("php", "-d", "display_errors=1", "-l", stdin=source)
        if code == 0 or code in _NO_PROGRAM:
            return None
        said = [line for line in output.splitlines() if line.strip()]
        return said[0] if said else f"php -l ended with {code}"

    async def graceful(self) -> str | None:
        code, output = await self._execute("apachectl", "graceful")
        return None if code == 0 else output.strip() or f"apachectl ended with {code}"

    async def generation(self) -> int | None:
        _, output = await self._execute("php", "-d", "user_agent=sdp-probe", "-r", _ASK)
        for line in output.splitlines():
            name, _, value = line.partition(" ")
            if name == _GENERATION and value.strip().isdigit():
                return int(value)
        return None

    async def environment(self) -> str:
        known = probe.probe_of(self._container)
        path = known[1].path if known else "/"
        code, output = await self._execute(*live_environment.ASK, path)
        return live_environment.told(output) if code == 0 else ""

    async def answer(self) -> int:
        told = probe.probe_of(self._container)
        if told is None:
            return 0
        answer = await probe.ask(told[0], told[1].path)
        words = answer.said.split(" ")
        known = len(words) > 1 and words[0].startswith("HTTP/") and words[1].isdigit()
        return int(words[1]) if known else 0

    async def _execute(self, *argv: str, stdin: bytes = b"") -> tuple[int, str]:
        try:
            code, output = await self._engine.execute(self._container.id, argv, stdin)
        except NotFound as error:
            return 1, str(error)
        return code, output.decode(errors="replace")


def _serves(found: Inspected, sandbox: str, commit: str) -> bool:
    labels = found.labels
    mine = labels.get(SANDBOX, "").lower() == sandbox.lower()
    return mine and (labels.get("sdp.service"), labels.get("sdp.commit")) == ("gateway", commit)
