"""What the node is like: one NodeReport, kept current by events, polls and performed actions.

Docker events are hints: subscribe, list, apply; and list again when the stream breaks and every
minute. While the engine is down its containers stay as last seen, and ``engine.error`` says so.
"""

import asyncio
import contextlib
import dataclasses
import random
from collections.abc import Callable, Mapping
from typing import Protocol

import structlog

from sdp import clock
from sdp.agent.engine import PORT, SANDBOX, Engine, EngineDown, EngineError, Inspected, Listed
from sdp.agent.lent import NOTHING, Lent
from sdp.agent.probe import Prober
from sdp.agent.strangers import Strangers
from sdp.protocol import actions, report
from sdp.protocol.actions import Action
from sdp.protocol.report import (
    Activity,
    Container,
    Copy,
    Fact,
    NodeReport,
    Release,
    Repository,
    Sealed,
)
from sdp.protocol.text import names_network, names_sandbox

log = structlog.get_logger(__name__)

RELIST_SECONDS = 60.0
COALESCE_SECONDS = 0.02
COPIES_SECONDS = 1.0
LISTENERS_SECONDS = 5.0
LONGEST_BACKOFF = 5.0
GATEWAY = "gateway"


class Repositories(Protocol):
    async def look(self, names: tuple[str, ...], lent: Lent = NOTHING) -> dict[str, Repository]:
        """Ask these repositories' origins, for none all that can be; what fails has ``error``."""
        ...

    async def present(self, name: str) -> tuple[str, ...]:
        """Return the commits that the clone has, without the network."""
        ...


class Releases(Protocol):
    def scan(self) -> Mapping[str, Release]: ...


class Copies(Protocol):
    def scan(self) -> Mapping[str, Copy]: ...

    async def learn(self, sandbox: str) -> None:
        """Ask the sandbox's running gateways in which environment they really run."""
        ...


class Seals(Protocol):
    def scan(self) -> Mapping[str, Sealed]: ...


@dataclasses.dataclass(frozen=True, slots=True)
class Disk:
    """What is looked at on this machine's disk; ``space`` tells how full it is."""

    releases: Releases
    copies: Copies
    seals: Seals
    space: Callable[[], Mapping[str, Fact]]


class Observer:
    """``report`` is the newest; ``changed`` is set whenever it may differ from before."""

    def __init__(
        self,
        engine: Engine,
        repositories: Repositories,
        disk: Disk,
        strangers: Strangers,
        poll_seconds: float,
    ) -> None:
        self._engine = engine
        self._repositories = repositories
        self._disk = disk
        self._strangers = strangers
        self._poll_seconds = poll_seconds
        self._prober = Prober(self._health_turned)
        self._listed: dict[str, Listed] = {}
        self._seen: dict[str, Inspected] = {}
        self._hinted: set[str] = set()
        self._exits: dict[str, int] = {}
        self._poke = asyncio.Event()
        self._looking = asyncio.Lock()
        self._scanning = asyncio.Lock()
        self._ports = asyncio.Lock()
        self._wanted: set[str] = set()
        self._lent: dict[tuple[str, ...], Lent] = {}
        self._refresh = asyncio.Event()
        self._unlearned: asyncio.Queue[str] = asyncio.Queue()
        self.report = NodeReport()
        self.changed = asyncio.Event()

    @property
    def seen(self) -> Mapping[str, Inspected]:
        """Return this node's containers as they were last looked at, by id."""
        return self._seen

    async def run(self) -> None:
        """Observe until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow_events())
            group.create_task(self._relist())
            group.create_task(self._watch_disk())
            group.create_task(self._watch_repositories())
            group.create_task(self._learn_environments())
            group.create_task(self._watch_listeners())
            group.create_task(self._prober.run())

    async def look(self, after: Action) -> None:
        match after:
            case actions.Fetch(repository=name):
                await self._look_at_clone(name)
            case (
                actions.Build()
                | actions.CopyGateway()
                | actions.Route()
                | actions.RemoveCopy()
                | actions.RemoveRelease()
            ):
                await self._look_at_disk()
            case actions.Unseal():
                await self._look_at_seals()
            case actions.EnsureNetwork() | actions.RemoveNetwork():
                await self._look_at_engine(frozenset())
            case actions.StartService() | actions.StartGateway():
                await self._look_at_seals()
                await self._look_at_engine(frozenset({after.container.name}))
                await self._look_at_listeners()  # what refused it is told before that it did
            case _:
                await self._look_at_engine(frozenset({after.container}))
                await self._probe(after.container)
                if isinstance(after, actions.Resume):
                    await self._look_at_listeners()

    def refresh(self, repositories: tuple[str, ...], lent: Lent = NOTHING) -> None:
        """Ask these repositories' origins now; what was lent last for the same is used."""
        if lent.text:
            self._lent[repositories] = lent
        else:
            self._wanted.update(repositories)
        self._refresh.set()

    def learned(self, facts: Mapping[str, Fact]) -> None:
        """Take what the node has."""
        if facts != self.report.facts:
            self._publish(facts=dict(facts))

    def used(self, activity: Mapping[str, Activity]) -> None:
        """Take when sandboxes were used."""
        if activity != self.report.activity:
            self._publish(activity=dict(activity))

    def _publish(self, **sections: object) -> None:
        self.report = self.report.model_copy(update=sections)
        self.changed.set()

    def _down(self, error: EngineDown | EngineError) -> None:
        version = self.report.engine.version
        self._publish(engine=report.Engine(version=version, error=str(error) or "gone"))

    async def _follow_events(self) -> None:
        pause = 0.2
        while True:
            try:
                hints = self._engine.events()
                async with contextlib.aclosing(hints):
                    async for hint in hints:
                        pause = 0.2
                        self._hinted.add(hint.container)
                        if hint.exit_code is not None:
                            self._exits[hint.container] = hint.exit_code
                        self._poke.set()
                self._down(EngineDown("its event stream ended"))
            except (EngineDown, EngineError) as error:
                self._down(error)
            self._listed.clear()
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_BACKOFF)

    async def _relist(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RELIST_SECONDS):
                    await self._poke.wait()
            await asyncio.sleep(COALESCE_SECONDS)
            self._poke.clear()
            hinted, self._hinted = frozenset(self._hinted), set()
            try:
                await self._look_at_engine(hinted)
            except (EngineDown, EngineError) as error:
                self._down(error)

    async def _look_at_engine(self, touched: frozenset[str]) -> None:
        """List, inspect what is new, changed or named (by id or name), and publish."""
        async with self._looking:
            version = await self._engine.version()
            listed = await self._engine.containers()
            stale = {
                key
                for key, item in listed.items()
                if self._listed.get(key) != item or key in touched or item.name in touched
            }
            seen = {k: v for k, v in self._seen.items() if k in listed and k not in stale}
            for key in stale:
                found = await self._engine.inspect(key)
                if found is not None and names_sandbox(found.labels.get(SANDBOX, "")):
                    seen[key] = found
            networks = await self._engine.networks()
            images = await self._engine.images()
            self._listed, self._seen = listed, seen
            self._exits = {key: code for key, code in self._exits.items() if key in listed}
        self._prober.watch(self._seen, clock.now().timestamp())
        self._publish(
            engine=report.Engine(version=version),
            containers=self._containers(),
            networks={
                n: report.Network(name=n, sandbox=s)
                for n, s in networks.items()
                if names_network(n) and names_sandbox(s)
            },
            images=images,
        )

    def _containers(self) -> dict[str, Container]:
        return {key: self._told(seen) for key, seen in self._seen.items()}

    def _told(self, seen: Inspected) -> Container:
        return container(seen, self._prober, self._exits.get(seen.id, 0))

    def _health_turned(self, key: str) -> None:
        seen = self._seen.get(key)
        if seen is not None:
            told = self._told(seen)
            self._publish(containers={**self.report.containers, key: told})
            if (told.service, told.health) == (GATEWAY, "healthy"):
                self._unlearned.put_nowait(told.sandbox)

    async def _probe(self, name: str) -> None:
        for key, seen in self._seen.items():
            if name in {key, seen.name}:
                await self._prober.ask_now(key)
                return

    async def _look_at_clone(self, name: str) -> None:
        known = self.report.repositories.get(name)
        if known is not None:
            present = await self._repositories.present(name)
            told = known.model_copy(update={"present": present})
            self._publish(repositories={**self.report.repositories, name: told})

    async def _look_at_disk(self) -> None:
        async with self._scanning:  # a scan that began earlier must not be published later
            space = await asyncio.to_thread(self._disk.space)
            self._publish(
                facts={**self.report.facts, **space}
            )  # also where the rest can't be read
            releases = await asyncio.to_thread(self._disk.releases.scan)
            copies = await asyncio.to_thread(self._disk.copies.scan)
            sealed = await asyncio.to_thread(self._disk.seals.scan)
            self._publish(releases=dict(releases), copies=dict(copies), sealed=dict(sealed))

    async def _look_at_seals(self) -> None:
        async with self._scanning:
            sealed = await asyncio.to_thread(self._disk.seals.scan)
            self._publish(sealed=dict(sealed))

    async def _watch_disk(self) -> None:
        while True:
            try:
                await self._look_at_disk()
            except OSError as error:  # what was seen last stands; disk/state tells of a bad disk
                log.warning("the state folder can't be read", error=str(error))
            await asyncio.sleep(COPIES_SECONDS)

    async def _learn_environments(self) -> None:
        """Whatever a gateway was found to run in before: it may be another container by now."""
        while True:
            sandbox = await self._unlearned.get()
            # What can't be asked or noted now is asked when the gateway is next found healthy.
            with contextlib.suppress(EngineDown, EngineError, OSError):
                await self._disk.copies.learn(sandbox)
                await self._look_at_disk()

    async def _watch_repositories(self) -> None:
        """Look at all origins at every poll, and meanwhile at those that are asked for."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            wanted, self._wanted = tuple(sorted(self._wanted)), set()
            borrowed, self._lent = self._lent, {}
            self._refresh.clear()
            if polling := loop.time() >= due:
                wanted = ()
                due = loop.time() + self._poll_seconds * random.uniform(0.9, 1.1)  # noqa: S311 - spreads load
            async with asyncio.TaskGroup() as group:
                if wanted or polling:
                    group.create_task(self._look_at_origins(wanted, NOTHING))
                for names, lent in borrowed.items():
                    group.create_task(self._look_at_origins(names, lent))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._refresh.wait()

    async def _look_at_origins(self, names: tuple[str, ...], lent: Lent) -> None:
        found = await self._repositories.look(names, lent)
        self._publish(repositories=_looked(self.report.repositories, found))

    async def _look_at_listeners(self) -> None:
        async with self._ports:
            found = await self._strangers.look()
            told = {str(p): report.Listener(owner=who) for p, who in sorted(found.items())}
            if told != self.report.listeners:
                self._publish(listeners=told)

    async def _watch_listeners(self) -> None:
        while True:
            with contextlib.suppress(EngineDown, EngineError):  # the report says that it is down
                await self._look_at_listeners()
            await asyncio.sleep(LISTENERS_SECONDS)


def _looked(
    known: Mapping[str, Repository], found: Mapping[str, Repository]
) -> dict[str, Repository]:
    """Return what is known after a look; where it failed, branches are as they were last seen.

    One that was not even made, for want of credentials, leaves more of what the last one found.
    """
    fresh: dict[str, Repository] = {}
    for name, told in found.items():
        kept: dict[str, object] = {}
        before = known.get(name)
        if before and not told.branches and (told.error or not told.checked_at):
            kept["branches"] = before.branches
        if before and not told.checked_at:
            kept |= {"checked_at": before.checked_at, "error": before.error}
        fresh[name] = told.model_copy(update=kept)
    return {**known, **fresh}


def container(seen: Inspected, prober: Prober, ended: int) -> Container:
    """Return what is reported of a container: the engine's facts, the labels, its health.

    Args:
        seen: as the engine says it is.
        prober: who asks it.
        ended: its last exit code that was heard of; of what runs again the engine forgets it.
    """
    port = seen.labels.get(PORT, "")
    health, reason = prober.health(seen)
    service = seen.labels.get("sdp.service", "")
    return Container(
        id=seen.id,
        name=seen.name,
        sandbox=seen.labels.get(SANDBOX, ""),
        service=service,
        commit=seen.labels.get("sdp.commit", ""),
        branch=seen.labels.get("sdp.branch", ""),
        hash=seen.labels.get("sdp.hash", ""),
        peers=seen.labels.get("sdp.peers", ""),
        generation=seen.labels.get("sdp.generation", ""),
        deployment=seen.labels.get("sdp.deployment", ""),
        image=seen.image,
        state=seen.state,
        exit_code=seen.exit_code or ended,
        restarts=seen.restarts,
        host_port=int(port) if port.isdigit() else 0,
        admitted=any({service, GATEWAY} & set(names) for names in seen.aliases.values()),
        limits=seen.limits,
        health=health,
        reason=reason,
        started_at=seen.started_at,
        oom_killed=seen.oom_killed,
    )
