"""Removal: the files of sandboxes whose time is over go, by one commit that says which and why.

Who lands the commit is a collaborator; this knows what is due, and when to try again.
"""

import asyncio
import contextlib
import dataclasses
from typing import Final, Protocol

from sdp.reconciler.draft import World
from sdp.reconciler.expiry import Deadline, due
from sdp.spec.roles import ITSELF

FIRST_PAUSE: Final = 60.0
LONGEST_PAUSE: Final = 1800.0
"""Seconds between attempts, as long as the same is due."""
_BACK: Final = (
    "To bring them back, with all their time again: sdp revert, and this commit's digits"
)


@dataclasses.dataclass(frozen=True, slots=True)
class Removal:
    """What is to be removed, as it was decided at a revision.

    Attributes:
        author: as ``Name <mail>``.
        paths: the sandboxes' files.
        subject: the commit's.
        why: the paragraphs below it.
    """

    revision: str = ""
    author: str = ""
    paths: tuple[str, ...] = ()
    subject: str = ""
    why: str = ""


class Remover(Protocol):
    """Who removes files from the config repo."""

    async def remove(self, removal: Removal) -> str:
        """Remove files that did not change meanwhile; return why that can't be, or ""."""


def removal(whole: World) -> Removal:
    """Return what is to be removed now; nothing, where it has no paths."""
    names = due(whole.expiries, whole.desired, whole.now)
    sandboxes = [whole.desired.sandboxes[name] for name in names]
    if not sandboxes:
        return Removal()
    lines = [f"- {each.name}: {_why(whole, each.name)}" for each in sandboxes]
    first, *more = sandboxes
    others = f" and {len(more)} more" if more else ""
    return Removal(
        whole.desired.revision,
        f"SDP <{ITSELF}@{first.instance}>",
        tuple(each.path for each in sandboxes),
        f"Remove {first.name}{others}, not used any more",
        "\n".join(lines) + f"\n\n{_BACK}",
    )


def _why(whole: World, name: str) -> str:
    found = whole.expiries[name.lower()]
    assert isinstance(found, Deadline)  # noqa: S101 -- only such are due
    return (
        f"not used since {found.used_at:%Y-%m-%d %H:%M} UTC, expired {found.expires_at:%Y-%m-%d}"
    )


class Removals:
    """What is due, and how its removal goes, and when it is tried again.

    Attributes:
        failure: why the last attempt was in vain.
        pause: seconds until the next one, where nothing else is due sooner.
    """

    def __init__(self) -> None:
        self.failure = ""
        self._wanted = Removal()
        self._changed = asyncio.Event()
        self.pause = FIRST_PAUSE

    def take(self, made: Removal) -> None:
        """Take what is due now."""
        if made != self._wanted:
            self._wanted = made
            self._changed.set()
        if not made.paths:
            self.failure = ""

    async def attempt(self, remover: Remover) -> None:
        """Wait until something is due, and have it removed."""
        while not self._wanted.paths:
            self._changed.clear()
            await self._changed.wait()
        self._changed.clear()
        self.failed(await remover.remove(self._wanted))

    def failed(self, why: str) -> None:
        """Take how an attempt ended: "" is well."""
        again = self.failure and why
        self.pause = min(self.pause * 2, LONGEST_PAUSE) if again else FIRST_PAUSE
        self.failure = why

    async def rest(self) -> None:
        """Wait until it is worth trying again: something else is due, or some time passed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.pause):
                await self._changed.wait()
