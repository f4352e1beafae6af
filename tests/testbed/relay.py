"""Stands before an engine's socket as a process of its own: killed, the engine seems to be down.

Containers go on, as with an engine that is upgraded under live-restore.
"""

import argparse
import asyncio
import contextlib
from pathlib import Path
from typing import Final

CHUNK: Final = 1 << 16


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):  # the other side has gone
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


async def relay(socket: Path, engine: Path) -> None:
    """Pass on what comes to a socket, to an engine's and back, until cancelled."""

    async def joined(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_unix_connection(engine)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_copy(reader, far_writer))
                group.create_task(_copy(far_reader, writer))
        finally:
            far_writer.close()
            writer.close()

    async with await asyncio.start_unix_server(joined, socket) as server:
        await server.serve_forever()


def main() -> None:
    """Relay as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.testbed.relay", description=__doc__)
    parser.add_argument("socket", type=Path)
    parser.add_argument("engine", type=Path)
    given = parser.parse_args()
    given.socket.unlink(missing_ok=True)
    asyncio.run(relay(given.socket, given.engine))


if __name__ == "__main__":
    main()
