"""Whatever a file looks like: an edit gives exactly what was meant, or refuses."""

import contextlib

from hypothesis import example, given
from hypothesis import strategies as st

from sdp.spec import yaml
from sdp.spec.edit import CannotEditError, document, remove, set_value
from sdp.spec.writing import entry, flow, mapping

KEYS = st.sampled_from(["account", "branch", "a b", "x:y", "NO", "1", "/etc/a.conf", "é"])
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-99, 99),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=12),
    st.sampled_from(["a\n", "a\nb", "\n", "a\n\n", "- x", "# no comment", "a # b", "{", "'", '"']),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.dictionaries(KEYS, inner, max_size=3),
        st.lists(SCALARS, max_size=2).map(tuple),
    ),
    max_leaves=6,
)
DOCUMENTS = st.dictionaries(KEYS, VALUES, min_size=1, max_size=4)
PATHS = st.lists(KEYS, min_size=1, max_size=3)


@st.composite
def files(draw: st.DrawFn) -> str:
    """A file as somebody may have written it: blocks or braces, comments, blank lines."""
    lines: list[str] = []
    for key, value in draw(DOCUMENTS).items():
        if draw(st.booleans()):
            lines.append(draw(st.sampled_from(["", "# about the next", "  # indented"])))
        made = entry(key, value, 0, draw(st.sampled_from([2, 4])), braces=draw(st.booleans()))
        if len(made) == 1 and "|" not in made[0] and draw(st.booleans()):
            made[0] += "   # why"
        lines += made
    return "\n".join(lines) + draw(st.sampled_from(["\n", "", "\n\n# the end\n"]))


@given(DOCUMENTS)
def test_a_value_is_written_so_that_it_reads_back(value):
    for text in ("\n".join(mapping(value)) + "\n", flow(value) + "\n"):
        read, faults = yaml.parse(text.encode())
        assert (read and read.value, faults) == (value, ())


@given(files(), PATHS, VALUES)
@example("a: |+\n  x\n\n", ["b"], 1)
def test_what_is_set_reads_back_and_the_rest_is_what_it_was(text, path, value):
    before = document(text)
    with contextlib.suppress(CannotEditError):
        after = document(set_value(text, path, value))
        found: object = after
        for key in path:
            assert isinstance(found, dict)
            found = found[key]
        assert found == value
        assert {k: v for k, v in after.items() if k != path[0]} == {
            k: v for k, v in before.items() if k != path[0]
        }


@given(files(), PATHS)
def test_what_is_removed_is_gone_and_comments_of_others_stay(text, path):
    before = document(text)
    after = remove(text, path)
    if path[0] not in before:
        assert after == text
    elif len(path) == 1:
        assert document(after) == {k: v for k, v in before.items() if k != path[0]}
    for comment in ("# about the next", "  # indented", "# the end"):
        removed = text.count(comment) - after.count(comment)
        assert removed <= (0 if path[0] not in before else 1)


@given(files(), PATHS, SCALARS)
def test_setting_twice_is_setting_once(text, path, value):
    with contextlib.suppress(CannotEditError):
        once = set_value(text, path, value)
        assert set_value(once, path, value) == once
