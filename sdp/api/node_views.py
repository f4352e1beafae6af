"""What the API shows of the platform: nodes, ports, quotas, repositories, and what is unused."""

import datetime
from typing import Literal, TypeAlias

from pydantic import Field

from sdp.api.views import View

PortKind: TypeAlias = Literal["gateway", "services"]
PortOrigin: TypeAlias = Literal["pinned", "allocated"]
PortUse: TypeAlias = Literal["running", "stopped", "reserved", "waits"]
Severity: TypeAlias = Literal["error", "warning"]
Trusted: TypeAlias = Literal["never enrolled", "enrolled", "revoked"]


class NodeView(View):
    """A VM: as platform.yaml names it, and as its agent was last heard."""

    id: str
    name: str
    ip_address: str
    type: str
    connected: bool
    trust: Trusted = "never enrolled"
    trusted_since: datetime.datetime | None = Field(None, description="Or revoked since.")
    heard_at: datetime.datetime | None = None
    agent_version: str = ""
    engine_version: str = ""
    engine_error: str = ""
    containers: int = 0
    images: tuple[str, ...] = ()
    sandboxes: tuple[str, ...] = ()
    disk_free: int | None = Field(None, description="Per cent, of the fullest disk.")
    skew_seconds: float | None = Field(None, description="How far ahead of ours its clock is.")


class EnrolmentView(View):
    """A token, shown this once; ``replaces``: another agent is enrolled, which ends with its use."""

    node: str
    token: str
    until: datetime.datetime
    replaces: bool


class BeliefView(View):
    """Whether a node's agent is believed."""

    node: str
    state: Trusted
    since: datetime.datetime | None


class PortView(View):
    """A port that is taken on a node; by ``sandbox/service``, or by a stranger."""

    port: int
    party: str


class NodeRepository(View):
    """A repository as one node sees it; ``error`` says why it can't be read."""

    name: str
    branches: int
    error: str = ""
    checked_at: datetime.datetime | None = None
    credentials: Literal["", "served", "wanted"] = Field(
        "", description="Its origin asks for a password: the node has one, or a user's is wanted."
    )


class FactView(View):
    """Something that a node has, in words."""

    name: str
    says: str


class NodeDetail(NodeView):
    """A VM, whole."""

    ports: tuple[PortView, ...] = ()
    repositories: tuple[NodeRepository, ...] = ()
    facts: tuple[FactView, ...] = ()


class Finding(View):
    """Something that fails, or will; ``node`` is empty where it is about no single one."""

    severity: Severity
    node: str
    kind: str
    message: str
    fix: str


class Examination(View):
    """What the doctor finds; ``version`` and ``now`` are the control plane's.

    ``signing_key`` is the public key that it signs commits with.
    """

    version: str
    signing_key: str = ""
    now: datetime.datetime
    findings: tuple[Finding, ...]


class LeaseView(View):
    """A port of a node that somebody has, or waits for.

    ``use``: a container runs or is stopped on it; it is reserved; or its pin waits for whoever
    has it.
    """

    node: str
    port: int
    sandbox: str
    service: str
    origin: PortOrigin
    use: PortUse
    container: str = ""


class RangeView(View):
    """The ports that may be given out on a node; what is free is not known of a silent one."""

    node: str
    kind: PortKind
    first: int
    last: int
    free: int | None = None
    lowest: int | None = None


class StrangerView(View):
    """A port in a range, or a pinned one, that something which is not ours has."""

    node: str
    port: int
    owner: str


class PortList(View):
    """The ports of all nodes."""

    ports: tuple[LeaseView, ...] = ()
    ranges: tuple[RangeView, ...] = ()
    strangers: tuple[StrangerView, ...] = ()


class QuotaView(View):
    """How much of a quota is taken: an owner's, or with null everybody's; memory in bytes."""

    owner: str | None
    running: int
    running_limit: int | None
    memory: int
    memory_limit: int | None
    over: bool
    sandboxes: tuple[str, ...]


class QueuedView(View):
    """A sandbox that waits for a place: why, and what to do; ``number`` 0: it can never fit."""

    number: int
    sandbox: str
    owner: str
    since: datetime.datetime
    reason: str
    message: str
    fix: str


class UnusedRelease(View):
    """A release that nothing refers to; ``bytes`` is 0 where its size was not noted."""

    node: str
    repository: str
    commit: str
    recipe: str
    bytes: int
    since: datetime.datetime
    goes_at: datetime.datetime = Field(description="When it is removed by itself.")


class Doubt(View):
    """Why nothing of a repository, or with "" of all, is removed from a node."""

    node: str
    repository: str
    message: str
    fix: str


class QuotaList(View):
    """All quotas, and who waits, in order; both empty where there are none."""

    quotas: tuple[QuotaView, ...] = ()
    queue: tuple[QueuedView, ...] = ()


class Garbage(View):
    """What is removed from the nodes, and what is kept because it can't be known."""

    unused: tuple[UnusedRelease, ...] = ()
    doubts: tuple[Doubt, ...] = ()


class RepositoryView(View):
    """A repository as one or more nodes see it; ``problems``: node → why it can't be read."""

    name: str
    nodes: tuple[str, ...]
    branches: int
    problems: dict[str, str]


class BranchView(View):
    """A branch's tip."""

    name: str
    commit: str


class BranchList(View):
    """A repository's branches, as last looked at."""

    repository: str
    checked_at: datetime.datetime | None
    branches: tuple[BranchView, ...]
