"""A program that writes until it is killed, and says what it was told is kept."""

import signal
import subprocess  # noqa: TID251 - a kill needs a process
import sys
from pathlib import Path


def told_until_killed(program: str, folder: Path, told: int, enough: int) -> int:
    """Run a program that prints rising numbers, and kill it; return the last that it printed.

    Args:
        program: its text; the folder is its argument.
        folder: where it writes.
        told: the number that was printed last before.
        enough: the number from which on it is killed.
    """
    command = [sys.executable, "-c", program, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        while told < enough:
            told = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        return max([told, *map(int, writer.stdout.read().split())])
