"""The shapes of the Docker API's answers, as far as they are read, and what they mean here."""

import datetime
import io
import tarfile
from collections.abc import Iterator, Mapping
from typing import NotRequired, Required, TypedDict

from sdp.agent.engine import INSTANCE, NODE, Hint, Inspected, Listed, Publisher
from sdp.protocol.actions import Limits
from sdp.protocol.report import ContainerState

CPU_PERIOD = 100_000
CHANGES = frozenset(
    (
        "create",
        "start",
        "die",
        "stop",
        "restart",
        "pause",
        "unpause",
        "rename",
        "update",
        "destroy",
        "oom",
    )
)
BUILT_IN_POOLS = 31
"""Networks of an engine whose daemon.json names no address pools: 15 of 172.17/16 and so on, and
16 of 192.168.0.0/20 and so on (moby, libnetwork/ipamutils)."""
NO_MEMORY_LIMIT = 1 << 50
"""The engine can't lift a memory limit in place, only set one: this one stands for none."""
KERNEL_REFUSES = "unable to set memory limit"
"""What runc says where the kernel can't free enough memory for a lower limit (cgroup v1)."""


class State(TypedDict):
    Status: ContainerState
    ExitCode: int
    OOMKilled: bool
    Pid: int
    StartedAt: str


class HostConfig(TypedDict):
    Memory: int
    NanoCpus: int
    CpuQuota: int
    CpuPeriod: int


class Endpoint(TypedDict):
    Aliases: list[str] | None
    EndpointID: str


class Networks(TypedDict):
    Networks: dict[str, Endpoint]


class Config(TypedDict):
    Image: str
    Labels: dict[str, str] | None


class Container(TypedDict):
    Id: str
    Name: str
    RestartCount: int
    State: State
    Config: Config
    HostConfig: HostConfig
    NetworkSettings: Networks


class Memory(TypedDict, total=False):
    usage: int
    stats: dict[str, int]


class Stats(TypedDict):
    memory_stats: Memory


class Port(TypedDict, total=False):
    IP: str
    PublicPort: int
    Type: str


class MountPoint(TypedDict):
    Source: NotRequired[str]


class Item(TypedDict):
    Id: str
    Names: list[str]
    Image: str
    Labels: dict[str, str] | None
    State: str
    NetworkSettings: Networks
    Ports: list[Port]
    Mounts: list[MountPoint]


class Network(TypedDict):
    Name: str
    Id: str
    Created: str
    Labels: dict[str, str] | None


class Pool(TypedDict):
    Base: str
    Size: int


class Information(TypedDict, total=False):
    DockerRootDir: Required[str]
    DefaultAddressPools: list[Pool] | None


class Image(TypedDict):
    Id: str
    RepoTags: list[str] | None


class Actor(TypedDict, total=False):
    ID: str
    Attributes: dict[str, str]


class Event(TypedDict, total=False):
    Type: str
    Action: str
    Actor: Actor


def hint(event: Event, instance: str) -> Hint | None:
    """Return what an event of ours hints at; network events name a container, no labels."""
    actor = event.get("Actor", {})
    told = actor.get("Attributes", {})
    match event.get("Type"):
        case "container" if told.get(INSTANCE) == instance and event.get("Action") in CHANGES:
            code = told.get("exitCode", "") if event.get("Action") == "die" else ""
            return Hint(actor.get("ID", ""), int(code) if code.isdecimal() else None)
        case "network":
            return Hint(told.get("container", ""))
        case "image":
            return Hint("")
        case _:
            return None


def room(said: Information) -> int:
    """Return how many networks the address pools have room for."""
    pools = said.get("DefaultAddressPools") or ()
    sizes = (pool["Size"] - int(pool["Base"].partition("/")[2]) for pool in pools)
    return sum(1 << max(size, 0) for size in sizes) or BUILT_IN_POOLS


def quota(limits: Limits) -> int:
    return limits.cpu_milli * CPU_PERIOD // 1000


def listed(item: Item) -> Listed:
    endpoints = item["NetworkSettings"]["Networks"]
    return Listed(
        name=item["Names"][0].lstrip("/") if item["Names"] else "",
        state=item["State"],
        endpoints=tuple(sorted(f"{name} {e['EndpointID']}" for name, e in endpoints.items())),
        mounts=tuple(sorted(each["Source"] for each in item["Mounts"] if "Source" in each)),
    )


def publishing(item: Item) -> Iterator[int]:
    """Yield the ports of the host that a listed container has."""
    for port in item["Ports"]:
        if "PublicPort" in port and port.get("Type") == "tcp" and ":" not in port.get("IP", ""):
            yield port["PublicPort"]


def publisher(item: Item, instance: str, node: str) -> Publisher:
    labels = item["Labels"] or {}
    whose, where = labels.get(INSTANCE, ""), labels.get(NODE, "")
    ours = (whose, where) == (instance, node)
    return Publisher(listed(item).name, item["Image"], whose, where, ours)


def inspected(seen: Container) -> Inspected:
    endpoints = seen["NetworkSettings"]["Networks"]
    started = seen["State"]["StartedAt"]
    return Inspected(
        id=seen["Id"],
        name=seen["Name"].lstrip("/"),
        image=seen["Config"]["Image"],
        labels=seen["Config"]["Labels"] or {},
        state=seen["State"]["Status"],
        exit_code=seen["State"]["ExitCode"],
        restarts=seen["RestartCount"],
        started_at=None
        if started.startswith("0001")
        else datetime.datetime.fromisoformat(started),
        limits=limits(seen["HostConfig"]),
        aliases={name: tuple(e["Aliases"] or ()) for name, e in endpoints.items()},
        oom_killed=seen["State"]["OOMKilled"],
        pid=seen["State"]["Pid"],
    )


def limits(config: HostConfig) -> Limits:
    """Read limits back; whoever used ``docker update --cpus`` set NanoCpus instead of a quota."""
    period = config["CpuPeriod"] or CPU_PERIOD
    milli = config["NanoCpus"] // 1_000_000 or max(config["CpuQuota"], 0) * 1000 // period
    memory = config["Memory"]
    return Limits(cpu_milli=milli, memory_bytes=memory if memory < NO_MEMORY_LIMIT else 0)


def in_use(seen: Stats) -> int:
    """Return the bytes of memory that a container can't give back; 0 of one that is stopped."""
    memory = seen["memory_stats"]
    details = memory.get("stats", {})
    idle = details.get("total_inactive_file", details.get("inactive_file", 0))
    return max(memory.get("usage", 0) - idle, 0)


def packed(files: Mapping[str, str]) -> bytes:
    """Return a tar archive of files, world-readable, that unpacks at the root."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path, content in sorted(files.items()):
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size = len(encoded := content.encode())
            entry.mode = 0o644
            archive.addfile(entry, io.BytesIO(encoded))
    return packed.getvalue()
