"""Where the testbed starts processes: short commands, and daemons it can find again by pid.

A daemon is remembered in a pidfile as its pid and its start time, so that a number that the kernel
gave to somebody else is never signalled.
"""

import contextlib
import dataclasses
import fcntl
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path


class TestbedError(Exception):
    """The testbed cannot be set up; the message says what is missing or what failed."""

    __test__ = False  # or pytest collects it, for its name


def run(
    argv: Sequence[str | Path],
    *,
    timeout: float = 60,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
) -> str:
    """Run a command, return its standard output; raise TestbedError with its words if it fails."""
    try:
        process = subprocess.Popen(
            argv,
            cwd=cwd,
            env={**os.environ, **env} if env else None,
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise TestbedError(f"{argv[0]}: not found") from error
    with process:
        try:
            out, err = process.communicate(stdin, timeout)
        except subprocess.TimeoutExpired as error:
            os.killpg(process.pid, signal.SIGKILL)
            raise TestbedError(f"{_words(argv)}: no end after {timeout:g} s") from error
    if process.returncode != 0:
        said = (err or out).decode(errors="replace").strip()
        raise TestbedError(f"{_words(argv)}: exit {process.returncode}: {said[-2000:]}")
    return out.decode(errors="replace")


def answers(argv: Sequence[str | Path], *, timeout: float = 60) -> bool:
    """Say whether the command succeeds."""
    try:
        run(argv, timeout=timeout)
    except TestbedError:
        return False
    return True


def _words(argv: Sequence[str | Path]) -> str:
    return " ".join(str(word) for word in argv)[:300]


@dataclasses.dataclass(frozen=True, slots=True)
class Daemon:
    """A process in its own session, known by its pid and by when it started (clock ticks)."""

    pid: int
    started: int

    def alive(self) -> bool:
        return _start_time(self.pid) == self.started

    def stop(self, *, patience: float = 20) -> None:
        """End it and all that runs in its session's first group: politely, then by force."""
        for number, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, 5.0)):
            if not self.alive():
                return
            with _waiting(self.pid) as gone, contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)
                gone(seconds)
        if self.alive():
            raise TestbedError(f"process {self.pid} survived SIGKILL")

    def kill(self) -> None:
        """End it as a power cut would: nothing is told, nothing is tidied."""
        if self.alive():
            with _waiting(self.pid) as gone, contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
                gone(5.0)


def start(argv: Sequence[str | Path], log: Path, pidfile: Path) -> Daemon:
    """Start a daemon in its own session, its output appended to `log`, remembered in `pidfile`."""
    output = (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    pid = os.posix_spawnp(  # a Popen object would warn that its process outlives it
        argv[0],
        [os.fspath(word) for word in argv],
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            output,
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    started = _start_time(pid)
    if started is None:
        raise TestbedError(f"{_words(argv)}: ended at once, see {log}")
    pidfile.write_text(f"{pid} {started}\n")
    return Daemon(pid, started)


def remembered(pidfile: Path) -> Daemon | None:
    """Return the daemon of a pidfile if it still runs."""
    try:
        pid, started = pidfile.read_text().split()
    except (FileNotFoundError, ValueError):
        return None
    daemon = Daemon(int(pid), int(started))
    return daemon if daemon.alive() else None


def until(ready: Callable[[], bool], *, seconds: float, what: str) -> None:
    """Poll until `ready()`; raise TestbedError naming `what` after the given time."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise TestbedError(f"{what}: not after {seconds:g} s")
        time.sleep(0.05)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder for this process; others wait. The folder is made."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _start_time(pid: int) -> int | None:
    """Field 22 of /proc/PID/stat (proc(5)), None for a process that is gone or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, *fields = stat.rpartition(")")[2].split()
    if state == "Z":
        with contextlib.suppress(ChildProcessError):  # ours: let the number go
            os.waitpid(pid, os.WNOHANG)
        return None
    return int(fields[18])


@contextlib.contextmanager
def _waiting(pid: int) -> Iterator[Callable[[float], None]]:
    """Give a function that waits until the process ends, for so many seconds at most."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        yield lambda _: None
        return
    try:
        yield lambda seconds: _poll(handle, seconds)
    finally:
        os.close(handle)


def _poll(handle: int, seconds: float) -> None:
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    poll.poll(seconds * 1000)
