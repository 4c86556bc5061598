"""How one SQLite file is opened, locked, read and checkpointed (SECURITY D-3, 0.17).

Promises: WAL, foreign keys, a busy time-out, no mmap, no automatic checkpoints on any connection; only the writer's
connection writes and checkpoints, under the flock where one is given; readers are `query_only` and see one snapshot
each. Python's own transaction control is off: BEGIN IMMEDIATE is ours. Failures of disk, lock or file become StoreError
or DiskFull; wrong SQL and broken constraints stay what they are.
"""
import errno
import os
import sqlite3
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from types import TracebackType
from typing import cast

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from bridge.model.errors import DiskFull, StoreError
from bridge.store.flock import FileLock

BUSY_SECONDS = 5.0
LARGE_WAL = 8 << 20         # growth that calls for a checkpoint while there is work
HUGE_WAL = 64 << 20         # from here on the checkpoint also waits for readers and truncates
COMMITS = 1000              # commits that call for a checkpoint
SPARE_READERS = 16

_PRAGMAS = ("foreign_keys=ON", "wal_autocheckpoint=0", "mmap_size=0", "trusted_schema=OFF", "temp_store=MEMORY")
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_UNREADABLE = {sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_CORRUPTFS}
_TROUBLE = {
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_INTERRUPT,
}


def is_damage(error: BaseException) -> bool:
    """Is it the file itself that is bad? Not if we could not open it for lack of descriptors or room, or wait for a
    lock: it is as good as before then, and only we are in trouble (P06, P07)."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, sqlite3.Error):
            code = getattr(cause, "sqlite_errorcode", 0)
            return code & 0xFF in _DAMAGE or code in _UNREADABLE
        cause = cause.__cause__
    return False


class Sqlite:
    """One file. Nothing is open before the first use; after a fork the child makes itself a new one (`fresh`)."""

    def __init__(self, path: Path, synchronous: str, lock: Path | None) -> None:
        self.path, self.synchronous = path, synchronous
        self._lock_path = lock
        self._lock = FileLock(lock) if lock else None
        self._write_engine = self._engine(self._prepare_writer)
        self._read_engine = self._engine(self._prepare_reader)
        event.listen(self._write_engine, "begin", _begin_immediate)
        self._spare: deque[tuple[Connection, sqlite3.Connection]] = deque()
        self._watch: sqlite3.Connection | None = None
        self._wal = path.with_name(path.name + "-wal")
        self._commits = self._wal_size = 0

    def fresh(self) -> "Sqlite":
        """The same file with nothing open; of the old one, only the lock's descriptor is closed."""
        if self._lock:
            self._lock.close()
        return Sqlite(self.path, self.synchronous, self._lock_path)

    # -- opening

    def _engine(self, prepare: Callable[[sqlite3.Connection, object], None]) -> Engine:
        arguments = {
            "isolation_level": None, "check_same_thread": False, "timeout": BUSY_SECONDS, "cached_statements": 256,
        }
        engine = create_engine(f"sqlite+pysqlite:///{self.path}", poolclass=NullPool, connect_args=arguments)
        event.listen(engine, "do_connect", self._prepare_file)
        event.listen(engine, "connect", prepare)
        return engine

    def _prepare_file(self, *ignored: object) -> None:
        """Create the file for us alone, in WAL mode, before anybody opens it; -wal and -shm inherit the permissions."""
        try:
            if self.path.stat().st_size:
                return
        except FileNotFoundError:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        with closing(sqlite3.connect(self.path, isolation_level=None, timeout=BUSY_SECONDS)) as first:
            first.execute("PRAGMA journal_mode=WAL")

    def _prepare_writer(self, raw: sqlite3.Connection, record: object) -> None:
        raw.execute("PRAGMA journal_mode=WAL")
        raw.execute(f"PRAGMA synchronous={self.synchronous}")
        self._prepare(raw)

    def _prepare_reader(self, raw: sqlite3.Connection, record: object) -> None:
        self._prepare(raw)
        raw.execute("PRAGMA query_only=ON")

    def _prepare(self, raw: sqlite3.Connection) -> None:
        for pragma in _PRAGMAS:
            raw.execute(f"PRAGMA {pragma}")

    # -- writing

    def exclusive(self) -> AbstractContextManager[object]:
        """Held around each write transaction and checkpoint: no other process writes meanwhile."""
        return self._lock or nullcontext()

    def writer(self) -> Connection:
        return self._write_engine.connect()

    def statement(self, connection: Connection, text: str) -> None:
        """A savepoint statement, below SQLAlchemy (2 µs instead of 20)."""
        _raw(connection).execute(text)

    def in_transaction(self, connection: Connection) -> bool:
        """False once SQLite has given the whole transaction up by itself (disk full, I/O error)."""
        return _raw(connection).in_transaction

    def wants_checkpoint(self) -> bool:
        """Count one commit; True when the WAL has grown enough since the last checkpoint."""
        self._commits += 1
        return self._commits >= COMMITS or self.wal_size() - self._wal_size > LARGE_WAL

    def checkpoint(self, connection: Connection, *, idle: bool) -> None:
        """Move the WAL into the file; when `idle` or when it is huge, also cut it to nothing. Under `exclusive`."""
        if idle and not self._commits:
            return
        raw = _raw(connection)
        mode = "TRUNCATE" if idle or self.wal_size() > HUGE_WAL else "PASSIVE"
        raw.execute("PRAGMA busy_timeout=200")
        try:
            raw.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()
        finally:
            raw.execute(f"PRAGMA busy_timeout={int(BUSY_SECONDS * 1000)}")
        self._commits, self._wal_size = 0, self.wal_size()

    def wal_size(self) -> int:
        try:
            return self._wal.stat().st_size
        except FileNotFoundError:
            return 0

    # -- reading

    def reading(self) -> "_Reading":
        return _Reading(self)

    def take(self) -> tuple[Connection, sqlite3.Connection]:
        """A connection that nobody else uses until `give`."""
        try:
            return self._spare.pop()
        except IndexError:
            connection = self._read_engine.connect()
            connection.begin()      # as SQLAlchemy sees it; the real BEGIN and COMMIT are in _Reading
            return connection, _raw(connection)

    def give(self, pair: tuple[Connection, sqlite3.Connection], *, sound: bool) -> None:
        if sound and len(self._spare) < SPARE_READERS:
            self._spare.append(pair)
        else:
            pair[0].close()

    def version(self) -> int:
        """A number that changes with each commit, whoever commits; costs 2 µs."""
        if self._watch is None:
            self._prepare_file()
            watch = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=BUSY_SECONDS)
            self._prepare_reader(watch, None)
            self._watch = watch
        number = self._watch.execute("PRAGMA data_version").fetchone()[0]
        return cast(int, number)

    # -- the rest

    def check(self) -> list[str]:
        """What `quick_check` finds wrong with the file; empty if nothing."""
        with self.reading() as connection:
            found = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA quick_check(20)")]
        return [] if found == ["ok"] else found

    def copy_to(self, target: Path) -> None:
        """A compact, consistent copy under a new name, on disk when this returns; works while others write."""
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            connection, raw = self.take()
            try:
                raw.execute("PRAGMA query_only=OFF")    # VACUUM INTO counts as writing, though it only reads here
                raw.execute("VACUUM INTO ?", (str(target),))
            finally:
                self.give((connection, raw), sound=False)
            os.fsync(descriptor)
        except BaseException:
            target.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)

    def translate(self, error: BaseException) -> BaseException:
        """Trouble of disk, lock or file as StoreError or DiskFull; what else went wrong as it is."""
        cause = error.orig if isinstance(error, DBAPIError) else error
        if isinstance(cause, OSError):
            full = cause.errno in (errno.ENOSPC, errno.EDQUOT)
            return (DiskFull if full else StoreError)(f"{self.path}: {cause}")
        if not isinstance(cause, sqlite3.Error):
            return error
        code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            return DiskFull(f"{self.path}: {cause}")
        # Tables that were made at start and aren't there: somebody has put another file in this one's place.
        replaced = code == sqlite3.SQLITE_ERROR and str(cause).startswith("no such table")
        return StoreError(f"{self.path}: {cause}") if code in _TROUBLE or replaced else error

    def close(self) -> None:
        if self._watch is not None:
            self._watch.close()
            self._watch = None
        while self._spare:
            self._spare.pop()[0].close()
        if self._lock:
            self._lock.close()


class _Reading:
    """One snapshot: BEGIN at the start, COMMIT at the end; a connection that failed is not used again."""

    __slots__ = ("_driver", "_pair")

    def __init__(self, driver: Sqlite) -> None:
        self._driver = driver

    def __enter__(self) -> Connection:
        try:
            self._pair = self._driver.take()
            self._pair[1].execute("BEGIN")
        except (DBAPIError, sqlite3.Error, OSError) as error:
            raise self._driver.translate(error) from error
        return self._pair[0]

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        raw = self._pair[1]
        if raw.in_transaction:
            raw.execute("COMMIT" if value is None else "ROLLBACK")
        self._driver.give(self._pair, sound=value is None)
        if value is not None:
            known = self._driver.translate(value)
            if known is not value:
                raise known from value


def _raw(connection: Connection) -> sqlite3.Connection:
    return cast(sqlite3.Connection, connection.connection.dbapi_connection)


def _begin_immediate(connection: Connection) -> None:
    """Not DEFERRED, which would fail late and without waiting when another process writes."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")
