"""The database file: opened, migrated, one thread that writes, a few that read.

SQLite's own words (pragmas, BEGIN IMMEDIATE, files moved aside) are said here and nowhere else.
"""

import asyncio
import contextlib
import datetime
import fcntl
import os
import sqlite3
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import structlog
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DatabaseError, DBAPIError

from sdp.reconciler.journal import StoreUnavailable
from sdp.store.migrate import migrate

_READERS = 3
_BUSY_MILLISECONDS = 5_000
_CORRUPT = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}

T = TypeVar("T")
log: structlog.stdlib.BoundLogger = structlog.get_logger()


class CorruptError(Exception):
    """The file is no database, or a damaged one."""


class Database:
    """An open database. Work is a function of a connection whose transaction is begun.

    Every write is one immediate transaction on the one writer's thread, in the order asked for;
    a read sees one snapshot.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writing = _engine(path, "BEGIN IMMEDIATE", pool_size=1)
        self._reading = _engine(path, "BEGIN", pool_size=_READERS)
        self._writer = ThreadPoolExecutor(1, "sdp-store-writer")
        self._readers = ThreadPoolExecutor(_READERS, "sdp-store-reader")

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, folder: Path, now: datetime.datetime) -> AsyncGenerator["Database", None]:
        """Open ``sdp.db`` in a folder, making both; a corrupt file is moved aside first.

        Raises:
            StoreUnavailable: The folder or file can't be used.
        """
        path = folder / "sdp.db"
        with _locked(folder):
            database = cls(path)
            try:
                try:
                    await database.on_writer(database.prepare)
                except CorruptError as error:
                    reason = str(error)
                    await database.on_writer(lambda: database.discard(now, reason))
                    await database.on_writer(database.prepare)
                yield database
            finally:
                await asyncio.shield(asyncio.to_thread(database.close))

    async def on_writer(self, work: Callable[[], T]) -> T:
        """Run on the writer's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._writer, work)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Read one snapshot, on a reader's thread."""

        def run() -> T:
            with self._conditions(), self._reading.begin() as connection:
                return work(connection)

        return await asyncio.get_running_loop().run_in_executor(self._readers, run)

    @contextlib.contextmanager
    def transaction(self) -> Generator[Connection, None, None]:
        """Begin a write, on the writer's thread; committed at the end, rolled back on errors."""
        with self._conditions(), self._writing.begin() as connection:
            yield connection

    def sync(self) -> None:
        """Have what was committed on disk, also if the machine falls; on the writer's thread."""
        try:
            with self._path.with_name("sdp.db-wal").open("rb") as file:
                os.fdatasync(file.fileno())
        except OSError as error:
            raise unwritable(error, self._path) from error

    def prepare(self) -> None:
        """Check the file and migrate it."""
        try:
            with self._writing.begin() as connection:
                if (found := connection.scalar(text("PRAGMA quick_check(1)"))) != "ok":
                    raise CorruptError(str(found))
                migrate(connection)
        except DatabaseError as error:
            if _code(error) & 0xFF in _CORRUPT:
                raise CorruptError(str(error.orig)) from error
            raise _unavailable(error, self._path) from error

    def discard(self, now: datetime.datetime, reason: str) -> None:
        """Move the file and what belongs to it aside."""
        self._writing.dispose()
        aside = f"sdp.db.corrupt-{now:%Y%m%dT%H%M%S%fZ}"
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                self._path.with_name(f"sdp.db{suffix}").rename(
                    self._path.with_name(f"{aside}{suffix}")
                )
        log.error(
            "the database is corrupt and was moved aside; history starts anew",
            reason=reason,
            moved_to=str(self._path.with_name(aside)),
        )

    def close(self) -> None:
        """Finish what was asked for, then close."""
        self._writer.shutdown()
        self._readers.shutdown()
        self._reading.dispose()
        self._writing.dispose()

    @contextlib.contextmanager
    def _conditions(self) -> Generator[None, None, None]:
        try:
            yield
        except DBAPIError as error:
            if _code(error) & 0xFF == sqlite3.SQLITE_CONSTRAINT:
                raise
            raise _unavailable(error, self._path) from error


def _engine(path: Path, begin: str, pool_size: int) -> Engine:
    engine = create_engine(
        f"sqlite:///{path}",
        connect_args={"isolation_level": None, "check_same_thread": False},
        pool_size=pool_size,
        max_overflow=0,
    )

    def connected(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute(f"PRAGMA busy_timeout={_BUSY_MILLISECONDS}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA foreign_keys=ON")

    def begun(connection: Connection) -> None:
        # The driver's own transactions are deferred and lose updates between read and write.
        connection.exec_driver_sql(begin)

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", begun)
    return engine


@contextlib.contextmanager
def _locked(folder: Path) -> Generator[None, None, None]:
    """Hold a folder alone: logs and sequences have one writer. The kernel frees it on a kill."""
    try:
        folder.mkdir(0o700, parents=True, exist_ok=True)
        lock = (folder / "sdp.lock").open("wb")
    except OSError as error:
        raise unwritable(error, folder) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreUnavailable(
                f"Another control plane is using {folder}.",
                "Stop it, or give this one its own --data-dir.",
            ) from error
        yield


def unwritable(error: OSError, path: Path) -> StoreUnavailable:
    """Return what a failed write of a file means."""
    return StoreUnavailable(
        f"{path} can't be written: {error.strerror or error}.",
        "Free space on its disk and make the data folder writable for this user.",
    )


def _code(error: DBAPIError) -> int:
    return error.orig.sqlite_errorcode if isinstance(error.orig, sqlite3.Error) else 0


def _unavailable(error: DBAPIError, path: Path) -> StoreUnavailable:
    match _code(error) & 0xFF:
        case sqlite3.SQLITE_FULL:
            fix = f"Free space on the disk of {path}."
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            fix = f"Make {path.parent} and the files in it writable for this user."
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            fix = f"Find who else has {path} open, and end it."
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            fix = "Restart sdp serve: it moves the file aside and rebuilds what matters."
        case _:
            fix = f"Check the disk of {path}: its space, its mount options and the kernel's log."
    return StoreUnavailable(f"The database {path} can't be used: {error.orig}.", fix)
