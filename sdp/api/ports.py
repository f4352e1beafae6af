"""What the API reads and whom it hands on to, as protocols. The server adapts; fakes stand in."""

import dataclasses
import datetime
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from typing import Protocol, TypeAlias

from sdp.api.node_views import Finding, Garbage, PortList, QuotaList
from sdp.api.people import Caller, Prover
from sdp.api.requests import ChangeRequest
from sdp.api.sessions import Sessions
from sdp.api.snapshot_views import NamedSnapshotView, RollbackTarget, SnapshotView
from sdp.api.views import (
    ActionInFlight,
    Cancelled,
    ChangeView,
    Condition,
    DeploymentPage,
    DeploymentStatus,
    DeploymentView,
    LogLineView,
    PlanView,
    RestartRequested,
    SandboxView,
    Updated,
    UsageView,
    WithheldView,
)
from sdp.protocol.frames import Body, Hello, LoginChecked, Sample, ToAgent
from sdp.protocol.handshake import Transcript
from sdp.protocol.report import Delta, NodeReport
from sdp.reconciler.audit import Auditor, Wanted
from sdp.reconciler.chain import Entry, Page, Verdict
from sdp.reconciler.credentials import Lender
from sdp.reconciler.observed import Observed, Skew
from sdp.spec.models import Platform
from sdp.spec.roles import Person
from sdp.spec.select import WHOLE, Selection
from sdp.spec.tree import Tree
from sdp.trust.belief import Belief, Invitation

Send: TypeAlias = Callable[[ToAgent], Awaitable[None]]
"""Queues a frame for an agent; never waits for it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Gone:
    """A cursor can't be continued: the reader must list again."""

    reason: str


class Plane(Protocol):
    """What is wanted, what is, and what would be done."""

    @property
    def revision(self) -> str:
        """The config revision that is applied; empty before the first."""
        ...

    @property
    def branch(self) -> str:
        """The config repo's branch that is served."""
        ...

    @property
    def platform(self) -> Platform | None:
        """The platform of that revision."""
        ...

    @property
    def tree(self) -> Tree | None:
        """Its specs."""
        ...

    @property
    def observed(self) -> Observed:
        """What the nodes report."""
        ...

    @property
    def signing_key(self) -> str:
        """The public key that the control plane signs commits with; "" for none."""
        ...

    def withheld(self) -> Sequence[WithheldView]:
        """Return what was committed and does not count, by path."""
        ...

    def ports(self) -> PortList:
        """Return who has which port of which node."""
        ...

    def quotas(self) -> QuotaList:
        """Return how much of each quota is taken, and who waits."""
        ...

    def sandboxes(self) -> Sequence[SandboxView]:
        """Return every sandbox, in any order."""
        ...

    def sandbox(self, name: str) -> SandboxView | None:
        """Return one sandbox, by its name in any case."""
        ...

    def usage(self, name: str) -> UsageView | None:
        """Return what the containers of one sandbox used of late."""
        ...

    def plan_of(self, name: str) -> PlanView | None:
        """Return what is being done about one sandbox."""
        ...

    async def preview(
        self,
        files: Mapping[str, str],
        selection: Selection = WHOLE,
        deletes: int = 0,
        who: Person | None = None,
    ) -> PlanView:
        """Return what the control plane would do if these were the config repo's files.

        Args:
            files: specs by path.
            selection: which sandboxes and services to show.
            deletes: how many sandboxes their commit would let go.
            who: would commit them; the plan says what they may not.
        """
        ...

    def sync(self, name: str) -> str:
        """Look at a sandbox afresh, failures forgotten; return the request's nonce."""
        ...

    def restart(self, name: str, service: str) -> RestartRequested:
        """Restart a sandbox's containers, or one service's.

        Raises:
            ProblemError: nothing of it can be restarted now.
        """
        ...

    async def cancel(self, name: str, service: str) -> Cancelled:
        """End what is being brought about of a sandbox, or one service; return what that was."""
        ...

    async def update(self, name: str, service: str) -> Updated:
        """Let in what is new of a sandbox, or one service; raises ProblemError where nothing is."""
        ...

    def hint(self, repositories: Collection[str]) -> None:
        """Look soon at those of these repositories that are ours: something was pushed, it is said."""
        ...

    def in_flight(self) -> Sequence[ActionInFlight]:
        """Return what nodes are doing now."""
        ...

    def garbage(self) -> Garbage:
        """Return what nothing on the nodes refers to."""
        ...

    def collect(self) -> Garbage:
        """Have it removed now; return what that is."""
        ...

    def examine(self, version: str) -> Sequence[Finding]:
        """Return what would fail, where this version of sdp is the right one."""
        ...

    def unready(self) -> Sequence[Condition]:
        """Return why the control plane does not work, if it does not."""
        ...


class Journal(Protocol):
    """What happened."""

    async def latest(self) -> int:
        """Return the number of the last event."""
        ...

    def follow(
        self, after: int, sandbox: str | None, until: int | None = None
    ) -> AsyncGenerator[bytes | Gone, None]:
        """Yield events as ``events.encode`` writes them, endlessly or up to the one ``until``.

        A Gone is the last that comes.
        """
        ...

    async def deployments(
        self,
        sandbox: str | None,
        service: str | None,
        status: DeploymentStatus | None,
        limit: int,
        cursor: str,
    ) -> DeploymentPage:
        """Return deployments, newest first; raises ProblemError for a cursor no page gave."""
        ...

    async def deployment(self, identifier: str) -> DeploymentView | None:
        """Return one deployment."""
        ...

    def log(
        self, deployment: str, after: int, *, follow: bool
    ) -> AsyncGenerator[Sequence[LogLineView], None]:
        """Yield the lines after one; with ``follow`` until the deployment is done."""
        ...


class Agents(Protocol):
    """Where agents' frames go."""

    async def stored(self, node: str, outbox: str) -> int:
        """Return the last entry taken from an agent's outbox."""
        ...

    async def connected(self, hello: Hello, send: Send) -> None:
        """Take a new session, in place of the node's one before."""
        ...

    async def reported(self, node: str, report: NodeReport, generation: int) -> None:
        """Take a full report."""
        ...

    async def changed(self, node: str, delta: Delta, generation: int) -> bool:
        """Take what changed since the generation before; False: only a full report helps."""
        ...

    async def timed(self, node: str, skew: Skew) -> None:
        """Take how far a node's clock is from ours."""
        ...

    async def checked(self, node: str, told: LoginChecked) -> None:
        """Take whether an origin takes somebody's login."""
        ...

    async def measured(self, node: str, samples: Sequence[Sample]) -> None:
        """Take what a node's containers use."""
        ...

    async def entry(self, hello: Hello, seq: int, body: Body) -> None:
        """Store an entry exactly once; return when it is on disk."""
        ...

    async def disconnected(self, hello: Hello, send: Send) -> None:
        """Take the end of a session; of one that was replaced, too."""
        ...


class Changes(Protocol):
    """Who writes to the config repo."""

    async def change(self, request: ChangeRequest, caller: Caller) -> ChangeView:
        """Do what a caller asks for; raises ProblemError where it can't be done, or not by them."""
        ...


class Past(Protocol):
    """What sandboxes ran."""

    def named(self, sandbox: str | None = None) -> Sequence[NamedSnapshotView]:
        """Return the named snapshots, of one sandbox or all, by name."""
        ...

    async def snapshots(self, name: str) -> Sequence[SnapshotView]:
        """Return what a sandbox ran, newest first; also of one that is gone."""
        ...

    async def target(self, name: str, word: str) -> RollbackTarget:
        """Return what a word for a rollback means; raises ProblemError where it means nothing."""
        ...


class Audit(Auditor, Protocol):
    """Who did what."""

    async def page(self, wanted: Wanted, limit: int, before: int = 0) -> Page:
        """Return acts, newest first, from those before a number; 0: from the newest."""
        ...

    async def after(self, seq: int, limit: int) -> Sequence[Entry]:
        """Return the next acts after a number, oldest first."""
        ...

    async def verify(self) -> Verdict:
        """Return whether all is as it was written."""
        ...


class Trust(Protocol):
    """Whose agents are believed, and what agents believe."""

    @property
    def key(self) -> str:
        """The control plane's public key."""
        ...

    @property
    def epoch(self) -> int:
        """How often it has started."""
        ...

    def sign(self, transcript: Transcript) -> str:
        """Return its signature."""
        ...

    def belief(self, node: str) -> Belief:
        """Return how far a node is believed."""
        ...

    def invite(
        self, node: str, by: str, valid: datetime.timedelta, now: datetime.datetime
    ) -> Invitation:
        """Return a new token for a node, in place of any before."""
        ...

    def enrol(self, transcript: Transcript, key: str, shown: str, now: datetime.datetime) -> str:
        """Take a node's key for a token's proof, once; return our own proof.

        Raises:
            NotEnrolledError: the token is none, or not any more.
        """
        ...

    def revoke(self, node: str, by: str, now: datetime.datetime) -> Belief:
        """Believe a node's agent no more, nor any token of it; return what it is then."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class People:
    """Who is logged in, who proves that they may be, and whose credentials are at hand."""

    sessions: Sessions
    prover: Prover
    lender: Lender


@dataclasses.dataclass(frozen=True, slots=True)
class Ports:
    """All of them.

    Attributes:
        hook_secret: signs what Bitbucket posts; without one nothing is taken.
        exposed: what is wrong with how the control plane can be reached.
    """

    plane: Plane
    journal: Journal
    agents: Agents
    changes: Changes
    past: Past
    people: People
    audit: Audit
    trust: Trust
    hook_secret: bytes = dataclasses.field(default=b"", repr=False)
    exposed: tuple[Finding, ...] = ()
