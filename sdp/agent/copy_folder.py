"""One sandbox's copy of one gateway commit on disk: the tree that is mounted, and what is beside.

Beside the tree, out of the container's sight, are ``copy.json`` and ``kept/``: the contents that
the agent wrote to config.php, by hash, and ``edited-*.php``: what others wrote there.
"""

import contextlib
import dataclasses
import datetime
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from sdp import durable
from sdp.agent import recipes
from sdp.protocol.actions import Value
from sdp.protocol.frames import Failed
from sdp.protocol.report import ConfigProblems

RECORD = "copy.json"

_SANDBOX = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_COMMIT = re.compile(r"[0-9a-f]{40}")


class Record(Value):
    """What the agent knows of a copy.

    ``written`` maps a config file to the hashes that it may have through the agent's own doing:
    during a change two, else one. ``served`` are the routes that were last seen to serve, while a
    change since then is not verified; None when what the files say was verified. ``environment``
    is what the running gateway was found to run in, "" while that is not known.
    """

    sandbox: str
    commit: str
    config: str
    key: str
    defaults: dict[str, str]
    problems: ConfigProblems
    written: dict[str, tuple[str, ...]]
    served: dict[str, str] | None
    verified_at: datetime.datetime | None
    environment: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class CopyFolder:
    """The places of a copy; ``root`` is ``copies/<sandbox>/<commit>``."""

    root: Path

    @property
    def tree(self) -> Path:
        return self.root / "tree"

    def record(self) -> Record | None:
        """Return what is known, None where there is no whole copy."""
        try:
            return Record.model_validate_json((self.root / RECORD).read_bytes())
        except (OSError, ValidationError):
            return None

    def save(self, record: Record) -> None:
        durable.write(self.root / RECORD, record.model_dump_json(indent=1).encode())

    def file(self, name: str) -> Path:
        """Return where a file of the tree really is.

        Raises:
            PermissionError: a symbolic link leads out of the tree.
        """
        path = (self.tree / name).resolve()
        if not path.is_relative_to(self.tree.resolve()):
            raise PermissionError(f"{name} leads out of the gateway's copy")
        return path

    def read(self, name: str) -> bytes | None:
        try:
            return self.file(name).read_bytes()
        except FileNotFoundError:
            return None

    def keep(self, content: bytes) -> str:
        """Keep a content durably; return its hash."""
        name = hashed(content)
        path = self._kept(name)
        if not path.is_file():
            durable.write(path, content)
        return name

    def kept(self, name: str) -> bytes:
        return self._kept(name).read_bytes()

    def forget(self, record: Record) -> None:
        """Remove kept contents that the record does not name."""
        named = {f"{name}.php" for names in record.written.values() for name in names}
        for path in (self.root / "kept").glob("*.php"):
            if path.name not in named:
                path.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what a crash left unfinished, also beside the files that are written."""
        folders = {self.root, self.root / "kept"}
        record = self.record()
        for name in record.written if record else ():
            with contextlib.suppress(OSError):  # somebody changed the tree
                folders.add(self.file(name).parent)
        for folder in folders:
            durable.sweep(folder)

    def keep_edited(self, name: str, content: bytes, now: datetime.datetime) -> Path:
        """Keep what somebody else wrote; return where."""
        part = "" if len(Path(name).parts) == 1 else f"-{Path(name).parent.name}"
        path = self.root / f"edited-{now:%Y%m%dT%H%M%S.%fZ}{part}.php"
        durable.write(path, content)
        return path

    def _kept(self, name: str) -> Path:
        return self.root / "kept" / f"{name}.php"


def folder_of(copies: Path, sandbox: str, commit: str) -> CopyFolder:
    """Return a copy's places.

    Raises:
        ValueError: a name that may not become part of a path.
    """
    lowered = sandbox.lower()
    if not (_SANDBOX.fullmatch(lowered) and _COMMIT.fullmatch(commit)):
        raise ValueError(f"no copy can be of sandbox {sandbox!r} at {commit!r}")
    return CopyFolder(copies / lowered / commit)


def hashed(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def edited(folder: CopyFolder, record: Record) -> bool:
    """Return whether a config file holds what the agent never wrote."""
    return any(
        (content := folder.read(name)) is None or hashed(content) not in names
        for name, names in record.written.items()
    )


def routes_on_disk(folder: CopyFolder, record: Record) -> Mapping[str, str]:
    """Return the map that the files hold now."""
    live = recipes.read_routes(folder.tree, record.config, record.key)
    return {} if isinstance(live, Failed) else recipes.defaults_of(live)
