"""Fold: what people read of a diff of encrypted files, and what is never hidden from them."""

import re

from sdp.cli import sealing
from sdp.cli.fold import folded
from sdp.reconciler import revisions
from tests.sops import ACHMAD, NODE, SARI, environment, sealer, secret

PATH = "environments/qa.yaml"


def shown(before: str, after: str, path: str = PATH) -> list[str]:
    return folded(revisions.diff({path: before}, {path: after}))


def changed(lines: list[str]) -> list[str]:
    """Return what is not context, each value short."""
    said = [re.sub(r"ENC\[.*", "ENC", line) for line in lines if line[:1] in "+-~"]
    return [line for line in said if not line.startswith(("+++", "---"))]


def test_a_first_secret_shows_who_can_open_it_and_folds_the_rest():
    lines = changed(shown("environment: qa\n", environment("qa", A="x")))
    assert lines[:3] == ["+secrets:", "+  A: ENC", "+"]
    assert re.fullmatch(r"~ sops: age's texts and MAC \(\d\d lines\)", lines[3])
    readers = [f"+    - recipient: {each.public}" for each in (ACHMAD, NODE)]
    assert lines[4:] == [*readers, "+  encrypted_regex: '^(secrets)$'"]


def test_another_value_folds_the_mac_where_the_section_starts_outside_the_hunk():
    before = environment("qa", A="x")
    after = sealing.changed(before, [secret("A", "y")], sealer(ACHMAD))
    assert changed(shown(before, after)) == ["-  A: ENC", "+  A: ENC", "~ sops: MAC (2 lines)"]


def test_a_rotation_shows_who_comes_and_who_goes():
    before = environment("qa", A="x")
    after = sealing.rotated(before, sealer(ACHMAD, to=(ACHMAD, SARI)))
    lines = changed(shown(before, after))
    assert f"-    - recipient: {NODE.public}" in lines
    assert f"+    - recipient: {SARI.public}" in lines
    assert not [line for line in lines if ACHMAD.public in line]
    assert len(lines) == 5


def test_what_is_beside_the_section_is_never_folded():
    before = "environment: qa\nvariables:\n  M: a\nsops:\n  mac: ENC[x]\n"
    after = "environment: qa\nvariables:\n  M: a\n  mac: mine\n"
    lines = changed(shown(before, after))
    assert lines == ["~ sops: age's texts and MAC (2 lines)", "+  mac: mine"]


def test_other_files_are_shown_whole():
    diff = revisions.diff({"platform.yaml": ""}, {"platform.yaml": "sops:\n  mac: ENC[x]\n"})
    assert folded(diff) == diff.splitlines()
