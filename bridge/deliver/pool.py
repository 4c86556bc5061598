"""Connections to other servers: how many at a time, and used again while they are warm.

Promises: at most `each` transactions at a time to one next hop and `total` in all, first come first served, so that a
tar pit holds only its own places (sec-O08); a connection that has taken a message waits a while for the next one; a
destination where nobody could be reached is not tried again for a moment, those who wait for it hear so at once.
Fails by: Unusable.
"""
import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from bridge.deliver.connection import Connection, Unusable

Connect = Callable[[str], Awaitable[Connection]]


@dataclass(slots=True)
class _Place:
    """One next hop."""

    slots: asyncio.Semaphore
    idle: list[Connection] = field(default_factory=list)
    users: int = 0
    dead_until: float = 0.0
    error: Unusable | None = None


class Pool:
    """`connect` opens a connection; `keep`: seconds that one may wait; `messages`: over one connection; `dead`:
    seconds that an unreachable destination is left alone."""

    def __init__(
        self, connect: Connect, *, each: int = 5, total: int = 100, keep: float = 20.0, messages: int = 100,
        dead: float = 30.0,
    ) -> None:
        self._connect, self._each, self._keep, self._messages, self._dead = connect, each, keep, messages, dead
        self._total = asyncio.Semaphore(total)
        self._places: defaultdict[str, _Place] = defaultdict(lambda: _Place(asyncio.Semaphore(self._each)))
        self._sweeper: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def slot(self, nexthop: str) -> AsyncIterator[None]:
        """A place among those who talk to `nexthop`."""
        place = self._places[nexthop]
        place.users += 1
        try:
            async with place.slots, self._total:
                yield
        finally:
            place.users -= 1
            self._plan_sweep()

    async def take(self, nexthop: str, *, fresh: bool = False) -> tuple[Connection, bool]:
        """A connection that is ready, and whether it was used before. To be called inside `slot`."""
        place, now = self._places[nexthop], self._now()
        while place.idle and not fresh:
            connection = place.idle.pop()
            if connection.usable:
                return connection, True
            connection.close()
        if place.error is not None and place.dead_until > now:
            raise place.error
        try:
            connection = await self._connect(nexthop)
        except Unusable as error:
            place.error, place.dead_until = error, self._now() + self._dead
            raise
        place.error = None
        return connection, False

    async def give(self, nexthop: str, connection: Connection) -> None:
        """Give back what `take` gave, after a transaction."""
        if not await connection.settle():
            return
        if connection.machine.transactions >= self._messages or self._keep <= 0:
            connection.quit()
            return
        connection.idle_since = self._now()
        self._places[nexthop].idle.append(connection)
        self._plan_sweep()

    def forget(self) -> None:
        """Try again also where nobody could be reached just now (the queue was told to hurry)."""
        for place in self._places.values():
            place.error = None

    def close(self) -> None:
        """Say goodbye on all connections that wait."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for place in self._places.values():
            while place.idle:
                place.idle.pop().quit()

    def _plan_sweep(self) -> None:
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(max(self._keep, 1.0), self._sweep)

    def _sweep(self) -> None:
        """Close what waited too long, forget destinations that nobody talks to."""
        self._sweeper = None
        now = self._now()
        for nexthop, place in list(self._places.items()):
            for connection in list(place.idle):
                if now - connection.idle_since >= self._keep or not connection.usable:
                    place.idle.remove(connection)
                    connection.quit()
            if not place.idle and not place.users and place.dead_until <= now:
                del self._places[nexthop]
        if self._places:
            self._plan_sweep()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
