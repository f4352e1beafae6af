"""The anchor: the audit's last number and hash, outside the database that they speak of.

It is written after the row that it names is on disk, so it is never ahead of the database.
"""

import contextlib
import json
import os
from pathlib import Path
from typing import Final

import structlog

from sdp.reconciler.chain import Head
from sdp.store.database import unwritable

NAME: Final = "trust/audit.head"
"""Where it is, in the data folder."""

_LONGEST: Final = 1_000

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Anchor:
    """The file; it has one writer, the store's."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME

    def read(self) -> Head | None:
        """Return what it names; None: it is not there, or is no anchor."""
        try:
            with self._path.open(encoding="utf-8") as file:
                found = json.loads(file.read(_LONGEST))
            return Head(int(found["seq"]), str(found["hash"]))
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def write(self, head: Head) -> None:
        """Name another row, in place of the one before.

        Raises:
            StoreUnavailable: it can't be written.
        """
        new = self._path.with_suffix(".new")
        try:
            self._path.parent.mkdir(mode=0o700, exist_ok=True)
            with new.open("w", encoding="utf-8") as file:
                file.write(json.dumps({"seq": head.seq, "hash": head.hash}) + "\n")
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._path)
        except OSError as error:
            with contextlib.suppress(OSError):
                new.unlink(missing_ok=True)
            raise unwritable(error, self._path) from error
