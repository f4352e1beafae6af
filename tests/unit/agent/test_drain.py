"""Before a container is stopped, who speaks with it is let finish; whom nobody can see is not."""

import os
import socket
from pathlib import Path

from sdp.agent.drain import connected, drain


def test_connections_that_came_in_are_counted_until_they_are_closed() -> None:
    before = connected(os.getpid())
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname()) as client:
            came, _ = server.accept()
            assert connected(os.getpid()) == before + 1
            came.close()
            assert client.recv(1) == b""
        assert connected(os.getpid()) == before


async def test_what_cannot_be_seen_is_not_waited_for(tmp_path: Path) -> None:
    assert connected(1, tmp_path) == 0
    await drain(1, tmp_path)
