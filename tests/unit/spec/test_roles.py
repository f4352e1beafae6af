"""Who may do what."""

import itertools

import pytest

from sdp.spec.models import Roles
from sdp.spec.roles import OWNERS, TABLE, Person, may, person, user_of

BOUND = Roles.model_validate(
    {
        "default": "VIEWER",
        "users": {"achmad": {"role": "ADMIN"}, "Sari": {"emails": ("sari@acme.example",)}},
        "groups": {
            "testers": {"role": "QA", "members": ("sari", "budi")},
            "developers": {"role": "BACKEND", "members": ("BUDI",)},
        },
    }
)


@pytest.mark.parametrize(
    ("user", "role"),
    [
        ("achmad", "ADMIN"),
        ("ACHMAD", "ADMIN"),
        ("sari", "QA"),
        ("budi", "BACKEND"),
        ("x", "VIEWER"),
    ],
)
def test_a_role_is_ones_own_else_the_highest_of_ones_groups_else_the_default(user, role):
    assert person(user, BOUND) == Person(user, role)


@pytest.mark.parametrize(
    "roles",
    [
        Roles(),
        Roles.model_validate({"users": {"SDP": {"role": "ADMIN"}}}),
        Roles.model_validate(
            {
                "users": {"Sari": {"role": "QA"}},
                "groups": {"admins": {"role": "ADMIN", "members": ("sari", "sdp")}},
            }
        ),
        Roles.model_validate({"users": {"sari": {"role": "QA"}}}),
        Roles.model_validate({"groups": {"admins": {"role": "ADMIN", "members": ()}}}),
    ],
)
def test_while_nobody_is_bound_to_admin_everybody_is_one(roles):
    assert person("sari", roles).role == "ADMIN"


def test_each_role_may_do_all_that_the_one_below_may():
    roles = list(TABLE)
    assert roles == ["VIEWER", "QA", "BACKEND", "ADMIN"]
    for less, more in itertools.pairwise(roles):
        assert TABLE[less] < TABLE[more]


def test_owners_may_do_everything_with_their_own_sandboxes_and_nothing_else():
    owner = Person("Budi", "VIEWER")
    for permission in TABLE["ADMIN"] - TABLE["VIEWER"]:
        assert may(owner, permission, owner="budi") is (permission in OWNERS)
        assert not may(owner, permission, owner="sari")
        assert not may(owner, permission)


def test_nobody_owns_what_nobody_owns():
    assert not may(Person("", "VIEWER"), "deploy", owner="")


@pytest.mark.parametrize(
    ("name", "mail", "user"),
    [
        ("Sari Dewi", "SARI@acme.example", "Sari"),
        ("Achmad", "achmad@acme.example", "achmad"),
        ("Budi", "", "budi"),
        ("Sari", "sari@elsewhere.example", ""),
        ("Two Words", "", ""),
    ],
)
def test_a_commit_is_of_who_has_its_address_or_the_name_in_it_but_never_of_who_lists_others(
    name, mail, user
):
    assert user_of(name, mail, BOUND) == user
