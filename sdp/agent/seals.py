"""Opens encrypted environment files on the node where they are used, and nowhere else.

What is kept of them, and told, are fingerprints: hashes of the values, keyed with random bytes
that never leave the state folder. Plain values live as long as a container's creation takes.
"""

import asyncio
import dataclasses
import hashlib
import hmac
import json
import os
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from sdp import durable
from sdp.agent.identity import IdentityFile, Stamp, Unusable
from sdp.protocol.actions import SealedFile, Unseal
from sdp.protocol.frames import Failed, Outcome, Succeeded
from sdp.protocol.report import Sealed
from sdp.sops import document
from sdp.sops.problem import SopsError

MOST: Final = 1000
"""Files of which fingerprints are kept; those that were asked for longest ago go first."""
KEY: Final = "fingerprint.key"
KNOWN: Final = "fingerprints.json"
PRIVATE: Final = 0o600
_KEY_BYTES: Final = 32
_SHORTEST_HIDDEN: Final = 4


def _none() -> Mapping[str, str]:
    return {}


@dataclasses.dataclass(frozen=True, slots=True)
class Plaintext:
    """Decrypted variables and files (path → content); nothing shows them."""

    variables: Mapping[str, str] = dataclasses.field(default_factory=_none, repr=False)
    files: Mapping[str, str] = dataclasses.field(default_factory=_none, repr=False)

    def hidden(self, text: str) -> str:
        """Return a text without these values: an engine may repeat what it refuses."""
        for value in sorted({*self.variables.values(), *self.files.values()}, key=len)[::-1]:
            if len(value) >= _SHORTEST_HIDDEN:
                text = text.replace(value, "***")
        return text


class Seals:
    """Files that this node was asked to open, by digest: fingerprints, or why not."""

    def __init__(self, identity: IdentityFile, state: Path) -> None:
        self._identity = identity
        self._state = state
        self._lock = threading.Lock()
        self._troubles: dict[str, tuple[Stamp, Sealed]] = {}
        # Without their key, fingerprints of the same values would be others from now on.
        self._known = _read_known(state / KNOWN) if (state / KEY).exists() else {}

    def scan(self) -> Mapping[str, Sealed]:
        """Return what is told of each file; a trouble is forgotten when the identity changes."""
        with self._lock:
            stamp = self._identity.stamp()
            self._troubles = {k: each for k, each in self._troubles.items() if each[0] == stamp}
            known = {key: Sealed(fingerprints=each) for key, each in self._known.items()}
            return {**known, **{key: each for key, (_, each) in self._troubles.items()}}

    async def unseal(self, action: Unseal) -> Outcome:
        """Open a file; what came of it shows in the report, also where it can't be opened."""
        try:
            await asyncio.to_thread(self._learn, action.file)
        except OSError as error:
            return Failed(
                reason="StateUnwritable",
                message=f"what is known of {action.file.path} can't be kept: {error}",
                fix="make the agent's state folder writable, and see that its disk has room",
            )
        return Succeeded()

    async def open(self, files: Iterable[SealedFile]) -> Plaintext | Failed:
        """Return what is taken from these files, or why one of them can't be opened."""
        return await asyncio.to_thread(self._open, tuple(files))

    def _open(self, files: tuple[SealedFile, ...]) -> Plaintext | Failed:
        variables: dict[str, str] = {}
        contents: dict[str, str] = {}
        for file in files:
            opened = self._opened(file)
            if isinstance(opened, Sealed):
                message = f"{file.path} can't be opened: {opened.message}"
                return Failed(reason=opened.reason, message=message, fix=opened.fix)
            variables.update({name: opened[name] for name in file.variables if name in opened})
            contents.update({path: opened[path] for path in file.files if path in opened})
        return Plaintext(variables, contents)

    def _opened(self, file: SealedFile) -> Mapping[str, str] | Sealed:
        stamp = self._identity.stamp()
        opened = _read(file, self._identity)
        with self._lock:
            kept = [each for each in self._troubles.items() if each[0] != file.digest]
            if isinstance(opened, Sealed):
                kept.append((file.digest, (stamp, opened)))
            self._troubles = dict(kept[-MOST:])
        return opened

    def _learn(self, file: SealedFile) -> None:
        opened = self._opened(file)
        if isinstance(opened, Sealed):
            return
        with self._lock:
            key = _key(self._state / KEY)
            told = {name: _fingerprint(key, name, value) for name, value in opened.items()}
            kept = [each for each in self._known.items() if each[0] != file.digest]
            known = dict([*kept, (file.digest, told)][-MOST:])
            durable.write(self._state / KNOWN, json.dumps(known).encode(), PRIVATE)
            self._known = known


def _read(file: SealedFile, identity: IdentityFile) -> Mapping[str, str] | Sealed:
    """Return a file's encrypted values by variable or path, or why there are none."""
    held = identity.read()
    if isinstance(held, Unusable):
        return Sealed(reason=held.reason, message=held.message, fix=held.fix)
    try:
        content: object = json.loads(file.text)
        opened = document.open_file(content if isinstance(content, dict) else {}, held)
    except SopsError as error:
        return Sealed(reason=error.reason, message=str(error))
    except (ValueError, RecursionError):
        return Sealed(reason="Tampered", message="it can't be read")
    found = {str(loc[-1]): str(value) for loc, value in opened.values.items()}
    if bad := sorted(name for name, value in found.items() if "\0" in value):
        return Sealed(reason="Unsupported", message=f"{', '.join(bad)} has a NUL byte")
    return found


def _fingerprint(key: bytes, name: str, value: str) -> str:
    # The name is hashed too: equal values of different names must not be seen to be equal.
    told = json.dumps([name, value]).encode()
    return hmac.new(key, told, hashlib.sha256).hexdigest()[:32]


def _key(path: Path) -> bytes:
    """Return the key of this node's fingerprints, made when there is none."""
    if path.exists() and len(held := path.read_bytes()) == _KEY_BYTES:
        return held
    made = os.urandom(_KEY_BYTES)
    durable.write(path, made, PRIVATE)
    return made


def _read_known(path: Path) -> dict[str, dict[str, str]]:
    try:
        held: object = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    if not isinstance(held, dict):
        return {}
    return {
        str(digest): {str(name): str(each) for name, each in told.items()}
        for digest, told in held.items()
        if isinstance(told, dict)
    }
