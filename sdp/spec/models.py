"""The specs as pydantic models: the language's words, types and limits. No files, no resolution.

Everything is strict (no coercion), closed (unknown keys are errors) and frozen. In a sandbox or a
template, ``null`` removes what the template or the platform's defaults would give; that is why
nearly every key of a body may be ``None``. Lists are tuples, here and as ``sdp.spec.yaml`` reads
them.
"""

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sdp.spec.forms import (
    AbsolutePath,
    Address,
    AgeRecipient,
    Branch,
    Commit,
    ContainerFile,
    Cpu,
    Duration,
    HttpUrl,
    Identifier,
    Image,
    KeyPattern,
    Mail,
    Memory,
    Moment,
    PlainLine,
    Port,
    RelativePath,
    SandboxName,
    ServiceName,
    SigningKey,
    UrlFolder,
    UrlPath,
    UserName,
    VariableName,
    VariableValue,
)

Heal: TypeAlias = Literal["auto", "report"]
"""What is done about drift, which is what somebody changed behind the platform's back."""


Role: TypeAlias = Literal["ADMIN", "BACKEND", "QA", "VIEWER"]
"""What a person may do; ``sdp.spec.roles`` has the table."""

Update: TypeAlias = Literal["auto", "manual"]
"""Who lets a branch's newer commits in: the platform by itself, or a person with ``sdp update``."""


class Model(BaseModel):
    """What all specs share: strict, closed, frozen."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Resources(Model):
    """Limits of a container, or of a whole sandbox."""

    cpu: Cpu | None = Field(None, description="Cores: 1, 0.5 or 500m.")
    memory: Memory | None = Field(None, description="Memory without swap: 512MB, 1GB.")


class Lifecycle(Model):
    """When a sandbox sleeps and when it goes."""

    suspended: bool | None = Field(None, description="Containers stopped, everything kept.")
    expire_after: Duration | None = Field(
        None, description="Stop after so long without use: request, change or deployment."
    )
    delete_after: Duration | None = Field(
        None, description="Remove its file, by a commit, so long after expiry."
    )
    keep_until: Moment | None = Field(
        None, description="Does not expire before: 2026-12-24 (all that day), 2026-12-24T18:00Z."
    )
    protect: bool | None = Field(None, description="It never expires; removing the file keeps it.")


class Health(Model):
    """How a container is found healthy."""

    path: UrlPath = Field("/healthz", description="HTTP path that answers 2xx or 3xx.")
    deadline: Duration = Field("60s", description="How long a new container may take, from start.")


UPDATE_OF_ONE = "Another way than the sandbox's to take newer commits: auto or manual."
TARGET_KEYS = ("branch", "commit", "use_ocp", "url")
"""The keys of a service's target that say where the service comes from."""


class ServiceTarget(Model):
    """Where one service of a sandbox comes from: a branch, OCP, or any address."""

    branch: Branch | None = Field(None, description="Build this branch and run it here.")
    commit: Commit | None = Field(None, description="Stay at this commit of the repository.")
    use_ocp: bool | None = Field(None, description="Route to the shared OCP environment.")
    url: HttpUrl | None = Field(None, description="Route to this address, such as a laptop.")
    port: Port | None = Field(
        None, description="Fixed port on the VM, any; else one is allocated."
    )
    environment: Identifier | None = Field(None, description="Another environment, for it alone.")
    resources: Resources | None = Field(None, description="This container's limits.")
    health: Health | None = Field(None, description="Another health check than the platform's.")
    suspended: bool | None = Field(None, description="Its container stopped, and kept.")
    update: Update | None = Field(None, description=UPDATE_OF_ONE)

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        runs_here = self.branch is not None or self.commit is not None
        if sum((runs_here, bool(self.use_ocp), self.url is not None)) > 1:
            named = [key for key in TARGET_KEYS if getattr(self, key)]
            raise ValueError(
                f"found {' and '.join(named)}, expected only one of "
                "branch (with or without commit), use_ocp, url"
            )
        return self


class GatewayTarget(Model):
    """Which gateway a sandbox runs."""

    branch: Branch | None = Field(None, description="Branch of the gateway's repository.")
    commit: Commit | None = Field(None, description="Stay at this commit.")
    port: Port | None = Field(None, description="Fixed external port, any; else one is allocated.")
    resources: Resources | None = Field(None, description="The gateway container's limits.")
    update: Update | None = Field(None, description=UPDATE_OF_ONE)


class Body(Model):
    """What a sandbox, a template and the platform's defaults have in common."""

    owner: UserName | None = Field(None, description="User name of who answers for it.")
    environment: Identifier | None = Field(None, description="Name of an environment file.")
    environment_revision: Commit | None = Field(
        None, description="Environments as they stood at this commit of the config repo."
    )
    gateway: GatewayTarget | None = Field(None, description="The sandbox's own gateway.")
    services: dict[ServiceName, ServiceTarget | None] | None = Field(
        None, description="Services that differ; those not named use OCP."
    )
    resources: Resources | None = Field(
        None, description="The sandbox's ceiling; containers without limits share what is left."
    )
    lifecycle: Lifecycle | None = Field(None, description="Sleep, expiry, protection.")
    heal: Heal | None = Field(
        None, description="Drift is healed (auto, the default), or held and told (report)."
    )
    update: Update | None = Field(
        None,
        description="Newer commits of branches are deployed (auto, the default), or wait (manual).",
    )


class Sandbox(Body):
    """One file in sandboxes/: one sandbox."""

    sandbox: SandboxName = Field(description="Unique name, also after lower-casing.")
    template: Identifier | None = Field(None, description="Name of a template to start from.")


class Template(Body):
    """One file in templates/: a body that sandboxes start from."""

    template: Identifier = Field(description="Unique name.")


class PinnedGateway(Model):
    """The gateway that a sandbox ran."""

    branch: Branch | None = Field(None, description="Branch of the gateway's repository.")
    commit: Commit = Field(description="The commit that ran.")


class PinnedService(Model):
    """Where one service of a sandbox came from, exactly."""

    branch: Branch | None = Field(None, description="The branch that it followed.")
    commit: Commit | None = Field(None, description="The commit that ran.")
    use_ocp: bool | None = Field(None, description="The shared OCP environment served it.")
    url: HttpUrl | None = Field(None, description="This address served it.")
    environment: Identifier | None = Field(None, description="Another environment, for it alone.")

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        if sum((self.commit is not None, bool(self.use_ocp), self.url is not None)) != 1:
            raise ValueError(
                "expected exactly one of commit (with or without branch), use_ocp, url"
            )
        return self


class Pins(Model):
    """What a sandbox ran, exactly: commits, route targets, environments; no ports."""

    gateway: PinnedGateway = Field(description="The gateway.")
    services: dict[ServiceName, PinnedService] = Field(description="Every service.")
    environment: Identifier | None = Field(None, description="Name of the environment file.")
    environment_revision: Commit | None = Field(
        None, description="Commit of the config repo at which environments stood so."
    )


class Snapshot(Pins):
    """One file in snapshots/: what a sandbox ran, under a name; written by `sdp snapshot`."""

    snapshot: Identifier = Field(description="Unique name.")
    sandbox: SandboxName = Field(description="The sandbox that it was taken of.")
    taken_at: Moment = Field(description="When the sandbox came to run this.")
    revision: Commit = Field(description="Commit of the config repo that was applied then.")


class SopsRecipient(Model):
    """Who can decrypt a file: a public key, and the file's data key encrypted for it."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)

    recipient: str = Field(description="age public key.")
    enc: str = Field(description="The data key, encrypted for it; armored.")


class Sops(Model):
    """What sops, or `sdp env`, notes about the values that it encrypted; not written by hand.

    Other keys of sops may stand here as well.
    """

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)

    age: tuple[SopsRecipient, ...] = Field((), description="Who can decrypt the values.")
    lastmodified: str = Field("", description="When values were last encrypted.")
    mac: str = Field("", description="Seals the encrypted values as a whole.")
    encrypted_regex: str | None = Field(None, description="Keys whose values are encrypted.")
    mac_only_encrypted: bool = Field(
        default=False, description="Plain values may be edited without the key."
    )
    version: str = Field("", description="Version of the format.")


MAX_VARIABLES = 1000
MAX_FILES = 200


class Environment(Model):
    """One file in environments/: what containers find in their environment."""

    environment: Identifier = Field(description="Unique name.")
    variables: dict[VariableName, VariableValue] = Field(
        default_factory=dict,
        max_length=MAX_VARIABLES,
        description="Environment variables, in plain text.",
    )
    secrets: dict[VariableName, VariableValue] = Field(
        default_factory=dict,
        max_length=MAX_VARIABLES,
        description="Environment variables, values encrypted: sdp env set-secret.",
    )
    files: dict[ContainerFile, str] = Field(
        default_factory=dict,
        max_length=MAX_FILES,
        description="Path in the container → content, plain or encrypted.",
    )
    sops: Sops | None = Field(None, description="Seals the encrypted values.")


class GoBuild(Model):
    """Build a static binary with the VM's go."""

    recipe: Literal["go"] = Field("go", description="The only recipe so far.")
    package: RelativePath = Field(".", description="The main package's folder in the repository.")
    flags: tuple[str, ...] = Field((), description="Further arguments of go build.")
    environment: dict[VariableName, str] = Field(
        default_factory=lambda: {"CGO_ENABLED": "0"}, description="Environment of the build."
    )


class Node(Model):
    """One VM with its own Docker engine and agent."""

    id: Identifier = Field(description="Unique; the agent's own file names it too.")
    name: PlainLine = Field("", description="What people call it.")
    ip_address: Address = Field(description="Where other VMs reach its ports.")
    type: Literal["MICRO", "GATEWAY", "INFRA"] = Field(description="What runs there.")
    recipient: AgeRecipient | None = Field(
        None, description="Public key of its agent, which decrypts environments."
    )


class Service(Model):
    """One Go service of the company."""

    repository: Identifier = Field(description="Name in the agents' own repository lists.")
    node: Identifier = Field(description="The node that builds and runs it.")
    image: Image = Field(description="Image to run the binary in; loaded by hand.")
    port: Port = Field(8080, description="Port inside the container; told as PORT.")
    health: Health = Field(
        default_factory=lambda: Health(path="/healthz", deadline="60s"),
        description="How it is found healthy.",
    )
    build: GoBuild = Field(default_factory=GoBuild, description="How it is built.")
    resources: Resources | None = Field(None, description="Limits where a sandbox names none.")


class Gateway(Model):
    """The PHP gateway that every sandbox runs a copy of."""

    repository: Identifier = Field(description="Name in the agents' own repository lists.")
    node: Identifier = Field(description="The node that runs the gateways.")
    image: Image = Field(description="Apache with mod_php; loaded by hand.")
    mount: AbsolutePath = Field(description="Where production has the repository.")
    path: UrlFolder = Field("/", description="URL path it answers at.")
    config: RelativePath = Field(description="The PHP file with the map of routes.")
    key: KeyPattern = Field("{service}_url", description="A service's key in that map.")
    environment: Identifier = Field("production", description="CI_ENV of the gateway.")
    port: Port = Field(80, description="Port inside the container.")
    health: Health = Field(
        default_factory=lambda: Health(path="/", deadline="60s"),
        description="How it is found healthy.",
    )
    access_log: AbsolutePath = Field(
        "/var/log/sdp", description="Folder in the container for the access log."
    )
    resources: Resources | None = Field(None, description="Limits where a sandbox names none.")


class PortRange(Model):
    """Ports of a kind that may be given out, both ends included."""

    first: Port = Field(description="Lowest port.")
    last: Port = Field(description="Highest port.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.last < self.first:
            raise ValueError(f"found first {self.first} after last {self.last}")
        return self


class Ports(Model):
    """Which ports the platform may give out on its nodes."""

    gateway: PortRange = Field(
        default_factory=lambda: PortRange(first=8080, last=8999),
        description="The gateways' external ports.",
    )
    services: PortRange = Field(
        default_factory=lambda: PortRange(first=9001, last=9999),
        description="The services' ports on their VMs.",
    )


class OwnerQuota(Model):
    """What sandboxes may take together; those that do not run are not counted."""

    running: Annotated[int, Field(ge=1)] | None = Field(None, description="So many may run.")
    memory: Memory | None = Field(None, description="Sum of their ceilings.")


class Quotas(OwnerQuota):
    """What all sandboxes may take together, and those of one owner."""

    per_owner: OwnerQuota = Field(
        default_factory=OwnerQuota, description="The same for each owner."
    )


class Retention(Model):
    """How long is kept what nothing uses any more."""

    unused: Duration = Field(
        "24h", description="A built release that no sandbox, container or snapshot refers to."
    )
    history: Duration = Field("30d", description="Past deployments with their logs, and events.")


class User(Model):
    """A person, by the name to log in with, and how their commits are told from others'."""

    role: Role | None = Field(None, description="In place of the groups' and the default.")
    emails: tuple[Mail, ...] = Field((), description="Addresses in their commits.")
    keys: tuple[SigningKey, ...] = Field((), description="Keys that they sign commits with.")


class Group(Model):
    """People with one role."""

    role: Role = Field(description="The role of its members.")
    members: tuple[UserName, ...] = Field(description="Names to log in with.")


class Roles(Model):
    """Who may do what. While nobody is bound to ADMIN, everybody is one."""

    default: Role = Field("BACKEND", description="Role of whoever is not named.")
    users: dict[UserName, User] = Field(default_factory=dict, description="People, by name.")
    groups: dict[Identifier, Group] = Field(
        default_factory=dict, description="The highest role of a person's groups counts."
    )
    login_nodes: tuple[Identifier, ...] = Field(
        (), description="Nodes whose agents prove logins; none: all that have a repository."
    )
    require_signed_commits: bool = Field(
        default=False, description="Commits count only with a signature by a key listed here."
    )


class Platform(Model):
    """The company's machines and services."""

    platform: Identifier = Field(description="This instance's name; marks all that it creates.")
    nodes: tuple[Node, ...] = Field(min_length=1, description="The VMs.")
    services: dict[ServiceName, Service] = Field(description="The company's services.")
    gateway: Gateway = Field(description="The PHP gateway that every sandbox runs a copy of.")
    ports: Ports = Field(default_factory=Ports, description="Ports it may give out.")
    quotas: Quotas = Field(
        default_factory=Quotas, description="How much may run; who comes later waits for a place."
    )
    retention: Retention = Field(
        default_factory=lambda: Retention(unused="24h", history="30d"),
        description="How long is kept what nothing uses any more.",
    )
    roles: Roles = Field(default_factory=Roles, description="Who may do what.")
    recipients: dict[Identifier, AgeRecipient] = Field(
        default_factory=dict, description="Name → public key of a person who may set secrets."
    )
    defaults: Body = Field(
        default_factory=Body, description="A body that every sandbox starts from."
    )
