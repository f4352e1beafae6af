"""The real engine behind the ``Engine`` port: docker-py's low-level client in threads.

Ordinary calls share one client and a bounded pool; a stream has a thread and a client of its own.
"""

import asyncio
import concurrent.futures
import contextlib
import os
import socket
import threading
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from pathlib import Path
from socket import SocketIO
from typing import BinaryIO, TypeVar, cast

import docker
import docker.types
import requests
from docker.utils.socket import frames_iter_no_tty

from sdp import clock
from sdp.agent import cgroup, container_log
from sdp.agent.docker_json import (
    CPU_PERIOD,
    KERNEL_REFUSES,
    NO_MEMORY_LIMIT,
    Container,
    Event,
    Image,
    Information,
    Item,
    Network,
    Stats,
    hint,
    in_use,
    inspected,
    listed,
    packed,
    publisher,
    publishing,
    quota,
    room,
)
from sdp.agent.engine import (
    INSTANCE,
    NODE,
    SANDBOX,
    About,
    BelowUse,
    Draft,
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
from sdp.agent.streams import Stream, read_stream, translated
from sdp.protocol.actions import Limits

T = TypeVar("T")

OLDEST_API = (1, 41)
WORKERS = 16
CALL_SECONDS = 30
LOAD_SECONDS = 900
PIDS = 512
LOG_AHEAD = 64
"""Pieces of a log, 16 KiB at most, that are read before they are asked for."""


class DockerEngine:
    """One node's engine. ``close`` ends its threads; calls after that raise."""

    def __init__(self, url: str, instance: str, node: str) -> None:
        """Take the engine's address, and whose containers are meant.

        Several nodes may share an engine: each has its own containers, but a sandbox's network
        is one, whichever node made it.
        """
        self._url = url
        self._instance = instance
        self._node = node
        self._label = f"{INSTANCE}={instance}"
        self._shared: docker.APIClient | None = None
        self._connecting = threading.Lock()
        self._pool = concurrent.futures.ThreadPoolExecutor(WORKERS, "engine")

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _connect(self, seconds: int = CALL_SECONDS) -> docker.APIClient:
        client = docker.APIClient(
            self._url, version="auto", timeout=seconds, max_pool_size=WORKERS
        )
        if tuple(int(part) for part in client.api_version.split(".")) < OLDEST_API:
            raise EngineError(f"the engine speaks API {client.api_version}, older than 1.41")
        return client

    def _client(self) -> docker.APIClient:
        with self._connecting:
            if self._shared is None:
                self._shared = self._connect()
            return self._shared

    async def _call(self, work: Callable[[docker.APIClient], T]) -> T:
        def guarded() -> T:
            with translated():
                return work(self._client())

        return await asyncio.get_running_loop().run_in_executor(self._pool, guarded)

    def _own(self, client: docker.APIClient, container: str, node: str = "") -> str:
        """Return the id of a container of this instance; of that node, where one is named."""
        seen: Container = client.inspect_container(container)
        labels, name = seen["Config"]["Labels"] or {}, seen["Name"].lstrip("/")
        if labels.get(INSTANCE) != self._instance:
            raise NotOurs(f"container {name} lacks the label {self._label}")
        if node and labels.get(NODE) != node:
            raise NotOurs(f"container {name} is not of {node}")
        return seen["Id"]

    def _own_networks(self, client: docker.APIClient, name: str) -> list[Network]:
        found = _named(client, name)
        if any((each["Labels"] or {}).get(INSTANCE) != self._instance for each in found):
            raise NotOurs(f"network {name} lacks the label {self._label}")
        return sorted(found, key=lambda each: (each["Created"], each["Id"]))

    def _leave_one(self, client: docker.APIClient, name: str) -> None:
        """Leave one of the networks that several nodes made under one name in the same moment.

        The engine's own check for duplicates does not see a creation under way. Everybody who
        sees the same twins removes the same ones; one that a container has joined stays.
        """
        oldest, *younger = self._own_networks(client, name)
        for network in younger:
            try:
                with translated():
                    client.remove_network(network["Id"])
            except NotFound:
                continue
            except EngineError:
                client.remove_network(oldest["Id"])

    async def version(self) -> str:
        def ask(client: docker.APIClient) -> str:
            return str(client.version()["Version"])

        return await self._call(ask)

    async def containers(self) -> dict[str, Listed]:
        def ask(client: docker.APIClient) -> dict[str, Listed]:
            mine = [self._label, f"{NODE}={self._node}"]
            items: list[Item] = client.containers(all=True, filters={"label": mine})
            return {item["Id"]: listed(item) for item in items}

        return await self._call(ask)

    async def inspect(self, container: str) -> Inspected | None:
        try:
            return await self._call(lambda client: inspected(client.inspect_container(container)))
        except NotFound:
            return None

    async def used(self, container: Inspected) -> Used | None:
        counted = await asyncio.get_running_loop().run_in_executor(
            self._pool, cgroup.used, container.pid, container.id
        )
        return Used(clock.now(), *counted) if counted else None

    async def published(self) -> dict[int, Publisher]:
        def ask(client: docker.APIClient) -> dict[int, Publisher]:
            items: list[Item] = client.containers()
            return {
                port: publisher(item, self._instance, self._node)
                for item in items
                for port in publishing(item)
            }

        return await self._call(ask)

    async def create(self, draft: Draft) -> str:
        def ask(client: docker.APIClient) -> str:
            created: dict[str, str] = client.create_container(
                draft.image,
                command=list(draft.command) or None,
                name=draft.name,
                labels={**draft.labels, INSTANCE: self._instance, NODE: self._node},
                environment=dict(draft.environment),
                working_dir=draft.folder or None,
                ports=list(draft.ports),
                host_config=_host_config(client, draft),
                networking_config={
                    "EndpointsConfig": {draft.network: {"Aliases": list(draft.aliases)}}
                },
                use_config_proxy=False,
            )
            return created["Id"]

        return await self._call(ask)

    async def put(self, container: str, files: Mapping[str, str]) -> None:
        def ask(client: docker.APIClient) -> None:
            client.put_archive(self._own(client, container), "/", packed(files))

        await self._call(ask)

    async def start(self, container: str) -> None:
        await self._call(lambda client: client.start(self._own(client, container)))

    async def stop(self, container: str, seconds: int) -> None:
        await self._call(lambda client: client.stop(self._own(client, container), seconds))

    async def remove(self, container: str) -> None:
        def ask(client: docker.APIClient) -> None:
            client.remove_container(self._own(client, container), v=True, force=True)

        await self._call(ask)

    async def rename(self, container: str, name: str) -> None:
        await self._call(lambda client: client.rename(self._own(client, container), name))

    async def limit(self, container: str, limits: Limits) -> None:
        memory = limits.memory_bytes or NO_MEMORY_LIMIT

        def ask(client: docker.APIClient) -> None:
            key = self._own(client, container)
            # Under cgroup v1 the kernel refuses; under v2 it would kill processes instead.
            seen: Stats = client.stats(key, stream=False, one_shot=True)
            if (used := in_use(seen)) > memory:
                raise BelowUse(f"{used} bytes of memory are in use")
            try:
                client.update_container(
                    key,
                    cpu_period=CPU_PERIOD,
                    cpu_quota=quota(limits) or -1,
                    mem_limit=memory,
                    memswap_limit=memory,
                )
            except docker.errors.APIError as error:
                if KERNEL_REFUSES in str(error):
                    raise BelowUse(error.explanation or str(error)) from error
                raise

        await self._call(ask)

    async def networks(self) -> dict[str, str]:
        def ask(client: docker.APIClient) -> dict[str, str]:
            found: list[Network] = client.networks(filters={"label": self._label})
            once = Counter(network["Name"] for network in found)
            return {
                n["Name"]: (n["Labels"] or {}).get(SANDBOX, "")
                for n in found
                if once[n["Name"]] == 1
            }

        return await self._call(ask)

    async def create_network(self, name: str, sandbox: str) -> None:
        def ask(client: docker.APIClient) -> None:
            if not self._own_networks(client, name):
                labels = {INSTANCE: self._instance, SANDBOX: sandbox}
                client.create_network(name, driver="bridge", check_duplicate=True, labels=labels)
            self._leave_one(client, name)

        await self._call(ask)

    async def remove_network(self, name: str) -> None:
        def ask(client: docker.APIClient) -> None:
            found = self._own_networks(client, name)
            if not found:
                raise NotFound(f"no network {name}")
            for network in found:
                client.remove_network(network["Id"])

        await self._call(ask)

    async def connect(self, network: str, container: str, aliases: tuple[str, ...]) -> None:
        def ask(client: docker.APIClient) -> None:
            own = self._own(client, container)
            client.connect_container_to_network(own, network, aliases=list(aliases))

        await self._call(ask)

    async def disconnect(self, network: str, container: str) -> None:
        def ask(client: docker.APIClient) -> None:
            client.disconnect_container_from_network(self._own(client, container), network)

        await self._call(ask)

    async def images(self) -> dict[str, str]:
        def ask(client: docker.APIClient) -> dict[str, str]:
            found: list[Image] = client.images()
            return {tag: image["Id"] for image in found for tag in image["RepoTags"] or ()}

        return await self._call(ask)

    async def load(self, archive: Path) -> None:
        def ask(_: docker.APIClient) -> None:
            with (
                contextlib.closing(self._connect(LOAD_SECONDS)) as client,
                archive.open("rb") as f,
            ):
                load: Callable[[BinaryIO], Iterator[dict[str, object]]] = client.load_image
                for line in load(f):
                    if "error" in line or "errorDetail" in line:
                        raise EngineError(f"{archive.name}: {line.get('error', line)}")

        await self._call(ask)

    async def execute(
        self, container: str, argv: tuple[str, ...], stdin: bytes = b"", seconds: float = 30
    ) -> tuple[int, bytes]:
        def ask(client: docker.APIClient) -> tuple[int, bytes]:
            own = self._own(client, container)
            made = client.exec_create(own, list(argv), stdin=bool(stdin))
            output = _talk(client, str(made["Id"]), stdin, seconds)
            code: int | None = client.exec_inspect(str(made["Id"]))["ExitCode"]
            if code is None:
                raise EngineError(f"{argv[0]} did not end within {seconds:g} s")
            return code, output

        return await self._call(ask)

    async def tail(self, container: str, lines: int) -> tuple[str, ...]:
        def ask(client: docker.APIClient) -> tuple[str, ...]:
            said = client.logs(
                self._own(client, container), stdout=True, stderr=True, stream=False, tail=lines
            )
            return tuple(said.decode(errors="replace").splitlines())

        return await self._call(ask)

    async def follow(self, container: str) -> AsyncGenerator[str, None]:
        pieces = read_stream(
            self._connect,
            lambda client: client.logs(self._own(client, container), stream=True, follow=True),
        )
        partial = b""
        async with contextlib.aclosing(pieces):
            async for piece in pieces:
                *whole, partial = (partial + (piece or b"")).split(b"\n")
                for line in whole:
                    yield line.decode(errors="replace").rstrip("\r")
        if partial:
            yield partial.decode(errors="replace")

    async def log(
        self, container: str, since: str, tail: int | None, *, follow: bool
    ) -> AsyncGenerator[Line | None, None]:
        own = await self._call(lambda client: self._own(client, container, self._node))

        def start(client: docker.APIClient) -> Stream[bytes]:
            return client.logs(
                own,
                stream=True,
                follow=follow,
                timestamps=True,
                tail="all" if tail is None else tail,
                since=container_log.seconds(since) if since else None,
            )

        cutter = container_log.Stamped()
        pieces = read_stream(self._connect, start, LOG_AHEAD)
        async with contextlib.aclosing(pieces):
            async for piece in pieces:
                if piece is None:
                    yield None
                    continue
                for line in cutter.feed(piece):
                    if line.at >= since:
                        yield line
        for line in cutter.end():
            yield line

    async def about(self) -> About:
        def ask(client: docker.APIClient) -> About:
            said = cast("Information", client.info())
            networks: list[Network] = client.networks(filters={"driver": "bridge"})
            mine = [n for n in networks if (n["Labels"] or {}).get(INSTANCE) == self._instance]
            return About(
                api=client.api_version,
                root=Path(said["DockerRootDir"]),
                networks=room(said),
                strange=len(networks) - len(mine),
            )

        return await self._call(ask)

    async def events(self) -> AsyncGenerator[Hint, None]:
        told = read_stream(self._connect, _subscribe)
        async with contextlib.aclosing(told):
            async for event in told:
                seen = Hint("") if event is None else hint(event, self._instance)
                if seen is not None:
                    yield seen


def _subscribe(client: docker.APIClient) -> Stream[Event]:
    kinds = {"type": ["container", "network", "image"]}
    return cast("Stream[Event]", client.events(decode=True, filters=kinds))


def _named(client: docker.APIClient, name: str) -> list[Network]:
    found: list[Network] = client.networks(names=[name])
    return [network for network in found if network["Name"] == name]


def _host_config(client: docker.APIClient, draft: Draft) -> docker.types.HostConfig:
    memory = draft.limits.memory_bytes or None
    return client.create_host_config(
        mounts=[
            docker.types.Mount(m.target, str(m.source), type="bind", read_only=m.read_only)
            for m in draft.mounts
        ],
        port_bindings={inner: ("0.0.0.0", outer) for inner, outer in draft.ports.items()},  # noqa: S104 - published for the testers' phones
        network_mode=draft.network,
        restart_policy={"Name": "unless-stopped"},
        log_config=docker.types.LogConfig(
            type="json-file", config={"max-size": "10m", "max-file": "3"}
        ),
        security_opt=["no-new-privileges"],
        cap_drop=["ALL"],
        cap_add=list(draft.keep),
        init=True,
        pids_limit=PIDS,
        mem_limit=memory,
        memswap_limit=memory,
        cpu_period=CPU_PERIOD if draft.limits.cpu_milli else None,
        cpu_quota=quota(draft.limits) or None,
    )


def _talk(client: docker.APIClient, made: str, stdin: bytes, seconds: float) -> bytes:
    """Run a prepared exec; at the deadline the connection is cut, which ends the reading."""
    raw = cast("SocketIO", client.exec_start(made, socket=True))
    frames = cast("Callable[[SocketIO], Iterator[tuple[int, bytes]]]", frames_iter_no_tty)
    with socket.socket(fileno=os.dup(raw.fileno())) as connection:
        cut = threading.Timer(seconds, connection.shutdown, (socket.SHUT_RDWR,))
        cut.start()
        try:
            connection.settimeout(None)
            if stdin:
                connection.sendall(stdin)
                connection.shutdown(socket.SHUT_WR)
            return b"".join(piece for _, piece in frames(raw))
        finally:
            cut.cancel()
            answer: requests.Response | None = getattr(raw, "_response", None)
            if answer is not None:  # docker-py keeps it there; it owns the connection
                answer.close()
