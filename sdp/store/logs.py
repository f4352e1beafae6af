"""Every deployment's log: appended and read on threads of its own, followed without polling."""

import asyncio
import contextlib
import datetime
import re
import threading
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar
from weakref import WeakValueDictionary

from sdp.store.database import unwritable
from sdp.store.logfile import MAX_BYTES, NO_MARK, Batch, LogFile, LogLine, Mark

_NAME = re.compile(r"[a-z0-9-]{1,100}")
_THREADS = 2
_OPEN = 256
_PAGE = 1_000

T = TypeVar("T")


class Logs:
    """Logs under one folder. Made, followed and closed on one event loop."""

    def __init__(self, folder: Path, max_bytes: int = MAX_BYTES) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._loop = asyncio.get_running_loop()
        self._threads = ThreadPoolExecutor(_THREADS, "sdp-logs")
        self._guard = threading.Lock()
        self._files: OrderedDict[str, LogFile] = OrderedDict()
        # What was put out of _files while a thread still writes it must not be opened twice.
        self._in_use: WeakValueDictionary[str, LogFile] = WeakValueDictionary()
        self._followers: dict[str, set[asyncio.Event]] = {}
        self._finished: set[asyncio.Event] = set()

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, folder: Path) -> AsyncGenerator["Logs", None]:
        """Use the logs under a folder; at the end every follow ends."""
        logs = cls(folder)
        try:
            yield logs
        finally:
            for deployment in tuple(logs._followers):
                logs.finish(deployment)
            await asyncio.to_thread(logs._threads.shutdown)

    async def append(
        self, deployment: str, stage: str, at: datetime.datetime, lines: Sequence[str]
    ) -> int:
        """Append lines and return the first one's number."""
        batch = Batch(stage, at, lines)
        return await self._run(lambda: self.write(deployment, batch))

    async def read(self, deployment: str, after: int, limit: int) -> tuple[LogLine, ...]:
        """Return up to ``limit`` lines that follow the one numbered ``after``."""
        return await self._run(lambda: self._file(deployment).read(after, limit))

    async def tail(self, deployment: str, count: int) -> tuple[LogLine, ...]:
        """Return the last lines."""

        def run() -> tuple[LogLine, ...]:
            file = self._file(deployment)
            return file.read(max(0, file.last() - count), count)

        return await self._run(run)

    async def follow(
        self, deployment: str, after: int
    ) -> AsyncGenerator[tuple[LogLine, ...], None]:
        """Yield the lines that follow ``after``, in pieces, until ``finish``."""
        check(deployment)
        news = asyncio.Event()
        followers = self._followers.setdefault(deployment, set())
        followers.add(news)
        try:
            while True:
                # Cleared before reading: an append during the read wakes the wait at once.
                news.clear()
                finished = news in self._finished
                while lines := await self.read(deployment, after, _PAGE):
                    after = lines[-1].seq
                    yield lines
                if finished:
                    return
                await news.wait()
        finally:
            self._finished.discard(news)
            followers.discard(news)
            if not followers and self._followers.get(deployment) is followers:
                del self._followers[deployment]

    def finish(self, deployment: str) -> None:
        """Tell followers that no line will come any more: they get the rest, and end."""
        followers = self._followers.get(deployment, set())
        self._finished |= followers
        for news in followers:
            news.set()

    def write(self, deployment: str, batch: Batch, mark: Mark = NO_MARK) -> int:
        """Append on the caller's thread; with a mark, once and no more."""
        file = self._file(deployment)
        try:
            first = file.append(batch, mark)
        except OSError as error:
            raise unwritable(error, self._folder) from error
        if deployment in self._followers:
            self._loop.call_soon_threadsafe(self._wake, deployment)
        return first

    async def remove(self, deployment: str) -> None:
        """Delete a log; its numbers start again should lines come later."""

        def run() -> None:
            check(deployment)
            with self._guard:
                self._files.pop(deployment, None)
                self._in_use.pop(deployment, None)
                self._path(deployment).unlink(missing_ok=True)

        await self._run(run)

    async def untouched(self, before: datetime.datetime) -> tuple[str, ...]:
        """Return the deployments whose logs were last written before a time."""

        def run() -> tuple[str, ...]:
            limit = before.timestamp()
            files = (each for each in self._folder.glob("*/*.log") if _NAME.fullmatch(each.stem))
            return tuple(file.stem for file in files if file.stat().st_mtime < limit)

        return await self._run(run)

    def _wake(self, deployment: str) -> None:
        for news in self._followers.get(deployment, ()):
            news.set()

    def _file(self, deployment: str) -> LogFile:
        check(deployment)
        with self._guard:
            file = self._in_use.get(deployment)
            if file is None:
                file = self._in_use[deployment] = LogFile(self._path(deployment), self._max_bytes)
            self._files[deployment] = file
            self._files.move_to_end(deployment)
            if len(self._files) > _OPEN:
                self._files.popitem(last=False)
            return file

    def _path(self, deployment: str) -> Path:
        return self._folder / deployment[:2] / f"{deployment}.log"

    async def _run(self, work: Callable[[], T]) -> T:
        return await self._loop.run_in_executor(self._threads, work)


def check(deployment: str) -> None:
    """Refuse what is no deployment's id: ids become paths.

    Raises:
        ValueError: It is not ``[a-z0-9-]``, 1 to 100 of them.
    """
    if not _NAME.fullmatch(deployment):
        raise ValueError(f"{deployment!r} is no deployment's id")
