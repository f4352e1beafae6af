"""Keeps what each process of this machine was started with: its arguments and its environment.

A process of its own, so that what is sampled does not slow it. A file for each that was seen:
`<container or host>/<pid>.<cmdline|environ>.<number>`; equal ones are kept once for a process.
"""

import argparse
import contextlib
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.testbed.process import start

PAUSE: Final = 0.002
YOUNG: Final = 2.0
"""Seconds in which a process may yet become another program; older ones are looked at less."""
SELDOM: Final = 50
KINDS: Final = ("cmdline", "environ")
_CONTAINER: Final = re.compile(r"/docker[/-]([0-9a-f]{12})[0-9a-f]{52}")


class Sampler:
    """Looks at /proc again and again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._since: dict[str, float] = {}
        self._seen: dict[str, set[bytes]] = {}
        self._sweeps = 0

    def sweep(self) -> None:
        """Look once at all that is young, and now and then at all."""
        now = time.monotonic()
        there = [each.name for each in Path("/proc").iterdir() if each.name.isdecimal()]
        self._since = {pid: self._since.get(pid, now) for pid in there}
        self._seen = {pid: self._seen.get(pid, set()) for pid in there}
        self._sweeps += 1
        for pid, since in self._since.items():
            if now - since < YOUNG or self._sweeps % SELDOM == 0:
                for kind in KINDS:
                    self._look(pid, kind)

    def _look(self, pid: str, kind: str) -> None:
        # another user's, or gone
        with contextlib.suppress(PermissionError, FileNotFoundError, ProcessLookupError):
            content = Path(f"/proc/{pid}/{kind}").read_bytes()
            if content and content not in self._seen[pid]:
                self._seen[pid].add(content)
                folder = self._folder / _owner(pid)
                folder.mkdir(exist_ok=True)
                (folder / f"{pid}.{kind}.{time.monotonic_ns()}").write_bytes(content)


def _owner(pid: str) -> str:
    found = _CONTAINER.search(Path(f"/proc/{pid}/cgroup").read_text())
    return f"container-{found[1]}" if found else "host"


@contextlib.contextmanager
def sampling(folder: Path) -> Iterator[Path]:
    """Sample during the block, into a folder, which is yielded."""
    samples = folder / "samples"
    samples.mkdir(parents=True)
    argv = [sys.executable, "-m", "tests.testbed.sampler", str(samples)]
    daemon = start(argv, folder / "log", folder / "pid")
    try:
        yield samples
    finally:
        daemon.stop()


def main() -> None:
    """Sample until the end is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.testbed.sampler", description=__doc__)
    parser.add_argument("folder", type=Path)
    sampler = Sampler(parser.parse_args().folder)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    while not ended.wait(PAUSE):
        sampler.sweep()


if __name__ == "__main__":
    main()
