"""Turns: a branch came from where it was seen, whatever past a merge puts before it."""

from pathlib import Path

import pytest

from sdp.reconciler.source import Source
from tests.builders import PLATFORM
from tests.unit.agent.repositories import git
from tests.unit.reconciler.test_authority import ROLES, Repository, committed, worked_in

MINE = PLATFORM + ROLES.replace("sari: {role: QA}", "sari: {role: ADMIN}")


@pytest.fixture
def repository(tmp_path):
    made = Repository(tmp_path)
    made.put("achmad", **{"templates/base.yaml": "template: BASE\nowner: achmad\n"})
    return made


def merged_onto(clone: Path, past: str) -> str:
    """Push a merge of which another past is the first parent; the branch is not rewound."""
    tree, head = git(clone, "rev-parse", f"{past}^{{tree}}"), git(clone, "rev-parse", "main")
    made = git(clone, "commit-tree", tree, "-p", past, "-p", head, "-m", "Merge")
    git(clone, "push", "-q", "origin", f"{made}:main")
    return made


def orphan(clone: Path) -> str:
    """Commit a past that has no other, in the name of somebody else."""
    git(clone, "checkout", "-q", "--orphan", "evil")
    committed(clone, "achmad", "platform.yaml", MINE)
    return git(clone, "rev-parse", "evil")


def before_roles(clone: Path) -> str:
    """Commit after where everybody still was an administrator."""
    git(clone, "checkout", "-qb", "evil", "main~1")
    committed(clone, "achmad", "platform.yaml", MINE)
    return git(clone, "rev-parse", "evil")


@pytest.mark.parametrize("past", [orphan, before_roles])
def test_no_merge_gives_a_branch_another_past(repository, tmp_path, past):
    repository.standing()
    clone = worked_in(repository, "clone", "sari")
    repository.tip = merged_onto(clone, past(clone))
    for source in (repository.source, Source(str(repository.path), "main", tmp_path)):
        standing = source.standing(repository.tip)
        assert standing.roles.users["sari"].role == "QA"
        assert "platform.yaml" in standing.withheld
        assert [each.user for each in standing.line] == ["achmad", "achmad", "sari"]


def test_what_comes_after_such_a_merge_is_judged_by_the_same_past(repository, tmp_path):
    repository.standing()
    clone = worked_in(repository, "clone", "sari")
    repository.tip = merged_onto(clone, orphan(clone))
    repository.standing()
    repository.put("sari", **{"templates/more.yaml": "template: MORE\n"})
    for source in (repository.source, Source(str(repository.path), "main", tmp_path)):
        assert "templates/more.yaml" in source.standing(repository.tip).withheld
