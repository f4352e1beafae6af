"""Processes end when they must, take their offspring along, and say nothing that they may not."""

import asyncio
import sys
from pathlib import Path

import pytest

from sdp.agent import runner
from sdp.agent.lines import LineCutter
from sdp.agent.runner import Command, Finished, NotStarted, OutOfMemory, TimedOut
from sdp.protocol.text import CUT, inert
from sdp.protocol.text import LONGEST_LINE as LONGEST


def command(tmp_path: Path, *argv: str, timeout: float = 4, **more) -> Command:
    return Command(argv, tmp_path, runner.basics(tmp_path), timeout, **more)


def python(tmp_path: Path, code: str, **more) -> Command:
    return command(tmp_path, sys.executable, "-c", code, **more)


def alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in {"Z", "X"}


async def test_outputs_and_exit_code_come_back(tmp_path):
    seen: list[str] = []
    told = "import sys; print('out'); sys.exit(print('err', file=sys.stderr) or 3)"
    ended = await runner.run(python(tmp_path, told), seen.append)
    assert isinstance(ended, Finished)
    assert (ended.returncode, ended.stdout, ended.truncated) == (3, b"out\n", False)
    assert sorted(seen) == sorted(ended.lines) == ["err", "out"]


async def test_nothing_of_the_agents_environment_is_inherited(tmp_path, monkeypatch):
    monkeypatch.setenv("SDP_SECRET", "x")
    ended = await runner.run(command(tmp_path, "env"))
    assert isinstance(ended, Finished)
    assert b"SDP_SECRET" not in ended.stdout
    assert f"HOME={tmp_path}".encode() in ended.stdout


async def test_stdin_is_given_whole_and_stdout_is_capped(tmp_path):
    ended = await runner.run(command(tmp_path, "cat", stdin=b"x" * 1_000_000, cap_bytes=1000))
    assert isinstance(ended, Finished)
    assert ended.stdout == b"x" * 1000
    assert ended.truncated


SPAWN = "import subprocess,time; p=subprocess.Popen(['sleep','60']); print(p.pid, flush=True); "


async def test_grandchild_dies_on_timeout(tmp_path):
    seen: list[str] = []
    ended = await runner.run(python(tmp_path, SPAWN + "time.sleep(60)", timeout=0.5), seen.append)
    assert isinstance(ended, TimedOut)
    assert not alive(int(seen[0]))


async def test_grandchild_that_ignores_sigterm_dies_on_timeout(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "GRACE_SECONDS", 0.2)
    seen: list[str] = []
    script = "trap '' TERM; echo $$; sleep 60 & wait; sleep 60"
    ended = await runner.run(command(tmp_path, "sh", "-c", script, timeout=0.3), seen.append)
    assert isinstance(ended, TimedOut)
    assert not alive(int(seen[0]))


async def test_cancel_means_that_the_group_is_dead(tmp_path):
    started: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(
            runner.run(
                python(tmp_path, SPAWN + "time.sleep(60)"),
                lambda line: started.set_result(int(line)),
            )
        )
        pid = await started
        task.cancel()
    assert not alive(pid)


async def test_a_leftover_child_neither_survives_nor_delays_the_end(tmp_path):
    """It would sleep for longer than a test may take."""
    ended = await runner.run(python(tmp_path, SPAWN))
    assert isinstance(ended, Finished)
    assert not alive(int(ended.stdout))


async def test_too_much_memory_ends_the_process(tmp_path):
    code = "import time; x = bytearray(200 << 20); time.sleep(60)"
    ended = await runner.run(python(tmp_path, code, memory_bytes=100 << 20))
    assert isinstance(ended, OutOfMemory)


@pytest.mark.parametrize("argv", [("no-such-program",), ("echo", "a\0b")])
async def test_what_cannot_start_is_a_value(tmp_path, argv):
    ended = await runner.run(command(tmp_path, *argv))
    assert isinstance(ended, NotStarted)


async def test_secrets_are_hidden_in_lines_even_in_long_ones(tmp_path):
    code = "print('a hunter2 b'); print('x' * 65530 + 'hunter2' * 3)"
    seen: list[str] = []
    await runner.run(python(tmp_path, code, redact=("hunter2", "")), seen.append)
    assert seen[0] == "a *** b"
    assert "hunt" not in seen[1]


async def test_many_long_lines_are_cut_and_do_not_crash(tmp_path):
    code = "import sys; [sys.stdout.write('y' * 200_000 + '\\n') for _ in range(3)]"
    seen: list[str] = []
    await runner.run(python(tmp_path, code), seen.append)
    assert [len(line) for line in seen] == [LONGEST + len(CUT)] * 3


def test_lines_come_whole_from_any_chunks():
    cutter = LineCutter()
    assert [*cutter.feed(b"a"), *cutter.feed(b"b\r\nc\n\nd"), *cutter.end()] == [
        "ab",
        "c",
        "",
        "d",
    ]


def test_progress_drawn_with_returns_leaves_its_last_state():
    assert LineCutter().feed(b" 10%\r 99%\r100%\r\n") == ["100%"]


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"),
        ("a\x1b[2Jb\x1b[1;1Hc", "abc"),
        ("\x1b]0;title\x07x", "x"),
        ("\x1b]8;;http://evil\x1b\\link", "link"),
        ("bell\x07 nul\x00", "bell␇ nul␀"),
        ("\x9b31m", "�31m"),
        ("user\u202egpj", "user�gpj"),
        ("tab\tstays", "tab\tstays"),
    ],
)
def test_control_bytes_are_inert(raw, shown):
    assert inert(raw) == shown


def test_invalid_utf8_is_replaced():
    assert LineCutter().feed(b"\xff ok\n") == ["� ok"]
