"""Which releases are in use this moment, so that none is removed under its user.

What has become a container shows in the engine; this is for what is on its way there.
"""

import contextlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path


class Uses:
    """For the loop's thread alone: between two awaits nothing changes."""

    def __init__(self) -> None:
        self._users: Counter[Path] = Counter()
        self._going: set[Path] = set()

    @contextlib.contextmanager
    def held(self, place: Path) -> Iterator[bool]:
        """Keep a release from being removed meanwhile; False: it is being removed."""
        self._users[place] += 1
        try:
            yield place not in self._going
        finally:
            self._users[place] -= 1
            if not self._users[place]:
                del self._users[place]

    @contextlib.contextmanager
    def going(self, place: Path) -> Iterator[bool]:
        """Let nobody begin to use a release meanwhile; False: somebody uses it already."""
        if self._users[place]:
            yield False
            return
        self._going.add(place)
        try:
            yield True
        finally:
            self._going.discard(place)
