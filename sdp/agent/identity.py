"""The agent's own secret key on disk: read when it is needed, refused when others could read it."""

import dataclasses
import os
import stat
from pathlib import Path
from typing import Final, TypeAlias

from sdp.sops import identities
from sdp.sops.identities import Identities
from sdp.sops.problem import SopsError

Stamp: TypeAlias = tuple[int, ...]

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_LARGEST: Final = 64 << 10


@dataclasses.dataclass(frozen=True, slots=True)
class Unusable:
    """Why there is no identity to open files with."""

    reason: str
    message: str
    fix: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class IdentityFile:
    """Where the secret key is; None where the agent's own file names none."""

    path: Path | None

    def stamp(self) -> Stamp:
        """Return what differs whenever the file does, its mode included; empty: it is not there."""
        if self.path is None:
            return ()
        try:
            found = self.path.stat()
        except OSError:
            return ()
        return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)

    def read(self) -> Identities | Unusable:
        """Return the secret keys in the file."""
        if self.path is None:
            return Unusable("NoIdentity", "its agent has no identity: in agent.yaml")
        try:
            text = _private_text(self.path)
        except PermissionError as error:
            return Unusable("NoIdentity", f"its agent may not read {self.path}: {error.strerror}")
        except OSError as error:
            return Unusable("NoIdentity", f"its agent's identity {self.path}: {error.strerror}")
        if isinstance(text, Unusable):
            return text
        try:
            return identities.read(text)
        except SopsError as error:
            return Unusable(error.reason, f"its agent's identity {self.path}: {error}")


def _private_text(path: Path) -> str | Unusable:
    # Not blocking: a named pipe must not hold the agent up.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            return Unusable("NoIdentity", f"its agent's identity {path} is no file")
        if found.st_mode & _OTHERS:
            mode = f"{stat.S_IMODE(found.st_mode):04o}"
            return Unusable(
                "IdentityExposed",
                f"others can read its agent's identity {path} (mode {mode})",
                f"chmod 600 {path}",
            )
        return file.read(_LARGEST).decode(errors="replace")
