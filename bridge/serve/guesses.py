"""How often somebody guessed wrong: leaky buckets in one block of memory that all processes share (sec-A01, sec-A02).

Promises: fixed size however many addresses knock; one table for all protocols and, if made before the processes
fork, for all processes. Two processes that write the same slot at once may lose one count, never more.
Fails by: forgetting. When all slots of a key's row are taken, the one that was quiet longest is reused.
Not here: what the counts mean (`auth`).
"""
import mmap
import os
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b

_SLOT = struct.Struct("=Qddd")  # key, last touched, level against the short limit, level against the long limit
_ROW = 4                        # slots that a key may live in
_SLOTS = 65_536
_LONGEST = 1e6                  # a level above this is a torn write, not a count


@dataclass(frozen=True, slots=True)
class Bound:
    """How many are allowed: `short` within a minute and `long` within a day."""

    short: float
    long: float

    def times(self, factor: float) -> "Bound":
        return Bound(self.short * factor, self.long * factor)


class Guesses:
    """Buckets by key. Levels rise by `add`, and leak so that a full bucket is empty again after its minute or day."""

    def __init__(
        self, slots: int = _SLOTS, *, secret: bytes = b"", monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._rows = max(1, slots // _ROW)
        self._memory = mmap.mmap(-1, self._rows * _ROW * _SLOT.size)  # anonymous and shared: children see the same
        self._secret = secret or os.urandom(32)
        self._monotonic = monotonic

    def full(self, key: str, bound: Bound) -> bool:
        """Whether one more would be too many."""
        short, long = self._levels(key, bound)
        return short + 1 > bound.short or long + 1 > bound.long

    def add(self, key: str, bound: Bound, count: float = 1) -> None:
        """Count `count` more; a negative count takes back."""
        number = self._number(key)
        offset = self._find(number, create=True)
        short, long = self._leak(offset, bound) if offset >= 0 else (0.0, 0.0)
        self._put(offset, number, max(0.0, short + count), max(0.0, long + count))

    def known(self, key: str) -> bool:
        """Whether `key` has a slot at all."""
        return self._find(self._number(key)) >= 0

    def _number(self, key: str) -> int:
        digest = blake2b(key.encode("utf-8", "surrogateescape"), digest_size=8, key=self._secret).digest()
        return int.from_bytes(digest, "big") | 1  # never 0, which is a free slot

    def _find(self, number: int, create: bool = False) -> int:
        row = number % self._rows * _ROW * _SLOT.size
        oldest, quiet = -1, float("inf")
        for offset in range(row, row + _ROW * _SLOT.size, _SLOT.size):
            key, touched, _, _ = _SLOT.unpack_from(self._memory, offset)
            if key == number:
                return offset
            if touched < quiet:
                oldest, quiet = offset, touched
        if not create:
            return -1
        _SLOT.pack_into(self._memory, oldest, number, self._monotonic(), 0.0, 0.0)
        return oldest

    def _levels(self, key: str, bound: Bound) -> tuple[float, float]:
        offset = self._find(self._number(key))
        return self._leak(offset, bound) if offset >= 0 else (0.0, 0.0)

    def _leak(self, offset: int, bound: Bound) -> tuple[float, float]:
        _, touched, short, long = _SLOT.unpack_from(self._memory, offset)
        passed = self._monotonic() - touched
        if not (0 <= short <= _LONGEST and 0 <= long <= _LONGEST and passed >= 0):
            return 0.0, 0.0
        return max(0.0, short - passed * bound.short / 60), max(0.0, long - passed * bound.long / 86_400)

    def _put(self, offset: int, number: int, short: float, long: float) -> None:
        _SLOT.pack_into(self._memory, offset, number, self._monotonic(), short, long)
