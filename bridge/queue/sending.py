"""Leased rows to their transports and the outcomes back into rows.

Promises: what a transport doesn't report, or was doing when it raised or took too long, is deferred; an outcome is
stored before the spool file goes, and storing is tried until it succeeds, because forgetting it would mean a duplicate
(D-4); each remote transaction is recorded by itself. Rows that the window has no room for are given back untried.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future

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
        self._running: set[asyncio.Task[None]] = set()
        self.failures = False       # a recipient has failed since somebody set this to False

    def launch(self, queue: QueueDb, rows: Sequence[Row], spooled: Mapping[str, Spooled]) -> None:
        """Leased rows of `queue` on their way, as far as the window lets them."""
        ways: dict[Way, list[Row]] = {}
        for row in rows:
            ways.setdefault((row.kind, row.nexthop), []).append(row)
        back: list[int] = []
        for way, some in ways.items():
            single = alone(way[0])
            jobs = planning.jobs(some, spooled, self._settings.chunk if single else self._settings.active)
            by_id = {row.id: row for row in some}
            for group in [[job] for job in jobs] if single else [jobs]:
                members = [by_id[target.id] for job in group for target in job.targets]
                if self._window.free(way, self._clock.monotonic()):
                    self._window.begin(way, len(members))
                    self._hand.grab({row.message for row in members})
                    self._track(self._deliver(queue, way, group, members))
                else:
                    back += [row.id for row in members]
        if back:
            self._track(_done(queue.release(back)))

    async def wait(self, seconds: float) -> None:
        """Let what is under way end; what takes longer is broken off and stays leased to a process that is no more."""
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
        if not task.cancelled() and task.exception() is not None:
            _log.error("delivery", exc_info=task.exception())

    async def _deliver(self, queue: QueueDb, way: Way, jobs: list[Job], rows: list[Row]) -> None:
        """One call of a transport, and its record."""
        ids = {row.message for row in rows}
        try:
            outcomes = await self._ask(way, jobs)
            await self._record(queue, way, rows, outcomes, {job.spooled.envelope.id: job.spooled for job in jobs})
        finally:
            self._hand.let_go(ids)
            self._window.end(way, len(rows))
            self._ended()
        await self._survived(ids)

    async def _ask(self, way: Way, jobs: list[Job]) -> Mapping[int, Outcome]:
        transport = self._transports.get(Kind(way[0]))
        if transport is None:
            outcome: Outcome = judge(Trouble.NO_TRANSPORT).outcome
        else:
            try:
                return await asyncio.wait_for(transport.deliver(jobs), self._settings.transport_seconds)
            except TimeoutError:
                outcome = judge(Trouble.TIMEOUT).outcome
            except Exception as error:
                _log.exception("transport %s %s", *way)
                outcome = judge_error(error).outcome
        return {target.id: outcome for job in jobs for target in job.targets}

    async def _record(
        self,
        queue: QueueDb,
        way: Way,
        rows: list[Row],
        outcomes: Mapping[int, Outcome],
        spooled: Mapping[str, Spooled],
    ) -> None:
        now = self._clock.now()
        changes = [self._judged(way, row, outcomes.get(row.id, planning.SILENT), now) for row in rows]
        finished = await self._store(queue, changes, now)
        for row in rows:
            outcome = outcomes.get(row.id, planning.SILENT)
            story.told(self._journal, spooled[row.message], row.original, row.address, outcome, now)
        self.failures |= any(change.state == FAILED for change in changes)
        if finished:
            await self._finished(finished)

    def _judged(self, way: Way, row: Row, outcome: Outcome, now: float) -> Change:
        """What becomes of a row, and what that says of the way it was to go."""
        if isinstance(outcome, Deferred):
            self._window.trouble(way, outcome.scope, self._clock.monotonic())
        else:
            self._window.fine(way)
        attempts = row.attempts + 1
        over = now > row.expires_at and attempts >= self._settings.expire_attempts and not self._watch.held
        return planning.change(row, outcome, now, self._backoff.wait(attempts), expired=over)

    async def _store(self, queue: QueueDb, changes: list[Change], now: float) -> list[str]:
        while True:
            try:
                return await asyncio.wrap_future(queue.record(changes, now))
            except StoreError as error:
                if queue.closed:
                    return []       # its successor takes the messages up from the spool again
                _log.error("outcomes of %d recipients are not stored yet: %s", len(changes), error)
                await asyncio.sleep(_RETRY)


async def _done(future: "Future[None]") -> None:
    await asyncio.wrap_future(future)
