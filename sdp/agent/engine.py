"""The port to a node's Docker engine: its values, its errors, and the ``Engine`` protocol.

No engine is named here: ``sdp.agent.dockerd`` speaks to a real one, ``tests/fakes/engine.py``
stands in for it, and one contract suite holds both to this page. Whatever destroys or changes
raises ``NotOurs`` for a container or network without this instance's label.
"""

import dataclasses
import datetime
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Protocol

from typing_extensions import override

from sdp.protocol.actions import Limits
from sdp.protocol.report import ContainerState

INSTANCE = "sdp.instance"
NODE = "sdp.node"
SANDBOX = "sdp.sandbox"
PROBE = "sdp.probe"
PORT = "sdp.port"


class EngineDown(Exception):  # noqa: N818 - the reason that users read
    """The engine can't be reached, or stopped answering."""


class EngineError(Exception):
    """The engine answered that it will not; the text is the engine's own."""


class NotFound(EngineError):  # noqa: N818 - as above
    """What was named is not there."""


class NotOurs(EngineError):  # noqa: N818 - as above
    """What was named lacks this instance's label: it is somebody else's."""


class BelowUse(EngineError):  # noqa: N818 - as above
    """A memory limit is lower than what is in use."""


@dataclasses.dataclass(frozen=True, slots=True)
class Mount:
    """A folder of the host inside a container; the folder must exist."""

    source: Path
    target: str
    read_only: bool = True


@dataclasses.dataclass(frozen=True, slots=True)
class Draft:
    """A container to be created. An empty command or folder leaves the image's own.

    ``labels`` come without the instance's, which the engine adapter adds.
    """

    name: str
    image: str
    labels: Mapping[str, str]
    network: str
    command: tuple[str, ...] = ()
    folder: str = ""
    aliases: tuple[str, ...] = ()
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)
    mounts: tuple[Mount, ...] = ()
    ports: Mapping[int, int] = dataclasses.field(default_factory=dict)
    """Port in the container → port on every address of the host."""
    limits: Limits = dataclasses.field(default_factory=Limits)
    keep: tuple[str, ...] = ()
    """Capabilities that are left when all others are taken away."""


@dataclasses.dataclass(frozen=True, slots=True)
class Listed:
    """What the engine's list says of a container: enough to see that it changed.

    ``mounts`` are the host's folders in it.
    """

    name: str
    state: str
    endpoints: tuple[str, ...]
    mounts: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Inspected:
    """A container, whole. ``aliases`` maps a network's name to the container's names in it.

    ``process`` is the number of its first one on the engine's machine; 0: it does not run.
    """

    id: str
    name: str
    image: str
    labels: Mapping[str, str]
    state: ContainerState
    exit_code: int
    restarts: int
    started_at: datetime.datetime | None
    limits: Limits
    aliases: Mapping[str, tuple[str, ...]]
    oom_killed: bool = False
    pid: int = 0
    """Of its first process; 0 while none runs."""


@dataclasses.dataclass(frozen=True, slots=True)
class Used:
    """What a container has used: CPU time since it started, and memory at that moment."""

    at: datetime.datetime
    cpu_nanoseconds: int
    memory_bytes: int


@dataclasses.dataclass(frozen=True, slots=True)
class Publisher:
    """A running container that publishes a port. ``instance`` is empty outside of the platform."""

    name: str
    image: str
    instance: str
    node: str
    ours: bool

    @override
    def __str__(self) -> str:
        """Return whose it is, in words."""
        if self.instance:
            return f"container {self.name} of {self.instance} on node {self.node}"
        return f"container {self.name} (image {self.image})"


@dataclasses.dataclass(frozen=True, slots=True)
class Hint:
    """Something happened; the container's id, or empty when it concerns something else.

    ``exit_code`` is that of a container that ended: one that is started again at once is not
    otherwise seen to have.
    """

    container: str
    exit_code: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """A line that a container said, and the engine's timestamp of it: nanoseconds, UTC."""

    at: str
    text: str


@dataclasses.dataclass(frozen=True, slots=True)
class About:
    """What an engine says of itself.

    ``networks`` is how many its address pools have room for, ``strange`` how many of those are
    not this instance's.
    """

    api: str
    root: Path
    networks: int
    strange: int


class Engine(Protocol):
    """What the agent asks of an engine. Containers are named by id or by name.

    Every method raises ``EngineDown`` when the engine is not there and ``EngineError`` when it
    refuses. Both streams end only because the engine, or the container, went away.
    """

    async def version(self) -> str: ...

    async def containers(self) -> dict[str, Listed]:
        """Return this instance's containers, stopped ones too, by id."""
        ...

    async def inspect(self, container: str) -> Inspected | None:
        """Return anybody's container, or None."""
        ...

    async def used(self, container: Inspected) -> Used | None:
        """Return what a running container has used; None where it does not run any more."""
        ...

    async def published(self) -> dict[int, Publisher]:
        """Return the TCP ports that running containers, anybody's, publish on IPv4."""
        ...

    async def create(self, draft: Draft) -> str:
        """Create a container and return its id; it does not run yet."""
        ...

    async def put(self, container: str, files: Mapping[str, str]) -> None:
        """Write files, by absolute path, into a container of ours."""
        ...

    async def start(self, container: str) -> None: ...

    async def stop(self, container: str, seconds: int) -> None:
        """Ask a container to end, and kill it after so many seconds."""
        ...

    async def remove(self, container: str) -> None:
        """Kill and remove a container with its anonymous volumes."""
        ...

    async def rename(self, container: str, name: str) -> None: ...

    async def limit(self, container: str, limits: Limits) -> None:
        """Change limits in place, also of what is stopped; 0 lifts one.

        Raises:
            BelowUse: it uses more memory; nothing was changed.
        """
        ...

    async def networks(self) -> dict[str, str]:
        """Return this instance's networks: name → sandbox.

        A name that two networks have is left out: no container can join it before
        ``create_network`` has left one.
        """
        ...

    async def create_network(self, name: str, sandbox: str) -> None:
        """Create a network of ours; one of ours that exists is left as it is, of several one."""
        ...

    async def remove_network(self, name: str) -> None:
        """Remove a network of ours; raises ``NotFound`` where there is none."""
        ...

    async def connect(self, network: str, container: str, aliases: tuple[str, ...]) -> None: ...

    async def disconnect(self, network: str, container: str) -> None: ...

    async def images(self) -> dict[str, str]:
        """Return every tag → image id."""
        ...

    async def load(self, archive: Path) -> None:
        """Load the images of a ``docker save`` archive."""
        ...

    async def execute(
        self, container: str, argv: tuple[str, ...], stdin: bytes = b"", seconds: float = 30
    ) -> tuple[int, bytes]:
        """Run a program in a container of ours; return its exit code and its output."""
        ...

    async def tail(self, container: str, lines: int) -> tuple[str, ...]:
        """Return the last lines of both outputs."""
        ...

    def follow(self, container: str) -> AsyncGenerator[str, None]:
        """Yield each line from the container's first, until it ends."""
        ...

    def log(
        self, container: str, since: str, tail: int | None, *, follow: bool
    ) -> AsyncGenerator[Line | None, None]:
        """Yield None once it is open, then a log's lines, of a container of ours on this node.

        Args:
            container: id or name.
            since: timestamp of the first line that is meant; empty: from the first.
            tail: how many of the last ones; None: all.
            follow: go on with what the container says, until it ends.
        """
        ...

    async def about(self) -> About: ...

    def events(self) -> AsyncGenerator[Hint, None]:
        """Yield an empty hint once subscribed, then one for whatever happens to ours."""
        ...
