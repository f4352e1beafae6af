"""The one place that starts processes: argv lists, a deadline, an output cap, a group that dies whole.

How a process ended is a value. Nothing of the agent's own environment is passed on.
"""

import asyncio
import contextlib
import dataclasses
import os
import re
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

OUTPUT_CAP = 4 << 20
"""Bytes of standard output that are kept; what comes after is read and dropped."""

LINE_CAP = 8 << 10
CHUNK = 64 << 10
GRACE_SECONDS = 2.0

_INERT = re.compile(r"\x1b\[[0-9;]*[A-LN-Za-ln-z]|\x1b[^\[]|[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f]")

BASICS: Mapping[str, str] = {
    "PATH": "/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "LC_ALL": "C",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Finished:
    """How a process ended.

    Attributes:
        code: exit code, negative for a signal; None where it never started.
        output: what it wrote to standard output, capped.
        lines: its last lines of both outputs.
        timed_out: the deadline ended it.
    """

    code: int | None
    output: bytes
    lines: tuple[str, ...]
    timed_out: bool = False

    @property
    def ok(self) -> bool:
        """Whether it ended by itself with 0."""
        return self.code == 0 and not self.timed_out


def inert(line: bytes) -> str:
    """Return a line as text that does nothing to a terminal but colour it."""
    text = line[:LINE_CAP].decode("utf-8", "replace").rstrip("\r\n")
    return _INERT.sub("", text)


class _Lines:
    """Cuts chunks into lines, passes them on, and keeps the last ones."""

    def __init__(self, tell: Callable[[str], None] | None, last: list[str]) -> None:
        self._tell = tell
        self._last = last
        self._rest = b""

    def feed(self, chunk: bytes) -> None:
        *whole, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > LINE_CAP:
            whole.append(self._rest)
            self._rest = b""
        for line in whole:
            self._say(inert(line))

    def end(self) -> None:
        if self._rest:
            self._say(inert(self._rest))
            self._rest = b""

    def _say(self, line: str) -> None:
        self._last.append(line)
        del self._last[:-200]
        if self._tell is not None:
            self._tell(line)


async def run(
    argv: Sequence[str],
    *,
    timeout_seconds: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
    tell: Callable[[str], None] | None = None,
) -> Finished:
    """Run a program to its end, or to the deadline.

    Args:
        argv: the program and its arguments; no shell ever sees them.
        timeout_seconds: after so long its whole process group is killed.
        cwd: folder to run in.
        env: environment beside ``BASICS``.
        stdin: bytes for its standard input; None: nothing.
        tell: gets each line of both outputs as it comes.
    """
    last: list[str] = []
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            cwd=cwd,
            env={**BASICS, **(env or {})},
            stdin=asyncio.subprocess.DEVNULL if stdin is None else asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        return Finished(None, b"", (f"{argv[0]}: {error}",))
    output = bytearray()
    timed_out = False
    try:
        async with asyncio.timeout(timeout_seconds), asyncio.TaskGroup() as group:
            group.create_task(_read(process.stdout, _Lines(tell, last), output))
            group.create_task(_read(process.stderr, _Lines(tell, last), None))
            group.create_task(_write(process, stdin))
            group.create_task(process.wait())
    except TimeoutError:
        timed_out = True
        last.append(f"{argv[0]}: killed after {timeout_seconds:g} s")
    finally:
        await _end(process)
    return Finished(process.returncode, bytes(output), tuple(last), timed_out)


async def _read(
    stream: asyncio.StreamReader | None, lines: _Lines, output: bytearray | None
) -> None:
    assert stream is not None  # noqa: S101 -- asked for by PIPE
    while chunk := await stream.read(CHUNK):
        if output is not None and len(output) < OUTPUT_CAP:
            output += chunk[: OUTPUT_CAP - len(output)]
        lines.feed(chunk)
    lines.end()


async def _write(process: asyncio.subprocess.Process, stdin: bytes | None) -> None:
    if stdin is None or process.stdin is None:
        return
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        process.stdin.write(stdin)
        await process.stdin.drain()
    process.stdin.close()


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill what is left of the group: grandchildren hold pipes and go on working."""
    if process.returncode is None:
        _signal(process.pid, signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE_SECONDS):
                await process.wait()
    _signal(process.pid, signal.SIGKILL)
    await asyncio.shield(process.wait())


def _signal(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
