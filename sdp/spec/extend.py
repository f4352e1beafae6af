"""Extend: keep a sandbox that would expire for longer. Pure.

The time is written into the sandbox's own file, so git says until when it is kept, by whom and why.
"""

import datetime
from collections.abc import Mapping
from typing import Final

from sdp.spec import quantities
from sdp.spec.edit import set_value
from sdp.spec.edits import Extend
from sdp.spec.finding import CannotChangeError, Files, find, order
from sdp.spec.models import Lifecycle
from sdp.spec.switch import resolved

_ALMOST_A_MINUTE: Final = datetime.timedelta(minutes=1, microseconds=-1)


def extend(files: Files, edit: Extend) -> tuple[Mapping[str, str | None], str]:
    """Return the file that differs, and what was done in a line.

    Raises:
        CannotChangeError: there is no such sandbox, it never expires, or not before that anyway.
    """
    path, text = find(files, "sandbox", edit.sandbox)
    lifecycle = resolved(files, path, edit.sandbox).lifecycle or Lifecycle()
    _refuse_endless(lifecycle, edit.sandbox)
    kept = quantities.moment(lifecycle.keep_until) if lifecycle.keep_until else edit.ends
    ends = max(edit.ends, kept)
    until = edit.until or _later(ends, edit.by or lifecycle.expire_after or "")
    if quantities.moment(until) <= ends:
        raise CannotChangeError(
            f"{until} is no later than {ends:%Y-%m-%d %H:%M} UTC, until when {edit.sandbox} is "
            "kept anyway",
            f"name a later time, or let it be counted: sdp extend {edit.sandbox}",
        )
    after = set_value(text, ("lifecycle", "keep_until"), until, order("sandbox"))
    return {path: after}, f"Keep {edit.sandbox} until {until}"


def _refuse_endless(lifecycle: Lifecycle, name: str) -> None:
    if lifecycle.protect:
        raise CannotChangeError(
            f"{name} is protected, and never expires",
            f"leave it so; or let it expire again: sdp protect {name} --off",
        )
    if lifecycle.expire_after is None:
        raise CannotChangeError(
            f"{name} never expires: neither it, its template nor the platform says expire_after",
            f"leave it so; or let it: sdp set {name} lifecycle.expire_after=14d",
        )


def _later(ends: datetime.datetime, by: str) -> str:
    """Return the time so long after another, in whole minutes and not before."""
    try:
        at = ends.astimezone(datetime.UTC) + quantities.duration(by) + _ALMOST_A_MINUTE
    except OverflowError as error:
        raise CannotChangeError(
            f"{by} after {ends:%Y-%m-%d} is later than there are dates",
            "name a shorter time; or keep it for good: sdp protect",
        ) from error
    return f"{at:%Y-%m-%dT%H:%MZ}"
