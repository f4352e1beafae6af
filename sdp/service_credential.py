"""The service credential: a read-only account in a private file, for when nobody's own are at hand.

Read whenever it is needed and never kept, so that another password counts at once.
"""

import dataclasses
from pathlib import Path
from typing import Final

import yaml

from sdp import private
from sdp.askpass import Site
from sdp.protocol.secret import Credentials, Secret

_ACCOUNT: Final = frozenset({"username", "password"})
_FORM: Final = "write username: and password: in it, or those two below each host's name"


@dataclasses.dataclass(frozen=True, slots=True)
class Unusable:
    """Why the file says nothing; never with what it says."""

    message: str
    fix: str


@dataclasses.dataclass(frozen=True, slots=True)
class ServiceCredential:
    """Where it is; None where there is none."""

    path: Path | None = None

    def of(self, site: Site) -> Credentials | Unusable | None:
        """Return the account for an origin's host; None: there is none for it."""
        if self.path is None:
            return None
        told = self._told(self.path)
        if isinstance(told, Unusable):
            return told
        if told.keys() & _ACCOUNT:
            return _account(told) or self._malformed("the file")
        found = (name for name in (f"{site.host}:{site.port}", site.host) if name in told)
        if (name := next(found, None)) is None:
            return None
        return _account(told[name]) or self._malformed(name)

    def _told(self, path: Path) -> dict[object, object] | Unusable:
        text = private.read(path)
        if isinstance(text, private.Refused):
            return _unreadable(path, text)
        try:
            told: object = yaml.safe_load(text)
        except (yaml.YAMLError, RecursionError):
            return Unusable(f"the credentials in {path} are no YAML", _FORM)
        if not isinstance(told, dict):
            return Unusable(f"the credentials in {path} are no mapping", _FORM)
        return told

    def _malformed(self, what: str) -> Unusable:
        message = f"{what} in {self.path} does not say username: and password: as texts"
        return Unusable(message, f"{_FORM}; put a number in quotes")


def _account(told: object) -> Credentials | None:
    if not isinstance(told, dict) or told.keys() != _ACCOUNT:
        return None
    user, password = told["username"], told["password"]
    if not (isinstance(user, str) and isinstance(password, str) and user and password):
        return None
    return Credentials(user, Secret(password))


def _unreadable(path: Path, refused: private.Refused) -> Unusable:
    if refused.why == "Exposed":
        return Unusable(
            f"others can read the credentials in {path} ({refused.message})", refused.fix
        )
    fix = "let its owner run this, or name another file"
    return Unusable(f"the credentials in {path} can't be read: {refused.message}", fix)
