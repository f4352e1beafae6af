"""Whether containers answer: one HTTP GET, and the standing health of all managed containers."""

import asyncio
import contextlib
import dataclasses
import random
import time
from collections.abc import Callable, Mapping

from sdp.agent.engine import PORT, PROBE, Inspected
from sdp.protocol.actions import Probe
from sdp.protocol.report import Health

ANSWER_SECONDS = 2.0
HEALTHY_EVERY = 5.0
STARTING_EVERY = 0.25
UNHEALTHY_EVERY = 1.0
MISSES = 2
"""Bad answers in a row that make a healthy container unhealthy: one can be a busy machine's."""
AT_ONCE = 64


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What a probe got; ``said`` is the status line, or why there is none."""

    healthy: bool
    said: str


async def ask(port: int, path: str) -> Answer:
    """GET a path from a published port of this machine; 2xx and 3xx are healthy."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            status = await _status_line(port, path)
    except TimeoutError:
        return Answer(healthy=False, said=f"no answer within {ANSWER_SECONDS:g} s")
    except (OSError, ValueError) as error:  # ValueError: a status line that never ends
        return Answer(healthy=False, said=str(error))
    words = status.split(" ", 2)
    good = len(words) > 1 and words[0].startswith("HTTP/") and words[1][:1] in {"2", "3"}
    return Answer(healthy=good, said=status or "closed the connection without an answer")


async def _status_line(port: int, path: str) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
            "User-Agent: sdp-probe\r\nConnection: close\r\n\r\n".encode()
        )
        await writer.drain()
        return (await reader.readline()).decode(errors="replace").strip()
    finally:
        writer.close()


def probe_of(container: Inspected) -> tuple[int, Probe] | None:
    """Return the published port and the probe that a container's labels say."""
    port, probe = container.labels.get(PORT, ""), container.labels.get(PROBE, "")
    if not (port.isdigit() and probe):
        return None
    with contextlib.suppress(ValueError):  # labels are written by us, but read from outside
        return int(port), Probe.model_validate_json(probe)
    return None


@dataclasses.dataclass(slots=True)
class _Watched:
    port: int
    probe: Probe
    due: float
    late_at: float
    health: Health = "starting"
    reason: str = ""
    asking: bool = False
    misses: int = 0


class Prober:
    """Asks every running container again and again; ``changed`` is called when health turns."""

    def __init__(self, changed: Callable[[str], None]) -> None:
        self._changed = changed
        self._watched: dict[str, _Watched] = {}

    def watch(self, containers: Mapping[str, Inspected], now: float) -> None:
        """Follow these containers from here on; ``now`` is in seconds since the epoch."""
        for gone in self._watched.keys() - {i for i, c in containers.items() if _runs(c)}:
            del self._watched[gone]
        for key, container in containers.items():
            told = probe_of(container)
            if told is None or not _runs(container):
                continue
            started = container.started_at.timestamp() if container.started_at else now
            late_at = time.monotonic() + started + told[1].deadline_seconds - now
            known = self._watched.get(key)
            if known is None or abs(known.late_at - late_at) > 1:
                self._watched[key] = _Watched(*told, due=0.0, late_at=late_at)

    def health(self, container: Inspected) -> tuple[Health, str]:
        if not _runs(container):
            return "none", ""
        watched = self._watched.get(container.id)
        return (watched.health, watched.reason) if watched else ("none", "")

    async def run(self) -> None:
        """Probe until cancelled, at most ``AT_ONCE`` at a time."""
        async with asyncio.TaskGroup() as group:
            while True:
                now = time.monotonic()
                for key, watched in self._due(now):
                    watched.asking = True
                    group.create_task(self._ask(key, watched))
                await asyncio.sleep(0.05)

    async def ask_now(self, key: str) -> None:
        """Ask one container out of turn."""
        watched = self._watched.get(key)
        if watched is not None:
            await self._ask(key, watched)

    def _due(self, now: float) -> list[tuple[str, _Watched]]:
        busy = sum(w.asking for w in self._watched.values())
        due = [(k, w) for k, w in self._watched.items() if w.due <= now and not w.asking]
        return sorted(due, key=lambda item: item[1].due)[: max(AT_ONCE - busy, 0)]

    async def _ask(self, key: str, watched: _Watched) -> None:
        answer = await ask(watched.port, watched.probe.path)
        now = time.monotonic()
        before = (watched.health, watched.reason)
        _judge(watched, answer, now)
        watched.due = now + _pause(watched) * random.uniform(0.8, 1.2)  # noqa: S311 - spreads load
        watched.asking = False
        if before != (watched.health, watched.reason) and self._watched.get(key) is watched:
            self._changed(key)


def _judge(watched: _Watched, answer: Answer, now: float) -> None:
    watched.misses = 0 if answer.healthy else watched.misses + 1
    match watched.health:
        case "starting":
            bad = now > watched.late_at
        case "healthy":
            bad = watched.misses >= MISSES
        case _:
            bad = True
    if answer.healthy:
        watched.health, watched.reason = "healthy", ""
    elif bad:
        watched.health = "unhealthy"
        watched.reason = f"GET {watched.probe.path}: {answer.said}"


def _pause(watched: _Watched) -> float:
    """Return how many seconds later to ask again, or so; what may have turned is asked soon."""
    if watched.health == "unhealthy":
        return UNHEALTHY_EVERY
    return STARTING_EVERY if watched.health == "starting" or watched.misses else HEALTHY_EVERY


def _runs(container: Inspected) -> bool:
    return container.state == "running"
