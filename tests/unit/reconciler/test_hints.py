"""Hints lead to looks at origins of the platform, and to nothing else."""

import pytest

from sdp.reconciler import hints
from tests.builders import GATEWAY, MICRO, desired

PLATFORM = desired().platform
assert PLATFORM is not None


@pytest.mark.parametrize(
    ("names", "looks"),
    [
        ({"Account"}, {MICRO: ("account",)}),
        ({"API-Gateway", "user"}, {MICRO: ("user",), GATEWAY: ("api-gateway",)}),
        ({"nobody", "", "../account"}, {}),
    ],
)
def test_names_in_any_case_are_the_platforms_repositories(names, looks):
    assert PLATFORM is not None
    assert hints.repositories(PLATFORM, names) == looks


@pytest.mark.parametrize(
    ("location", "named"),
    [
        ("/srv/sdp/config.git", True),
        ("https://git.example/acme/Config/", True),
        ("git@git.example:config.git", True),
        ("/srv/sdp/config-of-others.git", False),
    ],
)
def test_the_config_repo_is_known_by_its_name(location, named):
    assert hints.is_named(location, {"Config"}) is named
