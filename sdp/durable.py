"""Files that a crash leaves whole: the old content or the new, never a part."""

import contextlib
import os
import shutil
import uuid
from pathlib import Path

TEMPORARY = ".sdp-tmp-"
"""Begins the names of what is not finished; whoever owns a folder sweeps them at start."""
_LOOKS = 100
_BLOCK = 512


def temporary(beside: Path) -> Path:
    """Return a name that nothing has yet, in the same folder."""
    return beside.with_name(f"{TEMPORARY}{uuid.uuid4().hex}")


def write(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Write a file of ours, creating its folder; nobody but for whom ``mode`` says can read it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = temporary(path)
    try:
        _write_synced(half, content, mode)
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)
    sync_folder(path.parent)


def stage_beside(path: Path, content: bytes) -> Path:
    """Write the file that is to replace ``path``: its mode and owner, and a later mtime.

    A cache that compares times in whole seconds sees the change also within the same second.
    """
    old = path.stat()
    half = temporary(path)
    try:
        _write_synced(half, content)
        half.chmod(old.st_mode & 0o7777)
        with contextlib.suppress(PermissionError):  # only root can give files away
            os.chown(half, old.st_uid, old.st_gid)
        if half.stat().st_mtime < old.st_mtime + 1:
            os.utime(half, (old.st_mtime + 1, old.st_mtime + 1))
    except BaseException:
        half.unlink(missing_ok=True)
        raise
    return half


def sync_folder(folder: Path) -> None:
    """Make the folder's names durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sweep(root: Path) -> None:
    """Remove what was not finished, anywhere below a folder, not looking into what is."""
    if not root.is_dir():
        return
    for entry in list(root.iterdir()):
        if entry.name.startswith(TEMPORARY):
            remove(entry)


def matching(folder: Path, pattern: str) -> list[Path]:
    """Return what matches a pattern below a folder, of which parts may go meanwhile.

    Raises:
        OSError: the disk can't be read.
    """
    for _ in range(_LOOKS):
        with contextlib.suppress(FileNotFoundError):  # a folder went between two steps: look again
            return sorted(folder.glob(pattern))
    return sorted(folder.glob(pattern))


def size(root: Path) -> int:
    """Return the bytes that a folder takes on the disk."""
    return sum(each.lstat().st_blocks * _BLOCK for each in root.rglob("*"))


def remove(path: Path) -> None:
    """Remove a file or a whole folder; what is not there is fine."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _write_synced(path: Path, content: bytes, mode: int = 0o666) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
