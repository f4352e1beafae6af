"""What a node reports: its engine, and keyed items in sections; and the difference of two reports.

Every section maps a key to an item, so that a delta is small and folding one is the same for all.
"""

import datetime
from typing import Annotated, Literal, TypeAlias

from pydantic import BeforeValidator, Field

from sdp.protocol.actions import Limits, Value
from sdp.protocol.text import ContainerName, Count, Message, NetworkName, SandboxName

Health: TypeAlias = Literal["starting", "healthy", "unhealthy", "none"]
ConfigProblemKind: TypeAlias = Literal[
    "duplicate", "conditional", "not-literal", "syntax", "wipes-base", "missing", "environment"
]
ContainerState: TypeAlias = Literal[
    "created", "running", "restarting", "exited", "paused", "dead", "removing"
]


class Engine(Value):
    """The node's Docker engine, as last seen; ``error`` is empty while it answers."""

    version: Message = ""
    error: Message = ""


class Container(Value):
    """A container with this instance's label. Keyed by id.

    ``exit_code`` and ``oom_killed`` are of its last end, as far as that was seen.
    """

    id: str
    name: ContainerName
    sandbox: SandboxName
    service: Message
    commit: Message
    branch: Message
    hash: str
    peers: str
    generation: str
    deployment: str
    image: Message
    state: ContainerState
    exit_code: int
    restarts: int
    host_port: int
    admitted: bool
    limits: Limits
    health: Health
    reason: Message
    started_at: datetime.datetime | None
    oom_killed: bool = False


class Network(Value):
    """A network with this instance's label. Keyed by name."""

    name: NetworkName
    sandbox: SandboxName


class ConfigProblem(Value):
    """What a person should know of an entry of config.php; no ``key``: of the whole file.

    ``file`` is a path in the gateway's repository, ``line`` counts from 1.
    """

    kind: ConfigProblemKind
    key: Message
    file: Message
    line: Count
    message: Message


def _structured(told: object) -> object:
    """Drop what older agents noted on disk in words: a note that can't be read is no release."""
    if isinstance(told, list | tuple):
        return tuple(each for each in told if not isinstance(each, str))
    return told


ConfigProblems: TypeAlias = Annotated[tuple[ConfigProblem, ...], BeforeValidator(_structured)]


class Release(Value):
    """A built commit on disk. Keyed by ``<repository>/<commit>/<recipe>``.

    ``defaults`` holds, for a gateway's release, the routes that were committed: key → URL;
    ``problems`` what is to be known of entries of its config.php. ``bytes`` is what it takes on
    the disk; 0 where that was not noted.
    """

    repository: str
    commit: str
    recipe: str
    defaults: dict[str, str]
    problems: ConfigProblems
    bytes: Count = 0


class Repository(Value):
    """A configured clone. Keyed by the repository's name; ``error`` says why it can't be read.

    ``branches`` are the origin's tips (``git ls-remote``), ``present`` the commits that are here.
    ``credentials`` says whether the origin asks for a password: ``served`` by the agent's own
    account, or ``wanted``: then it is looked at only with a user's, and ``checked_at`` is when that
    was. ``refused`` is the user whose credentials it did not take then.
    """

    branches: dict[Message, str]
    present: tuple[str, ...]
    error: Message
    checked_at: datetime.datetime | None
    credentials: Literal["", "served", "wanted"] = ""
    refused: str = ""

    @property
    def unseen(self) -> bool:
        """Whether nobody's credentials were there yet to look at the origin."""
        return self.credentials == "wanted" and self.checked_at is None


class Copy(Value):
    """A sandbox's copy of the gateway. Keyed by ``<sandbox>/<commit>``.

    ``routes`` are read back from config.php, at ``verified_at``: key → URL. ``edited`` says that
    somebody else wrote to the file since the agent did.
    """

    sandbox: SandboxName
    commit: str
    routes: dict[str, str]
    defaults: dict[str, str]
    edited: bool
    problems: ConfigProblems
    verified_at: datetime.datetime | None


class Listener(Value):
    """A port that something which is not ours listens on. Keyed by the port's digits."""

    owner: Message


class Sealed(Value):
    """What a node can tell of an encrypted environment file. Keyed by the file's digest.

    ``fingerprints`` maps a variable, or a path of a file, to a keyed hash of its value: the same
    for the same value on this node, and of no use to anybody without the node's own key. Where
    the file can't be opened, there is a ``reason`` instead, in words and with a fix.
    """

    fingerprints: dict[str, str] = Field(default_factory=dict)
    reason: Message = ""
    message: Message = ""
    fix: Message = ""


class Activity(Value):
    """When a sandbox was last used, by its gateway's access log. Keyed by its lower-cased name.

    ``since`` is when that record begins: no ``last_request_at`` means none from then on. Where
    the log can't be read, ``error`` says why, and nothing may be concluded.
    """

    last_request_at: datetime.datetime | None
    since: datetime.datetime
    error: Message = ""


class Tool(Value):
    """A program that the agent starts; ``version`` is empty where there is none."""

    kind: Literal["tool"] = "tool"
    version: Message


class Disk(Value):
    """The file system that a folder is on; shares in whole per cent, so that little is news.

    ``inodes`` is 100 where they do not run out. ``writable``: the agent may write there.
    ``left_bytes`` tells what is free more exactly than a share can, once that is little.
    """

    kind: Literal["disk"] = "disk"
    path: Message
    total_bytes: Count
    free: Count
    inodes: Count
    writable: bool
    left_bytes: Count | None = None

    @property
    def free_bytes(self) -> int:
        """Return how much is free, as exactly as is told."""
        if self.left_bytes is not None:
            return self.left_bytes
        return self.total_bytes * self.free // 100


class EngineFacts(Value):
    """What the engine says of itself.

    ``networks`` is how many its address pools have room for, ``strange`` how many of those are
    not this instance's.
    """

    kind: Literal["engine"] = "engine"
    api: Message
    networks: Count
    strange: Count


class Archive(Value):
    """A file of images that would be loaded when one is missing."""

    kind: Literal["archive"] = "archive"
    images: tuple[Message, ...]


class Keys(Value):
    """The node's secret keys, told by their public ones; where there is none, why, and a fix."""

    kind: Literal["keys"] = "keys"
    recipients: tuple[str, ...] = ()
    message: Message = ""
    fix: Message = ""


Fact: TypeAlias = Annotated[
    Tool | Disk | EngineFacts | Archive | Keys, Field(discriminator="kind")
]
"""Something about the node that deployments need. Keyed ``tool/git``, ``disk/state``,
``disk/docker``, ``engine``, ``archive/<file>`` and ``keys``."""


class NodeReport(Value):
    """Everything that an agent sees. ``images`` maps a tag to the engine's image id."""

    engine: Engine = Engine()
    containers: dict[str, Container] = Field(default_factory=dict)
    networks: dict[str, Network] = Field(default_factory=dict)
    images: dict[str, str] = Field(default_factory=dict)
    releases: dict[str, Release] = Field(default_factory=dict)
    repositories: dict[str, Repository] = Field(default_factory=dict)
    copies: dict[str, Copy] = Field(default_factory=dict)
    listeners: dict[str, Listener] = Field(default_factory=dict)
    sealed: dict[str, Sealed] = Field(default_factory=dict)
    facts: dict[str, Fact] = Field(default_factory=dict)
    activity: dict[str, Activity] = Field(default_factory=dict)


class Delta(Value):
    """What changed between two reports; an item of None is gone."""

    engine: Engine | None = None
    containers: dict[str, Container | None] = Field(default_factory=dict)
    networks: dict[str, Network | None] = Field(default_factory=dict)
    images: dict[str, str | None] = Field(default_factory=dict)
    releases: dict[str, Release | None] = Field(default_factory=dict)
    repositories: dict[str, Repository | None] = Field(default_factory=dict)
    copies: dict[str, Copy | None] = Field(default_factory=dict)
    listeners: dict[str, Listener | None] = Field(default_factory=dict)
    sealed: dict[str, Sealed | None] = Field(default_factory=dict)
    facts: dict[str, Fact | None] = Field(default_factory=dict)
    activity: dict[str, Activity | None] = Field(default_factory=dict)


SECTIONS = (
    "containers",
    "networks",
    "images",
    "releases",
    "repositories",
    "copies",
    "listeners",
    "sealed",
    "facts",
    "activity",
)


def difference(old: NodeReport, new: NodeReport) -> Delta | None:
    """Return what turns ``old`` into ``new``, or None when nothing does."""
    changes: dict[str, object] = {}
    if old.engine != new.engine:
        changes["engine"] = new.engine
    for section in SECTIONS:
        before: dict[str, object] = getattr(old, section)
        after: dict[str, object] = getattr(new, section)
        changed: dict[str, object] = {k: v for k, v in after.items() if before.get(k) != v}
        changed.update(dict.fromkeys(before.keys() - after.keys()))
        if changed:
            changes[section] = changed
    return Delta().model_copy(update=changes) if changes else None


def fold(report: NodeReport, delta: Delta) -> NodeReport:
    """Return the report with the delta applied."""
    changes: dict[str, object] = {}
    if delta.engine is not None:
        changes["engine"] = delta.engine
    for section in SECTIONS:
        changed: dict[str, object] = getattr(delta, section)
        if changed:
            merged: dict[str, object] = {**getattr(report, section), **changed}
            changes[section] = {k: v for k, v in merged.items() if v is not None}
    return report.model_copy(update=changes)
