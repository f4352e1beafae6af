"""Puts an agent together and runs it until it is told to stop.

``serve`` knows only ports; what a configuration file says becomes ``Parts`` before it gets here.
"""

import asyncio
import contextlib
import dataclasses
import fcntl
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import structlog

from sdp.agent import observe, perform
from sdp.agent.activity import AccessLogs
from sdp.agent.allowed import Allowed
from sdp.agent.containers import Containers, Place
from sdp.agent.engine import Engine
from sdp.agent.facts import Facts
from sdp.agent.greeting import Identity
from sdp.agent.journal import Journal
from sdp.agent.login_desk import Logins
from sdp.agent.observe import Disk, Observer
from sdp.agent.outbox import Outbox
from sdp.agent.perform import Desk, Performers
from sdp.agent.seals import Seals
from sdp.agent.session import Session
from sdp.agent.strangers import Strangers
from sdp.agent.trust import Trust

log = structlog.get_logger(__name__)

FLUSH_SECONDS = 1.0


class Repositories(perform.Repositories, observe.Repositories, Protocol):
    """Clones: fetched into by actions, looked at by the observer."""


class Releases(perform.Releases, observe.Releases, Protocol):
    """Built commits."""


class Copies(perform.Copies, observe.Copies, Protocol):
    """Sandboxes' copies of the gateway."""


class AlreadyRunningError(Exception):
    """Another agent holds this state folder."""


@dataclasses.dataclass(frozen=True, slots=True)
class Parts:
    """What differs from node to node."""

    identity: Identity
    trust: Trust
    state: Path
    place: Place
    engine: Engine
    repositories: Repositories
    releases: Releases
    copies: Copies
    seals: Seals
    facts: Facts
    access: AccessLogs
    logins: Logins
    allowed: Allowed
    poll_seconds: float


@contextlib.contextmanager
def only_one(state: Path) -> Iterator[None]:
    """Hold a state folder; raises AlreadyRunningError when another process does."""
    state.mkdir(parents=True, exist_ok=True)
    with (state / "lock").open("a") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyRunningError(f"another agent uses {state}") from error
        yield


async def serve(parts: Parts, outbox: Outbox, journal: Journal) -> None:
    """Run until SIGTERM or SIGINT: then take no more, end what runs, and send what is left."""
    for action_id in outbox.interrupted():
        log.warning("interrupted", action=action_id)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    disk = Disk(parts.releases, parts.copies, parts.seals, parts.facts.disks)
    strangers = Strangers(parts.engine)
    observer = Observer(parts.engine, parts.repositories, disk, strangers, parts.poll_seconds)
    containers = Containers(parts.engine, parts.place, journal, strangers)
    performers = Performers(
        containers,
        parts.repositories,
        parts.releases,
        parts.copies,
        parts.seals,
        parts.allowed,
    )
    desk = Desk(performers, outbox, journal, observer)
    session = Session(
        parts.identity, parts.trust, outbox, observer, desk, parts.engine, parts.logins
    )
    async with asyncio.TaskGroup() as group:
        observing = group.create_task(observer.run())
        looking = group.create_task(parts.facts.run(observer.learned))
        measuring = group.create_task(parts.access.run(observer.used))
        connected = group.create_task(session.run())
        working = group.create_task(desk.run())
        await stopping.wait()
        working.cancel()
        await asyncio.wait({working}, timeout=FLUSH_SECONDS)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_SECONDS):
                await outbox.emptied()
        connected.cancel()
        observing.cancel()
        looking.cancel()
        measuring.cancel()
