"""Watching remote folders with IMAP IDLE: one connection for each account and folder, none blocks another (F29).

Promises: the loop watches the sockets; a bounded pool of threads speaks with the servers that have something to say, so
that hundreds of silent connections cost no thread. New mail wakes the timetable, at most every `PAUSE` seconds for each
account; mail itself is collected by polls alone, so that losing every watcher only makes it slower. What fails is tried
again, later and later; a server without IDLE is left to the polls. RFC 2177.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from bridge.config.fetch import FetchAccount
from bridge.intake.fetch.connection import Connection
from bridge.intake.fetch.imap import ImapSource
from bridge.intake.fetch.source import Limits, Status, Trouble

log = logging.getLogger("estafeta.fetch")

THREADS = 8
PAUSE = 5.0  # seconds between two wakings of one account
RENEW = 20 * 60.0
LOOK = 60.0  # seconds between two looks at the list of accounts
_FIRST_PAUSE, _LONGEST_PAUSE = 30.0, 3600.0
_COMMAND = 30.0
T = TypeVar("T")


class Watchers:
    """Watches those of `accounts()` that say idle; `wake(name)` is called when one of their folders grows."""

    def __init__(
        self,
        accounts: Callable[[], Sequence[FetchAccount]],
        wake: Callable[[str], None],
        *,
        pause: float = PAUSE,
        renew: float = RENEW,
        look: float = LOOK,
        retry: float = _FIRST_PAUSE,
    ) -> None:
        self._accounts, self._wake = accounts, wake
        self._pause, self._renew, self._look, self._retry = pause, renew, look, retry
        self._threads = ThreadPoolExecutor(THREADS, "idle")
        self._tasks: dict[tuple[FetchAccount, str], asyncio.Task[None]] = {}
        self._open: set[ImapSource] = set()
        self._closing: set[asyncio.Future[None]] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Watch until `stop` is set."""
        try:
            while not stop.is_set():
                self._adjust()
                try:
                    await asyncio.wait_for(stop.wait(), self._look)
                except TimeoutError:
                    continue
        finally:
            await self._end(list(self._tasks.values()))
            if self._closing:
                await asyncio.wait(self._closing, timeout=_COMMAND)
            self._threads.shutdown(wait=False)

    @property
    def watched(self) -> int:
        """Connections on which a server is listened to."""
        return len(self._open)

    def _adjust(self) -> None:
        """Begin and end watchers as the accounts say now."""
        watched = [one for one in self._accounts() if one.idle and one.protocol == "imap"]
        wanted = {(one, folder) for one in watched for folder in one.folders}
        for key in self._tasks.keys() - wanted:
            self._tasks.pop(key).cancel()
        for key in wanted - self._tasks.keys():
            self._tasks[key] = asyncio.ensure_future(self._watch(*key))

    async def _end(self, tasks: Sequence["asyncio.Task[None]"]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self, account: FetchAccount, folder: str) -> None:
        """One folder, for ever: connect, listen, and when that ends do it again."""
        pause, before = self._retry, False
        while True:
            source = ImapSource(account, Limits(0, math.inf, _COMMAND))
            try:
                await self._in_thread(lambda source=source: self._begin(source, folder))  # type: ignore[misc]
                if before:
                    self._wake(account.name)  # what came while nobody listened
                pause, before = self._retry, True
                await self._listen(account, source)
            except Trouble as error:
                if error.status == Status.SETTINGS:
                    log.warning("%s: %s; it is only polled", account.name, error)
                    return
                log.info("%s: watching %s ended: %s", account.name, folder, error)
            except Exception:
                log.exception("%s: a bug while watching %s", account.name, folder)
            finally:
                self._drop(source)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _drop(self, source: ImapSource) -> None:
        """End a connection; the thread that may be using it notices."""
        self._open.discard(source)
        source.abort()
        closing = asyncio.get_running_loop().run_in_executor(self._threads, source.close)
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    def _begin(self, source: ImapSource, folder: str) -> None:
        try:
            source.open()
            source.watch(folder)
        except BaseException:
            source.close()
            raise

    async def _listen(self, account: FetchAccount, source: ImapSource) -> None:
        self._open.add(source)
        while True:
            if await self._readable(source.connection):
                if await self._in_thread(source.news):
                    self._wake(account.name)
                    await asyncio.sleep(self._pause)
            else:
                await self._in_thread(source.renew)

    async def _readable(self, connection: Connection) -> bool:
        """True when the server has said something, False when it is time to renew."""
        if connection.buffered:  # in our buffer or inside TLS: the socket won't tell
            return True
        loop = asyncio.get_running_loop()
        said: asyncio.Future[None] = loop.create_future()
        number = connection.socket.fileno()
        loop.add_reader(number, _hear, said)
        try:
            await asyncio.wait_for(said, self._renew)
        except TimeoutError:
            return False
        finally:
            loop.remove_reader(number)
        return True

    async def _in_thread(self, act: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, act)


def _hear(said: "asyncio.Future[None]") -> None:
    if not said.done():
        said.set_result(None)
