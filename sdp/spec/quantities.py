"""Amounts as people write them: CPUs, memory, durations, times. Read into canonical units, and back."""

import datetime
import re

_CPU = re.compile(r"(?P<milli>[1-9][0-9]{0,5})m|(?P<cores>[0-9]{1,3}(\.[0-9]{1,3})?)")
_MEMORY = re.compile(r"(?P<amount>[1-9][0-9]{0,8})(?P<unit>[KMG]i?B?)")
_DURATION = re.compile(r"(?P<amount>[1-9][0-9]{0,5})(?P<unit>[smhd])")

_MOMENT = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d))?")
_ANY_MOMENT = "expected a date such as 2026-12-24, or a time with its zone: 2026-12-24T18:00Z"

_BYTES = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

MIN_CPU = 10
"""Docker refuses a quota below 1 ms in a period of 100 ms."""
MIN_MEMORY = 6 << 20
"""Docker refuses a container with less memory than 6 MiB."""


def cpu(text: str) -> int:
    """Return thousandths of a core: 500 for ``500m`` and for ``0.5``.

    Raises:
        ValueError: the text is no amount of CPU, or less than Docker's minimum.
    """
    match = _CPU.fullmatch(text)
    if match is None:
        raise ValueError("expected cores such as 1, 0.5 or 500m")
    milli = int(match["milli"]) if match["milli"] else round(float(match["cores"]) * 1000)
    if milli < MIN_CPU:
        raise ValueError("expected at least 10m, Docker's minimum")
    return milli


def cpu_text(milli: int) -> str:
    """Return an amount of CPU as people write it; 0 is no limit."""
    if milli % 1000:
        return f"{milli}m"
    return str(milli // 1000) if milli else "unlimited"


def memory(text: str) -> int:
    """Return bytes: 512 * 2**20 for ``512MB`` and for ``512Mi``, as Docker counts.

    Raises:
        ValueError: the text is no amount of memory, or less than Docker's minimum.
    """
    match = _MEMORY.fullmatch(text)
    if match is None:
        raise ValueError("expected an amount such as 512MB or 1GB")
    amount = int(match["amount"]) * _BYTES[match["unit"][0]]
    if amount < MIN_MEMORY:
        raise ValueError("expected at least 6MB, Docker's minimum")
    return amount


def memory_text(amount: int) -> str:
    """Return an amount of memory as people write it; 0 is no limit."""
    for unit in ("G", "M", "K"):
        if amount and amount % _BYTES[unit] == 0:
            return f"{amount // _BYTES[unit]}{unit}B"
    return f"{amount}B" if amount else "unlimited"


def duration(text: str) -> datetime.timedelta:
    """Return a span of time: 14 days for ``14d``.

    Raises:
        ValueError: the text is no duration.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError("expected a duration such as 30s, 10m, 12h or 14d")
    return datetime.timedelta(seconds=int(match["amount"]) * _SECONDS[match["unit"]])


def moment(text: str) -> datetime.datetime:
    """Return a point in time: of a date, the end of that day (UTC).

    Raises:
        ValueError: the text is neither a date nor a time with its zone, or there is no such.
    """
    if _MOMENT.fullmatch(text) is None:
        raise ValueError(_ANY_MOMENT)
    try:
        at = datetime.datetime.fromisoformat(text)
        whole = at.tzinfo is not None
        return at if whole else at.replace(tzinfo=datetime.UTC) + datetime.timedelta(days=1)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"there is no {text}; {_ANY_MOMENT}") from error
