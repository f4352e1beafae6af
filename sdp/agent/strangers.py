"""Strangers: who has ports of this node that our containers do not have.

Three witnesses, because none sees everything: /proc and a bind (blind to what is outside of the
agent's network namespace), the engine's list (blind to processes), and starts that it refused.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from sdp.agent import listeners
from sdp.agent.engine import Publisher

PROXY = "docker-proxy "
PROXY_SECONDS = 4.0
"""How long an engine's proxy may outlive the container that the engine no longer lists."""
REFUSED_SECONDS = 60.0
"""How long a port is not asked for again after a refusal that nothing else explains."""


class Publishing(Protocol):
    """The part of an engine that is asked."""

    async def published(self) -> dict[int, Publisher]: ...


class Strangers:
    def __init__(self, engine: Publishing, now: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._now = now
        self._owners: dict[str, str] = {}
        self._proxies: dict[str, float] = {}
        self._refusals: dict[int, float] = {}

    async def look(self) -> dict[int, str]:
        """Return port → who has it, in words."""
        # In this order: what starts to publish between the two is known for what it is.
        listening = await asyncio.to_thread(lambda: listeners.listening(listeners.read_tables()))
        published = await self._engine.published()
        ours = {port for port, publisher in published.items() if publisher.ours}
        now = self._now()
        self._refusals = {p: until for p, until in self._refusals.items() if until > now}
        processes = {p: inode for p, inode in listening.items() if p not in published}
        return {
            **{port: listeners.UNKNOWN for port in self._refusals if port not in ours},
            **await asyncio.to_thread(self._processes, processes),
            **{port: str(each) for port, each in published.items() if not each.ours},
        }

    async def refused(self, port: int) -> str:
        """Take it that the engine could not have a port, and return who has it."""
        seen = await self.look()
        if port not in seen:
            self._refusals[port] = self._now() + REFUSED_SECONDS
        return seen.get(port, listeners.UNKNOWN)

    def _processes(self, listening: dict[int, str]) -> dict[int, str]:
        """Return who listens, without what was gone before it was bound; blocks shortly."""
        inodes = frozenset(listening.values())
        known = {inode: who for inode, who in self._owners.items() if inode in inodes}
        if new := inodes - known.keys():  # reading every process's files is dear
            known |= dict.fromkeys(new, listeners.UNKNOWN) | listeners.owners(new)
        self._owners = known
        going = self._going({i for i in inodes if known[i].startswith(PROXY)})
        held = listeners.held({p: i for p, i in listening.items() if i not in going})
        return {port: known[listening[port]] for port in held}

    def _going(self, proxies: set[str]) -> set[str]:
        """Return the sockets of proxies whose container just ended; one that stays is a stranger's.

        It belongs to another engine on this machine.
        """
        now = self._now()
        self._proxies = {inode: self._proxies.get(inode, now) for inode in sorted(proxies)}
        return {i for i, since in self._proxies.items() if now - since < PROXY_SECONDS}
