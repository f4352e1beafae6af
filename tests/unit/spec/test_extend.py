"""Extending: counted from when a sandbox would go, and said in its own file; never to less."""

import datetime

import pytest

from sdp.spec.change import CannotChangeError, Files, change
from sdp.spec.edits import Extend
from tests.unit.config_repo import FILES, SANDBOX

ONE = "sandboxes/one.yaml"
ENDS = datetime.datetime(2026, 12, 1, 9, 30, tzinfo=datetime.UTC)


def files(lifecycle: str, template: str = "", more: str = "") -> Files:
    """Return a config repo in which these are the lifecycles of QA-ONE and its template."""
    below = f"template: BASE\nlifecycle: {{{template}}}\n"
    own = f"template: BASE\nlifecycle: {{{lifecycle}}}\n{more}"
    return {**FILES, "templates/base.yaml": below, ONE: SANDBOX + own}


def extended(held: Files, by: str | None = None, until: str | None = None) -> str:
    """Return the sandbox's file afterwards."""
    edit = Extend(sandbox="qa-one", ends=ENDS, by=by, until=until)
    return change(held, [edit]).files[ONE] or ""


def test_without_a_word_it_is_kept_by_its_own_time_after_it_would_expire():
    assert "{expire_after: 14d, keep_until: 2026-12-15T09:30Z}" in extended(
        files("expire_after: 14d")
    )


def test_the_time_may_come_from_the_template():
    held = files("protect: false", template="expire_after: 1d")
    assert "{protect: false, keep_until: 2026-12-02T09:30Z}" in extended(held)


def test_a_time_of_ones_own_is_counted_from_the_later_of_both_ends():
    assert "keep_until: 2026-12-08T09:30Z" in extended(files("expire_after: 14d"), by="7d")
    held = files("expire_after: 14d, keep_until: 2026-12-20")
    assert "keep_until: 2026-12-28T00:00Z" in extended(held, by="7d")
    held = files("expire_after: 14d, keep_until: 2026-11-20")
    assert "keep_until: 2026-12-08T09:30Z" in extended(held, by="7d")


def test_what_is_named_is_written_as_it_was_typed():
    for said in ("2026-12-24", "2026-12-24T18:00+07:00"):
        made = change(
            files("expire_after: 14d"), [Extend(sandbox="QA-ONE", ends=ENDS, until=said)]
        )
        assert f"keep_until: {said}" in (made.files[ONE] or "").replace('"', "")
        assert made.subject == f"Keep QA-ONE until {said}"


def test_it_is_never_kept_for_less_than_counted():
    later = ENDS + datetime.timedelta(seconds=1)
    made = change(files("expire_after: 1h"), [Extend(sandbox="QA-ONE", ends=later)])
    assert "keep_until: 2026-12-01T10:31Z" in (made.files[ONE] or "")


def test_an_end_of_another_zone_is_written_in_utc():
    there = ENDS.astimezone(datetime.timezone(datetime.timedelta(hours=7)))
    made = change(files("expire_after: 1h"), [Extend(sandbox="QA-ONE", ends=there)])
    assert "keep_until: 2026-12-01T10:30Z" in (made.files[ONE] or "")


def test_the_rest_of_the_file_stays():
    held = files("expire_after: 14d", more="heal: report   # while I look\n")
    before, after = held[ONE].splitlines(), extended(held).splitlines()
    assert [each for each in after if each not in before] == [
        "lifecycle: {expire_after: 14d, keep_until: 2026-12-15T09:30Z}"
    ]
    assert len(after) == len(before)


@pytest.mark.parametrize(
    ("lifecycle", "by", "until", "why", "fix"),
    [
        ("suspended: false", None, None, "never expires", "lifecycle.expire_after=14d"),
        ("expire_after: null", "7d", None, "never expires", "leave it so"),
        ("expire_after: 14d, protect: true", None, None, "is protected", "protect qa-one --off"),
        ("expire_after: 14d", None, "2026-12-01T09:30Z", "until when qa-one is kept anyway", "later"),
        ("expire_after: 14d", None, "2025-01-01", "no later than 2026-12-01 09:30 UTC", "later"),
        (
            "expire_after: 14d, keep_until: 2027-01-01",
            None,
            "2026-12-24",
            "no later than 2027-01-02 00:00 UTC",
            "later",
        ),
        (
            "expire_after: 14d, keep_until: 9999-12-01",
            "999d",
            None,
            "later than there are dates",
            "sdp protect",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_extended_is_said_with_a_fix(lifecycle, by, until, why, fix):
    with pytest.raises(CannotChangeError) as refused:
        extended(files(lifecycle), by, until)
    assert why in str(refused.value)
    assert fix in refused.value.fix


def test_a_sandbox_that_does_not_load_is_refused():
    held = {**FILES, ONE: f"{SANDBOX}template: NONE\n"}
    with pytest.raises(CannotChangeError, match="does not load"):
        extended(held)
