"""Loading: every problem with its exact place and words, and what still loads beside it."""

import pytest

from sdp.spec.load import Cache, is_spec, load, tree_of
from sdp.spec.tree import Blob
from tests.unit.spec.commits import PLATFORM, blob, blobs, commit, said

ALL_KEYS = (
    "environment, environment_revision, gateway, heal, lifecycle, owner, resources, sandbox, "
    "services, template, update"
)

SANDBOX_PROBLEMS = [
    ("", "1:1: found an empty file, expected keys such as sandbox: QA-LOGIN-ERROR"),
    ("# a\n", "1:1: found an empty file, expected keys such as sandbox: QA-LOGIN-ERROR"),
    ("- a\n", "1:1: found a list, expected keys such as sandbox: QA-LOGIN-ERROR"),
    ("text\n", "1:1: found 'text', expected keys such as sandbox: QA-LOGIN-ERROR"),
    ("\nowner: a\n", "2:1: missing key 'sandbox': Unique name, also after lower-casing"),
    ("sandbox:\n", "1:1: found nothing, expected text"),
    ("sandbox: 12\n", "1:10: found 12, expected text; put it in quotes"),
    (
        "sandbox: a_b\n",
        (
            "1:10: found 'a_b', expected 1 to 40 letters, digits and inner dashes, such as "
            "QA-LOGIN-ERROR"
        ),
    ),
    ("sandbox: X\nower: a\n", "2:1: unknown key 'ower'; did you mean 'owner'?"),
    ("sandbox: X\nzzz: a\n", f"2:1: unknown key 'zzz'; expected one of {ALL_KEYS}"),
    ("sandbox: X\nservices: [a]\n", "2:1: found a list, expected keys and values"),
    ("sandbox: X\ntemplate: QA\n", "2:11: unknown template 'QA'; there is none"),
    ("sandbox: X\nenvironment: qa\n", "2:14: unknown environment 'qa'; there is none"),
    (
        "sandbox: X\nresources: {cpu: 0}\n",
        "2:18: found '0', expected at least 10m, Docker's minimum",
    ),
    (
        "sandbox: X\nresources: {cpu: true}\n",
        "2:18: found true, expected cores such as 1, 0.5 or 500m",
    ),
    (
        "sandbox: X\nresources: {memory: 1kb}\n",
        "2:21: found '1kb', expected an amount such as 512MB or 1GB",
    ),
    (
        "sandbox: X\nlifecycle: {expire_after: 2 weeks}\n",
        "2:27: found '2 weeks', expected a duration such as 30s, 10m, 12h or 14d",
    ),
]

TARGET_PROBLEMS = [
    ("acount: {branch: a}", "3:3: unknown service 'acount'; did you mean 'account'?"),
    ("zzz: {branch: a}", "3:3: unknown service 'zzz'; expected one of account, payment"),
    ("gateway: {branch: a}", "3:3: 'gateway' is the sandbox's gateway, not a service"),
    ("account: {brnch: a}", "3:13: unknown key 'brnch'; did you mean 'branch'?"),
    ("account: feature/x", "3:12: found 'feature/x', expected keys and values"),
    (
        "account: {branch: a, use_ocp: true}",
        (
            "3:3: found branch and use_ocp, expected only one of branch (with or without commit), "
            "use_ocp, url"
        ),
    ),
    ("account: {use_ocp: yes}", "3:22: found 'yes', expected true or false; did you mean true?"),
    ("account: {port: '8080'}", "3:19: found '8080', expected a whole number; remove the quotes"),
    ("account: {port: 70000}", "3:19: found 70000, expected at most 65535"),
    ("account: {port: 0}", "3:19: found 0, expected at least 1"),
    (
        "account: {branch: --upload-pack=x}",
        "3:21: found '--upload-pack=x', expected a branch name, such as feature/login-error",
    ),
    (
        "account: {commit: abc}",
        "3:21: found 'abc', expected a whole commit: 40 hexadecimal digits",
    ),
    (
        "account: {url: 'http://bob:secret@h/'}",
        "3:18: found 'http://***@h/', expected a URL without user name or password",
    ),
    (
        "account: {url: 'ftp://h/'}",
        "3:18: found 'ftp://h/', expected an address such as http://10.0.0.7:8080",
    ),
    ("account: {environment: qa}", "3:26: unknown environment 'qa'; there is none"),
]

PLATFORM_PROBLEMS = [
    (
        ("type: MICRO", "type: MICR"),
        "3:45: found 'MICR', expected 'MICRO', 'GATEWAY' or 'INFRA'; did you mean 'MICRO'?",
    ),
    (
        ("account, node: micro", "account, node: mirco"),
        "6:40: unknown node 'mirco'; did you mean 'micro'?",
    ),
    (
        ("account, node: micro", "account, node: gate"),
        "6:40: node 'gate' is of type GATEWAY, expected a node of type MICRO",
    ),
    (
        ("node: gate", "node: micro"),
        "8:33: node 'micro' is of type MICRO, expected a node of type GATEWAY",
    ),
    (("id: gate", "id: micro"), "4:10: found the node 'micro' again, first in line 3"),
    (
        ("repository: gw, ", ""),
        "8:1: missing key 'repository': Name in the agents' own repository lists",
    ),
    (
        ("{branch: develop}", "{branch: develop}, services: {foo: {branch: a}}"),
        "9:51: unknown service 'foo'; expected one of account, payment",
    ),
    (
        ("defaults:", "ports: {gateway: {first: 9, last: 8}}\ndefaults:"),
        "9:9: found first 9 after last 8",
    ),
]

ENCRYPTED = "ENC[AES256_GCM,data:eA==,iv:AAAA,tag:AAAA,type:str]"
ENVIRONMENT_PROBLEMS = [
    (
        "secrets:\n  A: hunter2",
        (
            "3:3: secret 'A' is in plain text; encrypt it: sdp env set-secret e A; "
            "if it was ever pushed, change it"
        ),
    ),
    (
        "secrets: {A: 12345}",
        "2:14: found a secret that is no text, expected text; put it in quotes",
    ),
    (
        "files: {/a: 12345}",
        "2:13: found a content that is no text, expected text; put it in quotes",
    ),
    (
        f"secrets: {{A: '{ENCRYPTED}'}}",
        "2:11: the value is encrypted, and the file's sops section is missing",
    ),
    (
        f"variables: {{A: '{ENCRYPTED}'}}",
        "2:13: found an encrypted value among variables; move 'A' to secrets",
    ),
    (
        f"secrets: {{A: '{ENCRYPTED}'}}\nsops: {{pgp: [{{fp: x}}], version: 3.9.0}}",
        "3:1: it has no age recipients: it is encrypted for only pgp",
    ),
    ("variables: {PORT: 8080}", "2:19: found 8080, expected text; put it in quotes"),
    (
        "variables: {A-B: x}",
        "2:13: found 'A-B', expected a variable name: letters, digits, _; no digit first",
    ),
    (
        "files: {etc/x: y}",
        "2:9: found 'etc/x', expected an absolute path, such as /etc/x",
    ),
    (
        "variables: {A: x}\nsecrets: {A: ''}",
        "3:11: found 'A' among secrets, and among variables in line 2",
    ),
]


@pytest.mark.parametrize(("text", "line"), SANDBOX_PROBLEMS)
def test_problem_in_a_sandbox_has_its_place_and_words(text, line):
    assert said(text) == [f"sandboxes/x.yaml:{line}"]


@pytest.mark.parametrize(("target", "line"), TARGET_PROBLEMS)
def test_problem_in_a_service_has_its_place_and_words(target, line):
    assert said(f"sandbox: X\nservices:\n  {target}\n") == [f"sandboxes/x.yaml:{line}"]


@pytest.mark.parametrize(("change", "line"), PLATFORM_PROBLEMS)
def test_problem_in_the_platform_has_its_place_and_words(change, line):
    before, after = change
    found = said(PLATFORM.replace(before, after, 1), "platform.yaml")
    assert found[0] == f"platform.yaml:{line}"


@pytest.mark.parametrize(("text", "line"), ENVIRONMENT_PROBLEMS)
def test_problem_in_an_environment_has_its_place_and_words(text, line):
    found = said(f"environment: e\n{text}\n", "environments/e.yaml")
    assert found == [f"environments/e.yaml:{line}"]


def test_all_problems_of_all_files_come_at_once_in_order():
    tree = commit(
        {
            "sandboxes/b.yaml": "sandbox: B\nsandbox: C\nowner: 3\n",
            "sandboxes/a.yaml": "sandbox: A\nx: 1\n",
            "templates/t.yaml": "template: t\nservices: {acc: {branch: a}}\n",
        }
    )
    assert [str(problem).split(": ")[0] for problem in tree.problems] == [
        "sandboxes/a.yaml:2:1",
        "sandboxes/b.yaml:2:1",
        "sandboxes/b.yaml:3:8",
        "templates/t.yaml:2:12",
    ]


def test_value_under_secrets_is_never_repeated_in_a_problem():
    found = said("environment: e\nsecrets:\n  TOKEN: 12345\n", "environments/e.yaml")
    assert len(found) == 1
    assert "12345" not in found[0]


def test_control_characters_of_a_value_never_reach_the_message():
    found = said('sandbox: "\\e[31mred"\n')
    assert "\x1b" not in found[0]


@pytest.mark.parametrize(
    ("kind", "folder"),
    [("sandbox", "sandboxes"), ("template", "templates"), ("environment", "environments")],
)
def test_name_that_repeats_after_lower_casing_names_the_other_file(kind, folder):
    tree = commit({f"{folder}/a.yaml": f"{kind}: QA\n", f"{folder}/b.yaml": f"{kind}: qa\n"})
    column = len(kind) + 3
    assert [str(problem) for problem in tree.problems] == [
        f"{folder}/a.yaml:1:{column}: {kind} 'QA' is in {folder}/b.yaml as well",
        f"{folder}/b.yaml:1:{column}: {kind} 'qa' is in {folder}/a.yaml as well",
    ]


def test_missing_platform_is_a_problem_of_its_own():
    tree = load([blob("sandboxes/x.yaml", "sandbox: X\n")])
    assert [str(problem) for problem in tree.problems] == [
        "platform.yaml:1:1: missing; expected the platform's nodes, services and gateway"
    ]


def test_second_platform_file_is_refused_on_both_sides():
    tree = commit({"platform.yml": PLATFORM})
    assert [problem.path for problem in tree.problems] == ["platform.yaml", "platform.yml"]


def test_template_that_does_not_load_is_not_called_unknown():
    tree = commit(
        {
            "templates/qa.yaml": "template: QA\nx: 1\n",
            "sandboxes/x.yaml": "sandbox: X\ntemplate: QA\n",
        }
    )
    assert str(tree.problems[0]) == (
        "sandboxes/x.yaml:2:11: template 'QA' does not load: see templates/qa.yaml"
    )


def test_unreadable_template_is_mentioned_beside_an_unknown_name():
    tree = commit(
        {"templates/qa.yaml": "a: [\n", "sandboxes/x.yaml": "sandbox: X\ntemplate: QA\n"}
    )
    assert "templates/qa.yaml cannot be read" in str(tree.problems[0])


def test_file_that_does_not_load_is_still_known_to_be_there_with_its_name():
    tree = commit({"sandboxes/x.yaml": "sandbox: X\nx: 1\n", "sandboxes/y.yaml": "sandbox: Y\n"})
    assert tree.sandbox_paths == {"sandboxes/x.yaml", "sandboxes/y.yaml"}
    assert set(tree.sandboxes) == {"sandboxes/y.yaml"}
    assert tree.unloaded == {"sandboxes/x.yaml": "X"}


def test_same_pinned_port_in_two_sandboxes_is_left_to_the_plan():
    pinned = "gateway: {port: 8081}\n"
    tree = commit(
        {
            "sandboxes/a.yaml": f"sandbox: A\n{pinned}",
            "sandboxes/b.yaml": f"sandbox: B\n{pinned}",
        }
    )
    assert tree.problems == ()


def test_protect_and_suspended_load_without_a_warning():
    assert said("sandbox: X\nlifecycle: {protect: true, suspended: true}\n") == []


def test_position_of_a_leaf_is_where_its_value_stands():
    tree = commit({"sandboxes/x.yaml": "sandbox: X\nservices:\n  account: {branch: a}\n"})
    file = tree.sandboxes["sandboxes/x.yaml"]
    assert file.position(("services", "account", "branch")) == (3, 21)
    assert file.key_position(("services", "account", "branch")) == (3, 13)


@pytest.mark.parametrize(
    ("path", "read"),
    [
        ("platform.yaml", True),
        ("platform.yml", True),
        ("sandboxes/team/x.yml", True),
        ("README.md", False),
        ("other.yaml", False),
        ("docs/sandboxes/x.yaml", False),
        ("sandboxes/.x.yaml", False),
        ("sandboxes/x.yaml.orig", False),
    ],
)
def test_only_specs_are_read(path, read):
    assert is_spec(path) is read


def test_unchanged_content_is_not_parsed_again():
    cache = Cache()
    first = load([*blobs({}), Blob("sandboxes/x.yaml", "same", b"sandbox: X\n")], cache)
    moved = [*blobs({}), Blob("sandboxes/y.yaml", "same", b"not even looked at")]
    second = load(moved, cache)
    assert second.sandboxes["sandboxes/y.yaml"].spec is first.sandboxes["sandboxes/x.yaml"].spec


def test_content_of_another_kind_is_parsed_for_itself():
    tree = load(
        [*blobs({}), Blob("sandboxes/x.yaml", "s", b"{}"), Blob("templates/x.yaml", "s", b"{}")]
    )
    assert [problem.message.split(":")[0] for problem in tree.problems] == [
        "missing key 'sandbox'",
        "missing key 'template'",
    ]


def test_roles_that_are_hardly_meant_so_are_warnings():
    said = """
roles:
  users: {Sari: {role: QA}, sari: {role: ADMIN}}
  groups: {testers: {role: QA, members: [budi, dewi, BUDI]}}
  require_signed_commits: true
"""
    found = tree_of({"platform.yaml": PLATFORM + said}).problems
    assert {each.severity for each in found} == {"warning"}
    assert [each.message.partition(":")[0] for each in found] == [
        "found 'sari' after 'Sari'",
        "found 'BUDI' after 'budi'",
        "signatures are required, and no user has keys",
    ]


def test_a_node_that_proves_logins_is_one_of_the_platforms():
    said = "roles: {login_nodes: [micro, mirco]}\n"
    (problem,) = tree_of({"platform.yaml": PLATFORM + said}).problems
    assert problem.severity == "error"
    assert problem.message == "unknown node 'mirco'; did you mean 'micro'?"
