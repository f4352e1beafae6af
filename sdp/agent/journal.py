"""Stages and log lines of deployments on their way into the outbox; lines go in batches."""

import asyncio

from sdp import clock
from sdp.agent.outbox import Outbox
from sdp.protocol.frames import LogLines, StageEvent

BATCH_SECONDS = 0.05
BATCH_LINES = 500
LINE_CHARACTERS = 8_192
"""500 of these, four bytes each and escaped, may pass a frame: batches count characters too."""
BATCH_CHARACTERS = 500_000


class Journal:
    """Writes entries; must be used on the loop."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._waiting: dict[tuple[str, str], list[str]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def started(self, deployment: str, stage: str) -> None:
        self.flush()
        self._outbox.append(
            StageEvent(deployment=deployment, stage=stage, state="started", at=clock.now())
        )

    def finished(self, deployment: str, stage: str, note: str = "") -> None:
        self.flush()
        at = clock.now()
        self._outbox.append(
            StageEvent(deployment=deployment, stage=stage, state="finished", at=at, note=note)
        )

    def failed(self, deployment: str, stage: str, note: str) -> None:
        self.flush()
        at = clock.now()
        self._outbox.append(
            StageEvent(deployment=deployment, stage=stage, state="failed", at=at, note=note)
        )

    def lines(self, deployment: str, stage: str, lines: tuple[str, ...]) -> None:
        waiting = self._waiting.setdefault((deployment, stage), [])
        for line in lines:
            waiting.append(line[:LINE_CHARACTERS])
            if len(waiting) >= BATCH_LINES or len(waiting) * LINE_CHARACTERS > BATCH_CHARACTERS:
                self._write(deployment, stage)
                waiting = self._waiting.setdefault((deployment, stage), [])
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(BATCH_SECONDS, self.flush)

    def flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for deployment, stage in list(self._waiting):
            self._write(deployment, stage)

    def _write(self, deployment: str, stage: str) -> None:
        lines = self._waiting.pop((deployment, stage), [])
        if lines:
            at = clock.now()
            self._outbox.append(
                LogLines(deployment=deployment, stage=stage, at=at, lines=tuple(lines))
            )
