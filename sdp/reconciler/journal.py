"""Journal: what must outlive the process. The loop appends and asks; the store keeps it."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from sdp.reconciler.deployments import Deployment
from sdp.reconciler.events import Event
from sdp.reconciler.history import Failure, History
from sdp.reconciler.ports import Lease
from sdp.reconciler.snapshots import Snapshot
from sdp.reconciler.steady import Moved


class StoreUnavailable(Exception):  # noqa: N818 - a condition of the machine, named as such
    """The store can't be used now; ``fix`` says what to do, in an imperative sentence."""

    def __init__(self, reason: str, fix: str) -> None:
        super().__init__(f"{reason} {fix}")
        self.reason = reason
        self.fix = fix


class Journal(Protocol):
    """What the loop needs to have remembered. Every method may raise StoreUnavailable."""

    async def append(
        self,
        happened: Sequence[Event],
        records: Sequence[Deployment | Failure] = (),
        judged: str = "",
    ) -> None:
        """Append events with what they say to the audit, as one.

        Where it can't be written now, it is owed: it goes before what is appended next.

        Args:
            happened: what happened.
            records: what changed so.
            judged: the commit up to which they tell what came of commits; "" is as before.
        """

    async def put_deployment(self, deployment: Deployment) -> None:
        """Record a deployment as it is now."""

    async def deployments(self) -> Sequence[Deployment]:
        """Return the newest deployment of each service of each sandbox."""

    async def history(self) -> History:
        """Return what converged and what failed."""

    async def set_applied(self, sandbox: str, service: str, version: str) -> None:
        """Record that a service converged."""

    async def put_failure(self, failure: Failure) -> None:
        """Record the last failure of a version."""

    async def clear_failures(self, sandbox: str, service: str) -> None:
        """Forget a service's failures."""

    async def forget(self, sandbox: str) -> None:
        """Forget what a sandbox converged to and how it failed."""

    async def put_snapshot(self, snapshot: Snapshot) -> None:
        """Record what a sandbox runs; the oldest beyond those that are kept goes."""

    async def newest_snapshots(self) -> Sequence[Snapshot]:
        """Return the newest snapshot of each sandbox, also of those that are gone."""

    async def judged(self) -> str:
        """Return the commit of the config repo that was told last; "" for none."""

    async def leases(self) -> Sequence[Lease]:
        """Return all leases."""

    async def replace_leases(self, leases: Iterable[Lease]) -> None:
        """Make these the leases."""

    async def put_choices(self, moved: Moved) -> None:
        """Record at which commits services are; None: at none any more."""
