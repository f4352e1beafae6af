"""The control plane's keys on disk: ``DATA/trust``, private files of one small thing each.

Files, not the database, which is a cache: deleted, it takes no trust away. What is said about
agents is read afresh each time, so that `sdp nodes enroll --data-dir` needs no restart.
"""

import datetime
import os
import secrets
from pathlib import Path
from typing import Final, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import BaseModel, ConfigDict, ValidationError

from sdp import durable, private
from sdp.protocol import handshake
from sdp.protocol.handshake import Token, Transcript
from sdp.protocol.secret import Secret
from sdp.trust.belief import Belief, Invitation, NotEnrolledError, TrustError

_PRIVATE: Final = 0o600


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Node(_Record):
    key: str
    enrolled_at: datetime.datetime
    by: str
    revoked_at: datetime.datetime | None = None
    revoked_by: str = ""


class _Enrolment(_Record):
    digest: str
    until: datetime.datetime
    by: str


R = TypeVar("R", bound=_Record)


class Trust:
    """The folder, opened; ``epoch`` is 0 until ``begin``."""

    def __init__(self, root: Path, key: Ed25519PrivateKey) -> None:
        self._root = root
        self._private = key
        self.key = handshake.public(key)
        self.epoch = 0

    @classmethod
    def open(cls, data_dir: Path) -> "Trust":
        """Return the folder of a data folder, made with a new key where there is none.

        Raises:
            TrustError: it is damaged, open to others, or somebody else's.
        """
        root = data_dir / "trust"
        try:
            _check_owner(data_dir)
            data_dir.mkdir(0o700, parents=True, exist_ok=True)
            for folder in (root, root / "nodes", root / "enrolments"):
                folder.mkdir(parents=True, exist_ok=True)
                folder.chmod(0o700)
            return cls(root, _key(root / "key"))
        except OSError as error:
            raise TrustError(
                f"{root} can't be used: {error.strerror}", "let its owner run this command"
            ) from error

    def begin(self) -> None:
        """Count one more start; it is on disk before anybody is told of it."""
        path = self._root / "epoch"
        try:
            before = int(path.read_text()) if path.exists() else 0
            durable.write(path, f"{before + 1}\n".encode(), _PRIVATE)
        except (OSError, ValueError) as error:
            fix = "restore it from a backup, or write a number that is larger than any before"
            raise TrustError(f"{path} is no count of starts: {error}", fix) from error
        self.epoch = before + 1

    def sign(self, transcript: Transcript) -> str:
        """Return the control plane's signature."""
        return handshake.sign(self._private, transcript, "control plane")

    def belief(self, node: str) -> Belief:
        """Return how far a node is believed."""
        found = self._node(node)
        if found is None:
            return Belief()
        if found.revoked_at is not None:
            return Belief("revoked", found.key, found.revoked_at, found.revoked_by)
        return Belief("enrolled", found.key, found.enrolled_at, found.by)

    def invite(
        self, node: str, by: str, valid: datetime.timedelta, now: datetime.datetime
    ) -> Invitation:
        """Return a new token for a node, in place of any before."""
        token = Token(node, Secret(handshake.encode(secrets.token_bytes(32))), self.key)
        until = now + valid
        record = _Enrolment(digest=handshake.digest(token.secret), until=until, by=by)
        self._write("enrolments", node, record)
        return Invitation(token, until, replaces=self.belief(node).state == "enrolled")

    def enrol(self, transcript: Transcript, key: str, shown: str, now: datetime.datetime) -> str:
        """Take a node's key, and use its token up; return the proof that it was known here, too.

        Args:
            transcript: what agent and control plane have said.
            key: the agent's new public key, which its hello named.
            shown: the agent's proof that it knows the token.
            now: the present.

        Raises:
            NotEnrolledError: there is no such token, or not any more.
        """
        node = transcript.node
        known = _read(self._path("enrolments", node), _Enrolment)
        again = f"ask for a new one: sdp nodes enroll {node}"
        if known is None:
            raise NotEnrolledError(f"no token of {node} is open, or it was used already; {again}")
        if now >= known.until:
            self._path("enrolments", node).unlink(missing_ok=True)
            raise NotEnrolledError(
                f"the token of {node} was good until {known.until:%Y-%m-%d %H:%M} UTC; {again}"
            )
        if not handshake.proves(shown, known.digest, transcript, "agent"):
            # The token stays: its secret can't be guessed, and nobody is to void it from outside.
            raise NotEnrolledError(f"that is not the token of {node}; {again}")
        self._path("enrolments", node).unlink()
        durable.sync_folder(self._root / "enrolments")  # used up, whatever comes
        self._write("nodes", node, _Node(key=key, enrolled_at=now, by=known.by))
        return handshake.proof(known.digest, transcript, "control plane")

    def revoke(self, node: str, by: str, now: datetime.datetime) -> Belief:
        """Believe a node's agent no more, nor any token of it; return what it is then."""
        self._path("enrolments", node).unlink(missing_ok=True)
        found = self._node(node)
        if found is not None and found.revoked_at is None:
            gone = found.model_copy(update={"revoked_at": now, "revoked_by": by})
            self._write("nodes", node, gone)
        return self.belief(node)

    def _node(self, node: str) -> _Node | None:
        return _read(self._path("nodes", node), _Node)

    def _write(self, folder: str, node: str, record: _Record) -> None:
        content = record.model_dump_json(indent=1).encode()
        durable.write(self._path(folder, node), content, _PRIVATE)

    def _path(self, folder: str, node: str) -> Path:
        if not handshake.NODE.fullmatch(node):  # it becomes a file's name
            raise TrustError(f"{node!r} is no node's name", "see them all: sdp nodes")
        return self._root / folder / f"{node}.json"


def _check_owner(data_dir: Path) -> None:
    """Refuse to leave files of root's in the folder of whom the control plane runs as."""
    if data_dir.exists() and (owner := data_dir.stat().st_uid) != os.geteuid():
        fix = f"run this command as its owner: sudo -u '#{owner}' …"
        raise TrustError(f"{data_dir} is another user's", fix)


def _key(path: Path) -> Ed25519PrivateKey:
    """Return the control plane's key; whoever comes first makes it, and all others read it."""
    if not path.exists():
        made = handshake.encode(Ed25519PrivateKey.generate().private_bytes_raw())
        half = durable.temporary(path)
        durable.write(half, f"{made}\n".encode(), _PRIVATE)
        try:
            os.link(half, path)
        except FileExistsError:
            pass
        finally:
            half.unlink()
        durable.sync_folder(path.parent)
    text = private.read(path)
    if isinstance(text, private.Refused):
        raise TrustError(f"{path}: {text.message}", text.fix or "let its owner run this command")
    try:
        return Ed25519PrivateKey.from_private_bytes(handshake.decode(text.strip()))
    except ValueError as error:
        fix = "restore it from a backup; without one, remove it and enrol every node again"
        raise TrustError(f"{path} holds no key", fix) from error


def _read(path: Path, kind: type[R]) -> R | None:
    try:
        return kind.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        fix = "remove it, and enrol the node again"
        raise TrustError(f"{path} can't be read as what it should be", fix) from error
