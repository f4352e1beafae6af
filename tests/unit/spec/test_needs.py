"""What a change takes, and whose it is about."""

import pytest

from sdp.spec.models import Roles
from sdp.spec.needs import Need, lacking, may_anyway, needs
from sdp.spec.roles import ITSELF, TABLE, Person, author, user_of

ONE = "sandbox: QA-ONE\nowner: sari\nservices:\n  account: {branch: feature/a}\n"
FILES = {
    "platform.yaml": "platform: acme\ndefaults: {owner: budi}\n",
    "sandboxes/one.yaml": ONE,
    "sandboxes/two.yaml": "sandbox: QA-TWO\ntemplate: BASE\n",
    "sandboxes/three.yaml": "sandbox: QA-THREE\n",
    "templates/base.yaml": "template: BASE\nowner: achmad\n",
    "environments/qa.yaml": "environment: qa\n",
}
SANDBOX = "sandboxes/one.yaml"


def taken(**after: str | None) -> list[tuple[str, str, str]]:
    """Return what a change takes: permission, sandbox, owner."""
    changes = {name.replace("__", "/") + ".yaml": text for name, text in after.items()}
    found = needs(FILES, changes)
    return [
        (each.permission, each.sandbox, each.owner) for some in found.values() for each in some
    ]


@pytest.mark.parametrize(
    ("path", "permission"),
    [
        ("platform.yaml", "administer"),
        ("platform.yml", "administer"),
        ("templates/base.yaml", "manage templates"),
        ("templates/deep/er.yml", "manage templates"),
        ("environments/qa.yaml", "manage environments"),
    ],
)
def test_what_is_shared_takes_its_own_permission_whatever_is_done_to_it(path, permission):
    for text in ("platform: other\n", "{", "", None):
        assert needs(FILES, {path: text}) == {path: (Need(path, permission),)}


@pytest.mark.parametrize("path", ["README.md", "docs/x.yaml", ".sops.yaml", "sandboxes/.x.yaml"])
def test_what_is_no_spec_takes_nothing(path):
    assert needs(FILES, {path: "text"}) == {}


def test_a_new_sandbox_takes_the_role_whoever_it_says_owns_it():
    assert taken(sandboxes__x="sandbox: NEW\nowner: eve\n") == [("deploy", "NEW", "")]


@pytest.mark.parametrize("name", ["QA-ONE", "[QA-ONE]", "qa-one"])
def test_who_makes_themselves_owner_needs_the_right_to_delete_before(name):
    mine = ONE.replace("sari", "eve").replace("QA-ONE", name)
    both = [("deploy", "QA-ONE", "sari"), ("delete sandboxes", "QA-ONE", "sari")]
    assert taken(sandboxes__one=mine) == both
    assert taken(sandboxes__one=None, sandboxes__better=ONE.replace("sari", "eve"))[:2] == both


def test_the_owner_may_be_the_templates_or_the_defaults():
    assert taken(sandboxes__two="sandbox: QA-TWO\n") == [
        ("deploy", "QA-TWO", "achmad"),
        ("delete sandboxes", "QA-TWO", "achmad"),  # it would be the defaults'
    ]
    assert taken(sandboxes__three=None) == [("delete sandboxes", "QA-THREE", "budi")]


def test_a_removed_file_takes_deleting():
    assert taken(sandboxes__one=None) == [("delete sandboxes", "QA-ONE", "sari")]


def test_another_name_in_the_same_file_is_a_deletion_and_a_new_sandbox():
    assert taken(sandboxes__one=ONE.replace("QA-ONE", "QA-TWO")) == [
        ("delete sandboxes", "QA-ONE", "sari"),
        ("deploy", "QA-TWO", ""),
    ]


def test_a_file_that_moves_is_no_deletion():
    moved = {"sandboxes__one": None, "sandboxes__better": ONE.replace("QA-ONE", "qa-one")}
    assert [each[::2] for each in taken(**moved)] == [("deploy", "sari")] * 2


def test_a_file_that_does_not_load_takes_deploying():
    assert taken(sandboxes__one="sandbox: [") == [("deploy", "QA-ONE", "sari")]


@pytest.mark.parametrize(
    ("services", "permission"),
    [
        ("account: {use_ocp: true}", "manage routes"),
        ('account: {url: "http://10.0.0.7"}', "manage routes"),
        ("account: {branch: feature/a}\n  user: {use_ocp: true}", "manage routes"),
        ("account: {branch: feature/b}", "deploy"),
        ("account: {branch: feature/a, suspended: true}", "deploy"),
        ("account: {use_ocp: true, port: 9001}", "deploy"),
        ("payment: {branch: develop}", "deploy"),
        ("account: null", "deploy"),
    ],
)
def test_only_a_target_elsewhere_takes_no_more_than_routes(services, permission):
    text = f"sandbox: QA-ONE\nowner: sari\nservices:\n  {services}\n"
    assert taken(sandboxes__one=text) == [(permission, "QA-ONE", "sari")]


def test_a_snapshot_takes_deploying_the_sandbox_that_it_is_of():
    text = "snapshot: S\nsandbox: qa-one\n"
    assert taken(snapshots__s=text) == [("deploy", "qa-one", "sari")]


def test_owners_lack_nothing_of_their_own_and_everything_of_others():
    for who, lacks in (("SARI", False), ("budi", True)):
        wanted = needs(FILES, {SANDBOX: None})[SANDBOX]
        assert bool(lacking(Person(who, "VIEWER"), wanted)) is lacks


def test_who_may_anyway_lacks_nothing_whatever_the_change():
    changes = [None, "x", ONE.replace("sari", "eve"), ONE.replace("QA-ONE", "QA-TWO")]
    paths = [*FILES, "snapshots/s.yaml", "sandboxes/new.yaml"]
    for role in TABLE:
        for path in paths:
            who = Person("eve", role)
            wanted = [needs(FILES, {path: text})[path] for text in changes]
            assert not may_anyway(who, path) or not any(lacking(who, each) for each in wanted)


def test_the_platform_itself_may_remove_sandboxes_and_nothing_else():
    itself = Person(ITSELF, "ADMIN")
    assert not lacking(itself, needs(FILES, {SANDBOX: None})[SANDBOX])
    for path in FILES:
        assert lacking(itself, needs(FILES, {path: "sandbox: QA-ONE\n"})[path])


@pytest.mark.parametrize("user", ["sari", "Budi.S-1", "dewi@acme.example", "x+y", "a" * 100, "7"])
@pytest.mark.parametrize("emails", [(), ("Some.One@acme.example", "other@acme.example")])
def test_a_users_commits_are_found_to_be_theirs(user, emails):
    roles = Roles.model_validate(
        {"users": {user.upper(): {"emails": emails}, "eve": {"emails": ("eve@acme.example",)}}}
    )
    for each in (roles, Roles()):
        name, _, mail = author(user, each, "acme").removesuffix(">").partition(" <")
        assert user_of(name, mail, each).lower() == user.lower()
