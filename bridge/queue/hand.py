"""What the mover has in hand, noted where it survives the mover's death, and which messages may have caused one.

A message that was in hand when the mover died and its supervisor lived is a suspect. Suspects go one at a time, those
with the fewest deaths first, so that only the guilty one collects more; at `poison` deaths it is set aside (P14). Where
the supervisor died too (kill -9 of everything, the machine, a mover without supervisor), the message was most likely
only there (P13): that counts for a tenth, and makes a suspect of it when it has happened ten times in a row. One
thread uses this.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from bridge.store.inflight import Inflight

ALONE = 10          # the blame for a death of the mover alone
TOGETHER = 1        # and for one of everything


class Hand:
    """Counts holders per message: one may be under way in several transactions."""

    __slots__ = ("_blamed", "_held", "_note", "suspects")

    def __init__(self, note: Inflight) -> None:
        self._note = note
        self._held: Counter[str] = Counter()
        self._blamed: dict[str, int] = {}
        self.suspects: dict[str, int] = {}

    def blame(self, blamed: dict[str, int]) -> None:
        """So much is laid to the charge of these messages; of all others nothing."""
        self._blamed = blamed
        self.suspects = {one: blame for one, blame in blamed.items() if blame >= ALONE}

    def blamed(self) -> list[str]:
        return list(self._blamed)

    def grab(self, ids: Iterable[str]) -> None:
        some = list(ids)
        self._held.update(some)
        self._note.add(some)

    def let_go(self, ids: Iterable[str]) -> None:
        free: list[str] = []
        for one in ids:
            self._held[one] -= 1
            if self._held[one] <= 0:
                del self._held[one]
                free.append(one)
        self._note.discard(free)

    def held(self) -> set[str]:
        return set(self._held)

    def may_take(self, queue_id: str) -> bool:
        """False for a suspect while another one is in hand."""
        suspects = self.suspects
        return queue_id not in suspects or not any(one in self._held for one in suspects)

    def is_suspect(self, queue_id: str) -> bool:
        return bool(self.suspects) and queue_id in self.suspects

    def choose(self, ids: Iterable[str]) -> set[str]:
        """Of these messages those that may be taken together: all above suspicion, and at most one suspect."""
        wanted = set(ids)
        if not self.suspects:
            return wanted
        mine = sorted(wanted.intersection(self.suspects), key=lambda one: (self.suspects[one], one))
        wanted.difference_update(mine)
        if mine and self.may_take(mine[0]):
            wanted.add(mine[0])
        return wanted

    def clear(self, ids: Iterable[str]) -> Sequence[str]:
        """The process survived these; those that had been blamed."""
        if not self._blamed:
            return ()
        cleared = [one for one in ids if self._blamed.pop(one, 0)]
        for one in cleared:
            self.suspects.pop(one, None)
        return cleared
