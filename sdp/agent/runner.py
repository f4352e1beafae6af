"""The only place that starts processes: argv lists, whole environments, deadlines, bounded output.

Every process leads a session of its own, and its group is dead when ``run`` returns, however it
returns: a grandchild that outlives its parent does not outlive the call. Expected ends are values.

Memory is bounded by watching what the group holds resident and killing it when that is too much.
``RLIMIT_AS`` is not used: Go reserves far more address space than it ever touches.
"""

import asyncio
import contextlib
import dataclasses
import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Literal, TypeAlias

from sdp.agent.lines import LineCutter

GRACE_SECONDS = 2.0
DEATH_SECONDS = 5.0
DRAIN_SECONDS = 1.0
WATCH_SECONDS = 0.25
KEPT_LINES = 200
CHUNK = 1 << 16
PATH = "/usr/local/sbin:/usr/local/bin:/usr/local/go/bin:/usr/sbin:/usr/bin:/sbin:/bin"

Output: TypeAlias = Callable[[str], None]


@dataclasses.dataclass(frozen=True, slots=True)
class Command:
    """A process to be. ``environment`` is all that it gets; see ``basics``.

    ``redact`` are texts that no line may show; ``stdout`` itself is kept as it came, up to
    ``cap_bytes``. ``memory_bytes`` bounds what the group holds resident; 0: no bound. It inherits
    ``descriptors``, and no others.
    """

    argv: tuple[str, ...]
    cwd: Path
    environment: Mapping[str, str]
    timeout_seconds: float
    stdin: bytes = b""
    cap_bytes: int = 8 << 20
    redact: tuple[str, ...] = ()
    memory_bytes: int = 0
    descriptors: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Finished:
    """The process ended by itself.

    ``lines`` are the last lines of its standard error; of both outputs where they were followed.
    """

    returncode: int
    stdout: bytes
    truncated: bool
    lines: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class TimedOut:
    """The deadline passed; the group was killed."""

    seconds: float
    lines: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class OutOfMemory:
    """The group held more memory than it may; it was killed."""

    allowed_bytes: int
    lines: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class NotStarted:
    """There is no such program, or it can't be run."""

    reason: Literal["missing", "refused"]
    message: str


Ended: TypeAlias = Finished | TimedOut | OutOfMemory | NotStarted


def basics(home: Path, path: str = PATH) -> dict[str, str]:
    """Return the least that programs need in their environment."""
    return {"PATH": path, "HOME": str(home), "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}


async def run(command: Command, output: Output | None = None) -> Ended:
    """Run a process to its end. ``output`` gets each line of both its outputs as it comes."""
    started = _start(command)
    if isinstance(started, NotStarted):
        return started
    return await _Running(started, command, output).see_through()


def _start(command: Command) -> subprocess.Popen[bytes] | NotStarted:
    with _stdin(command.stdin) as stdin:
        try:
            return subprocess.Popen(
                command.argv,
                cwd=command.cwd,
                env=dict(command.environment),
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                pass_fds=command.descriptors,
                bufsize=0,
            )
        except (OSError, ValueError) as error:  # ValueError: a NUL in an argument
            missing = isinstance(error, FileNotFoundError) and command.cwd.is_dir()
            message = f"{command.argv[0]} can't be started: {error}"
            return NotStarted("missing" if missing else "refused", message)


@contextlib.contextmanager
def _stdin(content: bytes) -> Iterator[int]:
    """Give the whole input at once, in memory only: it may be a secret."""
    if not content:
        yield subprocess.DEVNULL
        return
    with os.fdopen(os.memfd_create("stdin"), "w+b") as file:
        file.write(content)
        file.seek(0)
        yield file.fileno()


class _Running:
    """A started process and the readers of its outputs."""

    def __init__(
        self, process: subprocess.Popen[bytes], command: Command, output: Output | None
    ) -> None:
        self._process = process
        self._command = command
        self._output = output
        self._stdout = bytearray()
        self._truncated = False
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._exited = _exit_of(process.pid)

    async def see_through(self) -> Ended:
        outs = [(self._process.stdout, self._take_stdout), (self._process.stderr, self._ignore)]
        async with asyncio.TaskGroup() as group:
            readers = [group.create_task(self._read(pipe, take)) for pipe, take in outs if pipe]
            try:
                ended = await self._wait()
            finally:
                await self._bury()
            _, late = await asyncio.wait(readers, timeout=DRAIN_SECONDS)
            for reader in late:  # a daemon that left the session holds the pipe
                reader.cancel()
        if ended is not None:
            return dataclasses.replace(ended, lines=tuple(self._lines))
        return Finished(
            self._process.returncode, bytes(self._stdout), self._truncated, tuple(self._lines)
        )

    async def _wait(self) -> TimedOut | OutOfMemory | None:
        loop, command = asyncio.get_running_loop(), self._command
        deadline = loop.time() + command.timeout_seconds
        while (left := deadline - loop.time()) > 0:
            pause = min(left, WATCH_SECONDS) if command.memory_bytes else left
            done, _ = await asyncio.wait({self._exited}, timeout=pause)
            if done:
                return None
            if command.memory_bytes and _resident(self._process.pid) > command.memory_bytes:
                return OutOfMemory(command.memory_bytes, ())
        return TimedOut(command.timeout_seconds, ())

    async def _bury(self) -> None:
        """Kill what is left of the session, then reap its leader.

        The leader is reaped last: until then its id, which names the group, is nobody else's.
        """
        leader = self._process.pid
        try:
            if not self._exited.done():
                _signal(leader, signal.SIGTERM)
                await _until_dead(leader, GRACE_SECONDS)
        finally:
            _signal(leader, signal.SIGKILL)
        await _until_dead(leader, DEATH_SECONDS)
        await asyncio.wait({self._exited}, timeout=DEATH_SECONDS)
        self._process.poll()

    async def _read(self, pipe: IO[bytes], take: Callable[[bytes], bool]) -> None:
        reader = asyncio.StreamReader(limit=CHUNK)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), pipe
        )
        cutter = LineCutter(self._command.redact)
        try:
            while chunk := await reader.read(CHUNK):
                if take(chunk):
                    self._tell(cutter.feed(chunk))
            self._tell(cutter.end())
        finally:
            transport.close()

    def _take_stdout(self, chunk: bytes) -> bool:
        room = self._command.cap_bytes - len(self._stdout)
        self._truncated = self._truncated or len(chunk) > room
        self._stdout += chunk[:room]
        return self._output is not None

    def _ignore(self, _: bytes) -> bool:
        return True

    def _tell(self, lines: list[str]) -> None:
        self._lines.extend(lines)
        if self._output is not None:
            for line in lines:
                self._output(line)


def _exit_of(pid: int) -> asyncio.Future[None]:
    """Return what is done when the process has ended; it is not reaped."""
    loop = asyncio.get_running_loop()
    exited: asyncio.Future[None] = loop.create_future()

    def ended() -> None:
        if not exited.done():
            exited.set_result(None)

    def watch() -> None:
        with contextlib.suppress(ChildProcessError, RuntimeError):  # RuntimeError: a closed loop
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
            loop.call_soon_threadsafe(ended)

    threading.Thread(target=watch, daemon=True, name=f"wait-{pid}").start()
    return exited


async def _until_dead(leader: int, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    deadline, pause = loop.time() + seconds, 0.005
    while loop.time() < deadline and any(_members(leader)):
        await asyncio.sleep(pause)
        pause = min(pause * 2, 0.1)


def _signal(leader: int, number: signal.Signals) -> None:
    """Signal the group, and what of its session moved to groups of its own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)
    for member in _members(leader):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(member.pid, number)


def _resident(leader: int) -> int:
    return sum(member.resident_pages for member in _members(leader)) * os.sysconf("SC_PAGE_SIZE")


@dataclasses.dataclass(frozen=True, slots=True)
class _Member:
    pid: int
    resident_pages: int


def _members(leader: int) -> Iterator[_Member]:
    """Yield the living processes of a session; see proc(5) for the fields."""
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with contextlib.suppress(OSError):
                stat = (process / "stat").read_text(errors="replace")
                fields = stat.rpartition(")")[2].split()
                if int(fields[3]) == leader and fields[0] not in {"Z", "X"}:
                    yield _Member(int(process.name), int(fields[21]))
