"""Writer: a change lands once, on top of what others did, or is refused and shown. Real git."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sdp.reconciler.commit import Unchanged
from sdp.reconciler.writer import (
    Conflict,
    Landed,
    Place,
    Shown,
    Unwritable,
    land,
    place_of,
    preview,
)
from sdp.spec.change import Changed, change
from sdp.spec.edits import AnyEdit, Route, Set
from tests.unit.agent.repositories import git
from tests.unit.config_repo import FILES, PLATFORM, cloned, commit, head, others, serve

SARI = "Sari <sari@company.example>"
OWNER = Set(name="QA-ONE", path=("owner",), text="sari")


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    return serve(tmp_path)


@pytest.fixture
def clone(bare: Path) -> Path:
    return cloned(bare)


def edits(*wanted: AnyEdit) -> Callable[..., Changed]:
    return lambda files, past: change(files, wanted, past)


def landed(outcome: object) -> Landed:
    assert isinstance(outcome, Landed), outcome
    return outcome


def test_a_change_becomes_one_commit_that_says_who_what_and_why(bare: Path) -> None:
    before = head(bare)
    done = landed(land(Place(bare, "main"), edits(OWNER), SARI, "She tests the refund."))
    assert head(bare) == done.sha
    assert git(bare, "log", "-1", "--format=%an %ae %cn%n%P%n%B", "main").strip() == (
        f"Sari sari@company.example Sari\n{before}\n"
        "Set owner of QA-ONE to sari\n\nShe tests the refund."
    )
    assert "\n-owner: achmad   # asks for it\n+owner: sari     # asks for it\n" in done.diff
    assert git(bare, "diff", "--stat", before, "main").endswith("1 insertion(+), 1 deletion(-)")


def test_a_clone_is_pushed_from_and_follows(clone: Path, bare: Path) -> None:
    (clone / "notes.txt").write_text("mine, and not git's")
    done = landed(land(place_of(clone, "main", "origin"), edits(OWNER), SARI))
    assert head(bare) == head(clone) == done.sha
    assert "owner: sari" in (clone / "sandboxes/one.yaml").read_text()
    assert git(clone, "status", "--porcelain") == "?? notes.txt"


def test_a_repository_of_its_own_with_a_working_tree_follows(clone: Path) -> None:
    git(clone, "remote", "remove", "origin")
    done = landed(land(place_of(clone, "main"), edits(OWNER), SARI))
    assert head(clone) == done.sha
    assert git(clone, "status", "--porcelain") == ""


def test_what_others_pushed_to_other_files_is_kept(clone: Path, bare: Path) -> None:
    theirs = others(clone.parent / "config.git", "templates/next.yaml", "template: NEXT\n")
    done = landed(land(place_of(clone, "main", "origin"), edits(OWNER), SARI))
    assert done.base == theirs
    assert head(clone) == head(bare) == done.sha
    assert (clone / "templates/next.yaml").is_file()


def test_a_push_that_somebody_was_faster_than_is_made_anew_on_top(clone: Path, bare: Path) -> None:
    raced: list[str] = []

    def edit(files: Any, past: Any) -> Changed:
        if not raced:
            raced.append(
                others(clone.parent / "config.git", "templates/next.yaml", "template: NEXT\n")
            )
        return change(files, [OWNER], past)

    done = landed(land(place_of(clone, "main", "origin"), edit, SARI))
    assert done.base == raced[0]
    assert head(bare) == done.sha


@pytest.mark.parametrize("served", [True, False])
def test_the_same_file_changed_meanwhile_is_refused_and_shown(
    clone: Path,
    bare: Path,
    served: bool,  # noqa: FBT001
) -> None:
    place = Place(bare, "main") if served else place_of(clone, "main", "origin")
    base = head(bare)
    theirs = others(
        clone.parent / "config.git", "sandboxes/one.yaml", "sandbox: QA-ONE\nowner: budi\n"
    )
    refused = land(place, edits(OWNER), SARI, base=base)
    assert isinstance(refused, Conflict)
    assert (refused.base, refused.tip, refused.paths) == (base, theirs, ("sandboxes/one.yaml",))
    assert [each.subject for each in refused.commits] == ["Change sandboxes/one.yaml"]
    assert "+owner: budi" in refused.diff
    assert head(bare) == theirs
    assert "owner: achmad" in (clone / "sandboxes/one.yaml").read_text()


def test_the_same_file_changed_between_looking_and_pushing_is_refused(clone, bare) -> None:
    raced: list[str] = []

    def edit(files: Any, past: Any) -> Changed:
        if not raced:
            text = "sandbox: QA-ONE\nowner: budi\n"
            raced.append(others(clone.parent / "config.git", "sandboxes/one.yaml", text))
        return change(files, [OWNER], past)

    refused = land(place_of(clone, "main", "origin"), edit, SARI)
    assert isinstance(refused, Conflict)
    assert head(bare) == raced[0]


def test_what_is_said_already_is_no_commit(bare: Path) -> None:
    before = head(bare)
    same = Set(name="QA-ONE", path=("owner",), text="achmad")
    assert land(Place(bare, "main"), edits(same), SARI) == Unchanged(before)
    assert head(bare) == before


def unwritable(outcome: object) -> Unwritable:
    assert isinstance(outcome, Unwritable), outcome
    assert outcome.fix
    return outcome


def test_somebodys_own_edits_of_the_file_are_not_lost(clone: Path, bare: Path) -> None:
    before = head(bare)
    (clone / "sandboxes/one.yaml").write_text("sandbox: QA-ONE\nowner: dewi\n")
    refused = unwritable(land(place_of(clone, "main", "origin"), edits(OWNER), SARI))
    assert "sandboxes/one.yaml has changes that are not committed" in refused.message
    assert "dewi" in (clone / "sandboxes/one.yaml").read_text()
    assert head(bare) == before


def test_edits_of_other_files_stay_as_they_are(clone: Path) -> None:
    (clone / "platform.yaml").write_text(PLATFORM + "# mine\n")
    landed(land(place_of(clone, "main", "origin"), edits(OWNER), SARI))
    assert git(clone, "status", "--porcelain").strip() == "M platform.yaml"


def test_commits_that_are_not_pushed_are_not_pushed_along(clone: Path, bare: Path) -> None:
    before = head(bare)
    commit(clone, {"templates/mine.yaml": "template: MINE\n"}, push=False)
    refused = unwritable(land(place_of(clone, "main", "origin"), edits(OWNER), SARI))
    assert refused.reason == "NotPushed"
    assert head(bare) == before


def test_a_remote_that_is_away_changes_nothing(clone: Path) -> None:
    before = head(clone)
    git(clone, "remote", "set-url", "origin", str(clone.parent / "nowhere"))
    refused = unwritable(land(place_of(clone, "main", "origin"), edits(OWNER), SARI))
    assert refused.reason == "FetchFailed"
    assert head(clone) == before
    assert git(clone, "status", "--porcelain") == ""


def test_a_remote_that_refuses_is_told_in_its_own_words(clone: Path, bare: Path) -> None:
    hook = bare / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho 'main is frozen' >&2\nexit 1\n")
    hook.chmod(0o755)
    before = head(clone)
    refused = unwritable(land(place_of(clone, "main", "origin"), edits(OWNER), SARI))
    assert "pre-receive hook declined" in refused.message
    assert head(clone) == before
    assert "achmad" in (clone / "sandboxes/one.yaml").read_text()


def test_a_mirror_is_written_through_to_its_remote(bare: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--bare", "config.git", "mirror.git")
    mirror = tmp_path / "mirror.git"
    done = landed(land(Place(mirror, "main", str(bare)), edits(OWNER), SARI))
    assert head(bare) == head(mirror) == done.sha


def test_a_preview_shows_the_diff_and_commits_nothing(bare: Path) -> None:
    before = head(bare)
    shown = preview(Place(bare, "main"), edits(OWNER))
    assert isinstance(shown, Shown)
    assert [*shown.changed.files] == ["sandboxes/one.yaml"]
    assert "-owner: achmad   # asks for it\n+owner: sari     # asks for it\n" in shown.diff
    assert shown.files["templates/base.yaml"] == FILES["templates/base.yaml"]
    assert head(bare) == before


def test_a_route_back_finds_its_branch_in_the_past(bare: Path) -> None:
    to_ocp = Route(sandbox="QA-ONE", service="account", to="ocp")
    landed(land(Place(bare, "main"), edits(to_ocp), SARI))
    back = landed(
        land(Place(bare, "main"), edits(to_ocp.model_copy(update={"to": "sandbox"})), SARI)
    )
    assert "branch: feature/a" in (back.changed.files["sandboxes/one.yaml"] or "")
