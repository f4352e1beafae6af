"""A person's editor on a text that nobody else may see, and that nothing keeps.

The copy lies in a folder of its own, in memory where there is such a place, and is removed
however this ends, short of SIGKILL.
"""

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

MEMORY = Path("/dev/shm")  # noqa: S108 -- a folder of mode 0700 is made in it
_ENDING = (signal.SIGTERM, signal.SIGHUP)


class EditorError(Exception):
    """The editor did not run, or said that it failed."""


@contextlib.contextmanager
def private_folder() -> Iterator[Path]:
    """Make a folder that only its owner can enter; it is gone afterwards, with all in it."""
    place = MEMORY if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) else None
    before = {number: signal.signal(number, _end) for number in _ENDING}
    folder = Path(tempfile.mkdtemp(prefix="sdp-", dir=place))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        for number, handler in before.items():
            signal.signal(number, handler)


def edited(path: Path, text: str) -> str:
    """Let a person edit a text; return what it became.

    Args:
        path: in a private folder; its name is what the editor shows.
        text: to begin with.

    Raises:
        EditorError: there is no editor, it failed, or left no text.
    """
    words = _command()
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    try:
        done = subprocess.run([*words, str(path)], check=False)
    except OSError as error:
        raise EditorError(f"{words[0]}: {error.strerror}") from error
    if done.returncode != 0:
        raise EditorError(f"{words[0]} ended with {done.returncode}")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise EditorError(f"{words[0]} left no text in {path.name}") from error


def _command() -> list[str]:
    said = os.environ.get("VISUAL") or os.environ.get("EDITOR") or ""
    try:
        return shlex.split(said) or ["vi"]
    except ValueError as error:
        raise EditorError(f"the editor {said!r} can't be read: {error}") from error


def _end(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)
