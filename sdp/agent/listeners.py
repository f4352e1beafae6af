"""Who listens on this machine's TCP ports, read from /proc; nothing is asked over the network."""

import contextlib
import errno
import socket
from pathlib import Path

LISTEN = "0A"
UNKNOWN = "?"
LOWEST = 1024
"""Ports below are the system's own; nothing is ever allocated there."""


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


def foreign(ours: frozenset[int]) -> dict[int, str]:
    """Return port → owner of every listener from 1024 up that does not publish for us."""
    found = {p: i for p, i in listening(read_tables()).items() if p >= LOWEST and p not in ours}
    named = owners(frozenset(found.values()))
    return {port: named.get(inode, UNKNOWN) for port, inode in found.items()}


def taken(port: int) -> bool:
    """Return whether binding the port on every address fails because it is in use."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))  # noqa: S104 - as the engine will
        except OSError as error:
            return error.errno == errno.EADDRINUSE
        return False
