"""Files that hold a secret: read when they are needed, refused when others could read them too.

Agents keep a key and a password in such files, the control plane what it reads the config repo with.
"""

import dataclasses
import os
import stat
from pathlib import Path
from typing import Final, Literal, TypeAlias

Why: TypeAlias = Literal["Forbidden", "Missing", "NoFile", "Exposed"]

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_LARGEST: Final = 64 << 10


@dataclasses.dataclass(frozen=True, slots=True)
class Refused:
    """Why a file is not read, in words that go on after what it is; ``fix`` may be empty."""

    why: Why
    message: str
    fix: str = ""


def read(path: Path) -> str | Refused:
    """Return a file's text, as far as it may be read by its owner alone."""
    try:
        # Not blocking: a named pipe must not hold anybody up.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError as error:
        return Refused("Forbidden", str(error.strerror))
    except OSError as error:
        return Refused("Missing", str(error.strerror))
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            return Refused("NoFile", "is no file")
        if found.st_mode & _OTHERS:
            mode = f"{stat.S_IMODE(found.st_mode):04o}"
            return Refused("Exposed", f"mode {mode}", f"chmod 600 {path}")
        return file.read(_LARGEST).decode(errors="replace")
