"""What expiry never does, whatever was measured, and wherever clocks stand."""

import dataclasses
import datetime

from hypothesis import given
from hypothesis import strategies as st

from sdp.protocol.report import Activity, NodeReport
from sdp.reconciler import expiry
from sdp.reconciler import observed as observation
from sdp.reconciler.expiry import Ages, Deadline
from sdp.reconciler.lifecycle import LastChange, Life, Lives
from sdp.reconciler.observed import Observed, Skew
from tests.builders import GATEWAY, NOW, desired, sandbox
from tests.property.profiles import SETTINGS

DESIRED = desired(sandbox("QA-A", more="lifecycle: {expire_after: 10d, delete_after: 7d}"))
AROUND = st.timedeltas(datetime.timedelta(days=-60), datetime.timedelta(days=60))
TIMES = st.none() | AROUND.map(lambda ago: NOW - ago)


def node(item: Activity | None) -> Observed:
    report = NodeReport(activity={"qa-a": item} if item else {})
    return observation.report({}, GATEWAY, report, 1, NOW)


@st.composite
def silent(draw: st.DrawFn) -> Observed:
    """A gateway's node that tells nothing to go by, one way or another."""
    last, since = draw(TIMES), draw(TIMES) or NOW
    item = Activity(last_request_at=last, since=since)
    match draw(st.integers(0, 4)):
        case 0:
            return {}
        case 1:
            return observation.silent(node(item), GATEWAY)
        case 2:
            return node(None)
        case 3:
            return node(item.model_copy(update={"error": "no"}))
        case _:
            off = draw(st.floats(301.5, 1e9)) * draw(st.sampled_from([1, -1]))
            return {GATEWAY: dataclasses.replace(node(item)[GATEWAY], skew=Skew(off, 1.0))}


def lives(changed: datetime.datetime | None) -> Lives:
    change = LastChange("", changed, "", "") if changed else None
    return Lives(of={"qa-a": Life(change)})


@SETTINGS
@given(observed=silent(), changed=TIMES, deployed=TIMES)
def test_no_signal_never_expires(
    observed: Observed, changed: datetime.datetime | None, deployed: datetime.datetime | None
) -> None:
    begun = {"qa-a": deployed} if deployed else {}
    found = expiry.expiries(DESIRED, observed, lives(changed), begun, NOW)
    assert expiry.asleep(DESIRED, found, NOW) == DESIRED
    assert not expiry.due(found, DESIRED, NOW)


@SETTINGS
@given(used=TIMES, since=TIMES, changed=TIMES, deployed=TIMES)
def test_what_was_used_within_its_time_never_expires(
    used: datetime.datetime | None,
    since: datetime.datetime | None,
    changed: datetime.datetime | None,
    deployed: datetime.datetime | None,
) -> None:
    item = Activity(last_request_at=used, since=since or NOW)
    begun = {"qa-a": deployed} if deployed else {}
    found = expiry.expiries(DESIRED, node(item), lives(changed), begun, NOW)
    deadline = found["qa-a"]
    assert isinstance(deadline, Deadline)
    known = [at for at in (used, changed, deployed) if at is not None]
    if any(at > NOW - datetime.timedelta(days=10) for at in known):
        assert expiry.asleep(DESIRED, found, NOW) == DESIRED
    assert deadline.used_at <= NOW
    assert deadline.warns_at < deadline.expires_at
    assert all(at in {*expiry.turns(found)} for at in (deadline.warns_at, deadline.expires_at))
    assert not expiry.moved(Ages(found, NOW), Ages(found, NOW))
