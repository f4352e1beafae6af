"""Who listens on this machine's TCP ports, as /proc and a bind say; nothing goes over the network.

Only as far as this process sees: in a network namespace of its own it sees that one's listeners,
and without privileges not whose they are.
"""

import contextlib
import errno
import socket
from collections.abc import Iterable
from pathlib import Path

LISTEN = "0A"
UNKNOWN = "something that its agent can't name"


def listening(tables: tuple[str, ...]) -> dict[int, str]:
    """Return port → socket inode of all that listens, from texts of /proc/net/tcp[6]."""
    rows = [line.split() for table in tables for line in table.splitlines()[1:]]
    return {int(row[1].rsplit(":", 1)[1], 16): row[9] for row in rows if row[3] == LISTEN}


def read_tables(proc: Path = Path("/proc")) -> tuple[str, ...]:
    files = (proc / "net" / "tcp", proc / "net" / "tcp6")
    return tuple(file.read_text() for file in files if file.exists())


def owners(inodes: frozenset[str], proc: Path = Path("/proc")) -> dict[str, str]:
    """Return inode → ``name (pid N)`` for sockets whose processes we may look into."""
    found: dict[str, str] = {}
    for process in proc.iterdir():
        if process.name.isdigit():
            with contextlib.suppress(OSError):  # gone meanwhile, or not ours to read
                for inode in _sockets(process) & inodes:
                    name = (process / "comm").read_text().strip()
                    found[inode] = f"{name} (pid {process.name})"
    return found


def _sockets(process: Path) -> frozenset[str]:
    found: set[str] = set()
    for descriptor in (process / "fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            target = str(descriptor.readlink())
            if target.startswith("socket:["):
                found.add(target[8:-1])
    return frozenset(found)


def held(ports: Iterable[int]) -> frozenset[int]:
    """Return which of these ports, that something was seen to listen on, can't be bound.

    A listener on IPv6 alone is in nobody's way: ports are published on IPv4.
    """
    return frozenset(port for port in ports if _refusal(port))


def taken(port: int) -> bool:
    """Return whether binding the port on every address fails because it is in use."""
    return _refusal(port) == errno.EADDRINUSE


def _refusal(port: int) -> int:
    """Return the error of a bind as the engine's will be, 0 for none.

    With SO_REUSEADDR, as the engine does: what lingers of closed connections is no obstacle, a
    listener on any IPv4 address is one. Nothing is listened on, so that nobody is turned away.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))  # noqa: S104 - as the engine will
        except OSError as error:
            return error.errno or errno.EADDRINUSE
        return 0
