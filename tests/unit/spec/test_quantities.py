"""Amounts as people write them."""

import datetime

import pytest

from sdp.spec import quantities


def _utc(*parts: int) -> datetime.datetime:
    return datetime.datetime(*parts, tzinfo=datetime.UTC)  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-12-24", _utc(2026, 12, 25)),
        ("2026-12-24T18:00Z", _utc(2026, 12, 24, 18)),
        ("2026-12-24T18:00:30+07:00", _utc(2026, 12, 24, 11, 0, 30)),
    ],
)
def test_a_moment_is_a_whole_day_or_a_time_with_its_zone(text, at):
    assert quantities.moment(text) == at


@pytest.mark.parametrize("text", ["", "tomorrow", "2026-12-24T18:00", "2026-02-30", "9999-12-31"])
def test_what_is_no_moment_is_refused(text):
    with pytest.raises(ValueError, match="expected a date such as 2026-12-24"):
        quantities.moment(text)
