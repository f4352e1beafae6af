"""A plan as a comment: bounded, and nothing that people wrote is markup."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdp.api.views import Condition, PlanSummary, PlanView, Problem, SandboxPlan
from sdp.cli.markdown import MOST, code, page
from tests.fakes.control_plane import change, plan

LINES = (
    "  ~ account      develop @ 1a2b3c4 → feature/a @ 5d6e7f8",
    "      + container  sandbox-qa-one-account :9002",
    "      ~ route      http://a → http://b                  once healthy",
    "      - container  sandbox-qa-one-account-old           replaced by 5d6e7f8",
    "    payment, user  no change",
)
HELD = Condition(service="user", reason="Drift", message="it is gone", fix="sdp sync QA-ONE")


def made(**changes: object) -> PlanView:
    one = SandboxPlan(sandbox="QA-ONE", lines=LINES, actions=change().actions, holds=(HELD,))
    summary = PlanSummary(add=1, change=1, destroy=1, held=1)
    return plan(one, summary=summary).model_copy(update=changes)


def fences(text: str) -> list[str]:
    """Return what stands in code blocks, as a renderer finds them."""
    found: list[str] = []
    fence = ""
    for line in text.splitlines():
        if not fence and (opened := re.match("`{3,}", line)):
            fence = opened[0]
        elif fence and re.fullmatch(f"`{{{len(fence)},}}", line):
            fence = ""
        elif fence:
            found.append(line)
    assert not fence, "a block is not closed"
    return found


def prose(text: str) -> str:
    """Return what stands outside of code."""
    inside = set(fences(text))
    outside = [line for line in text.splitlines() if line not in inside]
    return re.sub("`[^`]*`", "", "\n".join(outside))


def test_a_plan_has_its_counts_its_sandboxes_and_its_holds_with_their_fixes():
    assert page(made(), "SDP: merging `x` into `main`") == (
        "### SDP: merging `x` into `main`\n"
        "\n"
        "**Plan: 1 to add, 1 to change, 1 to destroy, 1 held** against what runs "
        "(commit `9f3c1e7` is applied).\n"
        "\n"
        "| sandbox | + | ~ | - | held |\n"
        "| --- | --- | --- | --- | --- |\n"
        "| `QA-ONE` | 1 | 1 | 1 | 1 |\n"
        "\n"
        "#### `QA-ONE`\n"
        "\n"
        "```diff\n"
        "~ account      develop @ 1a2b3c4 → feature/a @ 5d6e7f8\n"
        "+     container  sandbox-qa-one-account :9002\n"
        "~     route      http://a → http://b                  once healthy\n"
        "-     container  sandbox-qa-one-account-old           replaced by 5d6e7f8\n"
        "  payment, user  no change\n"
        "```\n"
        "\n"
        "Held:\n"
        "\n"
        "```\n"
        "user: Drift: it is gone\n"
        "  fix: sdp sync QA-ONE\n"
        "```\n"
    )


def test_nothing_to_do_says_so():
    assert "**Nothing to do** against what runs" in page(plan(), "SDP")


def test_problems_come_first_and_those_from_before_last():
    new = Problem(path="sandboxes/a.yaml", line=3, column=1, message="bad", severity="error")
    old = new.model_copy(update={"path": "sandboxes/b.yaml"})
    said = page(made(problems=(new, old)), "SDP", [old])
    places = [said.index(each) for each in ("a.yaml:3:1: error: bad", "#### `QA-ONE`", "b.yaml:3")]
    assert places == sorted(places)


def test_the_value_of_a_wrong_variable_is_not_shown():
    wrong = Problem(
        path="environments/qa.yaml", line=2, column=1,
        message="found 'canary', expected, x', expected text", severity="error",
    )  # fmt: skip
    said = page(made(problems=(wrong,)), "SDP")
    assert "canary" not in said
    assert "environments/qa.yaml:2:1: error: expected text" in said


NASTY = (
    "@achmad <img src=x onerror=alert(1)> [click](http://evil) ![i](http://evil) **x** | # y",
    "```\n@achmad\n# out of the block",
    "````` out ````",
    "\u202e reversed \x1b[31m red",
)


@pytest.mark.parametrize("text", NASTY)
def test_what_people_wrote_is_inert(text):
    problem = Problem(path=f"sandboxes/{text}.yaml", line=1, column=1, message=text,
                      severity="error")  # fmt: skip
    held = Condition(service="user", reason="Drift", message=text, fix=text)
    nasty = SandboxPlan(sandbox=text, lines=(f"      + {text}",), holds=(held,))
    said = page(plan(nasty, problems=(problem,)), f"SDP: merging {code(text)} into {code(text)}")
    outside = prose(said)
    for sign in ("achmad", "<img", "](", "evil", "# out", "\x1b", "\u202e", "# y"):
        assert sign not in outside


def test_what_is_long_is_cut_and_counted():
    lines = tuple(f"      + container  {'x' * 500} {n}" for n in range(100))
    many = [SandboxPlan(sandbox=f"QA-{n}", lines=lines, holds=(HELD,) * 50) for n in range(300)]
    said = page(plan(*many), "SDP")
    assert len(said.encode()) <= MOST
    assert re.search(r"… and \d+ more parts: see `sdp plan`", said)
    assert "… and 60 more lines" in said
    assert "… and 280 more" in said
    fences(said)


@given(st.lists(st.text(max_size=300), max_size=30))
def test_no_text_leaves_its_block_or_makes_it_too_long(texts):
    holds = tuple(Condition(reason="R", message=text, fix=text) for text in texts)
    said = page(plan(SandboxPlan(sandbox="QA", lines=tuple(texts), holds=holds)), "SDP")
    assert len(said.encode()) <= MOST
    fences(said)
