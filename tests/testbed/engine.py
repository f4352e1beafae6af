"""A Docker engine for tests: the one that answers, else one that is started here.

The shared engine is the machine's (`/var/run/docker.sock`); only what was started here is stopped
here.
"""

import dataclasses
import ipaddress
import os
import shutil
from pathlib import Path
from typing import Final

from tests.testbed import packages
from tests.testbed.process import (
    Daemon,
    TestbedError,
    answers,
    locked,
    remembered,
    run,
    start,
    until,
)

SHARED: Final = "unix:///var/run/docker.sock"
READY_SECONDS: Final = 60.0


@dataclasses.dataclass(frozen=True, slots=True)
class Engine:
    """An engine that answers at `host` (a DOCKER_HOST address)."""

    host: str

    def docker(self, *words: str | Path, timeout: float = 60) -> str:
        """Run the docker command on this engine and return what it prints."""
        return run(["docker", "-H", self.host, *words], timeout=timeout)

    def answers(self) -> bool:
        return answers(["docker", "-H", self.host, "version", "-f", "{{.Server.Version}}"])

    def bridge_gateway(self) -> str:
        """Return the host's address as containers on the default bridge see it."""
        # Engine 20.10 names no gateway until its second start: then it is the first address
        field = "{{with index .IPAM.Config 0}}{{.Subnet}} {{.Gateway}}{{end}}"
        subnet, *gateway = self.docker("network", "inspect", "bridge", "-f", field).split()
        known = [address for address in gateway if address != "<no"]
        return known[0] if known else str(next(ipaddress.ip_network(subnet).hosts()))


def ensure_engine(state: Path) -> Engine:
    """Return an engine that answers, starting one when there is none.

    Several processes may call this at once: the first starts it, the others wait.

    Args:
        state: folder of the log and pidfile of an engine that is started here.

    Raises:
        TestbedError: there is no engine and none can be started; the message says what is missing.
    """
    engine = Engine(os.environ.get("DOCKER_HOST", SHARED))
    if shutil.which("docker") and engine.answers():
        return engine
    if engine.host != SHARED:
        raise TestbedError(f"DOCKER_HOST is {engine.host}, and no engine answers there")
    if os.geteuid() != 0:
        packages.ensure(packages.ENGINE)
        raise TestbedError(f"no Docker engine answers at {SHARED}, and only root can start one")
    with locked(state):
        packages.ensure(packages.ENGINE)
        if not engine.answers():
            _start_shared(engine, state)
    return engine


def stop_engine(state: Path) -> str:
    """Stop the shared engine if it was started with this state folder; say what was done."""
    with locked(state):
        pidfile = state / "dockerd.started"
        daemon = remembered(pidfile)
        if daemon is None:
            pidfile.unlink(missing_ok=True)
            return "no engine was started here"
        bridges = ["docker0", *_network_bridges(Engine(SHARED))]
        daemon.stop()
        pidfile.unlink()
        if not answers(["pgrep", "-x", "dockerd"]):  # another engine may use the same bridge
            for bridge in bridges:
                answers(["ip", "link", "delete", bridge])
        return f"stopped the engine, process {daemon.pid}"


def _network_bridges(engine: Engine) -> list[str]:
    try:
        ids = engine.docker("network", "ls", "-q", "--filter", "driver=bridge").split()
    except TestbedError:
        return []
    return [f"br-{network}" for network in ids]


def _start_shared(engine: Engine, state: Path) -> None:
    log = state / "dockerd.log"
    argv: list[str | Path] = ["dockerd", "-H", SHARED, "-p", state / "dockerd.pid"]
    daemon = start(argv, log, state / "dockerd.started")
    await_ready(engine, daemon, log)


def await_ready(engine: Engine, daemon: Daemon, log: Path) -> None:
    def ready() -> bool:
        if not daemon.alive():
            raise TestbedError(f"dockerd ended:\n{log.read_text(errors='replace')[-2000:]}")
        return engine.answers()

    until(ready, seconds=READY_SECONDS, what=f"an answering dockerd (log: {log})")
