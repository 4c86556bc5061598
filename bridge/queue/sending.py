"""Leased rows to their transports and the outcomes back into rows.

Promises: what a transport doesn't report, or was doing when it raised or took too long, is deferred; an outcome is
stored before the spool file goes, and storing is tried until it succeeds, because forgetting it would mean a duplicate
(D-4); each remote transaction is recorded by itself. Rows that the window has no room for are given back untried.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from bridge.config.queue import Queue
from bridge.deliver.base import Job, Transport
from bridge.deliver.trouble import Trouble, judge, judge_error
from bridge.model.clock import Clock
from bridge.model.errors import StoreError
from bridge.model.outcome import Deferred, Outcome
from bridge.queue import plan as planning
from bridge.queue import story
from bridge.queue.backoff import Backoff, JumpWatch
from bridge.queue.hand import Hand
from bridge.queue.scheduler import Way, Window, alone
from bridge.route.resolver import Kind
from bridge.store.queuedb import QueueDb
from bridge.store.queuetables import FAILED, Change, Row
from bridge.store.spool import Spooled
from bridge.watch.trace import Journal

_RETRY = 1.0        # seconds between attempts to store outcomes
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Load:
    """What one call of a transport takes, and the database that has its rows."""

    queue: QueueDb
    jobs: list[Job]
    rows: list[Row]


class _Ready:
    """Loads that wait for a transaction of their way: personal before bulk."""

    __slots__ = ("_bulk", "_personal")

    def __init__(self) -> None:
        self._personal: deque[_Load] = deque()
        self._bulk: deque[_Load] = deque()

    def add(self, load: _Load) -> None:
        (self._bulk if load.rows[0].priority else self._personal).append(load)

    def pop(self) -> _Load:
        return (self._personal or self._bulk).popleft()

    def __bool__(self) -> bool:
        return bool(self._personal or self._bulk)

    def __iter__(self) -> Iterator[_Load]:
        yield from self._personal
        yield from self._bulk


class Sending:
    """The deliveries under way. `finished(ids)`: these messages have no recipient left; `ended()`: there is room."""

    def __init__(
        self,
        *,
        transports: Mapping[Kind, Transport],
        window: Window,
        hand: Hand,
        journal: Journal,
        clock: Clock,
        settings: Queue,
        backoff: Backoff,
        watch: JumpWatch,
        finished: Callable[[Sequence[str]], Awaitable[None]],
        survived: Callable[[Iterable[str]], Awaitable[None]],
        ended: Callable[[], None],
    ) -> None:
        self._transports, self._window, self._hand = transports, window, hand
        self._journal, self._clock, self._settings = journal, clock, settings
        self._backoff, self._watch = backoff, watch
        self._finished, self._survived, self._ended = finished, survived, ended
        self._ready: dict[Way, _Ready] = {}
        self._outbox: list[tuple[QueueDb, list[Change], asyncio.Future[None]]] = []
        self._storing = False
        self._running: set[asyncio.Task[None]] = set()
        self.failures = False       # a recipient has failed since somebody set this to False

    def launch(self, queue: QueueDb, rows: Sequence[Row], spooled: Mapping[str, Spooled]) -> None:
        """Take leased rows of `queue` in hand and start what the window lets through; the rest follows as it can."""
        ways: dict[Way, list[Row]] = {}
        for row in rows:
            ways.setdefault((row.kind, row.nexthop), []).append(row)
        back: list[Row] = []
        for way, some in ways.items():
            space = self._window.space(way, self._clock.monotonic())
            some, rest = some[:space], some[space:]
            back += rest
            if not some:
                continue
            self._window.take(way, len(some))
            self._hand.grab(row.message for row in some)
            ready = self._ready.setdefault(way, _Ready())
            for load in self._loads(queue, way, some, spooled):
                ready.add(load)
            self._start(way)
        self._give_back(queue, back)

    def _loads(
        self, queue: QueueDb, way: Way, rows: list[Row], spooled: Mapping[str, Spooled]
    ) -> Iterator["_Load"]:
        """Rows of one way as what one call of the transport takes."""
        single = alone(way[0])
        by_id = {row.id: row for row in rows}
        jobs = planning.jobs(rows, spooled, self._settings.chunk if single else self._settings.active)
        for group in [[job] for job in jobs] if single else [jobs]:
            yield _Load(queue, group, [by_id[target.id] for job in group for target in job.targets])

    def _start(self, way: Way) -> None:
        """As many calls as there is room for."""
        ready = self._ready.get(way)
        while ready and self._window.may_start(way):
            self._window.start(way)
            self._track(self._deliver(way, ready.pop()))
        if not ready:
            self._ready.pop(way, None)

    def _next(self, way: Way) -> None:
        """A call has ended: others may start, first of the same way; what is to rest or to halt is given back."""
        now = self._clock.monotonic()
        for one in (way, *[other for other in self._ready if other != way]):
            if one not in self._ready:
                continue
            if self._window.is_resting(one, now) or self._window.is_halted(one):
                for load in self._ready.pop(one):
                    self._let_go(one, load)
                    self._give_back(load.queue, load.rows)
            elif self._window.transactions < self._settings.transactions:
                self._start(one)

    def _let_go(self, way: Way, load: "_Load") -> None:
        self._window.give(way, len(load.rows))
        self._hand.let_go(row.message for row in load.rows)

    def _give_back(self, queue: QueueDb, rows: Sequence[Row]) -> None:
        if rows and not queue.closed:
            self._track(_done(queue.release([row.id for row in rows])))

    async def wait(self, seconds: float) -> None:
        """Let what is under way end; what takes longer is broken off and stays leased to a process that is no more."""
        for load in [load for loads in self._ready.values() for load in loads]:
            self._hand.let_go(row.message for row in load.rows)
        self._ready.clear()
        if self._running:
            _, left = await asyncio.wait(self._running, timeout=seconds)
            for task in left:
                task.cancel()
            if left:
                await asyncio.wait(left)

    def _track(self, work: "Awaitable[None]") -> None:
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        self._running.add(task)
        task.add_done_callback(self._untrack)

    def _untrack(self, task: "asyncio.Task[None]") -> None:
        self._running.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, StoreError):
            _log.error("delivery: %s", error)      # the lease ends, and the rows are taken up again
        elif error is not None:
            _log.error("delivery", exc_info=error)

    async def _deliver(self, way: Way, load: "_Load") -> None:
        """One call of a transport, and its record."""
        try:
            outcomes = await self._ask(way, load.jobs)
            await self._record(way, load, outcomes)
        finally:
            self._let_go(way, load)
            self._window.end(way)
            self._next(way)
            self._ended()
        await self._survived({row.message for row in load.rows})

    async def _ask(self, way: Way, jobs: list[Job]) -> Mapping[int, Outcome]:
        transport = self._transports.get(Kind(way[0]))
        if transport is None:
            outcome: Outcome = judge(Trouble.NO_TRANSPORT).outcome
        else:
            try:
                async with asyncio.timeout(self._settings.transport_seconds):
                    return await transport.deliver(jobs)
            except TimeoutError:
                outcome = judge(Trouble.TIMEOUT).outcome
            except Exception as error:
                _log.exception("transport %s %s", *way)
                outcome = judge_error(error).outcome
        return {target.id: outcome for job in jobs for target in job.targets}

    async def _record(self, way: Way, load: "_Load", outcomes: Mapping[int, Outcome]) -> None:
        now = self._clock.now()
        changes = [self._judged(way, row, outcomes.get(row.id, planning.SILENT), now) for row in load.rows]
        await self._store(load.queue, changes)
        spooled = {job.spooled.envelope.id: job.spooled for job in load.jobs}
        for row in load.rows:
            outcome = outcomes.get(row.id, planning.SILENT)
            story.told(self._journal, spooled[row.message], row.original, row.address, outcome, now)
        self.failures |= any(change.state == FAILED for change in changes)

    def _judged(self, way: Way, row: Row, outcome: Outcome, now: float) -> Change:
        """What becomes of a row, and what that says of the way it was to go."""
        if isinstance(outcome, Deferred):
            self._window.trouble(way, outcome.scope, self._clock.monotonic())
        else:
            self._window.fine(way)
        attempts = row.attempts + 1
        over = now > row.expires_at and attempts >= self._settings.expire_attempts and not self._watch.held
        return planning.change(row, outcome, now, self._backoff.wait(attempts), expired=over)

    async def _store(self, queue: QueueDb, changes: list[Change]) -> None:
        """Returns when the changes are committed. What ends meanwhile shares the next unit."""
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._outbox.append((queue, changes, stored))
        if not self._storing:
            self._storing = True
            self._track(self._store_all())
        await stored

    async def _store_all(self) -> None:
        try:
            while self._outbox:
                queue = self._outbox[0][0]
                group = [one for one in self._outbox if one[0] is queue]
                self._outbox = [one for one in self._outbox if one[0] is not queue]
                finished = await self._record_group(queue, [change for _, changes, _ in group for change in changes])
                for _, _, stored in group:
                    if not stored.done():
                        stored.set_result(None)
                if finished:
                    self._track(self._finished(finished))
        finally:
            self._storing = False

    async def _record_group(self, queue: QueueDb, changes: list[Change]) -> list[str]:
        while True:
            try:
                return await asyncio.wrap_future(queue.record(changes, self._clock.now()))
            except StoreError as error:
                if queue.closed:
                    return []       # its successor takes the messages up from the spool again
                _log.error("outcomes of %d recipients are not stored yet: %s", len(changes), error)
                await asyncio.sleep(_RETRY)


async def _done(future: "Future[None]") -> None:
    await asyncio.wrap_future(future)
