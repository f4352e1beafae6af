"""What git asks for, a user name and a password, answered from memory; for agents and the writer.

git starts the program that GIT_ASKPASS names. Ours is a few lines that are in memory only: it hands
the question on by a socket that it inherits, and prints the answer. So the secret is in no argument,
environment, address or file, and nobody is answered but who asks for the origin itself.
"""

import base64
import contextlib
import dataclasses
import os
import re
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from sdp.protocol.secret import Credentials

_PROGRAM: Final = f"""\
#!{sys.executable} -IS
import os, sys
way = int(os.environ["SDP_ASKPASS"])
os.write(way, os.fsencode(sys.argv[1]))
answer = os.read(way, 65536)
sys.stdout.buffer.write(answer)
sys.exit(not answer)
"""
_QUESTION: Final = re.compile(r"(Username|Password) for '(.+)': ")
_LONGEST: Final = 64 << 10
_PORTS: Final = {"http": 80, "https": 443}


@dataclasses.dataclass(frozen=True, slots=True)
class Site:
    """Where an origin is, as far as passwords go: what they are given to, and nobody else."""

    scheme: str
    host: str
    port: int


@dataclasses.dataclass(frozen=True, slots=True)
class Way:
    """How a git process gets at the credentials: what it needs besides its own arguments.

    ``options`` go before its command; ``descriptors`` it must inherit; ``hidden`` are what its
    output may not show.
    """

    options: tuple[str, ...] = ()
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    descriptors: tuple[int, ...] = ()
    hidden: tuple[str, ...] = dataclasses.field(default=(), repr=False)


NO_WAY: Final = Way()
"""Of a process that is lent nothing."""


def site_of(url: str) -> Site | None:
    """Return where an address leads that a password can be asked for; None: it is no such one."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not parts.hostname:
        return None
    return Site(parts.scheme, parts.hostname, port or _PORTS[parts.scheme])


@contextlib.contextmanager
def lending(url: str, credentials: Credentials | None) -> Iterator[Way]:
    """Answer a git process's questions about an origin as long as the block runs.

    Args:
        url: the origin's address; of none that asks for passwords, nothing is answered.
        credentials: None, or wiped since: nothing is lent.
    """
    site = site_of(url)
    if site is None or credentials is None or not credentials.secret.reveal():
        yield NO_WAY
        return
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs, _program() as program:
        answering = threading.Thread(
            target=_answer, args=(ours, site, credentials), daemon=True, name="askpass"
        )
        answering.start()
        try:
            yield Way(
                _options(url),
                {"GIT_ASKPASS": f"/proc/self/fd/{program}", "SDP_ASKPASS": str(theirs.fileno())},
                (program, theirs.fileno()),
                _forms(credentials),
            )
        finally:
            _hang_up(ours)
            answering.join()


def reply(question: str, site: Site, credentials: Credentials) -> str | None:
    """Return the answer to what git asks; None: it is not for the origin to know.

    Args:
        question: as git words it, such as ``Password for 'https://sari@git.company.com': ``.
        site: the origin's.
        credentials: whose are lent.
    """
    asked = _QUESTION.fullmatch(question)
    if asked is None:
        return None
    whom, _, place = asked[2].rpartition("@")
    if whom:
        scheme, _, user = whom.partition("://")
        place = f"{scheme}://{place}"
        if credentials.user not in {user, unquote(user)}:
            return None
    if site_of(place) != site:
        return None
    return credentials.user if asked[1] == "Username" else credentials.secret.reveal()


def _options(url: str) -> tuple[str, ...]:
    """Return git's: who lends is the user, also where the address names another one."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    named = f"url.{parts.scheme}://{host}/.insteadOf={parts.scheme}://{user}@{host}/"
    # A redirect could lead to another host with the answers of this one.
    usual = ("-c", "http.followRedirects=false", "-c", "credential.helper=")
    return (*usual, "-c", named) if at else usual


def _forms(credentials: Credentials) -> tuple[str, ...]:
    """Return the secret as it is, as an address has it, and as a header does."""
    secret = credentials.secret.reveal()
    header = base64.b64encode(f"{credentials.user}:{secret}".encode()).decode()
    return tuple({secret, quote(secret, safe=""), header})


def _answer(ours: socket.socket, site: Site, credentials: Credentials) -> None:
    with contextlib.suppress(OSError):  # git ended before it heard the answer
        while question := ours.recv(_LONGEST):
            answer = reply(os.fsdecode(question), site, credentials)
            if not answer:
                break
            ours.send(f"{answer}\n".encode())
    _hang_up(ours)


def _hang_up(ours: socket.socket) -> None:
    with contextlib.suppress(OSError):
        ours.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def _program() -> Iterator[int]:
    """Hold the program open to be run; a file that can be written to could not be."""
    with os.fdopen(os.memfd_create("sdp-askpass"), "w") as file:
        file.write(_PROGRAM)
        file.flush()
        held = os.open(f"/proc/self/fd/{file.fileno()}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield held
    finally:
        os.close(held)
