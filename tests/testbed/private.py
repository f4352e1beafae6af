"""A Docker engine of one test, as if on a machine of its own: stopped, killed, started at will.

It runs in a network namespace, because an engine that starts beside another one deletes the
other's bridge and flushes its packet filter. Ports that its containers publish are at `address`.
"""

import contextlib
import dataclasses
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.testbed import packages
from tests.testbed.engine import Engine, await_ready
from tests.testbed.process import TestbedError, answers, remembered, run, start

# its own /run, or the engines share locks and sockets there
OWN_RUN: Final = 'mount -t tmpfs tmpfs /run && exec dockerd "$@"'


@dataclasses.dataclass(frozen=True, slots=True)
class PrivateEngine:
    """An engine in a network namespace that a cable (veth) joins to the machine's."""

    root: Path
    runtime: Path  # short: Unix socket addresses end after 107 bytes
    number: int

    @property
    def engine(self) -> Engine:
        return Engine(f"unix://{self.runtime}/docker.sock")

    @property
    def address(self) -> str:
        """Where the machine reaches the ports that containers publish."""
        return f"10.{200 + self.number}.255.2"

    @property
    def machine(self) -> str:
        """Where containers reach the machine."""
        return f"10.{200 + self.number}.255.1"

    @property
    def name(self) -> str:
        return f"sdptb{self.number}"

    def start(self) -> None:
        """Start it if it does not run, and wait until it answers."""
        if remembered(self.root / "started"):
            return
        argv: list[str | Path] = [
            "nsenter", f"--net=/run/netns/{self.name}", "unshare", "-m", "sh", "-c", OWN_RUN, "-",
            "-H", self.engine.host, "-p", self.root / "pid", "--cgroup-parent", self.name,
            "--data-root", self.root / "data", "--exec-root", self.runtime / "exec",
        ]  # fmt: skip
        daemon = start(argv, self.root / "log", self.root / "started")
        await_ready(self.engine, daemon, self.root / "log")

    def stop(self) -> None:
        """Stop it in order; its containers stop with it."""
        if daemon := remembered(self.root / "started"):
            daemon.stop()

    def kill(self) -> None:
        """Kill it and every container of it, and empty its /run, as a machine's power cut does."""
        if daemon := remembered(self.root / "started"):
            daemon.kill()
        self._kill_leftovers()
        (self.root / "pid").unlink(missing_ok=True)
        shutil.rmtree(self.runtime / "exec", ignore_errors=True)

    def cut(self) -> None:
        """Pull the cable: nothing reaches it, and it reaches nothing."""
        run(["ip", "link", "set", self.name, "down"])

    def join(self) -> None:
        """Plug the cable in again."""
        run(["ip", "link", "set", self.name, "up"])

    def prepare(self) -> None:
        """Make its network namespace and the cable."""
        inside = ["ip", "-n", self.name]
        run(["ip", "netns", "add", self.name])
        run(["ip", "link", "add", self.name, "type", "veth", "peer", "eth0", "netns", self.name])
        run(["ip", "address", "add", f"{self.machine}/24", "dev", self.name])
        run(["ip", "link", "set", self.name, "up"])
        run([*inside, "address", "add", f"{self.address}/24", "dev", "eth0"])
        run([*inside, "link", "set", "lo", "up"])
        run([*inside, "link", "set", "eth0", "up"])
        run([*inside, "route", "add", "default", "via", self.machine])

    def remove(self) -> None:
        """Stop it and take its network, groups and data away."""
        self.stop()
        self._kill_leftovers()
        answers(["ip", "link", "delete", self.name])
        answers(["ip", "netns", "delete", self.name])
        groups = Path("/sys/fs/cgroup").glob(f"**/{self.name}/**/")
        for group in sorted(groups, reverse=True):
            group.rmdir()
        shutil.rmtree(self.runtime, ignore_errors=True)
        shutil.rmtree(self.root / "data", ignore_errors=True)

    def _kill_leftovers(self) -> None:
        """End shims and containers that outlived their engine: all carry its runtime folder."""
        mark = str(self.runtime).encode()
        shims = [pid for pid in _processes() if mark in _read(f"/proc/{pid}/cmdline")]
        for pid in {*shims, *(child for shim in shims for child in _descendants(shim))}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def private_engine(root: Path, number: int = 1) -> Iterator[PrivateEngine]:
    """Start an engine whose data is below `root`; it is removed at the end, its log is left.

    Args:
        root: an empty folder.
        number: 1 to 50, different for engines that run at the same time on this machine.

    Raises:
        TestbedError: not root, a part is missing, or the number is in use.
    """
    if os.geteuid() != 0:
        raise TestbedError("a private engine needs root (network namespaces, dockerd)")
    packages.ensure(packages.ENGINE)
    if Path(f"/run/netns/sdptb{number}").exists():
        raise TestbedError(f"private engine {number} exists: ip netns delete sdptb{number}")
    root.mkdir(parents=True, exist_ok=True)
    private = PrivateEngine(root, Path(tempfile.mkdtemp(prefix="sdp-engine-", dir="/tmp")), number)
    try:
        private.prepare()
        private.start()
        yield private
    finally:
        private.remove()


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
