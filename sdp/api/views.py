"""What the API answers: one frozen model per thing, as OpenAPI shows it. No decisions, no I/O.

Secrets have names here and never values.
"""

import datetime
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from sdp.protocol.report import ConfigProblemKind

Health: TypeAlias = Literal[
    "Healthy", "Progressing", "Degraded", "Unhealthy", "Suspended", "Expired", "Unknown"
]
Sync: TypeAlias = Literal["Synced", "Pending", "Applying", "Held", "Failed", "Unknown"]
RouteState: TypeAlias = Literal["Verified", "Drift", "Unverified"]
DeploymentStatus: TypeAlias = Literal["QUEUED", "RUNNING", "FAILED", "STOPPED"]
LifecycleState: TypeAlias = Literal["ACTIVE", "SUSPENDED", "EXPIRED"]
StageState: TypeAlias = Literal["started", "finished", "failed"]


class View(BaseModel):
    """What all answers share."""

    model_config = ConfigDict(frozen=True)


class Condition(View):
    """Something that waits, failed, or should be known: why, and what to do about it."""

    type: str = "Held"
    service: str = ""
    reason: str
    message: str
    fix: str = ""
    failed: bool = False
    since: datetime.datetime | None = None
    until: datetime.datetime | None = None
    lines: tuple[str, ...] = ()


class ServiceView(View):
    """One service of a sandbox, or its gateway; ``target`` says in words where it is from.

    ``reason`` is one word, which stays while the numbers in ``message`` change; ``until`` says
    when the health changes by itself. What it uses is None while nobody knows; a limit of 0 is
    none.
    """

    name: str
    target: str
    health: Health
    sync: Sync
    reason: str = ""
    message: str = ""
    fix: str = ""
    since: datetime.datetime | None = None
    until: datetime.datetime | None = None
    node: str = ""
    container: str = ""
    port: int | None = None
    commit: str = ""
    restarts: int = 0
    cpu_milli: int | None = None
    memory_bytes: int | None = None
    cpu_limit_milli: int = 0
    memory_limit_bytes: int = 0


class RouteProblem(View):
    """What is to be known of a route's entry in config.php; a blocking one is not patched."""

    kind: ConfigProblemKind
    where: str
    message: str
    fix: str
    blocking: bool


class RouteView(View):
    """One route of a sandbox's gateway; ``actual`` is read back from config.php."""

    service: str
    wanted: str
    actual: str
    state: RouteState
    verified_at: datetime.datetime | None = None
    problem: RouteProblem | None = None


class LifecycleView(View):
    """Whether a sandbox is awake: since when, by whom, and why, as git says.

    ``used_at`` is when it was last used; ``expires_at`` and ``deletes_at`` when it stops and goes
    if it is not, where that is known.
    """

    state: LifecycleState = "ACTIVE"
    since: datetime.datetime | None = None
    by: str = ""
    why: str = ""
    used_at: datetime.datetime | None = None
    expires_at: datetime.datetime | None = None
    deletes_at: datetime.datetime | None = None


class SandboxSummary(View):
    """A row of the list. Counts are of services: on branches here, on OCP, at other addresses.

    ``queued`` is its number among those who wait for a quota; 0: it does not.
    """

    name: str
    path: str
    owner: str
    environment: str
    revision: str
    health: Health
    health_reason: str = ""
    health_message: str = ""
    health_since: datetime.datetime | None = None
    sync: Sync
    queued: int = 0
    gateway_branch: str
    branches: int
    ocp: int
    addresses: int
    url: str
    lifecycle: LifecycleView = LifecycleView()


class SandboxView(SandboxSummary):
    """A sandbox, whole.

    ``observed_generation`` is the config commit that this was made at; ``served`` the nonce of
    the last sync request that a run has served.
    """

    observed_generation: str = ""
    suspended: bool = False
    protect: bool = False
    served: str = ""
    sync_since: datetime.datetime | None = None
    services: tuple[ServiceView, ...] = ()
    routes: tuple[RouteView, ...] = ()
    conditions: tuple[Condition, ...] = ()


class NeedView(View):
    """What a change of a file takes; ``role``, the least of all, has that permission."""

    path: str
    permission: str
    role: str
    sandbox: str = ""
    owner: str = ""


class WithheldView(View):
    """A file that does not count as it was committed, why, and what to do about it."""

    path: str
    commit: str
    user: str
    since: datetime.datetime
    reason: str
    message: str
    fix: str


class SandboxPage(View):
    """Sandboxes by name, as of a config revision and the journal's ``seq``: follow from there.

    ``branch`` is the config repo's that is served; ``withheld`` what on it does not count.
    """

    sandboxes: tuple[SandboxSummary, ...]
    following: str = ""
    total: int
    revision: str
    branch: str = ""
    withheld: tuple[WithheldView, ...] = ()
    seq: int


class UsageSample(View):
    """What a container used at a moment; CPU in thousandths of a core, since the one before."""

    at: datetime.datetime
    cpu_milli: int
    memory_bytes: int


class ServiceUsage(View):
    """What the container of one service used of late, oldest first; a limit of 0 is none."""

    service: str
    container: str
    cpu_limit_milli: int
    memory_limit_bytes: int
    samples: tuple[UsageSample, ...]


class UsageView(View):
    """What a sandbox's containers used of late: a sample about every ten seconds."""

    sandbox: str
    services: tuple[ServiceUsage, ...]


class ActionView(View):
    """One planned action."""

    key: str
    kind: str
    node: str
    service: str
    cause: str
    after: tuple[str, ...]


class SandboxPlan(View):
    """What is to be done about one sandbox, and what waits.

    ``lines`` are its actions as people read them; ``identity`` changes with what is done, why, at which versions
    and on which ports, and not with time. ``leaving``: nobody desires it any more.
    """

    sandbox: str
    leaving: bool = False
    identity: str = ""
    lines: tuple[str, ...] = ()
    actions: tuple[ActionView, ...] = ()
    holds: tuple[Condition, ...] = ()


class PlanSummary(View):
    """How many changes of each kind."""

    add: int = 0
    change: int = 0
    destroy: int = 0
    held: int = 0


class Problem(View):
    """Something wrong in a spec."""

    path: str
    line: int
    column: int
    message: str
    severity: Literal["error", "warning"]


class PlanView(View):
    """A plan: against ``revision``, the one that is applied; ``text`` is what people read.

    ``changes``: there is something to do, or something would wait that does not wait now.
    ``instance`` is the platform's name, "" before any; ``branch`` the config repo's that is served.
    ``refused`` is what the asking person may not commit, ``withheld`` what others did in vain.
    """

    revision: str
    instance: str = ""
    branch: str = ""
    changes: bool
    summary: PlanSummary = PlanSummary()
    sandboxes: tuple[SandboxPlan, ...]
    problems: tuple[Problem, ...] = ()
    refused: tuple[NeedView, ...] = ()
    withheld: tuple[WithheldView, ...] = ()
    text: str


class CommitView(View):
    """A commit of the config repo, as a list shows it."""

    sha: str
    author: str
    at: datetime.datetime
    subject: str


class ConflictView(View):
    """What others did to the same files between a base and the branch's tip."""

    base: str
    tip: str
    paths: tuple[str, ...]
    commits: tuple[CommitView, ...]
    diff: str


class ChangeView(View):
    """A change of the config repo; ``commit`` is empty of one that was only shown, or is none."""

    commit: str = ""
    base: str = ""
    subject: str
    paths: tuple[str, ...] = ()
    diff: str = ""
    plan: PlanView | None = None


class Validation(View):
    """What is wrong with a tree of specs; ``valid``: no errors."""

    valid: bool
    problems: tuple[Problem, ...]


class SyncRequested(View):
    """A sync that will be served; compare with a sandbox's ``served``."""

    sandbox: str
    nonce: str


class RestartRequested(View):
    """A restart that will be served; compare with a sandbox's ``served``."""

    sandbox: str
    services: tuple[str, ...]
    nonce: str


class ActionInFlight(View):
    """Something that a node was told to do and has not answered; ``deadline``: it must by then."""

    id: str
    kind: str
    node: str
    sandbox: str
    service: str
    deployment: str
    deadline: datetime.datetime


class Cancelled(View):
    """What a cancel ended.

    ``services`` are those of which nothing more is tried; ``stopping`` is being ended on its
    node; ``shared`` goes on, because other sandboxes wait for it too.
    """

    sandbox: str
    services: tuple[str, ...]
    stopping: tuple[ActionInFlight, ...]
    shared: tuple[ActionInFlight, ...]


class UpdatedService(View):
    """A service that goes from one commit of its branch to the newest."""

    service: str
    branch: str
    before: str
    after: str


class Updated(View):
    """What of a sandbox is updated."""

    sandbox: str
    services: tuple[UpdatedService, ...]


class TemplateView(View):
    """A template and the sandboxes that name it."""

    name: str
    path: str
    used_by: tuple[str, ...]


class EnvironmentView(View):
    """An environment: names only, of variables, secrets and files.

    Attributes:
        secrets_hidden: whether names of secrets are left out, as the reader may not see them.
    """

    name: str
    path: str
    variables: tuple[str, ...]
    secrets: tuple[str, ...]
    files: tuple[str, ...]
    used_by: tuple[str, ...]
    secrets_hidden: bool = False


class StageView(View):
    """One stage of a deployment."""

    name: str
    state: StageState
    started_at: datetime.datetime | None = None
    finished_at: datetime.datetime | None = None
    note: str = ""


class DeploymentView(View):
    """One service of one sandbox brought to one commit."""

    id: str
    sandbox: str
    service: str
    node: str
    repository: str
    branch: str
    commit: str
    hash: str
    generation: str
    status: DeploymentStatus
    cause: str = ""
    reason: str = ""
    message: str = ""
    lines: tuple[str, ...] = ()
    created_at: datetime.datetime
    started_at: datetime.datetime | None = None
    finished_at: datetime.datetime | None = None
    stages: tuple[StageView, ...] = ()

    @property
    def done(self) -> bool:
        """Whether no line of its log will come any more."""
        return self.finished_at is not None


class DeploymentPage(View):
    """Deployments, newest first; ``following`` is the next page's cursor, empty at the end."""

    deployments: tuple[DeploymentView, ...]
    following: str = ""


class EventView(View):
    """An entry of the journal, as the stream carries it."""

    seq: int
    at: datetime.datetime
    kind: str
    sandbox: str = ""
    service: str = ""
    deployment: str = ""
    reason: str = ""
    message: str = ""
    data: dict[str, JsonValue] = Field(default_factory=dict)


class LogLineView(View):
    """One line of a deployment's log."""

    seq: int
    at: datetime.datetime
    stage: str
    text: str


class ContainerLine(View):
    """One line that a container said; ``at`` is the engine's own timestamp, in nanoseconds."""

    at: str
    text: str


class Readiness(View):
    """Whether the control plane works, and if not why: reasons with their fixes."""

    ready: bool
    reasons: tuple[Condition, ...] = ()
