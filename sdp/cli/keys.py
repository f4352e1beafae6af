"""A person's own age keys, and whose public keys platform.yaml names."""

import datetime
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel

from sdp import clock
from sdp.cli import context as cli
from sdp.cli.sealing import Sealer
from sdp.sops import identities
from sdp.sops.identities import Identities
from sdp.sops.problem import SopsError
from sdp.spec.change import CannotChangeError
from sdp.spec.load import tree_of
from sdp.spec.models import Node, Platform

FILE_VARIABLE = "SOPS_AGE_KEY_FILE"
KEY_VARIABLE = "SOPS_AGE_KEY"


class Made(BaseModel):
    """A key that was made: the public one, and the file that holds the secret one."""

    public: str
    file: str


def default_file() -> Path:
    """Return where sops looks for a person's keys."""
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "sops" / "age" / "keys.txt"


def held(file: Path | None) -> Identities | None:
    """Return a person's secret keys, from where the sops tool finds them too; None: there is none.

    Args:
        file: the only file to look at, where one was named.
    """
    texts = list(_texts(file))
    if not texts:
        return None
    try:
        found = [identities.read(text) for _, text in texts]
    except SopsError as error:
        names = ", ".join(where for where, _ in texts)
        cli.fail(f"{names}: {error}", "name a file of age-keygen, or of sdp env keygen")
    return Identities(
        tuple(key for each in found for key in each.secret),
        tuple(key for each in found for key in each.public),
    )


def _texts(file: Path | None) -> Iterator[tuple[str, str]]:
    if file is None and (key := os.environ.get(KEY_VARIABLE)):
        yield KEY_VARIABLE, key
    named = file or (Path(told) if (told := os.environ.get(FILE_VARIABLE)) else None)
    path = named or default_file()
    try:
        yield str(path), path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        if named is not None:
            cli.fail(f"{path}: {error.strerror}", "name the file with your secret key")


def generate(path: Path, now: datetime.datetime) -> str:
    """Write a new secret key that only its owner can read; return the public one.

    Raises:
        FileExistsError: there is such a file.
    """
    made = identities.generate()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(f"# created: {now:%Y-%m-%dT%H:%M:%SZ}\n# public key: {made.public}\n")
        file.write(f"{made.secret}\n")
    return made.public


def sealer(files: Mapping[str, str], mine: Identities | None) -> Sealer:
    """Return with what to encrypt: for whom platform.yaml says, with a person's own keys.

    Args:
        files: the config repo's, as of a commit.
        mine: the person's keys.

    Raises:
        CannotChangeError: platform.yaml does not load.
    """
    return Sealer(tuple(recipients(platform(files))), mine, clock.now(), os.urandom)


def recipients(known: Platform) -> dict[str, str]:
    """Return who can open what is encrypted now: public key → name; nodes, then people."""
    nodes = {node.recipient: node.id for node in _running(known)}
    found = {key: name for key, name in nodes.items() if key is not None}
    return {**found, **{key: name for name, key in known.recipients.items()}}


def without_recipient(files: Mapping[str, str]) -> list[str]:
    """Return the nodes that run services, and could open nothing."""
    return [node.id for node in _running(platform(files)) if node.recipient is None]


def _running(known: Platform) -> list[Node]:
    """Return the nodes that run services: only they are to open environments."""
    named = {service.node for service in known.services.values()}
    return [node for node in known.nodes if node.id in named]


def platform(files: Mapping[str, str]) -> Platform:
    """Return platform.yaml.

    Raises:
        CannotChangeError: it does not load.
    """
    found = tree_of(files).platform
    if found is None:
        raise CannotChangeError("platform.yaml does not load", "mend it: sdp validate")
    return found.spec


def refuse_nobody(made: Sealer) -> None:
    """Refuse to encrypt for nobody, or for what only looks like a public key.

    Raises:
        CannotChangeError: platform.yaml names no public key, or one with a typing error.
    """
    if not made.recipients:
        raise CannotChangeError(
            "platform.yaml names nobody to encrypt for",
            "make keys: sdp env keygen; then name the public ones in platform.yaml: "
            "recipient: of each node that runs services, recipients: of people",
        )
    for each in made.recipients:
        if not identities.is_recipient(each):
            raise CannotChangeError(
                f"platform.yaml names {each}, which is no age public key",
                "copy it again: sdp env keygen printed it, and it stands in the secret key's file",
            )
