"""A Docker engine in memory, held to the same contract as the real one.

Its containers understand just enough shell for the contract: ``echo``, ``exit``, ``sleep``,
``head -c`` as what they have in memory, and a string that grows until it is killed for that.
"""

import asyncio
import copy
import dataclasses
import itertools
import re
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path

from sdp import clock
from sdp.agent.engine import (
    INSTANCE,
    NODE,
    About,
    BelowUse,
    Draft,
    EngineDown,
    EngineError,
    Hint,
    Inspected,
    Line,
    Listed,
    NotFound,
    NotOurs,
    Publisher,
    Used,
)
from sdp.protocol.actions import Limits

OOM = 137


class FakeEngine:
    """``down`` makes every call fail; ``strangers`` are containers of somebody else."""

    def __init__(self, instance: str, node: str = "micro-92") -> None:
        self.instance = instance
        self.node = node
        self.root = Path("/var/lib/docker")
        self.room = 31
        self.grain = 1
        """So many lines of a log have the same timestamp."""
        self.down = False
        self.tags: dict[str, str] = {"busybox:test": "sha256:1"}
        self.archives: dict[str, str | EngineError] = {}
        self.ports: dict[str, Mapping[int, int]] = {}
        self.refusals: dict[str, EngineError] = {}
        self.calls: list[str] = []
        self.files: dict[str, dict[str, str]] = {}
        self._containers: dict[str, Inspected] = {}
        self._programs: dict[str, tuple[str, ...]] = {}
        self._mounts: dict[str, tuple[str, ...]] = {}
        self._logs: dict[str, list[str]] = {}
        self._networks: dict[str, tuple[str, str]] = {}
        self._numbers = itertools.count(1)
        self._spent = itertools.count(1)
        self._changed = asyncio.Condition()
        self._hints: list[Hint] = []

    def as_seen_by(self, instance: str, node: str = "micro-92") -> "FakeEngine":
        """Return another instance's, or node's, view of the same engine."""
        other = copy.copy(self)
        other.instance, other.node = instance, node
        return other

    def add_stranger(self, name: str, port: int = 0) -> None:
        key = self._new_id()
        self._containers[key] = Inspected(
            key, name, "stranger:1", {}, "running", 0, 0, clock.now(), Limits(), {"bridge": ()}
        )
        self.ports[key] = {80: port}

    def _new_id(self) -> str:
        """Return an id that is told apart by its first digits, as the engine's are."""
        return f"{next(self._numbers):012x}".ljust(64, "0")

    def add_strange_network(self, name: str) -> None:
        self._networks[name] = ("", "")

    async def alter(self, container: str, **changes: object) -> None:
        """Change a container behind the agent's back, and tell it as an event."""
        found = self._find(container)
        await self._set(dataclasses.replace(found, **changes))  # type: ignore[arg-type]

    async def say(self, container: str, *lines: str) -> None:
        self._logs[self._find(container).id].extend(lines)
        await self._tell(Hint(""))

    def _up(self, call: str) -> None:
        self.calls.append(call)
        if self.down:
            raise EngineDown("connection refused")
        refusal = self.refusals.pop(call, None)
        if refusal is not None:
            raise refusal

    def _find(self, container: str) -> Inspected:
        for key, found in self._containers.items():
            if container in {key, found.name}:
                return found
        raise NotFound(f"No such container: {container}")

    def _own(self, container: str) -> Inspected:
        found = self._find(container)
        if found.labels.get(INSTANCE) != self.instance:
            raise NotOurs(f"container {found.name} is not ours")
        return found

    async def _set(self, found: Inspected) -> None:
        self._containers[found.id] = found
        ended = found.state in {"exited", "restarting"}
        await self._tell(Hint(found.id, found.exit_code if ended else None))

    async def _tell(self, hint: Hint) -> None:
        async with self._changed:
            self._hints.append(hint)
            self._changed.notify_all()

    async def version(self) -> str:
        self._up("version")
        return "fake"

    async def containers(self) -> dict[str, Listed]:
        self._up("containers")
        return {
            key: Listed(
                c.name,
                c.state,
                tuple(f"{n} {a}" for n, a in c.aliases.items()),
                self._mounts.get(key, ()),
            )
            for key, c in self._containers.items()
            if (c.labels.get(INSTANCE), c.labels.get(NODE)) == (self.instance, self.node)
        }

    async def inspect(self, container: str) -> Inspected | None:
        self._up("inspect")
        try:
            return self._find(container)
        except NotFound:
            return None

    async def used(self, container: Inspected) -> Used | None:
        self._up("used")
        found = self._containers.get(container.id)
        if found is None or found.state != "running":
            return None
        return Used(clock.now(), next(self._spent) * 1_000_000, 1 << 20)

    async def published(self) -> dict[int, Publisher]:
        self._up("published")
        found: dict[int, Publisher] = {}
        for key, container in self._containers.items():
            if container.state == "running":
                whose = container.labels.get(INSTANCE, "")
                ours = whose == self.instance
                told = Publisher(container.name, container.image, whose, "fake", ours)
                found |= dict.fromkeys(filter(None, self.ports[key].values()), told)
        return found

    async def create(self, draft: Draft) -> str:
        self._up("create")
        if any(c.name == draft.name for c in self._containers.values()):
            raise EngineError(f'Conflict. The container name "/{draft.name}" is already in use')
        if draft.image not in self.tags:
            raise NotFound(f"No such image: {draft.image}")
        for mount in draft.mounts:
            if not mount.source.exists():
                raise EngineError(f"bind source path does not exist: {mount.source}")
        key = self._new_id()
        labels = {**draft.labels, INSTANCE: self.instance, NODE: self.node}
        aliases = {draft.network: draft.aliases}
        created = Inspected(
            key, draft.name, draft.image, labels, "created", 0, 0, None, draft.limits, aliases
        )
        self.ports[key] = draft.ports
        self._programs[key] = draft.command
        self._mounts[key] = tuple(sorted(str(each.source) for each in draft.mounts))
        self._logs[key] = []
        await self._set(created)
        return key

    async def put(self, container: str, files: Mapping[str, str]) -> None:
        self._up("put")
        self.files.setdefault(self._own(container).id, {}).update(files)

    async def start(self, container: str) -> None:
        self._up("start")
        found = self._own(container)
        if found.state == "running":
            return
        code, running = self._run(found.id)
        oom_killed = not running and code == OOM
        await self._set(
            dataclasses.replace(
                found,
                state="running" if running else "restarting",
                exit_code=code,
                restarts=0 if running else 1,
                started_at=clock.now(),
                oom_killed=oom_killed,
            )
        )

    def _run(self, key: str) -> tuple[int, bool]:
        for step in " ".join(self._programs[key]).split("-c ")[-1].split(";"):
            match step.split():
                case ["echo", *words]:
                    self._logs[key].append(" ".join(words))
                case ["exit", code]:
                    return int(code), False
                case ["do", "x=$x$x"]:
                    return OOM, False
                case _:
                    pass
        return 0, True

    async def stop(self, container: str, seconds: int) -> None:
        self._up(f"stop {seconds}")
        await self._set(dataclasses.replace(self._own(container), state="exited", exit_code=143))

    async def remove(self, container: str) -> None:
        self._up("remove")
        found = self._own(container)
        del self._containers[found.id]
        await self._tell(Hint(found.id))

    async def rename(self, container: str, name: str) -> None:
        self._up("rename")
        await self._set(dataclasses.replace(self._own(container), name=name))

    async def limit(self, container: str, limits: Limits) -> None:
        self._up("limit")
        found = self._own(container)
        used = re.search(r"head -c (\d+)", " ".join(self._programs.get(found.id, ())))
        if found.state == "running" and used and 0 < limits.memory_bytes < int(used[1]):
            raise BelowUse(f"{used[1]} bytes of memory are in use")
        await self._set(dataclasses.replace(found, limits=limits))

    async def networks(self) -> dict[str, str]:
        self._up("networks")
        return {n: s for n, (i, s) in self._networks.items() if i == self.instance}

    async def create_network(self, name: str, sandbox: str) -> None:
        self._up("create_network")
        if self._networks.get(name, (self.instance,))[0] != self.instance:
            raise NotOurs(f"network {name} is not ours")
        self._networks[name] = (self.instance, sandbox)
        await self._tell(Hint(""))

    async def remove_network(self, name: str) -> None:
        self._up("remove_network")
        if name not in self._networks:
            raise NotFound(f"no network {name}")
        if self._networks[name][0] != self.instance:
            raise NotOurs(f"network {name} is not ours")
        del self._networks[name]
        await self._tell(Hint(""))

    async def connect(self, network: str, container: str, aliases: tuple[str, ...]) -> None:
        self._up("connect")
        found = self._own(container)
        await self._set(dataclasses.replace(found, aliases={**found.aliases, network: aliases}))

    async def disconnect(self, network: str, container: str) -> None:
        self._up("disconnect")
        found = self._own(container)
        left = {n: a for n, a in found.aliases.items() if n != network}
        await self._set(dataclasses.replace(found, aliases=left))

    async def images(self) -> dict[str, str]:
        self._up("images")
        return dict(self.tags)

    async def load(self, archive: Path) -> None:
        self._up("load")
        held = self.archives.get(archive.name, EngineError("unexpected EOF"))
        if isinstance(held, EngineError):
            raise held
        self.tags[held] = "sha256:loaded"

    async def execute(
        self, container: str, argv: tuple[str, ...], stdin: bytes = b"", seconds: float = 30
    ) -> tuple[int, bytes]:
        self._up(f"execute within {seconds:g}")
        self._own(container)
        match argv[-1].split():
            case ["exit", code]:
                return int(code), b""
            case ["echo", *words]:
                return 0, " ".join(words).encode() + b"\n"
            case _:
                return 0, stdin

    async def tail(self, container: str, lines: int) -> tuple[str, ...]:
        self._up("tail")
        return tuple(self._logs[self._find(container).id][-lines:])

    async def follow(self, container: str) -> AsyncGenerator[str, None]:
        self._up("follow")
        key = self._find(container).id
        told = 0
        while True:
            for line in self._logs[key][told:]:
                told += 1
                yield line
            async with self._changed:
                found = self._containers.get(key)
                if found is None or found.state in {"exited", "restarting"}:
                    return
                if told == len(self._logs[key]):
                    await self._changed.wait()

    async def log(
        self, container: str, since: str, tail: int | None, *, follow: bool
    ) -> AsyncGenerator[Line | None, None]:
        self._up("log")
        found = self._own(container)
        if found.labels.get(NODE) != self.node:
            raise NotOurs(f"container {found.name} is not of {self.node}")
        yield None
        told = len(self._logs[found.id])
        there = self._stamped(found.id, 0)[-tail if tail else 0 :]
        for line in there if tail != 0 else ():
            if line.at >= since:
                yield line
        while follow:
            for line in self._stamped(found.id, told):
                told += 1
                yield line
            async with self._changed:
                now = self._containers.get(found.id)
                if now is None or now.state in {"exited", "restarting"}:
                    return
                if told == len(self._logs[found.id]):
                    await self._changed.wait()

    def _stamped(self, key: str, first: int) -> list[Line]:
        said = enumerate(self._logs[key][first:], first)
        grain = self.grain
        return [Line(f"2026-03-04T12:00:00.{number // grain:09}Z", text) for number, text in said]

    async def about(self) -> About:
        self._up("about")
        strange = sum(instance != self.instance for instance, _ in self._networks.values())
        return About("1.41", self.root, self.room, strange)

    async def events(self) -> AsyncGenerator[Hint, None]:
        self._up("events")
        told = len(self._hints)
        yield Hint("")
        while True:
            async with self._changed:
                while len(self._hints) == told:
                    await self._changed.wait()
                hints = self._hints[told:]
            for hint in hints:
                told += 1
                yield hint
