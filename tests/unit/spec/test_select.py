"""A part of what a working tree changes, and what is left out of it."""

import pytest

from sdp.spec.select import WHOLE, CannotSelectError, Selection, select
from tests.builders import PLATFORM

QA = """\
sandbox: QA
services:
  account: {branch: develop}  # the stable one
  payment: {use_ocp: true}
"""
QB = "sandbox: QB\nservices: {account: {branch: develop}}\n"
HEAD = {"platform.yaml": PLATFORM, "sandboxes/a.yaml": QA, "sandboxes/b.yaml": QB}


def of(*sandboxes: str, services: tuple[str, ...] = (), without: tuple[str, ...] = ()):
    return Selection.of(sandboxes, services, without)


def edited(**files: str | None) -> dict[str, str]:
    paths = {"platform": "platform.yaml"}
    changes = {paths.get(key, f"sandboxes/{key}.yaml"): text for key, text in files.items()}
    return {path: text for path, text in {**HEAD, **changes}.items() if text is not None}


BOTH = QA.replace("develop", "feature/a").replace("use_ocp: true", "branch: feature/b")
WORKING = edited(a=BOTH, b=QB.replace("develop", "feature/a"), platform=PLATFORM + "# more\n")


def test_nothing_selected_is_everything():
    assert select(HEAD, WORKING, WHOLE).files == WORKING
    assert select(HEAD, WORKING, WHOLE).left_out == ()


def test_one_sandbox_is_taken_and_the_rest_is_named():
    made = select(HEAD, WORKING, of("qa"))
    assert made.files == {**HEAD, "sandboxes/a.yaml": BOTH}
    assert made.left_out == ("platform.yaml", "sandboxes/b.yaml")


def test_one_service_is_taken_and_every_other_byte_stays():
    made = select(HEAD, WORKING, of("QA", services=("account",)))
    assert made.files["sandboxes/a.yaml"] == QA.replace("develop", "feature/a")
    assert made.left_out == ("platform.yaml", "sandboxes/a.yaml", "sandboxes/b.yaml")


def test_a_service_that_is_removed_or_added_is_taken():
    without = "sandbox: QA\nservices:\n  user: {branch: develop}\n  payment: {use_ocp: true}\n"
    made = select(HEAD, edited(a=without), of("QA", services=("account", "user")))
    text = made.files["sandboxes/a.yaml"]
    assert "account" not in text
    assert "user: {branch: develop}" in text


def test_the_gateway_is_a_service_too():
    gated = QA + "gateway: {branch: feature/g}\nowner: sari\n"
    made = select(HEAD, edited(a=gated), of(services=("gateway",)))
    assert "feature/g" in made.files["sandboxes/a.yaml"]
    assert "sari" not in made.files["sandboxes/a.yaml"]


def test_an_excluded_sandbox_stays_as_it_was_and_so_does_what_all_share():
    made = select(HEAD, WORKING, of(without=("QB",)))
    assert made.files == {**HEAD, "sandboxes/a.yaml": BOTH}


def test_an_excluded_service_stays_as_it_was():
    made = select(HEAD, WORKING, of("qa", without=("qa/payment",)))
    assert made.files["sandboxes/a.yaml"] == QA.replace("develop", "feature/a")


def test_a_removed_and_a_new_sandbox_are_taken_whole():
    new = {**edited(b=None), "sandboxes/c.yaml": "sandbox: QC\n"}
    made = select(HEAD, new, of("qb", "qc"))
    assert sorted(made.files) == ["platform.yaml", "sandboxes/a.yaml", "sandboxes/c.yaml"]


def test_a_file_that_does_not_load_is_its_sandboxs_by_the_name_that_it_had():
    made = select(HEAD, edited(a="sandbox: [", b=QB + "owner: sari\n"), of("qa"))
    assert made.files == {**HEAD, "sandboxes/a.yaml": "sandbox: ["}


@pytest.mark.parametrize(
    ("working", "selection", "words"),
    [
        (edited(a=None), of("qa", services=("account",)), "is removed, so QA can't be taken"),
        (edited(c="sandbox: QC\n"), of("qc", services=("account",)), "is new at this path"),
        (edited(a="sandbox: QX\n"), of("qx"), "is QA and QX"),
        (edited(a="sandbox: QA\nservices: ["), of(services=("account",)), "line "),
        (edited(a="sandbox: QA\nservices: 3\n"), of(without=("qa/account",)), "no mapping"),
    ],
)
def test_what_cannot_be_told_apart_is_refused_with_a_fix(working, selection, words):
    with pytest.raises(CannotSelectError, match=words) as refused:
        select(HEAD, working, selection)
    assert refused.value.fix


def test_a_selection_says_itself_in_words():
    assert str(of("QA", "QB", services=("account",), without=("qa/user",))) == (
        "sandboxes qa, qb, service account, without qa/user"
    )
