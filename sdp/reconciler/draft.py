"""Plan: what to do about one sandbox's difference, why, and what waits for what.

A plan is a graph of actions and a list of holds. It is made afresh from what is observed whenever
anything changes; an action is in it exactly as long as its effect is not seen, so nothing has to
be remembered between two plans. Pure: the loop, ``sdp plan`` and the property tests call the same
functions.
"""

import dataclasses
import datetime
from collections.abc import Callable, Mapping
from typing import TypeAlias

from typing_extensions import override

from sdp.protocol.actions import Action, Build, Fetch, GatewayRecipe, GoRecipe
from sdp.reconciler.credentials import NO_LENDERS, Lenders
from sdp.reconciler.desired import Desired
from sdp.reconciler.diff import Version
from sdp.reconciler.expiry import Expiries
from sdp.reconciler.history import Failure, History
from sdp.reconciler.lifecycle import NO_LIVES, Lives
from sdp.reconciler.observed import Observed
from sdp.reconciler.ports import Claim, Conflict, Lease, Leases, Pins, pin, pins, take
from sdp.reconciler.quota import NO_QUOTAS, Admission
from sdp.spec import models

Restarts: TypeAlias = Mapping[str, datetime.datetime | None]
"""Containers to restart: id → when it had started as that was asked for."""


@dataclasses.dataclass(frozen=True, slots=True)
class Cause:
    """Why an action is planned: what differs, from what to what."""

    field: str
    before: str
    after: str

    @override
    def __str__(self) -> str:
        if not self.before:
            return f"{self.field} {self.after}".strip()
        return f"{self.field} {self.before} → {self.after}"


@dataclasses.dataclass(frozen=True, slots=True)
class Planned:
    """An action in a plan.

    Attributes:
        key: the same for the same effect, in this plan and the next; sandboxes that need the
            same release share the key of its build.
        version: the hash that it is done for; empty where no version is concerned.
        after: keys of the actions that must have succeeded.
    """

    key: str
    node: str
    sandbox: str
    service: str
    version: str
    action: Action
    after: tuple[str, ...]
    cause: Cause


@dataclasses.dataclass(frozen=True, slots=True)
class Hold:
    """Something that a person could wait for, and why it does not happen yet.

    Attributes:
        failed: it was tried and failed, rather than waits for something.
        until: when it is tried again by itself, if that is known.
    """

    sandbox: str
    service: str
    reason: str
    message: str
    fix: str
    failed: bool = False
    until: datetime.datetime | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Drift:
    """Something that was changed behind the platform's back; ``key`` is the healing action's."""

    key: str
    service: str
    message: str


@dataclasses.dataclass(frozen=True, slots=True)
class Waiting:
    """A service of which nothing more can be planned until its node has opened files.

    Attributes:
        paths: the files'.
        stands: it has a container, which may have to be replaced.
        after: keys of the actions that open them, which can be another service's.
    """

    service: str
    paths: tuple[str, ...]
    stands: bool
    after: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What to do, what waits, the ports that it takes, and what was found changed.

    ``waiting``: services whose changes show only when encrypted files are open.
    """

    actions: tuple[Planned, ...] = ()
    holds: tuple[Hold, ...] = ()
    leases: tuple[Lease, ...] = ()
    drifts: tuple[Drift, ...] = ()
    waiting: tuple[Waiting, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do and nothing waits."""
        return not self.actions and not self.holds

    def narrowed(self, meant: Callable[[str], bool]) -> "Plan":
        """Return what is about some services, with what their actions come after.

        Args:
            meant: tells whether a service's name is one of them.
        """
        waiting = tuple(each for each in self.waiting if meant(each.service))
        kept = {key for each in waiting for key in each.after}
        for planned in reversed(self.actions):
            if meant(planned.service) or planned.key in kept:
                kept |= {planned.key, *planned.after}
        actions = tuple(planned for planned in self.actions if planned.key in kept)
        holds = tuple(hold for hold in self.holds if not hold.service or meant(hold.service))
        return dataclasses.replace(self, actions=actions, holds=holds, waiting=waiting)


@dataclasses.dataclass(frozen=True, slots=True)
class World:
    """What plans of all sandboxes are made from, as of one moment.

    Attributes:
        reserved: the specs' pins.
        expiries: until when sandboxes live that nobody uses.
        unremoved: why the files of those whose time is over could not be removed; "" if not so.
        healing: lower-cased names whose drift a person asked to heal, whatever their specs say.
        restarts: what a person asked to restart, as long as that is not seen.
        lives: what git says of how sandboxes live; plans do not depend on it.
        admission: who may run by the quotas, and who waits.
        lenders: whose credentials git operations may use.
    """

    desired: Desired
    observed: Observed
    history: History
    leases: Leases
    reserved: Pins
    now: datetime.datetime
    expiries: Expiries = dataclasses.field(default_factory=dict)
    unremoved: str = ""
    healing: frozenset[str] = frozenset()
    restarts: Restarts = dataclasses.field(default_factory=dict)
    lives: Lives = NO_LIVES
    admission: Admission = NO_QUOTAS
    lenders: Lenders = NO_LENDERS


def world(
    desired: Desired,
    observed: Observed,
    history: History,
    leases: Leases,
    now: datetime.datetime,
) -> World:
    """Return the world as of now."""
    return World(desired, observed, history, leases, pins(desired), now)


class Draft:
    """A plan in the making, for one sandbox."""

    def __init__(self, sandbox: str, whole: World) -> None:
        self.sandbox = sandbox
        self.world = whole
        self._actions: dict[str, Planned] = {}
        self._holds: list[Hold] = []
        self._leases: dict[tuple[str, int], Lease] = {}
        self._waiting: list[Waiting] = []

    def plan(self) -> Plan:
        """Return the plan."""
        holds = sorted(self._holds, key=lambda hold: (hold.service, hold.reason))
        return Plan(
            tuple(self._actions.values()),
            tuple(holds),
            tuple(self._leases.values()),
            waiting=tuple(self._waiting),
        )

    def known(self, node: str) -> bool:
        """Whether a node's report may be acted upon; what it holds is left alone otherwise."""
        seen = self.world.observed.get(node)
        return seen is not None and seen.known

    def failure(self, service: str, version: str) -> Failure | None:
        """Return the failure that keeps a version from being tried now."""
        failure = self.world.history.failure(self.sandbox, service, version)
        return failure if failure and failure.holds(self.world.now) else None

    def do(
        self,
        node: str,
        service: str,
        action: Action,
        cause: Cause,
        *,
        version: str = "",
        after: tuple[str, ...] = (),
        key: str = "",
    ) -> tuple[str, ...]:
        """Plan an action, once; return its key, as what a later action can be after."""
        key = key or f"{node}/{self.sandbox}/{service}/{action.kind}/{version}".rstrip("/")
        if failure := self.failure(service, version or action.kind):
            self.hold_failure(service, failure)
        self._actions.setdefault(
            key, Planned(key, node, self.sandbox, service, version, action, after, cause)
        )
        return (key,)

    def wait(self, waiting: Waiting) -> None:
        """Say that a service's changes show only when files are open."""
        self._waiting.append(waiting)

    def hold(self, service: str, reason: str, message: str, fix: str) -> None:
        """Say why something waits."""
        self._add(Hold(self.sandbox, service, reason, message, fix))

    def hold_conflict(self, service: str, conflict: Conflict) -> None:
        """Say who has the port that a service needs."""
        self.hold(service, "PortConflict", conflict.message, conflict.fix)

    def hold_failure(self, service: str, failure: Failure) -> None:
        """Say that something failed, and when it is tried again."""
        fix = failure.fix or "push a commit that mends it, or sdp sync to try again"
        self._add(
            Hold(
                self.sandbox,
                service,
                failure.reason,
                failure.message,
                fix,
                failed=True,
                until=failure.retry_at,
            )
        )

    def _add(self, hold: Hold) -> None:
        if hold not in self._holds:
            self._holds.append(hold)

    def leased(self, service: str) -> int | None:
        """Return the port that this plan takes for a service."""
        ports = (lease.port for lease in self._leases.values() if lease.service == service)
        return next(ports, None)

    def port(self, claim: Claim, ports: models.PortRange) -> int | None:
        """Return the port for a container; hold and return None where there is none."""
        leases = {**self.world.leases, **self._leases}
        match take(claim, leases, self.world.reserved, self.world.observed, ports):
            case Lease() as lease:
                self._leases[lease.node, lease.port] = lease
                return lease.port
            case Conflict() as conflict:
                self.hold_conflict(claim.service, conflict)
                return None

    def wait_for_pin(self, claim: Claim, pinned: int) -> None:
        """Say why a container is on another port than the one that is pinned for it."""
        world = self.world
        leases = {**world.leases, **self._leases}
        match pin(claim, pinned, leases, world.reserved, world.observed):
            case Conflict() as conflict:
                self.hold_conflict(claim.service, conflict)
            case Lease():
                pass


def release(draft: Draft, service: str, node: str, version: Version) -> tuple[str, ...]:
    """Plan what makes a version's release; return what its users must be after."""
    seen = draft.world.observed[node].report
    if version.release in seen.releases:
        return ()
    repository = seen.repositories.get(version.repository)
    place = f"{node}/{version.repository}/{version.commit}"
    short = f"{service} @ {version.commit[:7]}"
    fetched: tuple[str, ...] = ()
    if repository is None or version.commit not in repository.present:
        action = Fetch(repository=version.repository, branch=version.branch, commit=version.commit)
        cause = Cause("not fetched", "", short)
        fetched = draft.do(
            node, service, action, cause, version=version.hash, key=f"{place}/fetch"
        )
    build = Build(repository=version.repository, commit=version.commit, recipe=version.recipe)
    return draft.do(
        node,
        service,
        build,
        Cause("not built here yet", "", short),
        version=version.hash,
        after=fetched,
        key=f"{node}/{version.release}/build",
    )


def go_recipe(version: Version) -> GoRecipe:
    """Return the recipe of a service's version."""
    assert isinstance(version.recipe, GoRecipe)  # noqa: S101 -- by construction in diff
    return version.recipe


def gateway_recipe(version: Version) -> GatewayRecipe:
    """Return the recipe of a gateway's version."""
    assert isinstance(version.recipe, GatewayRecipe)  # noqa: S101 -- by construction in diff
    return version.recipe
