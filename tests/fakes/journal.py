"""A journal in memory, and waiting for what is written to it."""

import asyncio
from collections.abc import Callable, Iterable, Sequence

from typing_extensions import override

from sdp.reconciler.acts import acts_of
from sdp.reconciler.audit import Act
from sdp.reconciler.deployments import Deployment
from sdp.reconciler.events import Event
from sdp.reconciler.history import Choice, Failure, History
from sdp.reconciler.journal import Journal, StoreUnavailable
from sdp.reconciler.ports import Lease
from sdp.reconciler.snapshots import Snapshot
from sdp.reconciler.steady import Moved


class FakeJournal(Journal):
    """Remembers for as long as the test lasts."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.acts: list[Act] = []
        self.put: dict[str, Deployment] = {}
        self.held: list[Lease] = []
        self.applied: dict[tuple[str, str], str] = {}
        self.snapshots: list[Snapshot] = []
        self.failures: dict[tuple[str, str, str], Failure] = {}
        self.choices: dict[tuple[str, str], Choice | None] = {}
        self.last_judged = ""
        self.is_full = False
        self._owed: list[tuple[Sequence[Event], Sequence[Deployment | Failure], str]] = []
        self._news = asyncio.Condition()

    async def until(self, holds: Callable[[], bool], seconds: float = 4) -> None:
        """Wait until something holds; it is asked whenever anything is written."""
        async with asyncio.timeout(seconds), self._news:
            await self._news.wait_for(holds)

    @property
    def is_owing(self) -> bool:
        return bool(self._owed)

    def kinds(self) -> list[str]:
        return [each.kind for each in self.events]

    def of(self, kind: str) -> list[Event]:
        return [each for each in self.events if each.kind == kind]

    @override
    async def append(
        self,
        happened: Sequence[Event],
        records: Sequence[Deployment | Failure] = (),
        judged: str = "",
    ) -> None:
        self._owed.append((happened, records, judged))
        async with self._news:
            self._news.notify_all()
        if self.is_full:
            raise StoreUnavailable("planted: the disk is full", "free space")
        owed, self._owed = self._owed, []
        for each in owed:
            await self._take(*each)

    async def _take(
        self, happened: Sequence[Event], records: Sequence[Deployment | Failure], judged: str
    ) -> None:
        self.last_judged = judged or self.last_judged
        for each in records:
            match each:
                case Deployment():
                    await self.put_deployment(each)
                case Failure():
                    await self.put_failure(each)
        self.events.extend(happened)
        self.acts.extend(act for event in happened for act in acts_of(event))
        async with self._news:
            self._news.notify_all()

    @override
    async def put_deployment(self, deployment: Deployment) -> None:
        self.put[deployment.id] = deployment

    @override
    async def deployments(self) -> Sequence[Deployment]:
        return tuple(self.put.values())

    @override
    async def history(self) -> History:
        chosen = {key: choice for key, choice in self.choices.items() if choice is not None}
        return History(dict(self.applied), dict(self.failures), chosen)

    @override
    async def set_applied(self, sandbox: str, service: str, version: str) -> None:
        self.applied[sandbox, service] = version

    @override
    async def put_failure(self, failure: Failure) -> None:
        about = failure.attempt
        self.failures[about.sandbox, about.service, about.version] = failure

    @override
    async def clear_failures(self, sandbox: str, service: str) -> None:
        about = (sandbox, service)
        self.failures = {k: each for k, each in self.failures.items() if k[:2] != about}

    @override
    async def forget(self, sandbox: str) -> None:
        self.applied = {k: v for k, v in self.applied.items() if k[0].lower() != sandbox}
        self.choices = {k: v for k, v in self.choices.items() if k[0].lower() != sandbox}

    @override
    async def put_choices(self, moved: Moved) -> None:
        self.choices |= moved

    @override
    async def put_snapshot(self, snapshot: Snapshot) -> None:
        self.snapshots.append(snapshot)

    @override
    async def newest_snapshots(self) -> Sequence[Snapshot]:
        return tuple({each.sandbox: each for each in self.snapshots}.values())

    @override
    async def judged(self) -> str:
        return self.last_judged

    @override
    async def leases(self) -> Sequence[Lease]:
        return tuple(self.held)

    @override
    async def replace_leases(self, leases: Iterable[Lease]) -> None:
        self.held = list(leases)
