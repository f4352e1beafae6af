"""Before a container is stopped, who speaks with it is let finish; whom nobody can see is not."""

import socket
from pathlib import Path

from sdp.agent.drain import connected, drain


def tables_of(port: int, proc: Path) -> Path:
    """Copy the kernel's tables as they are now, but for rows of which neither end is the port."""
    net = proc / "1" / "net"
    net.mkdir(parents=True, exist_ok=True)
    for table in ("tcp", "tcp6"):
        head, *rows = Path("/proc/self/net", table).read_text().splitlines()
        ours = [row for row in rows if f":{port:04X} " in row]
        (net / table).write_text("\n".join([head, *ours]))
    return proc


def test_connections_that_came_in_are_counted_until_they_are_closed(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert connected(1, tables_of(port, tmp_path)) == 0
        with socket.create_connection(server.getsockname()) as client:
            came, _ = server.accept()
            with came:
                assert connected(1, tables_of(port, tmp_path)) == 1
            assert client.recv(1) == b""
        assert connected(1, tables_of(port, tmp_path)) == 0


async def test_what_cannot_be_seen_is_not_waited_for(tmp_path: Path) -> None:
    assert connected(1, tmp_path) == 0
    await drain(1, tmp_path)
