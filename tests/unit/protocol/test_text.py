"""What travels is bounded; what is shown is inert; what becomes a path or a network is a name."""

import pytest
from pydantic import ValidationError

from sdp.protocol import text
from sdp.protocol.actions import EnsureNetwork, Probe, RemoveCopy
from sdp.protocol.frames import Failed, LogLines, MoreLog, Noticed, Perform, from_agent, to_agent
from tests.fakes.control_plane import NOW


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain ✓ text", "plain ✓ text"),
        ("two\nlines\tapart", "two\nlines\tapart"),
        ("\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"),
        ("\x1b[2J\x1b]0;title\x07gone", "gone"),
        ("a\0b\rc\x7f", "a␀b␍c␡"),
        ("user\u202egpj.exe\u2066x\u200f\u061c", "user�gpj.exe�x��"),
        ("half \ud800", "half �"),
        ("\x9b31m", "�31m"),
    ],
)
def test_shown_text_moves_no_cursor_and_turns_no_direction(raw, shown):
    assert text.inert(raw) == shown


def test_what_a_node_says_is_cut_and_inert_instead_of_refused():
    told = Failed(reason="X", message="\x1b[2J" + "m" * 99_999, lines=("l" * 99_999,) * 999)
    assert len(told.message) <= text.LONGEST_MESSAGE
    assert told.message.endswith(text.CUT)
    assert len(told.lines) == text.MOST_LINES
    assert len(told.lines[0]) == text.LONGEST_LINE + len(text.CUT)
    noticed = Noticed(at=NOW, reason="R", sandbox="\u202e", service="\0", message="\x1b]0;x\x07")
    assert (noticed.sandbox, noticed.service, noticed.message) == ("�", "␀", "")


def test_a_cut_line_is_not_cut_again_on_its_way():
    line = "x" * text.LONGEST_LINE + text.CUT
    said = LogLines(deployment="d", stage="s", at=NOW, lines=(line,))
    assert LogLines.model_validate_json(said.model_dump_json()) == said


@pytest.mark.parametrize("name", ["../../etc", "a/b", "", "-a", "a" * 64, "a\n", "a\0", "é"])
def test_no_path_travels_as_a_sandboxs_name(name):
    with pytest.raises(ValidationError):
        RemoveCopy(sandbox=name, commit="1" * 40)


@pytest.mark.parametrize("name", ["host", "none", "bridge", "container:abc", "sandbox-", "x-s"])
def test_no_network_of_the_engine_travels_as_a_sandboxs(name):
    with pytest.raises(ValidationError):
        EnsureNetwork(sandbox="s", name=name)


@pytest.mark.parametrize("path", ["", "x", "/a\r\nHost: b", "/ b", "/" + "a" * 3000])
def test_no_header_travels_as_a_probes_path(path):
    with pytest.raises(ValidationError):
        Probe(path=path, deadline_seconds=1)


@pytest.mark.parametrize("seconds", ["NaN", "Infinity", "-1", "0", "1e300"])
def test_a_deadline_is_a_time(seconds):
    frame = (
        f'{{"frame":"perform","action_id":"a","deployment":"d","timeout_seconds":{seconds},'
        '"action":{"kind":"remove-copy","sandbox":"s","commit":"c"}}'
    )
    with pytest.raises(ValidationError):
        to_agent.validate_json(frame)
    assert isinstance(to_agent.validate_json(frame.replace(seconds, "5")), Perform)


def test_nobody_gives_leave_without_end():
    with pytest.raises(ValidationError):
        MoreLog(request="r", parts=10**9)


@pytest.mark.parametrize("seq", ["-1", "9223372036854775808", "1" * 5000, "1e400", '"1x"'])
def test_a_number_fits_where_it_is_stored(seq):
    body = '{"entry":"result","action_id":"a","outcome":{"kind":"succeeded"}}'
    with pytest.raises(ValidationError):
        from_agent.validate_json(f'{{"frame":"entry","seq":{seq},"body":{body}}}')
