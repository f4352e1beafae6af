"""YAML: one test per trap that YAML sets, named after it."""

import subprocess  # noqa: TID251 - a crash of the parser must not be ours
import sys

import pytest

from sdp.spec import yaml
from tests.unit.spec.commits import said


def value(text: str) -> yaml.Value:
    document, faults = yaml.parse(text.encode())
    assert faults == ()
    assert document is not None
    return document.value


def fault(content: str | bytes) -> str:
    _, faults = yaml.parse(content.encode() if isinstance(content, str) else content)
    assert len(faults) == 1
    (line, column), message = faults[0]
    return f"{line}:{column}: {message}"


@pytest.mark.parametrize(
    "text", ["NO", "no", "yes", "on", "off", "0644", "22:22", "2024-01-02", "1_000"]
)
def test_words_and_numbers_of_older_yaml_stay_text(text):
    assert value(f"a: {text}\n") == {"a": text}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0o17", 15),
        ("0x1f", 31),
        ("-3", -3),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("True", True),
        ("~", None),
    ],
)
def test_core_types_of_yaml_1_2_are_read(text, expected):
    assert value(f"a: {text}\n") == {"a": expected}


def test_commit_made_of_digits_stays_text():
    digits = "1234567890" * 4
    exponent = "1" * 38 + "e9"
    assert value(f"a: {digits}\nb: {exponent}\n") == {"a": digits, "b": exponent}


def test_number_of_a_hundred_thousand_digits_stays_text():
    digits = "9" * 100_000
    assert value(f"a: {digits}\n") == {"a": digits}


def test_octal_where_a_port_is_wanted_is_explained():
    assert said("sandbox: X\ngateway: {port: 0644}\n") == [
        (
            "sandboxes/x.yaml:2:17: found '0644', expected a whole number; write 644, without "
            "leading zeros"
        )
    ]


FAULTS = [
    ("a: 1\nb: 2\na: 3\n", "3:1: found the key 'a' again, first in line 1"),
    ("a: {b: 1, b: 2}\n", "1:11: found the key 'b' again, first in line 1"),
    ("8080: x\n", "1:1: found the key '8080', expected text; put it in quotes"),
    ("? [a]\n: b\n", "1:3: found a key that is no text, expected a name"),
    ("a: {b: 1}\n? *x\n", "2:3: found '*x', but nothing before it is named '&x'"),
    (
        "a: !!python/object:os.system x\n",
        "1:4: found the tag 'tag:yaml.org,2002:python/object:os.system', expected a plain value",
    ),
    ("a: b\n---\nc: d\n", "2:1: found a second document, expected one spec per file"),
    ("%YAML 1.1\n---\na: b\n", "1:1: found another version of YAML, expected 1.2"),
    ("a:\n\tb: c\n", "2:1: found a tab, expected spaces"),
    ("a: @b\n", "1:4: found '@', expected quotes around text that starts with it"),
    ("a: 'b\n", "2:1: the file ends inside a quoted text"),
    ("a: &a [*a]\n", "1:8: found '*a', but nothing before it is named '&a'"),
    ("<<: {a: b}\n", "1:1: found a merge key '<<', which YAML 1.2 has not; use a template"),
    (
        "a: b: c\n",
        (
            "1:5: found ':' where no key can stand; quote a value that contains ': ', and check the "
            "indentation"
        ),
    ),
    ("x:\n  a: 1\n b: 2\n", "3:2: expected a key here; check the indentation"),
    (b"a: \xff\n", "1:4: found byte 0xff, expected UTF-8"),
    (
        "a: b\n".encode("utf-16"),
        "1:1: found UTF-16 or UTF-32, expected UTF-8; save the file as UTF-8",
    ),
    (b"\xef\xbb\xbfa: b\n", "1:1: found a byte order mark; save the file as UTF-8 without BOM"),
    ("a: b\nc: \x1b[31m\n", "2:4: found control character U+001B, expected text"),
    (b"a: " + b"x" * yaml.MAX_BYTES, "1:1: found 262147 bytes, expected at most 262144"),
]


@pytest.mark.parametrize(("content", "expected"), FAULTS)
def test_trap_is_refused_with_its_place(content, expected):
    assert fault(content) == expected


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "a: {b: ["])
def test_deep_nesting_is_refused_and_does_not_end_the_process(opening):
    program = (
        "import sys; from sdp.spec import yaml; "
        f"print(yaml.parse(({opening!r} * 80_000)[:200_000].encode())[1][0].message)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert "nested too deep" in done.stdout or "no key can stand" in done.stdout


def test_nesting_up_to_the_limit_is_read():
    assert yaml.parse(b"[" * yaml.MAX_DEPTH + b"]" * yaml.MAX_DEPTH)[1] == ()


def test_alias_bomb_is_refused():
    lines = ["a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    for before, after in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"{after}: &{after} [{', '.join([f'*{before}'] * 9)}]")
    assert "found too many values" in fault("\n".join(lines))


def test_alias_stands_for_its_anchor():
    assert value("a: &x {b: 1}\nc: *x\n") == {"a": {"b": 1}, "c": {"b": 1}}


def test_fault_after_other_faults_is_reported_with_them():
    _, faults = yaml.parse(b"a: 1\na: 2\nb: [\n")
    assert [where.line for where, _ in faults] == [2, 4]


def test_position_below_an_alias_is_the_alias():
    document, _ = yaml.parse(b"a: &x {b: 1}\nc: *x\n")
    assert document is not None
    assert document.value_at(("c", "b")) == (2, 4)
