"""Chain: acts in an order that can't be changed unseen, each hashed over the one before. Pure.

Where nobody has what was before, as in an export that begins later, the first row is believed.
"""

import dataclasses
import datetime
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from sdp.reconciler.audit import Act
from sdp.spec.roles import ITSELF

_FIELDS: Final = tuple(field.name for field in dataclasses.fields(Act))
LONGEST: Final = 1_000
"""Characters of one field that are kept; the rest is cut."""


@dataclasses.dataclass(frozen=True, slots=True)
class Head:
    """The last row of a chain, or where one begins: its number, and its hash in hex."""

    seq: int
    hash: str


ORIGIN: Final = Head(0, "0" * 64)
"""Before the first row."""


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """An act in its place."""

    seq: int
    act: Act
    hash: str

    @property
    def head(self) -> Head:
        """The chain's end, where this is the last of it."""
        return Head(self.seq, self.hash)


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    """Rows, newest first; before which number the next page begins, 0 at the end."""

    entries: tuple[Entry, ...]
    following: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with a chain, at which row."""

    seq: int
    message: str


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """What a look at a chain found.

    Attributes:
        rows: how many were looked at; after one that is broken, no more are.
        first: the number of the first; 0 where there is none.
        head: the last that is right.
        findings: by row; nothing: it is as it was written.
    """

    rows: int
    first: int
    head: Head
    findings: tuple[Finding, ...] = ()


def enchain(last: Head, acts: Sequence[Act]) -> Iterator[Entry]:
    """Yield acts as the next rows of a chain, each field plain text of a bounded length."""
    for act in map(_plain, acts):
        seq = last.seq + 1
        entry = Entry(seq, act, _link(last.hash, seq, act))
        yield entry
        last = entry.head


def resume(
    anchor: Head | None, last: Head, named: str, now: datetime.datetime
) -> tuple[Head, Act] | None:
    """Return the act that tells of a break, and after what it comes; None: there is none.

    Args:
        anchor: the head that was put down outside the database; None: it can't be read.
        last: the last row that the database has.
        named: the hash of its row with the anchor's number; "": it has no such row.
        now: as of when.
    """
    if anchor is None and last == ORIGIN:
        return None
    if anchor is None:
        return last, _broken("the anchor is gone, which named the last row", "", now)
    if anchor.seq > last.seq:
        missing = _missing(last.seq + 1, anchor.seq)
        message = f"{missing}: the database was lost, or is an older one"
        return anchor, _broken(message, anchor.hash, now)
    if anchor.seq and named != anchor.hash:
        message = f"row {anchor.seq} is not the one that was written"
        return last, _broken(message, anchor.hash, now)
    return None


def verify(entries: Iterable[Entry], start: Head | None, anchor: Head | None) -> Verdict:
    """Return whether rows are as they were written, in their order.

    Args:
        entries: in the order in which they are kept.
        start: what they follow; None: nobody knows, and the first is believed.
        anchor: the head that was put down outside; None: there is none to compare with.
    """
    last, rows, first = start, 0, 0
    named = ""
    findings: list[Finding] = []
    for entry in entries:
        if last is not None and (fault := _fault(last, entry)):
            found = (*findings, Finding(entry.seq, fault))
            return Verdict(rows, first, last, found)
        if entry.act.kind == "AUDIT":
            findings.append(Finding(entry.seq, entry.act.message))
        if anchor is not None and entry.seq == anchor.seq:
            named = entry.hash
        last, rows, first = entry.head, rows + 1, first or entry.seq
    last = last or ORIGIN
    if anchor is not None and anchor.seq > last.seq:
        missing = _missing(last.seq + 1, anchor.seq)
        findings.append(Finding(last.seq + 1, f"{missing}: the anchor names the last of them"))
    elif anchor is not None and anchor.seq and named != anchor.hash:
        findings.append(Finding(anchor.seq, "it is not the one that the anchor names"))
    return Verdict(rows, first, last, tuple(findings))


def _fault(last: Head, entry: Entry) -> str:
    """Return what is wrong with a row after another; "" for nothing."""
    resumes = entry.act.kind == "AUDIT" and entry.seq > last.seq + 1
    before = Head(entry.seq - 1, entry.act.commit) if resumes else last
    if entry.seq > before.seq + 1:
        return f"{_missing(before.seq + 1, entry.seq - 1)} before it"
    if entry.seq <= before.seq:
        return f"it comes after row {before.seq}"
    if entry.hash != _link(before.hash, entry.seq, entry.act):
        return "it was changed, or the one before it was"
    return ""


def _link(before: str, seq: int, act: Act) -> str:
    """Return the SHA-256 of the hash before and the row as canonical JSON, in hex."""
    at = act.at.astimezone(datetime.UTC).isoformat(timespec="microseconds")
    row = {**{name: getattr(act, name) for name in _FIELDS}, "at": at, "seq": seq}
    canonical = json.dumps(row, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{before}{canonical}".encode()).hexdigest()


def _plain(act: Act) -> Act:
    """Return an act on one line, whatever a request or a commit made of its words."""
    return dataclasses.replace(
        act,
        user=_printable(act.user),
        action=_printable(act.action),
        address=_printable(act.address),
        repository=_printable(act.repository),
        branch=_printable(act.branch),
        commit=_printable(act.commit),
        environment=_printable(act.environment),
        sandbox=_printable(act.sandbox),
        service=_printable(act.service),
        message=_printable(act.message),
    )


def _printable(text: str) -> str:
    text = text[:LONGEST]
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else "\ufffd" for each in text)


def _broken(message: str, anchored: str, now: datetime.datetime) -> Act:
    return Act(now, "AUDIT", "failed", ITSELF, "begun anew", commit=anchored, message=message)


def _missing(first: int, last: int) -> str:
    return f"row {first} is missing" if first == last else f"rows {first} to {last} are missing"
