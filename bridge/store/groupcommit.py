"""One writer thread per database with a queue: what waits when a commit ends goes into the next one.

Promises: a unit is a function of a connection; it runs in a savepoint of its own, so one that raises fails alone; its
future resolves only after the COMMIT that holds it. If the commit fails, every unit of the group gets the error and
nothing of it is stored. A unit whose future was cancelled before its turn doesn't run. The thread starts with the first
unit and ends when there has been nothing to do for a while.
"""
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Connection

from bridge.model.errors import StoreError
from bridge.store.failpoints import Failpoint

GROUP = 500             # units in one commit
CHECKPOINT_IDLE = 1.0   # seconds without work before the WAL is folded in
THREAD_IDLE = 20.0      # seconds without work before the thread ends and the connection closes

Unit = Callable[[Connection], Any]
_Waiting = tuple[Unit, "Future[Any]"]


class Driver(Protocol):
    """What a kind of database must be able to do for `Database`."""

    def fresh(self) -> "Driver": ...
    def exclusive(self) -> AbstractContextManager[object]: ...
    def writer(self) -> Connection: ...
    def statement(self, connection: Connection, text: str) -> None: ...
    def in_transaction(self, connection: Connection) -> bool: ...
    def wants_checkpoint(self) -> bool: ...
    def checkpoint(self, connection: Connection, *, idle: bool) -> None: ...
    def reading(self) -> AbstractContextManager[Connection]: ...
    def version(self) -> int: ...
    def wal_size(self) -> int: ...
    def check(self) -> list[str]: ...
    def copy_to(self, target: Path) -> None: ...
    def translate(self, error: BaseException) -> BaseException: ...
    def close(self) -> None: ...


class Writer:
    """The queue and its thread."""

    def __init__(self, driver: Driver, point: Failpoint) -> None:
        self._driver, self._point = driver, point
        self._wake = threading.Condition(threading.Lock())
        self._queue: deque[_Waiting] = deque()
        self._thread: threading.Thread | None = None
        self._sleeping = False
        self._closing = False
        self._connection: Connection | None = None

    def submit(self, unit: Unit) -> "Future[Any]":
        future: Future[Any] = Future()
        with self._wake:
            if self._closing:
                raise StoreError("the database is closed")
            self._queue.append((unit, future))
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=f"writer {self._point.name}", daemon=True)
                self._thread.start()
            elif self._sleeping:
                self._wake.notify()
        return future

    def in_thread(self) -> bool:
        """True inside a unit, where waiting for another unit would be waiting for ever."""
        return threading.current_thread() is self._thread

    def close(self) -> None:
        """Commit what waits, fold the WAL in, end the thread."""
        with self._wake:
            self._closing = True
            thread = self._thread
            self._wake.notify()
        if thread:
            thread.join()

    # -- the thread

    def _work(self) -> None:
        while True:
            group = self._take(CHECKPOINT_IDLE)
            if not group:
                self._checkpoint(idle=True)
                group = self._take(THREAD_IDLE)
            if group:
                self._commit(group)
            elif self._end():
                return

    def _take(self, seconds: float) -> list[_Waiting]:
        """The next group; empty when nothing has come for so long, or at the end."""
        with self._wake:
            if not self._queue and not self._closing:
                self._sleeping = True
                self._wake.wait(seconds)
                self._sleeping = False
            return [self._queue.popleft() for _ in range(min(len(self._queue), GROUP))]

    def _end(self) -> bool:
        """Give the thread's place up, unless a unit has come: whoever comes later finds no thread and starts one."""
        with self._wake:
            if self._queue:
                return False
            connection, self._connection = self._connection, None
            self._thread = None
        _close(connection)
        return True

    def _commit(self, group: list[_Waiting]) -> None:
        running = [one for one in group if one[1].set_running_or_notify_cancel()]
        if not running:
            return
        try:
            results = self._transaction(running)
        except BaseException as error:
            self._drop()
            _fail(running, self._driver.translate(error), error)
            return
        for (_, future), (value, failure) in zip(running, results, strict=True):
            if failure is None:
                future.set_result(value)
            else:
                future.set_exception(failure)
        if self._driver.wants_checkpoint():
            self._checkpoint(idle=False)

    def _transaction(self, running: list[_Waiting]) -> list[tuple[Any, BaseException | None]]:
        with self._driver.exclusive():
            if self._connection is None:
                self._connection = self._driver.writer()
            with self._connection.begin():
                results = [self._run(self._connection, unit) for unit, _ in running]
                self._point.before()
            self._point.after()
        return results

    def _run(self, connection: Connection, unit: Unit) -> tuple[Any, BaseException | None]:
        driver = self._driver
        driver.statement(connection, "SAVEPOINT unit")
        try:
            value = unit(connection)
        except BaseException as error:
            if not driver.in_transaction(connection):
                raise
            driver.statement(connection, "ROLLBACK TO unit")
            driver.statement(connection, "RELEASE unit")
            return None, driver.translate(error)
        driver.statement(connection, "RELEASE unit")
        return value, None

    def _checkpoint(self, *, idle: bool) -> None:
        """Best effort: a reader in the way or a full disk only means a longer WAL."""
        if self._connection is None:
            return
        try:
            with self._driver.exclusive():
                self._driver.checkpoint(self._connection, idle=idle)
        except Exception:
            self._drop()

    def _drop(self) -> None:
        """After a failure the next group starts with a new connection."""
        connection, self._connection = self._connection, None
        _close(connection)


def _fail(running: list[_Waiting], failure: BaseException, cause: BaseException) -> None:
    """Each future gets an error of its own: one instance raised in many threads would mix up their tracebacks."""
    for _, future in running:
        own = type(failure)(*failure.args) if isinstance(failure, StoreError) else failure
        if own is not failure:
            own.__cause__ = cause
        future.set_exception(own)


def _close(connection: Connection | None) -> None:
    if connection is not None:
        try:
            connection.close()
        except Exception:
            connection.invalidate()
