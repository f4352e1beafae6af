"""What this agent trusts, on disk: its own key, its control plane's, and the newest start of that.

``STATE/trust``, private. Enrolment replaces the whole identity at once; what runs reads it afresh
at each connection, so it needs no restart.
"""

import dataclasses
from pathlib import Path
from typing import Final, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import BaseModel, ConfigDict, ValidationError

from sdp import durable, private
from sdp.protocol import handshake

_PRIVATE: Final = 0o600


class UntrustedError(Exception):
    """This agent has no identity to speak with; the text says what to do."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Identity(_Record):
    key: str
    control_plane: str


class _Seen(_Record):
    control_plane: str
    epoch: int


R = TypeVar("R", bound=_Record)


@dataclasses.dataclass(frozen=True, slots=True)
class Identity:
    """Who this agent is to its control plane: its key, and the public key that it obeys."""

    key: Ed25519PrivateKey = dataclasses.field(repr=False)
    control_plane: str


class Trust:
    """The folder."""

    def __init__(self, state: Path, node: str) -> None:
        self._root = state / "trust"
        self._fix = f"sdp nodes enroll {node}, then here: sdp agent --config FILE --enroll"

    def identity(self) -> Identity:
        """Return who this agent is; raises UntrustedError where it was never enrolled."""
        path = self._root / "identity.json"
        found = self._read(path, _Identity)
        if found is None:
            raise UntrustedError(f"this agent is not enrolled: {self._fix}")
        try:
            key = Ed25519PrivateKey.from_private_bytes(handshake.decode(found.key))
        except ValueError:
            raise UntrustedError(f"{path} holds no key: {self._fix}") from None
        return Identity(key, found.control_plane)

    def adopt(self, key: Ed25519PrivateKey, control_plane: str, epoch: int) -> bool:
        """Be enrolled; return whether that replaces what was."""
        replaces = (self._root / "identity.json").exists()
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        text = handshake.encode(key.private_bytes_raw())
        self._write("epoch.json", _Seen(control_plane=control_plane, epoch=epoch))
        self._write("identity.json", _Identity(key=text, control_plane=control_plane))
        return replaces

    def epoch(self, control_plane: str) -> int:
        """Return the newest start of a control plane that was seen."""
        seen = self._read(self._root / "epoch.json", _Seen)
        return seen.epoch if seen is not None and seen.control_plane == control_plane else 0

    def saw(self, control_plane: str, epoch: int) -> None:
        """Note a newer start; from then on no older one is obeyed."""
        self._write("epoch.json", _Seen(control_plane=control_plane, epoch=epoch))

    def _read(self, path: Path, kind: type[R]) -> R | None:
        text = private.read(path)
        if isinstance(text, private.Refused):
            if text.why == "Missing":
                return None
            raise UntrustedError(f"{path}: {text.message}; {text.fix or self._fix}")
        try:
            return kind.model_validate_json(text)
        except ValidationError:
            raise UntrustedError(f"{path} is damaged: {self._fix}") from None

    def _write(self, name: str, record: _Record) -> None:
        durable.write(self._root / name, record.model_dump_json().encode(), _PRIVATE)
