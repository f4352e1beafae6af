"""Edits: the diff is what a careful person would have typed."""

import difflib

import pytest

from sdp.spec.edit import CannotEditError, document, remove, set_value

ORDER = ("sandbox", "owner", "template", "environment", "gateway", "services", "lifecycle")

SANDBOX = """\
# A sandbox for the refund.
sandbox: QA-REFUND
owner: sari          # her phone
template: QA-DEFAULT

services:
  account:
    branch: feature/limits   # the fix
    resources: {memory: 256MB}
  # payment comes later
  user: null                 # OCP's again

lifecycle:
  suspended: false
"""

INLINE = """\
sandbox: QA
gateway: {branch: develop, port: 8080}   # fixed
services: {account: {branch: "feature/a"}, user: {use_ocp: true}}
"""

ENVIRONMENT = """\
environment: qa
variables:
  MODE: 'qa'
  LONG: |
    one
    two
  # the next one is a number
  TIMEOUT: "30"
files:
  /etc/a.conf: |
    x = 1

    y = 2
"""


def diff(before: str, after: str) -> list[str]:
    lines = difflib.ndiff(before.splitlines(), after.splitlines())
    return [line for line in lines if line[0] in "+-"]


@pytest.mark.parametrize(
    ("path", "value", "changed"),
    [
        (
            "services.account.branch",
            "main",
            [
                "-     branch: feature/limits   # the fix",
                "+     branch: main             # the fix",
            ],
        ),
        ("services.account.port", 9001, ["+     port: 9001"]),
        ("services.payment", {"use_ocp": True}, ["+   payment: {use_ocp: true}"]),
        (
            "services.user",
            {"branch": "x"},
            [
                "-   user: null                 # OCP's again",
                "+   user: {branch: x}          # OCP's again",
            ],
        ),
        ("services.user.branch", "x", None),
        ("environment", "qa", ["+ environment: qa"]),
        ("gateway.branch", "main", ["+ gateway: {branch: main}"]),
        (
            "services.account.resources",
            {"memory": "256MB", "cpu": 2},
            [
                "-     resources: {memory: 256MB}",
                "+     resources: {memory: 256MB, cpu: 2}",
            ],
        ),
        (
            "owner",
            "NO",
            ["- owner: sari          # her phone", "+ owner: NO            # her phone"],
        ),
        ("owner", "a: b", None),
    ],
)
def test_a_value_is_set_and_nothing_else_moves(path, value, changed):
    after = set_value(SANDBOX, path.split("."), value, ORDER)
    if changed is not None:
        assert diff(SANDBOX, after) == changed
    assert "# payment comes later" in after


def test_a_new_key_stands_where_the_order_has_it():
    after = set_value(SANDBOX, ["gateway"], {"branch": "main"}, ORDER)
    assert "template: QA-DEFAULT\ngateway: {branch: main}\n\nservices:" in after


def test_a_new_section_is_set_off_where_sections_are():
    after = set_value(SANDBOX, ["extra"], {"account": {"branch": "a", "resources": {"cpu": 1}}})
    assert after.endswith("\n\nextra:\n  account:\n    branch: a\n    resources: {cpu: 1}\n")


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        ("gateway.branch", "x", "gateway: {branch: x, port: 8080}         # fixed"),
        ("gateway.commit", "x", "gateway: {branch: develop, port: 8080, commit: x}  # fixed"),
        (
            "services.account.branch",
            "b",
            "services: {account: {branch: b}, user: {use_ocp: true}}",
        ),
        (
            "services",
            {"user": {"use_ocp": True}, "pay": {"branch": "a, b"}},
            'services: {user: {use_ocp: true}, pay: {branch: "a, b"}}',
        ),
    ],
)
def test_what_stands_in_braces_stays_in_braces(path, value, line):
    assert line in set_value(INLINE, path.split("."), value).splitlines()


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("gateway.port", "gateway: {branch: develop}               # fixed"),
        ("gateway.branch", "gateway: {port: 8080}                    # fixed"),
        ("services.user", 'services: {account: {branch: "feature/a"}}'),
        ("services.account.branch", "services: {user: {use_ocp: true}}"),
    ],
)
def test_what_is_removed_from_braces_takes_its_comma_along(path, line):
    assert line in remove(INLINE, path.split(".")).splitlines()


def test_a_removed_key_takes_its_lines_and_leaves_comments_of_others():
    after = remove(SANDBOX, ["services", "account"])
    assert diff(SANDBOX, after) == [
        "-   account:",
        "-     branch: feature/limits   # the fix",
        "-     resources: {memory: 256MB}",
    ]


def test_a_mapping_that_is_left_empty_goes_too():
    after = remove(SANDBOX, ["lifecycle", "suspended"])
    assert after == SANDBOX.removesuffix("\nlifecycle:\n  suspended: false\n")


def test_removing_what_is_not_there_changes_nothing():
    assert remove(SANDBOX, ["services", "nobody", "branch"]) == SANDBOX
    assert set_value(SANDBOX, ["owner"], "sari") == SANDBOX


def test_quotes_and_blocks_keep_their_style():
    assert "  MODE: 'it''s'\n" in set_value(ENVIRONMENT, ["variables", "MODE"], "it's")
    assert '  TIMEOUT: "45"\n' in set_value(ENVIRONMENT, ["variables", "TIMEOUT"], "45")
    after = set_value(ENVIRONMENT, ["variables", "LONG"], "three\n")
    assert after == ENVIRONMENT.replace("    one\n    two\n", "    three\n")
    assert "# the next one is a number" in after


def test_a_text_of_several_lines_becomes_a_block():
    after = set_value(ENVIRONMENT, ["files", "/etc/b.conf"], "a\n\n  b\n")
    assert diff(ENVIRONMENT, after) == [
        "+   /etc/b.conf: |",
        "+     a",
        "+ ",
        "+       b",
    ]


@pytest.mark.parametrize("text", ["", "# only a comment\n", "sandbox: A"])
def test_a_file_without_keys_or_line_end_can_be_written_to(text):
    after = set_value(text, ["services", "a", "branch"], "x")
    assert document(after)["services"] == {"a": {"branch": "x"}}
    assert after.startswith(text)


@pytest.mark.parametrize(
    ("text", "path", "why"),
    [
        ("sandbox: [", ["owner"], "line 2: expected a value here"),
        ("owner: sari\n", ["owner", "name"], "'owner' is no mapping"),
        ("- a\n", ["owner"], "expected keys and values"),
        ("a: &x {b: 1}\nc: *x\n", ["c", "b"], "can't be edited"),
    ],
)
def test_what_can_not_be_edited_is_refused_with_the_reason(text, path, why):
    with pytest.raises(CannotEditError, match=why):
        set_value(text, path, "x")
