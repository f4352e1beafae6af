"""The keyring: this user's sessions at control planes, in one file that nobody else can read."""

import datetime
import os
from pathlib import Path
from typing import Final

from pydantic import AwareDatetime, BaseModel, Field, TypeAdapter, ValidationError

from sdp import durable, private


class KeyringError(Exception):
    """The file can't be used; ``fix`` says what to do."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.fix = fix


class Kept(BaseModel):
    """A session at one control plane."""

    user: str
    token: str = Field(repr=False)
    expires_at: AwareDatetime

    def lasts(self, now: datetime.datetime) -> bool:
        """Whether it has not expired."""
        return now < self.expires_at


_file: Final = TypeAdapter(dict[str, Kept])


def path() -> Path:
    """Return where the file is."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "sdp" / "sessions.json"


def of(url: str) -> Kept | None:
    """Return the session at a control plane.

    Raises:
        KeyringError: others can read the file, or it is none of ours.
    """
    return _load().get(url)


def keep(url: str, session: Kept) -> None:
    """Keep a session, in place of the one that was there.

    Raises:
        KeyringError: the file can't be used.
    """
    _save({**_load(), url: session})


def forget(url: str) -> None:
    """Forget the session at a control plane.

    Raises:
        KeyringError: the file can't be used.
    """
    if url in (held := _load()):
        _save({each: session for each, session in held.items() if each != url})


def _load() -> dict[str, Kept]:
    file = path()
    found = private.read(file)
    if isinstance(found, private.Refused):
        match found.why:
            case "Missing":
                return {}
            case "Exposed":
                fix = f"{found.fix}; whoever read it can act as you: sdp logout --everywhere"
                raise KeyringError(f"others can read {file}, which holds your sessions", fix)
            case _:
                fix = f"make it a file of yours, or remove it: rm {file}"
                raise KeyringError(f"{file} can't be read: {found.message}", fix)
    try:
        return _file.validate_json(found)
    except ValidationError as error:
        fix = f"remove it, and log in anew: rm {file}; sdp login"
        raise KeyringError(f"{file} is no file of sessions", fix) from error


def _save(held: dict[str, Kept]) -> None:
    file = path()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.parent.chmod(0o700)
        durable.write(file, _file.dump_json(held, indent=2), 0o600)
    except OSError as error:
        fix = f"make {file.parent} writable for you, or set XDG_STATE_HOME"
        raise KeyringError(f"{file} can't be written: {error.strerror}", fix) from error
