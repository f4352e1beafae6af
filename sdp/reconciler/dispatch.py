"""Dispatch: which planned actions start now, and sending them. What is not sent is planned again.

``ready`` and ``superseded`` decide, purely; the Dispatcher remembers what is in flight. Nothing of
that outlives a node's connection: agents are idempotent, so what was lost is asked for again.
"""

import dataclasses
import datetime
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from typing import Final, TypeAlias

from sdp.protocol.actions import Action, Gate, StartGateway, StartService
from sdp.protocol.frames import Cancel, Perform, ToAgent
from sdp.reconciler.credentials import Loan
from sdp.reconciler.draft import Plan, Planned, World

PER_NODE: Final = 8
"""Actions in flight on one node; builds are not counted, the agent bounds them."""
GRACE: Final = datetime.timedelta(seconds=60)
"""How long after an action's own deadline its result may still come."""

_TIMEOUTS: Final = {
    "network": 30.0,
    "fetch": 600.0,
    "build": 1800.0,
    "copy": 120.0,
    "remove-release": 600.0,
    "start-service": 120.0,
    "start-gateway": 120.0,
}
_TIMEOUT: Final = 60.0
_GATE_MARGIN: Final = 15.0
_STOPPABLE: Final = frozenset(
    {"fetch", "build", "copy", "start-service", "start-gateway", "gate", "admit"}
)

Send: TypeAlias = Callable[[str, ToAgent], Awaitable[None]]
"""Sends a frame to a node; loses it where the node has just gone."""

Lend: TypeAlias = Callable[[Planned, str], tuple[str, Loan | None]]
"""Returns what is lent with an action of an id: sealed, and whose it is; "", None for nothing."""

Wanted: TypeAlias = Mapping[tuple[str, str], str | None]
"""(sandbox, service) → the version that is wanted; None: nobody can tell now."""


@dataclasses.dataclass(frozen=True, slots=True)
class InFlight:
    """An action that a node was told to do and has not answered; ``loan`` came with it."""

    action_id: str
    planned: Planned
    deployment: str
    deadline: datetime.datetime
    loan: Loan | None = None


def _nothing(_planned: Planned, _action_id: str) -> tuple[str, Loan | None]:
    return "", None


def timeout(action: Action) -> float:
    """Return the seconds that an action may take."""
    if isinstance(action, Gate):
        return action.probe.deadline_seconds + _GATE_MARGIN
    return _TIMEOUTS.get(action.kind, _TIMEOUT)


def ready(
    plans: Iterable[Plan], in_flight: Collection[InFlight], whole: World, per_node: int = PER_NODE
) -> list[Planned]:
    """Return the planned actions that start now, in the plans' order.

    One starts when nothing that it is after is planned still, nothing of its service is in
    flight, its version has not just failed, and its node is there and has room.
    """
    planned = [action for plan in plans for action in plan.actions]
    pending = {action.key for action in planned}
    keys = {each.planned.key for each in in_flight}
    busy = {_service(each.planned) for each in in_flight}
    load = Counter(each.planned.node for each in in_flight if _counts(each.planned))
    chosen: list[Planned] = []
    for action in planned:
        if action.key in keys or _service(action) in busy or not pending.isdisjoint(action.after):
            continue
        if not _possible(action, whole) or (_counts(action) and load[action.node] >= per_node):
            continue
        chosen.append(action)
        keys.add(action.key)
        busy.add(_service(action))
        load[action.node] += _counts(action)
    return chosen


def stoppable(flight: InFlight) -> bool:
    """Whether stopping it in the middle undoes nothing: it makes a version that does not serve."""
    return flight.planned.action.kind in _STOPPABLE and bool(flight.planned.version)


def superseded(
    in_flight: Iterable[InFlight], plans: Iterable[Plan], wanted: Wanted
) -> list[InFlight]:
    """Return what is being done for versions that nobody wants any more.

    What no plan names may also just have succeeded, so the version decides.
    """
    needed = {action.key for plan in plans for action in plan.actions}
    return [
        each
        for each in in_flight
        if stoppable(each)
        and each.planned.key not in needed
        and wanted.get((each.planned.sandbox, each.planned.service), "") is not None
        and wanted.get((each.planned.sandbox, each.planned.service)) != each.planned.version
    ]


def addressed(action: Action, deployment: str) -> Action:
    """Return the action with the deployment's id in the container that it creates."""
    if not isinstance(action, StartService | StartGateway):
        return action
    container = action.container.model_copy(update={"deployment": deployment})
    return action.model_copy(update={"container": container})


class Dispatcher:
    """What is in flight, and the way to the nodes."""

    def __init__(self, send: Send, lend: Lend = _nothing) -> None:
        self._send = send
        self._lend = lend
        self._in_flight: dict[str, InFlight] = {}
        self._silent: dict[str, InFlight] = {}
        self._cancelled: set[str] = set()

    @property
    def silent(self) -> tuple[InFlight, ...]:
        """Return what nodes may still be doing that have fallen silent."""
        return tuple(self._silent.values())

    def __iter__(self) -> Iterator[InFlight]:
        return iter(tuple(self._in_flight.values()))

    async def start(self, planned: Planned, deployment: str, now: datetime.datetime) -> None:
        """Tell a node to do something."""
        seconds = timeout(planned.action)
        deadline = now + datetime.timedelta(seconds=seconds) + GRACE
        action_id = str(uuid.uuid4())
        credentials, loan = self._lend(planned, action_id)
        started = InFlight(action_id, planned, deployment, deadline, loan)
        self._in_flight[started.action_id] = started
        await self._send(
            planned.node,
            Perform(
                action_id=started.action_id,
                deployment=deployment,
                timeout_seconds=seconds,
                action=addressed(planned.action, deployment),
                credentials=credentials,
            ),
        )

    async def cancel(self, stale: Iterable[InFlight]) -> None:
        """Tell nodes to stop, once; the results still come, and end what is in flight."""
        for each in stale:
            known = each.action_id in {**self._in_flight, **self._silent}
            if each.action_id in self._cancelled or not known:
                continue
            self._cancelled.add(each.action_id)
            if each.action_id in self._in_flight:
                await self._send(each.planned.node, Cancel(action_id=each.action_id))

    def ended(self, action_id: str) -> InFlight | None:
        """Return what a result is about, and forget it; None: it was forgotten before."""
        self._cancelled.discard(action_id)
        return self._in_flight.pop(action_id, None)

    def lost(self, node: str) -> None:
        """Take what a node was doing when its connection ended as not in flight any more."""
        gone = {k: each for k, each in self._in_flight.items() if each.planned.node == node}
        self._silent.update(gone)
        self._keep(lambda each: each.planned.node != node)

    async def heard(self, node: str) -> None:
        """Tell a node that is back what was cancelled meanwhile; the rest it is asked for anew."""
        mine = {k: each for k, each in self._silent.items() if each.planned.node == node}
        for action_id in mine.keys() & self._cancelled:
            await self._send(node, Cancel(action_id=action_id))
        self._silent = {k: each for k, each in self._silent.items() if k not in mine}
        self._cancelled -= mine.keys()

    def expire(self, now: datetime.datetime) -> None:
        """Forget what should have answered long ago."""
        self._silent = {k: each for k, each in self._silent.items() if each.deadline > now}
        self._keep(lambda each: each.deadline > now)

    def _keep(self, keeps: Callable[[InFlight], bool]) -> None:
        self._in_flight = {k: each for k, each in self._in_flight.items() if keeps(each)}
        self._cancelled &= self._in_flight.keys() | self._silent.keys()


def _service(planned: Planned) -> tuple[str, str]:
    """Return what may have one action in flight: a service, or the sandbox itself.

    Its networks come one after the other, since nodes may share an engine.
    """
    return planned.sandbox, planned.service


def _counts(planned: Planned) -> bool:
    return planned.action.kind != "build"


def _possible(planned: Planned, whole: World) -> bool:
    node = whole.observed.get(planned.node)
    if node is None or not node.known:
        return False
    tried = planned.version or planned.action.kind
    failure = whole.history.failure(planned.sandbox, planned.service, tried)
    return failure is None or not failure.holds(whole.now)
