"""The mover: takes up what the spool holds, hands recipients to transports, records what became of them.

Loops: `_intake` (new ids from hints and scans, a group at a time), `_settle` (tombstones of what was delivered without
rows, many in one commit), `_dispatch` (due rows, as the window allows), `_tick` (scan, clock, reports, care). Files and
database are worked on in threads. Hints only save time.
Promises: one slow destination stops nobody else; a message that was in hand when the process died goes alone from then
on and is set aside after `poison` deaths (P14); a jump of the clock returns nothing and delays nothing (P29); a lost or
damaged database is made again from the spool, also while running (sec-Q05). `stop` finishes what is under way.
Fails by: logging and trying again. Nothing that happens to one message ends a loop.
"""

import asyncio
import logging
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from bridge.config.queue import Queue
from bridge.deliver.base import Remembering, Transport
from bridge.model.clock import SYSTEM, Clock
from bridge.model.errors import StoreError
from bridge.queue.adopt import Adopter, Deliver, Taken
from bridge.queue.backoff import Backoff, JumpWatch
from bridge.queue.care import Care
from bridge.queue.hand import Hand
from bridge.queue.plan import Resolve, Timing
from bridge.queue.scheduler import Limits, Way, Window
from bridge.queue.sending import Sending
from bridge.route.resolver import Kind
from bridge.store.inflight import Inflight
from bridge.store.queuedb import QueueDb
from bridge.store.queuetables import FAILED, UNROUTED, Row
from bridge.store.spool import Spool, Spooled
from bridge.watch.trace import Journal

T = TypeVar("T")
_INTAKES = 3            # groups that are taken up at the same time
_GATHER = 0.02          # from the start of one group to that of the next, seconds: what comes meanwhile goes together
_CROWD = 50             # so many don't wait for the rest of that time
_SETTLE = 0.1           # how long delivered messages wait for each other before they get their tombstones, seconds
_KEEP = 256             # opened envelopes that are remembered
_CALM = 0.02            # shortest time between two looks for due rows, seconds
_AGAIN = 1.0            # when messages that could not be taken up are taken up again, seconds
_GRACE = 15.0           # how long a stop waits for transports, seconds
_log = logging.getLogger(__name__)


class Hints(Protocol):
    """Where hints come from: `bridge.store.notify.Listener("queue", ...)`."""

    def fileno(self) -> int: ...
    def receive(self) -> list[str]: ...


class Reports(Protocol):
    """Who writes to senders (`bridge.queue.reports`). Blocks; answers the messages that have no recipient left."""

    def run(self, queue: QueueDb, now: float) -> list[str]: ...


@dataclass(slots=True)
class Parts:
    """What the mover works with. `queue` makes a database object, because one may have to be replaced."""

    spool: Spool
    queue: Callable[[], QueueDb]
    resolve: Resolve
    transports: Mapping[Kind, Transport]
    inflight: Inflight
    journal: Journal
    settings: Queue = field(default_factory=Queue)
    local: Deliver | None = None            # the blocking form of the mailbox transport
    reports: Reports | None = None
    hints: Hints | None = None
    clock: Clock = SYSTEM
    backoff: Backoff | None = None
    grace: float = _GRACE


class Mover:
    """`await run()` until `stop()`. One per spool."""

    def __init__(self, parts: Parts) -> None:
        self.parts, self.settings = parts, parts.settings
        settings = parts.settings
        self.watch = JumpWatch(parts.clock)
        self.clock = Clock(self.watch.now, parts.clock.monotonic)
        self.boot = uuid.uuid4().hex
        self.window = Window(
            Limits(
                settings.active, settings.transactions, settings.per_destination, settings.chunk,
                settings.per_destination_most,
            )
        )
        self.hand = Hand(parts.inflight)
        backoff = parts.backoff or Backoff(settings.retry_first, settings.retry_longest)
        self.timing = Timing(settings, backoff)
        self.sending = Sending(
            transports=parts.transports, window=self.window, hand=self.hand, journal=parts.journal, clock=self.clock,
            settings=settings, backoff=backoff, watch=self.watch,
            finished=self._finished, survived=self._survived, ended=self._room,
        )
        self.queue = parts.queue()
        self.known: set[str] = set()            # ids in hand or with open rows
        self.again: set[str] = set()            # of these: an earlier attempt may have delivered them
        self.fresh: deque[str] = deque()        # of these: to be taken up
        self.owed: set[str] = set()             # of these: delivered, without row and tombstone
        self._apart: set[str] = set()           # of these: to be taken up alone
        self.adopter: Adopter | None = None
        self._care = Care(self)
        self._spooled: dict[str, Spooled] = {}
        self._threads = ThreadPoolExecutor(_INTAKES + 3, "mover")
        self._new, self._due, self._stopping = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._owing = asyncio.Event()
        self._replacing = asyncio.Lock()
        self._next_group = float("-inf")
        self._turn = 0

    # --- life

    async def run(self) -> None:
        """Work until `stop`. Raises what keeps it from starting."""
        loop = asyncio.get_running_loop()
        hints = self.parts.hints
        tasks: list[asyncio.Task[None]] = []
        try:
            await self._thread(self._care.start)
            if hints is not None:
                loop.add_reader(hints.fileno(), self._hinted, hints)
            work = [*([self._intake] * _INTAKES), self._settle, self._dispatch, self._tick]
            tasks += [asyncio.create_task(self._guarded(one)) for one in work]
            await self._stopping.wait()
            await asyncio.wait(tasks)
            await self.sending.wait(self.parts.grace)
        finally:
            if hints is not None:
                loop.remove_reader(hints.fileno())
            for task in tasks:
                task.cancel()
            await self.sending.wait(0)
            await loop.run_in_executor(None, self._close)

    def stop(self) -> None:
        """Finish what is under way, then end `run`."""
        self._stopping.set()
        for event in (self._new, self._due, self._owing):
            event.set()

    def wake(self) -> None:
        """Rows have become due by command: no destination rests any longer."""
        self.window.wake()
        for transport in self.parts.transports.values():
            if isinstance(transport, Remembering):
                transport.hurry()
        self._due.set()

    def _close(self) -> None:
        self._threads.shutdown()
        if self.owed and self.adopter is not None:
            try:
                self.adopter.settle(list(self.owed))
            except StoreError as error:
                _log.warning("%d delivered messages are looked at again at the next start: %s", len(self.owed), error)
        self.queue.close()
        self.parts.inflight.close()

    async def _guarded(self, work: Callable[[], Awaitable[None]]) -> None:
        """Repeat `work` until the end; what it raises is logged and not the end."""
        while not self._stopping.is_set():
            try:
                await work()
            except StoreError as error:
                _log.error("queue: %s", error)
                await self._replace_if_broken()
                await self._pause(1.0)
            except Exception:
                _log.exception("queue")
                await self._pause(1.0)

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return

    async def _thread(self, work: Callable[..., T], *values: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *values)

    async def _replace_if_broken(self) -> None:
        """A database that is gone or damaged is begun anew from the spool."""
        async with self._replacing:
            try:
                if await self._thread(self.queue.broken):
                    _log.error("queue.db is gone or damaged: it is made again from the spool")
                    await self._thread(self._care.replace)
                    self._new.set()
            except Exception:
                _log.exception("queue.db could not be replaced yet")

    # --- in

    def offer(self, queue_id: str) -> None:
        """A message that may be new."""
        if queue_id not in self.known:
            self.known.add(queue_id)
            self.fresh.append(queue_id)

    def _hinted(self, hints: Hints) -> None:
        for payload in hints.receive():
            for queue_id in payload.split():
                self.offer(queue_id)
        if self.fresh:
            self._new.set()

    async def _intake(self) -> None:
        """One group of new messages: at once after a pause, else with all that come within a moment."""
        if not self.fresh:
            self._new.clear()
            await self._new.wait()
        now = self.clock.monotonic()
        if now < self._next_group and len(self.fresh) < _CROWD:
            await asyncio.sleep(self._next_group - now)
            if not self.fresh:
                return
        self._next_group = self.clock.monotonic() + _GATHER
        ids = self._take()
        if ids:
            await self._take_up(ids)
        elif self.fresh:
            await self._pause(0.05)

    def _take(self) -> list[str]:
        """The next group; a suspect, or one whose group met a mistake of ours, goes alone."""
        ids: list[str] = []
        for _ in range(min(len(self.fresh), self.settings.batch)):
            queue_id = self.fresh.popleft()
            if queue_id not in self._apart and not self.hand.is_suspect(queue_id):
                ids.append(queue_id)
            elif not ids and self.hand.may_take(queue_id):
                return [queue_id]
            else:
                self.fresh.append(queue_id)
        return ids

    async def _take_up(self, ids: list[str]) -> None:
        adopter, queue = self.adopter, self.queue
        assert adopter is not None
        again = self.again.intersection(ids)
        direct = not self.window.is_halted((Kind.MAILBOX.value, ""))
        self.hand.grab(ids)
        try:
            taken = await self._thread(lambda: adopter.take_up(ids, again, space=self._space, direct=direct))
        except BaseException as error:
            self.again.update(ids)     # some may have been delivered
            self._apart.update(() if isinstance(error, StoreError) else ids)
            asyncio.get_running_loop().call_later(_AGAIN, self._offer_again, ids)
            raise
        finally:
            self.hand.let_go(ids)
        self.again.difference_update(ids)
        self._apart.difference_update(ids)
        self._took(queue, taken)
        await self._survived((*taken.gone, *taken.done, *taken.dead))

    def _space(self, way: Way) -> int:
        """An estimate, asked for in a thread; `launch` decides."""
        return self.window.space(way, self.clock.monotonic())

    def _offer_again(self, ids: Iterable[str]) -> None:
        self.known.difference_update(ids)
        for one in ids:
            self.offer(one)
        self._new.set()

    def _took(self, queue: QueueDb, taken: Taken) -> None:
        self.known.difference_update(taken.gone, taken.dead)
        if taken.done:
            self.owed.update(taken.done)
            self._owing.set()
        if taken.open:
            self._remember(taken.open)
            self._due.set()
        self.sending.failures |= taken.failed
        if taken.leased:
            self.sending.launch(queue, taken.leased, taken.open)

    def _remember(self, found: Mapping[str, Spooled]) -> None:
        self._spooled.update(found)
        while len(self._spooled) > _KEEP:
            del self._spooled[next(iter(self._spooled))]

    async def _settle(self) -> None:
        """Tombstones for what was delivered since the last time; until then a scan or another start may find the spool
        files, and the names in the mailboxes say that they are delivered."""
        await self._owing.wait()
        await self._pause(_SETTLE)
        self._owing.clear()
        ids = list(self.owed)
        adopter = self.adopter
        if ids and adopter is not None:
            try:
                await self._thread(adopter.settle, ids)
            except BaseException:
                self._owing.set()
                raise
            self.owed.difference_update(ids)
            self.known.difference_update(ids)

    # --- out

    async def _dispatch(self) -> None:
        """One look for due rows, and what the window lets through."""
        self._due.clear()
        queue, now, started = self.queue, self.clock.now(), self.clock.monotonic()
        self._turn += 1
        chosen = self.window.choose(await self._thread(queue.waiting, now), started, self._turn)
        for pile, number in chosen:
            found = await self._thread(queue.due, pile.kind, pile.nexthop, now, number)
            good = self.hand.choose(row.message for row in found)
            await self._lease(queue, [row for row in found if row.message in good])
        if self.sending.failures:
            self.sending.failures = False
            await self._report()
        await self._pause(max(_CALM, 4 * (self.clock.monotonic() - started)))
        if not chosen:
            await self._wait_for_due(await self._thread(queue.next_due))

    async def _wait_for_due(self, following: float | None) -> None:
        wait = float(self.settings.scan_seconds)
        if following is not None:
            wait = min(max(following - self.clock.now(), 0.2), wait)
        try:
            await asyncio.wait_for(self._due.wait(), wait)
        except TimeoutError:
            return

    async def _lease(self, queue: QueueDb, found: list[Row]) -> None:
        """Take these rows and send them on their way."""
        unrouted = [row for row in found if row.kind == UNROUTED]
        if unrouted:
            await self._route_again(queue, unrouted)
            return
        spooled = await self._thread(self._open, {row.message for row in found})
        found = [row for row in found if row.message in spooled]
        if not found:
            return
        until = self.clock.now() + self.settings.transport_seconds
        mine = await asyncio.wrap_future(queue.lease([row.id for row in found], self.boot, until))
        self._remember(spooled)
        self.sending.launch(queue, [row for row in found if row.id in mine], spooled)

    def _open(self, ids: Iterable[str]) -> dict[str, Spooled]:
        """Envelopes of messages that have rows. In a thread."""
        kept = {one: self._spooled.get(one) for one in ids}
        found = {one: spooled for one, spooled in kept.items() if spooled is not None}
        found.update(self._care.open([one for one in kept if one not in found]))
        return found

    async def _route_again(self, queue: QueueDb, old: list[Row]) -> None:
        """Addresses whose meaning could not be told before, or is to be told anew."""
        new = await self._thread(self._care.routed, old)
        finished = await asyncio.wrap_future(queue.reroute(old, new, self.clock.now()))
        self.sending.failures |= any(row.state == FAILED for row in new)
        await self._finished(finished)

    async def _finished(self, ids: Sequence[str]) -> None:
        """These messages are done, and the database says so."""
        if ids:
            await self._thread(self._care.remove, ids)
            self.forget(ids)

    async def dropped(self, ids: Sequence[str]) -> None:
        """These messages were deleted by command."""
        await self._finished(ids)

    def forget(self, ids: Iterable[str]) -> None:
        for one in ids:
            self.known.discard(one)
            self._spooled.pop(one, None)

    async def _survived(self, ids: Iterable[str]) -> None:
        """The process is still there: these are suspects no longer."""
        cleared = self.hand.clear(ids)
        if cleared:
            await asyncio.wrap_future(self.queue.forget_deaths(cleared))

    def _room(self) -> None:
        self._due.set()

    # --- care

    async def _tick(self) -> None:
        """What is looked at every few seconds."""
        await self._pause(float(self.settings.scan_seconds))
        if self._stopping.is_set():
            return
        await self._check_clock()
        if self.queue.replaced():
            await self._replace_if_broken()
        await self._thread(self._care.scan)
        if self.fresh:
            self._new.set()
        await self._report()
        await self._thread(self._care.sweep)

    async def _check_clock(self) -> None:
        """After a jump the rows move along; what is recorded from then on belongs to the new time."""
        jump = self.watch.jump()
        if not jump:
            return
        _log.error("the clock jumped by %.0f seconds: waits move along, nothing expires for an hour", jump)
        moved = self.queue.shift(jump, self.clock.now() + jump, self.settings.retry_longest)
        self.watch.accept(jump)
        self.parts.journal.record("clock", jump=round(jump))
        await asyncio.wrap_future(moved)
        self._due.set()

    async def _report(self) -> None:
        if self.parts.reports is not None:
            await self._finished(await self._thread(self.parts.reports.run, self.queue, self.clock.now()))
