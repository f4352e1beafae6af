"""Processes of a folder: each one's output goes to a log of its name, and what is waited for shows them."""

import dataclasses
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path


class NotInTimeError(Exception):
    """Something that was waited for did not come about."""


@dataclasses.dataclass
class Processes:
    """What runs, by name, and where its logs are."""

    root: Path
    processes: dict[str, subprocess.Popen[bytes]] = dataclasses.field(
        default_factory=dict, init=False
    )

    @property
    def environment(self) -> Mapping[str, str]:
        """What processes find in their environment."""
        return os.environ

    def run(self, name: str, argv: list[str]) -> None:
        """Start a process; its output goes to a log of its name."""
        with (self.root / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                argv,
                cwd=Path(__file__).parent.parent,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self, name: str) -> None:
        """End a process at once, as a crash does."""
        process = self.processes.pop(name)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def stop(self) -> None:
        """End all, in order."""
        for name in [*reversed(self.processes)]:
            process = self.processes.pop(name)
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def until(self, holds: Callable[[], bool], what: str, seconds: float = 60) -> None:
        """Wait until something holds.

        Raises:
            NotInTimeError: it does not within so many seconds.
        """
        deadline = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > deadline:
                raise NotInTimeError(f"not within {seconds:g} s: {what}\n{self.ends()}")
            time.sleep(0.1)

    def ends(self) -> str:
        """Return the last lines of each process's log."""
        logs = sorted(self.root.glob("*.log"))
        return "\n".join(
            f"--- {log.name}\n" + "\n".join(log.read_text(errors="replace").splitlines()[-15:])
            for log in logs
        )
