"""A Docker engine for tests: the one that answers, else one that is started here.

The shared engine is the machine's (`/var/run/docker.sock`); only what was started here is stopped
here. A private engine has its own socket, data and bridge beside it in the same network, so that
a test may stop or kill it.
"""

import contextlib
import dataclasses
import ipaddress
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
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
        raise TestbedError("no Docker engine answers, and only root can start one (dockerd)")
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
        daemon.stop()
        pidfile.unlink()
        answers(["ip", "link", "delete", "docker0"])
        return f"stopped the engine, process {daemon.pid}"


def _start_shared(engine: Engine, state: Path) -> None:
    log = state / "dockerd.log"
    argv: list[str | Path] = ["dockerd", "-H", SHARED, "-p", state / "dockerd.pid"]
    daemon = start(argv, log, state / "dockerd.started")
    _await_ready(engine, daemon, log)


def _await_ready(engine: Engine, daemon: Daemon, log: Path) -> None:
    def ready() -> bool:
        if not daemon.alive():
            raise TestbedError(f"dockerd ended:\n{log.read_text(errors='replace')[-2000:]}")
        return engine.answers()

    until(ready, seconds=READY_SECONDS, what=f"an answering dockerd (log: {log})")


@dataclasses.dataclass(frozen=True, slots=True)
class PrivateEngine:
    """An engine of one test: stopped, killed and started again at will.

    It shares the machine's network with the shared engine, so it leaves the packet filter alone
    (two engines would flush each other's chains); published ports go through its userland proxy.
    """

    root: Path
    runtime: Path  # short: Unix socket addresses end after 107 bytes
    number: int  # of its address range and bridge

    @property
    def engine(self) -> Engine:
        return Engine(f"unix://{self.runtime}/docker.sock")

    @property
    def _bridge(self) -> str:
        return f"sdptb{self.number}"

    @property
    def _pool(self) -> str:
        return f"10.{200 + self.number}.0.0/16"

    def start(self) -> None:
        """Start it if it does not run, and wait until it answers."""
        if remembered(self.root / "started"):
            return
        self._link()
        argv: list[str | Path] = [
            "dockerd", "-H", self.engine.host, "-p", self.root / "pid",
            "--data-root", self.root / "data", "--exec-root", self.runtime / "exec",
            "--bridge", self._bridge, "--iptables=false", "--ip6tables=false", "--ip-masq=false",
            "--default-address-pool", f"base={self._pool},size=24",
        ]  # fmt: skip
        daemon = start(argv, self.root / "log", self.root / "started")
        _await_ready(self.engine, daemon, self.root / "log")

    def stop(self) -> None:
        """Stop it in order; its containers stop with it."""
        if daemon := remembered(self.root / "started"):
            daemon.stop()

    def kill(self) -> None:
        """Kill it and every container of it, as a lost machine does."""
        if daemon := remembered(self.root / "started"):
            daemon.kill()
        self._kill_leftovers()

    def remove(self) -> None:
        """Stop it and take its bridges, mounts and data away."""
        self.stop()
        self._kill_leftovers()
        for bridge in {self._bridge, *self._network_bridges()}:
            answers(["ip", "link", "delete", bridge])
        self._accept("-D")
        for folder in (self.runtime, self.root):
            _unmount_below(folder)
        shutil.rmtree(self.runtime, ignore_errors=True)
        shutil.rmtree(self.root / "data", ignore_errors=True)

    def _link(self) -> None:
        if answers(["ip", "link", "show", self._bridge]):
            return
        run(["ip", "link", "add", self._bridge, "type", "bridge"])
        run(["ip", "address", "add", f"10.{200 + self.number}.255.1/24", "dev", self._bridge])
        run(["ip", "link", "set", self._bridge, "up"])
        self._accept("-I")

    def _accept(self, verb: str) -> None:
        # bridge-netfilter runs bridged frames through the shared engine's FORWARD policy, DROP
        answers(["iptables", verb, "FORWARD", "-s", self._pool, "-d", self._pool, "-j", "ACCEPT"])

    def _network_bridges(self) -> list[str]:
        prefix = f"10.{200 + self.number}."
        lines = run(["ip", "-o", "-4", "address"]).splitlines()
        return [line.split()[1] for line in lines if line.split()[3].startswith(prefix)]

    def _kill_leftovers(self) -> None:
        """End shims and containers that outlived their engine: all carry its runtime folder."""
        mark = str(self.runtime).encode()
        shims = [pid for pid in _processes() if mark in _read(f"/proc/{pid}/cmdline")]
        for pid in {*shims, *(child for shim in shims for child in _descendants(shim))}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def private_engine(root: Path, number: int = 1) -> Iterator[PrivateEngine]:
    """Start an engine whose data is below `root`; it is removed at the end.

    Args:
        root: an empty folder.
        number: 1 to 50, different for engines that run at the same time.

    Raises:
        TestbedError: not root, or a part is missing that cannot be installed.
    """
    if os.geteuid() != 0:
        raise TestbedError("a private engine needs root (dockerd)")
    packages.ensure(packages.ENGINE)
    root.mkdir(parents=True, exist_ok=True)
    private = PrivateEngine(root, Path(tempfile.mkdtemp(prefix="sdp-engine-", dir="/tmp")), number)
    try:
        private.start()
        yield private
    finally:
        private.remove()


def _unmount_below(folder: Path) -> None:
    points = [line.split()[1] for line in _read("/proc/mounts").decode().splitlines()]
    for point in sorted((p for p in points if p.startswith(f"{folder}/")), reverse=True):
        answers(["umount", "-l", point])


def _processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]


def _descendants(pid: int) -> list[int]:
    children = [int(word) for word in _read(f"/proc/{pid}/task/{pid}/children").split()]
    return [*children, *(below for child in children for below in _descendants(child))]


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""
