"""Drain: before a container is told to stop, those who speak with it are let finish.

Routes lead elsewhere by then, but a request that was under way has the old address; and many a
program dies at once when it is told to stop.
"""

import asyncio
import contextlib
from pathlib import Path

from sdp.agent.listeners import listening, read_tables

MOST_SECONDS = 10.0
"""For connections that stay open, used or not, such as those of other services' pools."""
SETTLE_SECONDS = 0.2
"""In which a worker that read the old route connects; and how often is looked."""
_ESTABLISHED = "01"


async def drain(process: int, proc: Path = Path("/proc")) -> None:
    """Wait until nobody is connected to a port that a process's container listens on."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(MOST_SECONDS):
            while True:
                await asyncio.sleep(SETTLE_SECONDS)
                if not await asyncio.to_thread(connected, process, proc):
                    return


def connected(process: int, proc: Path = Path("/proc")) -> int:
    """Return how many connections came into a process's network; 0 where that can't be seen."""
    try:
        tables = read_tables(proc / str(process))
    except OSError:
        return 0
    ours = listening(tables).keys()
    rows = [line.split() for table in tables for line in table.splitlines()[1:]]
    local = (int(row[1].rsplit(":", 1)[1], 16) for row in rows if row[3] == _ESTABLISHED)
    return sum(port in ours for port in local)
