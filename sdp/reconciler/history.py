"""History: what the past tells the planner: what converged before, and what failed.

Values and how they follow from results; the store keeps them.
"""

import dataclasses
import datetime
from collections.abc import Mapping
from typing import TypeAlias

from sdp.protocol.frames import Failed

FIRST_RETRY = datetime.timedelta(seconds=1)
LONGEST_RETRY = datetime.timedelta(minutes=5)
CANCELLED = "Cancelled"
"""The reason of a failure that a person asked for."""


@dataclasses.dataclass(frozen=True, slots=True)
class Attempt:
    """What was tried: an action's kind, for one version of one service of a sandbox."""

    sandbox: str
    service: str
    version: str
    action: str


@dataclasses.dataclass(frozen=True, slots=True)
class Failure:
    """The last failure to bring about one version of one service.

    Attributes:
        retry_at: when to try again; None: only a new spec or a person changes that.
    """

    attempt: Attempt
    count: int
    reason: str
    message: str
    fix: str
    lines: tuple[str, ...]
    at: datetime.datetime
    retry_at: datetime.datetime | None

    def holds(self, now: datetime.datetime) -> bool:
        """Whether trying again must wait."""
        return self.retry_at is None or self.retry_at > now


@dataclasses.dataclass(frozen=True, slots=True)
class Choice:
    """The commit of a branch that a service is at: found healthy, or chosen by a person."""

    branch: str
    commit: str


Chosen: TypeAlias = Mapping[tuple[str, str], Choice]
"""By sandbox, as it is written, and service."""


@dataclasses.dataclass(frozen=True, slots=True)
class History:
    """What the planner needs to know of the past.

    Attributes:
        applied: (sandbox, service) → the version that last converged.
        failures: (sandbox, service, version) → its failure.
        chosen: at which commit of a branch a service is, as far as it follows one.
    """

    applied: Mapping[tuple[str, str], str] = dataclasses.field(default_factory=dict)
    failures: Mapping[tuple[str, str, str], Failure] = dataclasses.field(default_factory=dict)
    chosen: Chosen = dataclasses.field(default_factory=dict)

    def failure(self, sandbox: str, service: str, version: str) -> Failure | None:
        """Return why a version does not stand, if it was tried and failed."""
        return self.failures.get((sandbox, service, version))


def failed(
    before: Failure | None,
    attempt: Attempt,
    outcome: Failed,
    now: datetime.datetime,
    jitter: float,
) -> Failure:
    """Return the failure that follows from an outcome: backoff doubles, terminal stays.

    Args:
        before: the failure of the same version before, if any.
        attempt: what was tried.
        outcome: how it failed.
        now: when.
        jitter: between -1 and 1; spreads retries by 10 %.
    """
    count = before.count + 1 if before else 1
    pause = min(FIRST_RETRY * 2 ** min(count - 1, 12), LONGEST_RETRY) * (1 + jitter / 10)
    return Failure(
        attempt=attempt,
        count=count,
        reason=outcome.reason,
        message=outcome.message,
        fix=outcome.fix,
        lines=outcome.lines,
        at=now,
        retry_at=None if outcome.terminal else now + pause,
    )
