"""Takes connections from a listening socket, and stops while there are descriptors left for those who are in (P07).

Promises: of the descriptors that this process may have, the last `RESERVE` (of many, an eighth) are never a stranger's:
they are for the spool, databases and logs, so that sessions under way can finish. Who comes then hears `refusal` and is
let go, a few of them a second; the others wait in the kernel's queue. The kernel's own refusal to accept (nothing left
on the whole machine, no memory) is waited out; nothing spins, and the socket stays. Peers are watched over (P27).
Fails by: nothing; what happens is said in the log once a minute.
Not here: counting connections; TLS. The loop's own servers are no good for this: libuv closes all that wait when it
runs out of descriptors, and gives up the port when it does so twice.
"""
import asyncio
import logging
import resource
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from bridge.watch import tcp

RESERVE = 16
BATCH = 16              # connections in one turn of the loop
BACKLOG = 512
PAUSE = 0.25            # seconds, after a turn in which somebody was sent away
EXHAUSTED = 1.0         # seconds, after the kernel would not accept
_SAY_EVERY = 60.0
_log = logging.getLogger(__name__)


def ceiling() -> int:
    """The first descriptor that no connection may have."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        limit = 1 << 20
    return limit - max(RESERVE, limit // 8)


def raise_limit(most: int = 65_536) -> None:
    """As many descriptors as we are allowed to allow ourselves: the soft limit is made for programs that use select."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most if hard == resource.RLIM_INFINITY else min(hard, most)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class Acceptor:
    """`taken(connection, address)` gets each connection, which is then its own; `refusal()` is said to who can't stay.
    `close` also closes the socket."""

    def __init__(
        self, listening: socket.socket, taken: Callable[[socket.socket, Any], object], *,
        refusal: Callable[[], bytes] = lambda: b"",
    ) -> None:
        self._listening, self._taken, self._refusal = listening, taken, refusal
        self._ceiling = ceiling()
        self._loop = asyncio.get_running_loop()
        self._later: asyncio.TimerHandle | None = None
        self._said = float("-inf")
        self._closed = False
        listening.setblocking(False)
        listening.listen(BACKLOG)
        tcp.watch_over(listening)   # those that it accepts take after it
        self._loop.add_reader(listening, self._ready)

    def close(self) -> None:
        """Take no more."""
        if self._closed:
            return
        self._closed = True
        if self._later is not None:
            self._later.cancel()
        self._loop.remove_reader(self._listening)
        self._listening.close()

    def _ready(self) -> None:
        for _ in range(BATCH):
            try:
                connection, address = self._listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionError:
                continue        # it has gone again
            except OSError as error:
                self._say("no connections are accepted for a moment: %s", error)
                self._pause(EXHAUSTED)
                return
            if connection.fileno() >= self._ceiling:    # the kernel gives the lowest one that is free
                self._say("connections are sent away: only %s descriptors are left of `ulimit -n`", RESERVE)
                self._send_away(connection)
                self._pause(PAUSE)
            else:
                connection.setblocking(False)
                self._taken(connection, address)

    def _send_away(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.setblocking(False)
            if words := self._refusal():
                connection.send(words)

    def _pause(self, seconds: float) -> None:
        if self._later is None:
            self._loop.remove_reader(self._listening)
            self._later = self._loop.call_later(seconds, self._resume)

    def _resume(self) -> None:
        self._later = None
        if not self._closed:
            self._loop.add_reader(self._listening, self._ready)

    def _say(self, text: str, *what: object) -> None:
        now = self._loop.time()
        if now - self._said >= _SAY_EVERY:
            self._said = now
            _log.warning(text, *what)
