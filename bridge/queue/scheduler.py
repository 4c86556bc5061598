"""Who may go now: windows per destination and for all, rest for destinations in trouble, halts by command.

Promises: a slow or dead destination holds its few transactions and never those of the others (sec-O08);
destinations take turns; piles that rest or are halted are passed over; a rest ends by itself.
Pure bookkeeping in memory: times and numbers are passed in, the rows are the queue database's.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from bridge.route.resolver import Kind
from bridge.store.queuetables import Waiting

Way = tuple[str, str]           # kind, next hop

REST_FIRST, REST_LONGEST = 30.0, 1800.0     # of a destination that is in trouble
NODE_REST = 5.0                             # of everything that needs our disk, after it failed
_SLOW = frozenset({Kind.REMOTE.value, Kind.LIST.value, Kind.PROGRAM.value})     # one job each transaction
_CLASSES = {
    Kind.REMOTE.value: "outgoing",
    Kind.LIST.value: "lists",
    Kind.MAILBOX.value: "local",
    Kind.FILE.value: "local",
    Kind.PROGRAM.value: "local",
}
HALTS = ("local", "outgoing", "lists", "all")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much at once: recipients in all, transactions in all, to one destination (at first; when all goes well),
    recipients in each."""

    active: int = 10_000
    transactions: int = 100
    per_destination: int = 5
    chunk: int = 50
    per_destination_most: int = 20


@dataclass(slots=True)
class _Rest:
    failures: int = 0
    until: float = 0.0


@dataclass(slots=True)
class Window:
    """What is in hand and under way. All methods are called from one thread; `now` is monotonic time."""

    limits: Limits = field(default_factory=Limits)
    halted: set[str] = field(default_factory=set)
    recipients: int = 0                                         # in hand: under way or waiting for a transaction
    transactions: int = 0
    _held: dict[Way, int] = field(default_factory=dict)         # of these recipients: which way
    _ways: dict[Way, int] = field(default_factory=dict)         # of these transactions: which way
    _rests: dict[Way, _Rest] = field(default_factory=dict)
    _rooms: dict[Way, int] = field(default_factory=dict)        # transactions of ways that do well

    # recipients

    def space(self, way: Way, now: float) -> int:
        """How many more recipients of this way may be taken in hand."""
        if self.is_halted(way) or self.is_resting(way, now):
            return 0
        return max(0, min(self.limits.active - self.recipients, self._cap(way) - self._held.get(way, 0)))

    def take(self, way: Way, recipients: int) -> None:
        self.recipients += recipients
        self._held[way] = self._held.get(way, 0) + recipients

    def give(self, way: Way, recipients: int) -> None:
        self.recipients -= recipients
        left = self._held.get(way, 0) - recipients
        if left > 0:
            self._held[way] = left
        else:
            self._held.pop(way, None)

    def _cap(self, way: Way) -> int:
        """What one way may have in hand: a tenth of everything; in trouble, what its one transaction takes."""
        if way[0] not in _SLOW:
            return self.limits.active
        work = self._room(way) * self.limits.chunk
        return work if way in self._rests else max(work, self.limits.active // 10)

    # transactions

    def may_start(self, way: Way) -> bool:
        """Is there room for one more transaction? What isn't done in transactions may always start."""
        if way[0] not in _SLOW:
            return True
        return self.transactions < self.limits.transactions and self._ways.get(way, 0) < self._room(way)

    def start(self, way: Way) -> None:
        if way[0] in _SLOW:
            self.transactions += 1
            self._ways[way] = self._ways.get(way, 0) + 1

    def end(self, way: Way) -> None:
        if way[0] in _SLOW:
            self.transactions -= 1
            left = self._ways.get(way, 0) - 1
            if left > 0:
                self._ways[way] = left
            else:
                self._ways.pop(way, None)
                self._rooms.pop(way, None)

    def _room(self, way: Way) -> int:
        """A destination that failed lately gets one transaction until it succeeds; one that does well gets more."""
        return 1 if way in self._rests else self._rooms.get(way, self.limits.per_destination)

    # trouble

    def is_halted(self, way: Way) -> bool:
        kind, nexthop = way
        halted = self.halted
        return bool(halted) and ("all" in halted or _CLASSES.get(kind, "") in halted or nexthop.lower() in halted)

    def trouble(self, way: Way, scope: str, now: float) -> None:
        """A deferral that concerns more than its recipients: spare the destination, or our disk."""
        if scope == "node":
            self._rests[(way[0], "*")] = _Rest(1, now + NODE_REST)
        elif scope == "host":
            rest = self._rests.setdefault(way, _Rest())
            if now >= rest.until:       # the transactions that failed together count once
                rest.failures += 1
                self._rooms.pop(way, None)
                rest.until = now + min(REST_FIRST * 2 ** min(rest.failures - 1, 10), REST_LONGEST)

    def fine(self, way: Way) -> None:
        """Something got through: full speed, and if all places are taken, one more."""
        if self._rests:
            self._rests.pop(way, None)
        room = self._rooms.get(way, self.limits.per_destination)
        if way[0] == Kind.REMOTE.value and room < self.limits.per_destination_most and self._ways.get(way, 0) >= room:
            self._rooms[way] = room + 1

    def wake(self) -> None:
        """An administrator wants everything tried now: no rests."""
        self._rests.clear()

    def is_resting(self, way: Way, now: float) -> bool:
        if not self._rests:
            return False
        return any(rest and now < rest.until for rest in (self._rests.get(way), self._rests.get((way[0], "*"))))

    # turns

    def choose(self, waiting: Iterable[Waiting], now: float, turn: int) -> list[tuple[Waiting, int]]:
        """Which piles are taken from now, with how many recipients each; `turn` moves the start on, so that none is
        always last. A way that has enough in hand is passed over until half of it is done."""
        chosen: list[tuple[Waiting, int]] = []
        left = self.limits.active - self.recipients
        for pile in _turned(list(waiting), turn):
            way = (pile.kind, pile.nexthop)
            number = min(self.space(way, now), pile.number, left)
            if number > 0 and 2 * self._held.get(way, 0) <= self._cap(way):
                chosen.append((pile, number))
                left -= number
        return chosen


def _turned(piles: list[Waiting], turn: int) -> Sequence[Waiting]:
    if not piles:
        return piles
    start = turn % len(piles)
    return piles[start:] + piles[:start]


def alone(kind: str) -> bool:
    """Does each job of this kind go as a transaction of its own?"""
    return kind in _SLOW
