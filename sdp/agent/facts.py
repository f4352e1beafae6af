"""What a node has that deployments need: tools, disks, its engine, archives of images, keys.

Looked at now and then, and told in steps that are coarse enough to be news when they change.
"""

import asyncio
import contextlib
import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from sdp import durable
from sdp.agent import images, runner
from sdp.agent.engine import About, Engine, EngineDown, EngineError
from sdp.agent.identity import IdentityFile, Unusable
from sdp.agent.runner import Command, Finished
from sdp.protocol.report import Archive, Disk, EngineFacts, Fact, Keys, Tool

LOOK_SECONDS: Final = 30.0
TOOL_SECONDS: Final = 20.0
LITTLE_BYTES: Final = 2 << 30
"""Free space from which on down it is told in steps of ``STEP_BYTES``."""
STEP_BYTES: Final = 16 << 20
_ASK: Final = {
    "git": "--version",
    "go": "version",
    "composer": "--version",
}
_VERSION = re.compile(r"\d+\.\d+(\.\d+)*")


class Facts:
    """``state`` is the agent's folder, ``archives`` the one of images."""

    def __init__(
        self, engine: Engine, state: Path, archives: Path, identity: IdentityFile
    ) -> None:
        self._engine = engine
        self._identity = identity
        self._state = state
        self._archives = archives
        self._about: About | None = None
        self._tools: dict[tuple[str, int], Tool] = {}
        self._tags: dict[tuple[str, int, int], frozenset[str]] = {}

    async def run(self, learned: Callable[[Mapping[str, Fact]], None]) -> None:
        """Look until cancelled, and tell what is found."""
        while True:
            learned(await self.look())
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> dict[str, Fact]:
        """Return what there is now; of an engine that is down, what it said last."""
        with contextlib.suppress(EngineDown, EngineError):  # the report's engine says so
            self._about = await self._engine.about()
        found: dict[str, Fact] = {}
        for name in ("git", "go", *(("composer",) if await self._has_composer_json() else ())):
            found[f"tool/{name}"] = await self._tool(name)
        found |= await asyncio.to_thread(self.disks)
        found |= await asyncio.to_thread(self._images)
        found["keys"] = await asyncio.to_thread(self._keys)
        if self._about is not None:
            about = self._about
            found["engine"] = EngineFacts(
                api=about.api, networks=about.networks, strange=about.strange
            )
        return found

    async def _has_composer_json(self) -> bool:
        """Whether a gateway that was built here asks for composer."""
        pattern = "releases/*/*/gateway-*/composer.json"
        return bool(await asyncio.to_thread(durable.matching, self._state, pattern))

    async def _tool(self, name: str) -> Tool:
        key = await asyncio.to_thread(_installed, name)
        if key is None:
            return Tool(version="")
        if key not in self._tools:
            environment = runner.basics(self._state / "caches", runner.PATH)
            argv = (key[0], _ASK[name])
            command = Command(argv, self._state, environment, TOOL_SECONDS)
            ended = await runner.run(command)
            said = ended.stdout.decode(errors="replace") if isinstance(ended, Finished) else ""
            version = _VERSION.search(said)
            self._tools[key] = Tool(version=version[0] if version else "")
        return self._tools[key]

    def disks(self) -> dict[str, Fact]:
        """Return how full the disks are; cheap enough to be asked every second."""
        found: dict[str, Fact] = {"disk/state": disk(self._state)}
        root = self._about.root if self._about else self._state
        # An engine elsewhere has its disk there; one on the same disk is told already.
        with contextlib.suppress(OSError):
            if root.stat().st_dev != self._state.stat().st_dev:
                found["disk/docker"] = disk(root)
        return found

    def _images(self) -> dict[str, Fact]:
        tags: dict[tuple[str, int, int], frozenset[str]] = {}
        archives: list[Path] = []
        with contextlib.suppress(OSError):  # no folder, or a disk that fails: disk/state tells
            archives = sorted(self._archives.glob("*.tar"))
        for path in archives:
            with contextlib.suppress(OSError):  # gone meanwhile
                seen = path.stat()
                key = (path.name, seen.st_mtime_ns, seen.st_size)
                tags[key] = self._tags.get(key) or images.tags(path)
        self._tags = tags
        return {
            f"archive/{name}": Archive(images=tuple(sorted(held)))
            for (name, _, _), held in tags.items()
        }

    def _keys(self) -> Keys:
        held = self._identity.read()
        if isinstance(held, Unusable):
            return Keys(message=held.message, fix=held.fix)
        return Keys(recipients=held.public)


def _installed(name: str) -> tuple[str, int] | None:
    """Return what changes when a program does."""
    path = shutil.which(name, path=runner.PATH)
    with contextlib.suppress(OSError):  # gone meanwhile
        return (path, Path(path).stat().st_mtime_ns) if path else None
    return None


def disk(path: Path) -> Disk:
    """Return how full the file system of a folder is, for who is not root; one that is gone is."""
    try:
        seen = os.statvfs(path)
    except OSError:
        return Disk(path=str(path), total_bytes=0, free=0, inodes=0, writable=False)
    left = seen.f_bavail * seen.f_frsize
    return Disk(
        path=str(path),
        total_bytes=seen.f_blocks * seen.f_frsize,
        free=_share(seen.f_bavail, seen.f_blocks),
        inodes=_share(seen.f_favail, seen.f_files),
        writable=os.access(path, os.W_OK),
        left_bytes=left - left % STEP_BYTES if left < LITTLE_BYTES else None,
    )


def _share(part: int, whole: int) -> int:
    """Return whole per cent; where nothing is counted, nothing runs out."""
    return part * 100 // whole if whole else 100
