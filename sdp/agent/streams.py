"""Reading docker-py's blocking streams, each in a thread of its own, from asyncio.

Every end is a disconnect: docker-py turns a broken socket into a clean end.
"""

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Generic, Protocol, TypeVar

import docker
import docker.errors
import requests
import urllib3

from sdp.agent.engine import EngineDown, EngineError, NotFound

T = TypeVar("T")
Item_co = TypeVar("Item_co", covariant=True)

UNREAD_ITEMS = 4000

LOST = (
    requests.exceptions.RequestException,
    urllib3.exceptions.HTTPError,
    OSError,
)


class Stream(Protocol[Item_co]):
    """What docker-py returns for events and followed logs."""

    def __iter__(self) -> Iterator[Item_co]: ...
    def close(self) -> None: ...


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turn docker-py's errors into the port's."""
    try:
        yield
    except docker.errors.NotFound as error:
        raise NotFound(error.explanation or str(error)) from error
    except docker.errors.APIError as error:
        raise EngineError(error.explanation or str(error)) from error
    except (docker.errors.DockerException, *LOST) as error:
        raise EngineDown(str(error)) from error


class _Opened:
    """Stands in the queue for: the stream is open, and what follows are its items."""


class _Reader(Generic[T]):
    """A thread that hands what it reads to a loop, at most ``ahead`` items ahead of it."""

    def __init__(
        self,
        connect: Callable[[], docker.APIClient],
        start: Callable[[docker.APIClient], Stream[T]],
        ahead: int,
    ) -> None:
        self._connect = connect
        self._start = start
        self._loop = asyncio.get_running_loop()
        self._room = threading.Semaphore(ahead)
        self._ended = threading.Event()
        self._stream: Stream[T] | None = None
        self.items: asyncio.Queue[tuple[T] | _Opened | EngineError | EngineDown | None] = (
            asyncio.Queue()
        )

    def run(self) -> None:
        last: EngineError | EngineDown | None = None
        try:
            with translated(), contextlib.closing(self._connect()) as client:
                self._read(client)
        except (EngineError, EngineDown) as error:
            last = error
        self._hand(last)

    def _read(self, client: docker.APIClient) -> None:
        self._stream = self._start(client)
        self._hand(_Opened())
        try:
            if self._ended.is_set():  # closed before there was anything to close
                return
            for item in self._stream:
                self._room.acquire()
                if self._ended.is_set():
                    return
                self._hand((item,))
        finally:
            _let_go(self._stream)

    def _hand(self, item: tuple[T] | _Opened | EngineError | EngineDown | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(self.items.put_nowait, item)

    def took(self) -> None:
        self._room.release()

    def close(self) -> None:
        self._ended.set()
        self._room.release()
        if self._stream is not None:
            with contextlib.suppress(AttributeError, OSError, ValueError):  # ended by itself
                self._stream.close()


def _let_go(stream: object) -> None:
    """Close the connection under a stream: docker-py's own close leaves the response open."""
    response: object = getattr(stream, "_response", None)
    if isinstance(response, requests.Response):
        with contextlib.suppress(*LOST, ValueError):
            response.close()


async def read_stream(
    connect: Callable[[], docker.APIClient],
    start: Callable[[docker.APIClient], Stream[T]],
    ahead: int = UNREAD_ITEMS,
) -> AsyncGenerator[T | None, None]:
    """Yield None once the stream is open, then its items until it ends."""
    reader = _Reader(connect, start, ahead)
    threading.Thread(target=reader.run, name="engine-stream", daemon=True).start()
    try:
        while (item := await reader.items.get()) is not None:
            match item:
                case EngineError() | EngineDown():
                    raise item
                case _Opened():
                    yield None
                case (value,):
                    reader.took()
                    yield value
    finally:
        reader.close()
