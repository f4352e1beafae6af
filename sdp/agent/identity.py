"""The agent's own secret key on disk: read when it is needed, refused when others could read it."""

import dataclasses
from pathlib import Path
from typing import TypeAlias

from sdp import private
from sdp.sops import identities
from sdp.sops.identities import Identities
from sdp.sops.problem import SopsError

Stamp: TypeAlias = tuple[int, ...]


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
        text = private.read(self.path)
        if isinstance(text, private.Refused):
            return _unusable(self.path, text)
        try:
            return identities.read(text)
        except SopsError as error:
            return Unusable(error.reason, f"its agent's identity {self.path}: {error}")


def _unusable(path: Path, refused: private.Refused) -> Unusable:
    match refused.why:
        case "Forbidden":
            return Unusable("NoIdentity", f"its agent may not read {path}: {refused.message}")
        case "Missing":
            return Unusable("NoIdentity", f"its agent's identity {path}: {refused.message}")
        case "NoFile":
            return Unusable("NoIdentity", f"its agent's identity {path} is no file")
        case "Exposed":
            message = f"others can read its agent's identity {path} ({refused.message})"
            return Unusable("IdentityExposed", message, refused.fix)
