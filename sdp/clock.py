"""The only place that reads the wall clock; everything else takes now as an argument."""

import datetime


def now() -> datetime.datetime:
    """Return the current time, aware, in UTC."""
    return datetime.datetime.now(datetime.UTC)
