"""Cancel: what a person's word to stop ends, what it holds, and what others keep going. Pure.

What was being brought about becomes a failure that only another version, or a sync, lifts: plans
follow from failures, so nothing else has to know of it, and a restart does not forget it.
"""

import dataclasses
import datetime
from collections.abc import Collection, Iterator, Mapping

from sdp.protocol.frames import Failed
from sdp.reconciler import history
from sdp.reconciler.deployments import STEPS
from sdp.reconciler.dispatch import InFlight, Wanted, stoppable
from sdp.reconciler.draft import Plan, Planned
from sdp.reconciler.history import CANCELLED, Attempt, Failure, History


@dataclasses.dataclass(frozen=True, slots=True)
class Cancellation:
    """What cancelling comes to.

    Attributes:
        attempts: what is not tried again by itself, one for each service.
        stopping: what agents are doing for nobody else.
        shared: what goes on because other sandboxes wait for the same.
    """

    attempts: tuple[Attempt, ...] = ()
    stopping: tuple[InFlight, ...] = ()
    shared: tuple[InFlight, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Scope:
    """One sandbox, as it is written, and one service of it; "" means all."""

    sandbox: str
    service: str

    def has(self, sandbox: str, service: str) -> bool:
        """Whether a service of a sandbox is meant."""
        return sandbox == self.sandbox and self.service in {"", service}


def cancel(
    scope: Scope,
    plans: Mapping[str, Plan],
    flying: Collection[InFlight],
    wanted: Wanted,
    past: History,
) -> Cancellation:
    """Return what is to be stopped and held.

    Args:
        scope: whose.
        plans: everybody's, by lower-cased sandbox name.
        flying: what is in flight.
        wanted: the versions that the sandbox wants now.
        past: what failed, and is tried again by itself.
    """
    steps = [each for plan in plans.values() for each in plan.actions if _step(each)]
    mine = {each.key for each in steps if scope.has(each.sandbox, each.service)}
    others = {each.key for each in steps if not scope.has(each.sandbox, each.service)}
    flights = [each for each in flying if stoppable(each) and _is_for(each.planned, scope, mine)]
    planned = [*(each.planned for each in flights), *(each for each in steps if each.key in mine)]
    attempts = {
        each.service: Attempt(each.sandbox, each.service, each.version, each.action.kind)
        for each in reversed(planned)  # of several steps of one service, the first counts
        if scope.has(each.sandbox, each.service)
        and wanted.get((each.sandbox, each.service)) in {each.version, None}
    }
    waiting = {each.service: each for each in _tried_again(scope, wanted, past)}
    return Cancellation(
        attempts=tuple(each for _, each in sorted({**attempts, **waiting}.items())),
        stopping=tuple(each for each in flights if each.planned.key not in others),
        shared=tuple(each for each in flights if each.planned.key in others),
    )


def _step(planned: Planned) -> bool:
    return bool(planned.version) and planned.action.kind in STEPS


def _is_for(planned: Planned, scope: Scope, mine: Collection[str]) -> bool:
    return planned.key in mine or scope.has(planned.sandbox, planned.service)


def _tried_again(scope: Scope, wanted: Wanted, past: History) -> Iterator[Attempt]:
    for (sandbox, service), version in wanted.items():
        if version is not None and scope.has(sandbox, service):
            failure = past.failure(sandbox, service, version)
            if failure is not None and failure.retry_at is not None:
                yield failure.attempt


def failure(attempt: Attempt, now: datetime.datetime) -> Failure:
    """Return the failure that keeps what was cancelled from being tried again."""
    outcome = Failed(
        reason=CANCELLED,
        message="it was cancelled, and is not tried again by itself",
        fix=f"bring it about after all: sdp sync {attempt.sandbox}; or commit another version",
        terminal=True,
    )
    return history.failed(None, attempt, outcome, now, 0)
