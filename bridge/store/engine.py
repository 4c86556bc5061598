"""One database: cheap reads anywhere, writes grouped by one thread, SQLite or PostgreSQL behind the same four methods.

Promises: nothing is opened before the first use, and a child process after a fork starts anew (sec-Q18). `write`
gives a future that resolves after the COMMIT (with synchronous=FULL: on disk). `read` is one snapshot. Trouble with
disk, lock or file is StoreError or DiskFull, never a lost unit: a unit is stored, or its future says that it is not.
SECURITY D-3, 0.16, 0.17, sec-Q05 to sec-Q08.
"""
import os
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakSet

from sqlalchemy import Connection
from sqlalchemy.engine import make_url

from bridge.store.failpoints import Failpoint
from bridge.store.groupcommit import Driver, Writer
from bridge.store.postgresql import Postgresql
from bridge.store.sqlite import Sqlite

T = TypeVar("T")

_open: "WeakSet[Database]" = WeakSet()
_inherited: list[Any] = []      # what a forked child must neither use nor close


class Database:
    """`url`: "sqlite:////path" or "postgresql+psycopg://..."; `point` guards each commit; `synchronous` and `lock` (a
    file to flock around each write, where several processes write) are for SQLite."""

    def __init__(self, url: str, *, point: Failpoint, synchronous: str = "FULL", lock: Path | None = None) -> None:
        if synchronous not in ("FULL", "NORMAL", "OFF"):
            raise ValueError(f"synchronous must be FULL, NORMAL or OFF, not {synchronous!r}")
        self.url, self.point = url, point
        parsed = make_url(url)
        self.sqlite = parsed.get_backend_name() == "sqlite"
        self.path: Path | None = Path(parsed.database or "") if self.sqlite else None
        self._driver: Driver
        if self.path is not None:
            self._driver = Sqlite(self.path, synchronous, lock)
        else:
            self._driver = Postgresql(parsed.set(drivername="postgresql+psycopg").render_as_string(False), point.name)
        self._writer = Writer(self._driver, point)
        _open.add(self)

    def read(self) -> AbstractContextManager[Connection]:
        """`with database.read() as connection:` one consistent, read-only view. Keep it short (seconds): as long
        as it is open the WAL grows. Consume results inside."""
        return self._driver.reading()

    def write(self, unit: Callable[[Connection], T]) -> "Future[T]":
        """Run `unit` in the next group; it must not commit or roll back itself, wait for another unit, or take long."""
        return self._writer.submit(unit)

    def write_now(self, unit: Callable[[Connection], T]) -> T:
        """`write`, waiting for the commit."""
        if self._writer.in_thread():
            raise RuntimeError("write_now inside a unit would wait for itself")
        return self._writer.submit(unit).result()  # type: ignore[no-any-return]

    def version(self) -> int:
        """Two equal answers of one process: nobody has committed in between. Different: somebody may have."""
        return self._driver.version()

    def wal_size(self) -> int:
        """Bytes in the write-ahead log, for the health page (sec-Q08)."""
        return self._driver.wal_size()

    def check(self) -> list[str]:
        """What is wrong with the file as such; empty if nothing (sec-Q05)."""
        return self._driver.check()

    def copy_to(self, target: Path) -> None:
        """A consistent copy of a SQLite file under a new name, durable when this returns."""
        try:
            self._driver.copy_to(target)
        except Exception as error:
            known = self._driver.translate(error)
            if known is error:
                raise
            raise known from error

    def close(self) -> None:
        """Commit what waits, then close everything. The object is of no use afterwards."""
        self._writer.close()
        self._driver.close()
        _open.discard(self)

    def _forget(self) -> None:
        _inherited.append((self._driver, self._writer))
        self._driver = self._driver.fresh()
        self._writer = Writer(self._driver, self.point)


def _after_fork() -> None:
    for database in list(_open):
        database._forget()


os.register_at_fork(after_in_child=_after_fork)
