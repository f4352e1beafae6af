"""What an agent can be told to do: one frozen value per kind, a tagged union of them all.

Every action is idempotent, and its effect shows in the next report: that is how the planner
knows that it is done. Names of repositories are the agents' own; paths never travel.
"""

import datetime
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from sdp.protocol.text import (
    LONGEST,
    ContainerName,
    Count,
    NetworkName,
    Port,
    SandboxName,
    Seconds,
    UrlPath,
    Word,
)


class Value(BaseModel):
    """What all that travels shares: frozen, closed, and no text without a bound."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_max_length=LONGEST)


class Limits(Value):
    """A container's limits; 0 means none."""

    cpu_milli: Count = 0
    memory_bytes: Count = 0


class GoRecipe(Value):
    """Build one static binary, ``app-<service>``, with the VM's go."""

    kind: Literal["go"] = "go"
    service: str
    package: str
    flags: tuple[str, ...]
    environment: dict[str, str]


class GatewayRecipe(Value):
    """Install what composer.json asks for, and read the routes that were committed."""

    kind: Literal["gateway"] = "gateway"
    config: str
    key: str
    branch: str


Recipe: TypeAlias = Annotated[GoRecipe | GatewayRecipe, Field(discriminator="kind")]


class Probe(Value):
    """How a container is found healthy: an HTTP GET on its published port."""

    path: UrlPath
    deadline_seconds: Seconds


class SealedFile(Value):
    """An environment file with encrypted values, as it stands in git: only a node can open it.

    ``text`` is the file as JSON, ``digest`` names it. ``variables`` and ``files`` are the names
    that are taken from it; another file, or the platform, may say the others.
    """

    environment: str
    path: str
    digest: str
    text: str
    variables: tuple[str, ...]
    files: tuple[str, ...]


class ContainerSpec(Value):
    """A container to be created, whole: what is not said here does not come to be.

    ``environment`` and ``files`` are plain; what ``sealed`` holds joins them on the node.
    """

    name: ContainerName
    image: Word
    sandbox: SandboxName
    service: str
    commit: str
    branch: str
    hash: str
    peers: str
    generation: str
    deployment: str
    network: NetworkName
    container_port: Port
    host_port: Port
    environment: dict[str, str]
    files: dict[str, str]
    limits: Limits
    probe: Probe
    sealed: tuple[SealedFile, ...] = ()


class Unseal(Value):
    """Find out whether an environment file can be opened, and what its values are by fingerprint."""

    kind: Literal["unseal"] = "unseal"
    sandbox: SandboxName
    file: SealedFile


class EnsureNetwork(Value):
    """Create a sandbox's network."""

    kind: Literal["network"] = "network"
    sandbox: SandboxName
    name: NetworkName


class Fetch(Value):
    """Bring a commit into the node's clone of a repository."""

    kind: Literal["fetch"] = "fetch"
    repository: str
    branch: str
    commit: str


class Build(Value):
    """Make the immutable release of one commit by one recipe."""

    kind: Literal["build"] = "build"
    repository: str
    commit: str
    recipe: Recipe


class CopyGateway(Value):
    """Give a sandbox its own copy of a gateway release, with routes patched before it is mounted.

    ``routes`` maps keys of config.php to URLs; keys that are not named keep what was committed.
    """

    kind: Literal["copy"] = "copy"
    sandbox: SandboxName
    repository: str
    commit: str
    recipe: GatewayRecipe
    routes: dict[str, str]


class StartService(Value):
    """Create and start a service's container with a release mounted at /src."""

    kind: Literal["start-service"] = "start-service"
    container: ContainerSpec
    repository: str
    recipe: GoRecipe


class StartGateway(Value):
    """Create and start a sandbox's gateway with its copy mounted where production has it."""

    kind: Literal["start-gateway"] = "start-gateway"
    container: ContainerSpec
    mount: str
    access_log: str


class Resume(Value):
    """Start an existing, stopped container again."""

    kind: Literal["resume"] = "resume"
    sandbox: SandboxName
    container: ContainerName


class Restart(Value):
    """Stop a container and start it again; one that has started since ``started_at`` is left."""

    kind: Literal["restart"] = "restart"
    sandbox: SandboxName
    container: ContainerName
    started_at: datetime.datetime | None


class Gate(Value):
    """Wait until a started container is healthy; fail at once when it can't become so."""

    kind: Literal["gate"] = "gate"
    sandbox: SandboxName
    container: ContainerName
    probe: Probe


class Admit(Value):
    """Let a healthy container answer to its service's name inside the sandbox."""

    kind: Literal["admit"] = "admit"
    sandbox: SandboxName
    container: ContainerName
    network: NetworkName
    alias: str


class Route(Value):
    """Make one key of a sandbox's config.php say this URL; None: what was committed (OCP)."""

    kind: Literal["route"] = "route"
    sandbox: SandboxName
    service: str
    key: str
    url: str | None


class SetLimits(Value):
    """Change a running container's limits in place."""

    kind: Literal["limits"] = "limits"
    sandbox: SandboxName
    container: ContainerName
    limits: Limits


class Rename(Value):
    """Give a container the name that its sandbox and service call for."""

    kind: Literal["rename"] = "rename"
    sandbox: SandboxName
    container: ContainerName
    name: ContainerName


class Stop(Value):
    """Stop a container and keep it."""

    kind: Literal["stop"] = "stop"
    sandbox: SandboxName
    container: ContainerName


class Remove(Value):
    """Drain, stop and remove a container; its last lines are kept first."""

    kind: Literal["remove"] = "remove"
    sandbox: SandboxName
    container: ContainerName


class RemoveNetwork(Value):
    """Remove a sandbox's network."""

    kind: Literal["remove-network"] = "remove-network"
    sandbox: SandboxName
    name: NetworkName


class RemoveCopy(Value):
    """Remove a sandbox's copy of the gateway at one commit."""

    kind: Literal["remove-copy"] = "remove-copy"
    sandbox: SandboxName
    commit: str


class RemoveRelease(Value):
    """Remove a release that nothing refers to; refused while something on the node uses it."""

    kind: Literal["remove-release"] = "remove-release"
    repository: str
    commit: str
    recipe: str


Action: TypeAlias = Annotated[
    Unseal
    | EnsureNetwork
    | Fetch
    | Build
    | CopyGateway
    | StartService
    | StartGateway
    | Resume
    | Restart
    | Gate
    | Admit
    | Route
    | SetLimits
    | Rename
    | Stop
    | Remove
    | RemoveNetwork
    | RemoveCopy
    | RemoveRelease,
    Field(discriminator="kind"),
]
