"""Whatever arrives on either end of the agents' connection is a frame or is refused, and is bounded."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from sdp.protocol import actions, frames
from sdp.protocol.text import LONGEST, inert
from tests.property.profiles import UNTIMED

ENDS = pytest.mark.parametrize("end", [frames.from_agent, frames.to_agent], ids=["up", "down"])
NAMES = [
    "hello report change entry log-part log-end time usage login-checked",
    "welcome refuse ack perform cancel refresh follow-log more-log end-log ask-time check-login",
]
KINDS = st.sampled_from(" ".join(NAMES).split())
FIELDS = st.sampled_from(
    [
        "node",
        "instance",
        "version",
        "outbox",
        "recipient",
        "protocol",
        "generation",
        "report",
        "delta",
        "seq",
        "body",
        "request",
        "lines",
        "reason",
        "message",
        "samples",
        "asked",
        "now",
        "action_id",
        "deployment",
        "timeout_seconds",
        "action",
        "credentials",
        "repositories",
        "container",
        "since",
        "tail",
        "follow",
        "parts",
        "stored",
        "entry",
        "kind",
        "sandbox",
    ]
)
HOSTILE = st.one_of(
    st.sampled_from([10**400, -(2**64), 2**63, 1e308, "", "\x1b[2J", "../" * 9, "\u202e", "a\0b"]),
    st.integers(),
    st.text(max_size=20),
    st.none(),
    st.booleans(),
)
VALUES = st.recursive(
    HOSTILE,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=4),
    max_leaves=12,
)


def taken(end: TypeAdapter[frames.FromAgent] | TypeAdapter[frames.ToAgent], said: bytes) -> object:
    """Return the frame; None: it was refused, in the one way that sessions expect."""
    try:
        return end.validate_json(said)
    except ValidationError:
        return None


@ENDS
@UNTIMED
@given(said=st.binary(max_size=400))
@example(said=b"[" * 100_000)
@example(said=b'{"frame":' * 50_000)
@example(said=b'{"frame":"ack","seq":' + b"9" * 100_000 + b"}")
@example(said=b'{"frame":"ack","seq":NaN}')
@example(said=b'{"frame":"refuse","reason":"\\ud800"}')
@example(said=b'{"frame":"end-log","request":"' + b"x" * (LONGEST + 1) + b'"}')
@example(said=b'{"frame":"nope"}')
@example(said=b'{"frame":"ack","seq":1,"seq":2,"more":3}')
def test_no_bytes_do_anything_but_be_refused(end, said):
    assert taken(end, said) is None or b'"frame"' in said


@ENDS
@UNTIMED
@given(kind=KINDS, fields=st.dictionaries(FIELDS, VALUES, max_size=8))
def test_fields_of_any_kind_make_a_frame_or_are_refused(end, kind, fields):
    said = json.dumps({**fields, "frame": kind}).encode()
    frame = taken(end, said)
    if frame is not None:
        again = end.dump_json(frame)
        assert end.validate_json(again) == frame


@UNTIMED
@given(st.text())
def test_what_is_inert_stays_so_and_carries_no_control(said):
    shown = inert(said)
    assert inert(shown) == shown
    bare = shown.replace("\x1b[", "").replace("\n", "").replace("\t", "")
    assert not [c for c in bare if ord(c) < 0x20 and c != "\x1b"]


@UNTIMED
@given(sandbox=st.text(max_size=30), container=st.text(max_size=30))
def test_no_name_that_travels_leaves_its_folder(sandbox, container):
    try:
        told = actions.Stop(sandbox=sandbox, container=container)
    except ValidationError:
        return
    for name in (told.sandbox, told.container):
        assert "/" not in name
        assert "\0" not in name
        assert name not in {"", ".", ".."}
