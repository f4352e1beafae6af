"""Encrypted environment files for tests: keys that are made anew in each run, and edits."""

import datetime
import os
from typing import Any

from sdp.cli import sealing
from sdp.cli.sealing import Change, Sealer
from sdp.sops import identities
from sdp.sops.identities import Identities, NewIdentity
from sdp.spec import edit

NOW = datetime.datetime(2026, 11, 23, 9, 0, tzinfo=datetime.UTC)
ACHMAD = identities.generate()
SARI = identities.generate()
NODE = identities.generate()


def parsed(text: str) -> Any:
    """Return what a file holds."""
    return edit.document(text)


def held(*keys: NewIdentity) -> Identities:
    return identities.read("\n".join(each.secret for each in keys))


def sealer(*keys: NewIdentity, to: tuple[NewIdentity, ...] = (ACHMAD, NODE)) -> Sealer:
    """Return what somebody with these secret keys, or nobody, encrypts with."""
    mine = held(*keys) if keys else None
    return Sealer(tuple(each.public for each in to), mine, NOW, os.urandom)


def secret(name: str, value: str | None) -> Change:
    return Change(("secrets", name), value, secret=True)


def environment(name: str = "qa", more: str = "", /, **secrets: str) -> str:
    """Return an environment file with these secrets, encrypted for ACHMAD and NODE."""
    text = f"environment: {name}\n{more}"
    return sealing.changed(text, [secret(k, v) for k, v in secrets.items()], sealer())
