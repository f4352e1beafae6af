"""Memory: what comes due is looked at, whoever else kept the loop busy at that moment."""

import datetime
from collections.abc import Collection

from sdp.protocol.frames import Failed
from sdp.reconciler.history import Attempt, failed
from sdp.reconciler.memory import Memory
from tests.builders import NOW, Simulation, desired, sandbox

SECOND = datetime.timedelta(seconds=1)


def _round(memory: Memory, names: Collection[str], now: datetime.datetime) -> frozenset[str]:
    """Plan as the loop does; return what was planned."""
    whole = memory.world(now)
    planned = frozenset(names) | memory.shifted(whole)
    memory.plan(planned, whole)
    return planned


def test_a_retry_that_comes_due_in_somebody_elses_round_is_not_lost():
    made = Simulation(desired(sandbox("QA-A"), sandbox("QA-B")))
    memory = Memory()
    memory.apply((), made.desired, NOW)
    memory.observed = made.observed
    attempt = Attempt("QA-A", "gateway", "v1", "build")
    memory.fail(failed(None, attempt, Failed(reason="Lost", message="it broke"), NOW, 0.0))
    _round(memory, ["qa-a", "qa-b"], NOW)
    assert _round(memory, ["qa-b"], NOW + 0.5 * SECOND) == {"qa-b"}
    assert _round(memory, ["qa-b"], NOW + 2 * SECOND) == {"qa-a", "qa-b"}
    assert _round(memory, ["qa-b"], NOW + 3 * SECOND) == {"qa-b"}
