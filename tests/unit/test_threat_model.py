"""The threat model names tests: each of them is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_test_that_the_threat_model_names_is_there() -> None:
    page = (ROOT / "docs" / "threat-model.md").read_text()
    named = set(re.findall(r"`(test_\w+)`", page))
    there: set[str] = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        there |= set(re.findall(r"def (test_\w+)\(", path.read_text()))
    assert named
    assert named - there == set()


def test_every_page_that_the_threat_model_names_is_there() -> None:
    page = ROOT / "docs" / "threat-model.md"
    linked = re.findall(r"\]\(([^)#]+)\)", page.read_text())
    assert [each for each in linked if not (page.parent / each).exists()] == []
