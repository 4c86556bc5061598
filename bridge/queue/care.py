"""The mover's slower half, in threads: start, recovery, scans, what is missing or damaged, forgetting what is old.

Recovery (D-2): a spool file without row is taken up as one that may have been delivered; a row without file is closed
as missing, with an alarm; a file whose row is a tombstone is removed; what the last process had in hand when it died is
suspected. Promises: the same whether the database is whole, old, damaged or gone.
"""

import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from bridge.model.clock import Clock, Ids
from bridge.queue import plan as planning
from bridge.queue.adopt import Adopter
from bridge.queue.hand import ALONE, TOGETHER
from bridge.route.resolver import Kind
from bridge.store.queuetables import MISSING, OPEN, Row
from bridge.store.spool import Damaged, Spooled

if TYPE_CHECKING:
    from bridge.queue.worker import Mover

_HOUR = 3600.0
_log = logging.getLogger(__name__)


class Care:
    """Works on the state of one `Mover`. Its methods block; none runs twice at the same time but `open`, `remove`."""

    def __init__(self, mover: "Mover") -> None:
        self._mover = mover
        self._swept = float("-inf")

    # --- start

    def start(self) -> None:
        """Open the queue, void old leases, find what the spool has and no row tells of."""
        mover, parts = self._mover, self._mover.parts
        now = mover.clock.now()
        found = mover.queue.start(mover.boot, now)
        mover.window.halted = set(found.paused)
        mover.adopter = Adopter(
            parts.spool, mover.queue, parts.resolve, mover.timing, parts.journal, mover.clock,
            boot=mover.boot, first_id=found.last_recipient + 1, deliver=parts.local,
        )
        held = mover.hand.held()
        mover.known = set(found.open) | held | mover.owed
        mover.fresh.clear()
        self._blame(set(parts.inflight.left_behind()) - held, found.blamed)
        mover.queue.clamp(now, mover.settings.retry_longest).result()
        there = set(parts.spool.scan())
        self._miss(mover.known - held - mover.owed - there, alarm=not found.rebuilt)
        self._absolve(there)
        self._offer(sorted(there - mover.known), again=True)

    def replace(self) -> None:
        """As `start`, with a new database object, while deliveries are under way. These know the old one; when they
        end, nothing of them is recorded, and the next scan takes their messages up again."""
        mover = self._mover
        mover.queue.close()
        mover.queue = mover.parts.queue()
        mover.again |= mover.hand.held()
        self.start()
        mover.known -= mover.hand.held()

    def _blame(self, left_behind: Iterable[str], blamed: dict[str, int]) -> None:
        """The process died with these in hand."""
        mover, dead = self._mover, list(left_behind)
        if dead:
            blame = ALONE if mover.parts.inflight.by_our_family() else TOGETHER
            blamed = mover.queue.count_deaths(dead, blame).result()
        mover.parts.inflight.begin()
        poison = mover.settings.poison
        for one in [one for one, blame in blamed.items() if blame >= poison * ALONE]:
            del blamed[one]
            self.quarantine(one, f"the process died {poison} times while it handled this message")
        mover.hand.blame(blamed)

    def _absolve(self, there: set[str]) -> None:
        """Messages that are no more: their last deed was to be delivered."""
        hand = self._mover.hand
        gone = hand.clear(one for one in hand.blamed() if one not in there)
        if gone:
            self._mover.queue.forget_deaths(gone).result()

    def _offer(self, ids: Sequence[str], *, again: bool) -> None:
        """Ids that a scan found: new ones are taken up, finished ones removed."""
        mover = self._mover
        states = mover.queue.known(ids)
        for one in ids:
            state = states.get(one)
            if state is None:
                if again:
                    mover.again.add(one)
                mover.offer(one)
            elif state == OPEN:
                mover.known.add(one)
            else:
                self.remove([one])

    def _miss(self, ids: Iterable[str], *, alarm: bool) -> None:
        """Open rows whose spool file is gone: an alarm, unless the rows are known to be old."""
        mover, missing = self._mover, sorted(ids)
        if not missing:
            return
        mover.queue.close_as(missing, MISSING, mover.clock.now()).result()
        mover.forget(missing)
        if alarm:
            _log.error("%d queued messages have no spool file: %s", len(missing), " ".join(missing[:10]))
            for one in missing:
                mover.parts.journal.record("missing", one)

    # --- for the mover's loops

    def scan(self) -> None:
        """What no hint told of."""
        mover = self._mover
        there = list(mover.parts.spool.scan())
        held = mover.hand.held()
        unknown = [one for one in there if one not in mover.known and one not in held]
        if unknown:
            self._offer(unknown, again=False)

    def open(self, ids: Iterable[str]) -> dict[str, Spooled]:
        """Envelopes of messages that have rows. What can't be opened is missed or set aside."""
        found: dict[str, Spooled] = {}
        for one in ids:
            try:
                found[one] = self._mover.parts.spool.open(one)
            except FileNotFoundError:
                self._miss([one], alarm=True)
            except Damaged as error:
                self.quarantine(one, str(error))
        return found

    def quarantine(self, queue_id: str, reason: str) -> None:
        adopter = self._mover.adopter
        assert adopter is not None
        adopter.quarantine(queue_id, reason)
        self._mover.forget([queue_id])

    def remove(self, ids: Iterable[str]) -> None:
        """Spool files of finished messages."""
        adopter = self._mover.adopter
        assert adopter is not None
        for one in ids:
            adopter.remove(one)

    def routed(self, old: Sequence[Row]) -> list[Row]:
        """These rows looked up again."""
        mover = self._mover
        adopter = mover.adopter
        assert adopter is not None
        now = mover.clock.now()
        return [
            planning.row(
                next(adopter.ids), one.message, one.original, route, now, sender=one.sender, orcpt=one.orcpt,
                notify=one.notify, priority=one.priority, attempts=one.attempts, expires_at=one.expires_at,
                wait=mover.timing.backoff.wait,
            )
            for one in old
            for route in planning.look_up(mover.parts.resolve, one.original, one.sender)
            if route.kind is not Kind.DISCARD
        ]

    def sweep(self) -> None:
        """Once an hour: tombstones older than the longest life and the time to remember are forgotten."""
        mover = self._mover
        if mover.clock.monotonic() - self._swept < _HOUR:
            return
        self._swept = mover.clock.monotonic()
        age = mover.settings.lifetime + mover.settings.remember_days * 86400
        then = max(mover.clock.now() - age, 0.0)
        mover.queue.sweep(Ids(Clock(now=lambda: then)).new()).result()
        mover.queue.clamp(mover.clock.now(), mover.settings.retry_longest).result()
