"""The same contract on PostgreSQL (psycopg 3), for departments that outgrow one machine (O19).

Promises: reads are read-only snapshots from a pool; writes of all processes queue behind one advisory lock per database
name, so a unit may read, decide and write as it may on SQLite. A lost connection, a full disk, a shutdown or a deadlock
become StoreError or DiskFull; whether a commit that ended so was stored is unknown, which is why units are idempotent
by key. Without psycopg: ConfigError.
"""
import errno
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError

from bridge.model.errors import ConfigError, DiskFull, StoreError
from bridge.model.language import tr

_FULL = ("53100",)
_TROUBLE = ("08", "40", "53", "55", "57", "58", "XX")


class Postgresql:
    """One database of a server. `name` keeps the write locks of core, queue and archive apart when they share it."""

    def __init__(self, url: str, name: str) -> None:
        self.url, self.name = url, name
        self._key = zlib.crc32(name.encode())
        self._written = 0
        try:
            self._engine = create_engine(url, pool_size=4, max_overflow=12, pool_pre_ping=True, pool_recycle=1800)
        except ModuleNotFoundError:
            text = tr(
                "a PostgreSQL database needs the package psycopg: pip install 'estafeta[postgresql]'",
                "una base de datos PostgreSQL necesita el paquete psycopg: pip install 'estafeta[postgresql]'",
            )
            raise ConfigError([text]) from None
        options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        self._read_engine = self._engine.execution_options(**options)
        self._write_engine = create_engine(url, pool_size=1, max_overflow=0, pool_pre_ping=True)
        event.listen(self._write_engine, "begin", self._lock)

    def fresh(self) -> "Postgresql":
        """The same database with no connection: those of the parent process are forgotten, not closed."""
        self._engine.dispose(close=False)
        self._write_engine.dispose(close=False)
        return Postgresql(self.url, self.name)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Around a transaction of ours; the server itself keeps others out."""
        try:
            yield
        finally:
            self._written += 1

    def _lock(self, connection: Connection) -> None:
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (self._key,))

    def writer(self) -> Connection:
        return self._write_engine.connect()

    def statement(self, connection: Connection, text: str) -> None:
        connection.exec_driver_sql(text)

    def in_transaction(self, connection: Connection) -> bool:
        return not connection.invalidated

    def wants_checkpoint(self) -> bool:
        return False

    def checkpoint(self, connection: Connection, *, idle: bool) -> None:
        """The server's own affair."""

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        try:
            with self._read_engine.connect() as connection:
                yield connection
        except SQLAlchemyError as error:
            known = self.translate(error)
            if known is error:
                raise
            raise known from error

    def version(self) -> int:
        """Nothing is as cheap here as SQLite's number: it changes with each commit of this process, and each second,
        since others may have committed."""
        return self._written << 32 | int(time.monotonic())

    def wal_size(self) -> int:
        return 0

    def check(self) -> list[str]:
        """The server checks its own pages; here only whether it answers."""
        with self.reading() as connection:
            connection.exec_driver_sql("SELECT 1")
        return []

    def copy_to(self, target: Path) -> None:
        raise StoreError("a PostgreSQL database is copied with pg_dump, not by Estafeta")

    def translate(self, error: BaseException) -> BaseException:
        if isinstance(error, OSError):
            return (DiskFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else StoreError)(f"{self.name}: {error}")
        if not isinstance(error, DBAPIError):
            return error
        state = getattr(error.orig, "sqlstate", None) or ""
        if state in _FULL:
            return DiskFull(f"{self.name}: {error.orig}")
        lost = not state and isinstance(error, (OperationalError, InterfaceError))
        return StoreError(f"{self.name}: {error.orig}") if lost or state[:2] in _TROUBLE else error

    def close(self) -> None:
        self._engine.dispose()
        self._write_engine.dispose()
