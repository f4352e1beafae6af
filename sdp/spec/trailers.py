"""Trailers: what a commit's message says to the platform, in the last lines, as git writes them.

Git is the only place where intent lives, so what a person allows is said in the commit itself.
"""

import re
from typing import Final

ALLOW_DELETES: Final = "SDP-Allow-Deletes"
"""How many sandboxes may go at a commit that would otherwise be held for a person's word."""

APPROVE: Final = "SDP-Approve"
"""The commit of which what waits for somebody's right is accepted as it is."""

_TRAILER = re.compile(r"[A-Za-z0-9-]+:\s.*")
_ALLOWED = re.compile(rf"{ALLOW_DELETES}:\s*([0-9]{{1,6}})\s*", re.IGNORECASE)

_APPROVED = re.compile(rf"{APPROVE}:\s*([0-9a-f]{{7,40}})\s*", re.IGNORECASE)


def allowed_deletes(message: str) -> int:
    """Return how many sandboxes a commit's message lets go; 0 where it says nothing readable.

    As in git-interpret-trailers(1), trailers are the last paragraph, and not the subject.
    """
    found = [_ALLOWED.fullmatch(line) for line in _last_paragraph(message)]
    return max((int(each[1]) for each in found if each), default=0)


def approved(message: str) -> tuple[str, ...]:
    """Return the commits, by their first digits, that a commit's message approves."""
    found = [_APPROVED.fullmatch(line) for line in _last_paragraph(message)]
    return tuple(each[1].lower() for each in found if each)


def allowing(message: str, deletes: int) -> str:
    """Return the message with the trailer that lets so many sandboxes go."""
    return with_trailer(message, f"{ALLOW_DELETES}: {deletes}")


def approving(commit: str) -> str:
    """Return the trailer that approves a commit."""
    return f"{APPROVE}: {commit}"


def with_trailer(message: str, trailer: str) -> str:
    """Return a commit's message with one more trailer."""
    body = message.rstrip()
    last = _last_paragraph(body)
    joined = last and all(_TRAILER.fullmatch(line) for line in last)
    return f"{body}{chr(10) if joined else chr(10) * 2}{trailer}\n"


def _last_paragraph(message: str) -> list[str]:
    """Return the lines of the last paragraph; none where there is only a subject."""
    paragraphs = [each for each in re.split(r"\n[ \t]*\n", message.strip()) if each.strip()]
    return paragraphs[-1].splitlines() if len(paragraphs) > 1 else []
