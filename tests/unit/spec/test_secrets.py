"""Secrets in specs: who can't read them is warned of, and no message repeats one."""

import pytest

from sdp.cli.specs import pointed_at
from sdp.spec.load import load
from sdp.spec.tree import Blob, Problem
from tests.builders import PLATFORM
from tests.sops import ACHMAD, NODE, SARI, environment


def problems(platform: str, qa: str) -> list[str]:
    files = {"platform.yaml": platform, "environments/qa.yaml": qa}
    return [str(each) for each in load(Blob(p, t, t.encode()) for p, t in files.items()).problems]


def with_recipient(key: str) -> str:
    return PLATFORM.replace("type: MICRO}", f"type: MICRO, recipient: {key}}}")


def test_a_file_that_is_not_for_a_node_is_warned_of():
    qa = environment("qa", A="x")
    assert problems(with_recipient(NODE.public), qa) == []
    (warning,) = problems(with_recipient(SARI.public), qa)
    assert "warning: it is not encrypted for micro-92; mend it: sdp env rotate qa" in warning


@pytest.mark.parametrize("name", ["PORT", "SDP_SANDBOX", "SDP_GATEWAY_URL"])
@pytest.mark.parametrize("section", ["variables", "secrets"])
def test_what_the_platform_sets_itself_is_a_problem_where_it_is_said(section, name):
    (found,) = problems(PLATFORM, f"environment: qa\n{section}:\n  A: ''\n  {name}: ''\n")
    said = f"found '{name}' among {section}: the platform sets it itself"
    assert found == f"environments/qa.yaml:4:3: {said}"


def test_a_recipient_is_an_age_public_key():
    wrong = f"{PLATFORM}recipients: {{achmad: {ACHMAD.secret}}}\n"
    (problem,) = problems(wrong, "environment: qa\n")
    assert "expected an age public key" in problem
    assert ACHMAD.secret[:24] not in problem


def test_lines_of_environments_are_not_shown_beside_a_problem():
    problem = Problem("environments/qa.yaml", 2, 3, "secret 'A' is in plain text")
    assert pointed_at(problem, {"environments/qa.yaml": b"secrets:\n  A: hunter2\n"}) == ""
