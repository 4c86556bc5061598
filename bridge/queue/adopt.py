"""From the spool into the queue: messages are opened, looked up, delivered at once where that is safe, else given rows.

A message that goes to local mailboxes only is delivered first and gets one row, a tombstone, by `settle`, for many at
a time: delivery is idempotent by name, so a crash in between costs nothing. All others get rows first.
Promises: nothing is removed from the spool before the row that says so is committed; a second spool file of a known key
is dropped; a damaged file goes to quarantine with its reason (sec-Q09). Blocks: runs in a thread of the mover.
Fails by: StoreError for all of a group; the messages stay in the spool and are taken up again later.
"""

import itertools
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from bridge.deliver.base import Job
from bridge.model.clock import Clock
from bridge.model.errors import StoreError
from bridge.model.outcome import Delivered, Outcome
from bridge.queue import plan as planning
from bridge.queue import story
from bridge.queue.plan import Plan, Resolve, Timing
from bridge.queue.scheduler import Way
from bridge.route.resolver import Kind
from bridge.store.queuedb import QueueDb
from bridge.store.queuetables import FAILED, FINISHED, LEASED, OPEN, PENDING, QUARANTINED, UNROUTED, Change, New, Row
from bridge.store.spool import Damaged, Spool, Spooled
from bridge.watch.trace import Journal

Deliver = Callable[[Sequence[Job]], Mapping[int, Outcome]]
Space = Callable[[Way], int]
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Taken:
    """What became of a group of ids. `gone`: nothing is left to do for them; `done`: all that is left is to `settle`
    them; `open`: they have rows now; `leased`: rows to be delivered right away; `failed`: some recipient failed, a
    report is due; `dead`: set aside as damaged."""

    gone: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    open: dict[str, Spooled] = field(default_factory=dict)
    leased: list[Row] = field(default_factory=list)
    failed: bool = False
    dead: list[str] = field(default_factory=list)


class Adopter:
    """Takes messages up, a group at a time; several threads may do so."""

    def __init__(
        self,
        spool: Spool,
        queue: QueueDb,
        resolve: Resolve,
        timing: Timing,
        journal: Journal,
        clock: Clock,
        *,
        boot: str,
        first_id: int,
        deliver: Deliver | None,
    ) -> None:
        self._spool, self._queue, self._resolve = spool, queue, resolve
        self._timing, self._journal, self._clock = timing, journal, clock
        self._boot, self._deliver = boot, deliver
        self.ids: Iterator[int] = itertools.count(first_id)

    def take_up(self, ids: Sequence[str], again: Iterable[str], *, space: Space, direct: bool) -> Taken:
        """Adopt these messages. `again`: those of them that an earlier process may have delivered; `space`: how
        many rows of a way the caller takes at once, leased; `direct`: local delivery may go on now."""
        taken = Taken()
        plans = self._plans(ids, set(again), taken)
        nothing, taken.gone = taken.gone, []
        first = [one for one in plans if direct and self._deliver and one.fast]
        adopted: list[tuple[Plan, New]] = []
        self._deliver_first(first, adopted, taken)
        now = self._clock.now()
        for one in plans:
            if one in first:
                continue
            made = planning.rows(one, self._timing, now)
            story.routed(self._journal, one)
            if made or one.spooled.envelope.key != one.id:
                adopted.append((one, planning.new(one, made, self._timing)))
            else:
                taken.done.append(one.id)
        if adopted:
            self._commit(adopted, space, taken)
        for queue_id in taken.gone:
            self.remove(queue_id)
        taken.gone += nothing
        return taken

    def settle(self, ids: Sequence[str]) -> None:
        """Tombstones for messages that are done, then their spool files go."""
        self._queue.finish_new(ids, self._clock.now()).result()
        for queue_id in ids:
            self.remove(queue_id)

    def remove(self, queue_id: str) -> bool:
        """The spool file of a finished message; False if it could not be removed now."""
        try:
            self._spool.remove(queue_id)
        except StoreError as error:
            _log.warning("spool file of finished message %s stays for now: %s", queue_id, error)
            return False
        return True

    def quarantine(self, queue_id: str, reason: str) -> None:
        """Set a message aside for good, with the reason, and say so (sec-Q09, P14)."""
        _log.error("message %s goes to quarantine: %s", queue_id, reason)
        try:
            self._spool.quarantine(queue_id, reason)
        except FileNotFoundError:
            _log.warning("message %s was gone already", queue_id)
        except StoreError as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
        self._queue.close_as([queue_id], QUARANTINED, self._clock.now()).result()
        self._journal.record("quarantined", queue_id, reason=reason)

    def _plans(self, ids: Sequence[str], again: set[str], taken: Taken) -> list[Plan]:
        plans: list[Plan] = []
        for queue_id in ids:
            try:
                spooled = self._spool.open(queue_id)
            except (FileNotFoundError, ValueError):     # finished already; a hint that is no id
                taken.gone.append(queue_id)
                continue
            except Damaged as error:
                self.quarantine(queue_id, str(error))
                taken.dead.append(queue_id)
                continue
            plans.append(planning.make(spooled, self._resolve, self.ids, again=queue_id in again))
        return plans

    def _deliver_first(self, first: Sequence[Plan], adopted: list[tuple[Plan, New]], taken: Taken) -> None:
        """Local delivery without rows; who wasn't reached gets a row afterwards."""
        if not first or self._deliver is None:
            return
        jobs = [Job(one.spooled, Kind.MAILBOX, "", one.targets(Kind.MAILBOX), one.again) for one in first]
        jobs = [job for job in jobs if job.targets]
        outcomes = self._deliver(jobs) if jobs else {}
        now = self._clock.now()
        for one in first:
            story.discarded(self._journal, one)
            if any(route.address != recipient.address for _, recipient, route in one.ends):
                story.routed(self._journal, one)
            left = [
                self._after(one_row, outcomes.get(one_row.id, planning.SILENT), now)
                for one_row in planning.rows(one, self._timing, now)
                if not isinstance(outcomes.get(one_row.id), Delivered)
            ]
            for number, recipient, route in one.ends:
                if route.kind is Kind.MAILBOX:
                    outcome = outcomes.get(number, planning.SILENT)
                    story.told(self._journal, one.spooled, recipient.address, route.address, outcome, now)
            if left:
                adopted.append((one, planning.new(one, tuple(left), self._timing)))
                taken.failed |= any(one_row.state == FAILED for one_row in left)
            else:
                taken.done.append(one.id)

    def _after(self, row: Row, outcome: Outcome, now: float) -> Row:
        """The row of a recipient whose first attempt came before its row."""
        wait = self._timing.backoff.wait(row.attempts + 1)
        made: Change = planning.change(row, outcome, now, wait, expired=False)
        state = PENDING if made.state == FINISHED else made.state
        return row._replace(
            state=state, next_try=made.next_try or now, attempts=row.attempts + 1, code=made.code,
            enhanced=made.enhanced, reply=made.reply, place=made.place,
        )

    def _commit(self, adopted: list[tuple[Plan, New]], space: Space, taken: Taken) -> None:
        now = self._clock.now()
        left: dict[Way, int] = {}
        adopted = [(one, made._replace(rows=_leased(made.rows, now, space, left))) for one, made in adopted]
        until = now + self._timing.settings.transport_seconds
        known = self._queue.adopt([made for _, made in adopted], self._boot, until).result()
        empty = [one.id for one, made in adopted if not made.rows]      # all thrown away; only the key is remembered
        closed = set(self._queue.close_empty(empty, now).result()) if empty else set()
        taken.gone += closed
        for one, made in adopted:
            if one.id in closed:
                continue
            state = known.get(one.id, OPEN)
            if state != OPEN:
                taken.gone.append(one.id)
                self._journal.record("dropped", one.id, key=one.spooled.envelope.key, reason="taken up before")
                continue
            taken.open[one.id] = one.spooled
            if one.id not in known:
                taken.leased += [row for row in made.rows if row.state == LEASED]
                taken.failed |= any(row.state == FAILED for row in made.rows)


def _leased(rows: Sequence[Row], now: float, space: Space, left: dict[Way, int]) -> tuple[Row, ...]:
    """The rows, with those as taken that can be delivered now and that there is room for; `left` keeps count."""
    made: list[Row] = []
    for row in rows:
        if row.state == PENDING and row.next_try <= now and row.kind != UNROUTED:
            way = (row.kind, row.nexthop)
            room = left[way] if way in left else space(way)
            left[way] = room - 1
            if room > 0:
                row = row._replace(state=LEASED)
        made.append(row)
    return tuple(made)
