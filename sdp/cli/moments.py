"""Moments, as people write them: how long ago, or when."""

import contextlib
import datetime

import typer

from sdp import clock
from sdp.spec.quantities import duration


def moment(text: str | None, option: str) -> datetime.datetime | None:
    """Return the moment that is meant; one without a zone is this machine's.

    Args:
        text: such as 10m, or a time; None: none is.
        option: that it was given for.

    Raises:
        typer.BadParameter: it is neither.
    """
    if text is None:
        return None
    with contextlib.suppress(ValueError, OverflowError):
        return clock.now() - duration(text)
    try:
        return datetime.datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError) as error:
        said = f"expected 10m, 2h, 1d, or a time such as 2026-11-25T10:00, found {text!r}"
        raise typer.BadParameter(said, param_hint=option) from error
