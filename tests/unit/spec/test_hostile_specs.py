"""What somebody could write into a spec to reach beyond it: refused, with its place."""

import json
import subprocess  # noqa: TID251 -- git itself says which names it takes

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sdp.spec import names
from sdp.spec.load import is_spec, tree_of
from tests.property.profiles import UNTIMED

LONG = "x" * 200_000


def told(text: str) -> list[str]:
    tree = tree_of({"environments/e.yaml": f"environment: e\n{text}\n"})
    return [each.message for each in tree.problems if each.path == "environments/e.yaml"]


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "//etc/x",
        "/etc/",
        "/../etc/shadow",
        "/etc/../../x",
        "/etc/./x",
        "/proc/self/mem",
        "/sys/x",
        "/dev/sda",
        "/src/app-account",
        "etc/x",
        "/etc/a\\0b",
        "/etc/a\\nb",
        "/etc/\\u202Excod",
        "/etc/" + "n" * 256,
        "/" + "n/" * 600 + "x",
    ],
)
def test_no_file_is_written_but_one_of_the_containers_own(path):
    assert len(told(f'files: {{"{path}": x}}')) == 1


@pytest.mark.parametrize(
    "path", ["/etc/x", "/a", "/opt/ünï/x.conf", "/var/lib/sdp.d/a b", "/srcs/x"]
)
def test_a_file_of_the_containers_own_is_taken(path):
    assert told(f'files: {{"{path}": x}}') == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('variables: {A: "a\\0b"}', "NUL"),
        (f"variables: {{A: {LONG}}}", "at most 120000 bytes"),
        ("variables:\n" + "".join(f"  A{n}: x\n" for n in range(1001)), "1000"),
        ("files:\n" + "".join(f"  /etc/{n}: x\n" for n in range(201)), "200"),
        (f"files: {{/etc/a: {LONG}, /etc/b: {LONG}}}", "bytes, expected at most 262144"),
    ],
    ids=["nul", "large", "variables", "files", "sum"],
)
def test_what_a_container_is_given_is_bounded_each_and_in_sum(text, words):
    (message,) = told(text)
    assert words in message


def test_a_variable_may_have_lines():
    assert told('variables: {KEY: "-----BEGIN\\nabc\\n"}') == []


@pytest.mark.parametrize(
    "branch",
    [
        "--upload-pack=touch x",
        "-x",
        "a..b",
        "a\nb",
        "a\0b",
        "a@{b}",
        "@",
        "main\u202egnp",
        "feature/\u200bx",
        "ж" * 101,
        "a" * 201,
        "x:refs/heads/main",
        ".lock",
        "a.lock",
        "a//b",
        "a/.b",
        "half \ud800",
        " ",
        "",
    ],
)
def test_no_branch_is_named_what_git_or_an_eye_takes_for_something_else(branch):
    with pytest.raises(ValueError, match="expected a branch name"):
        names.branch(branch)


@UNTIMED
@given(st.text(max_size=40))
@example("feature/login-error")
@example("ünï/cödé")
def test_git_takes_every_branch_that_is_taken_here(name):
    try:
        names.branch(name)
    except ValueError:
        return
    said = subprocess.run(["git", "check-ref-format", "--branch", name], check=False)
    assert said.returncode == 0, name


@pytest.mark.parametrize("name", ["\x1b[2Jx", "a\nNo changes.", "\u202eb", "a\udcff"])
def test_nothing_that_is_pushed_steers_a_terminal_by_its_name(name):
    assert not is_spec(f"sandboxes/{name}.yaml")
    text = f"sandbox: ONE\n{json.dumps(name)}: 1\n"
    (problem,) = tree_of({"sandboxes/one.yaml": text}).errors(["sandboxes/one.yaml"])
    assert problem.message.isprintable()
