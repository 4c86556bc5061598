"""Time and identity, passed in by hand so that tests own them.

Promises: `Clock.now` is wall time in seconds, `Clock.monotonic` never goes back; ids sort by time and never repeat.
Not here: sleeping, scheduling.
"""
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field

_ALPHABET = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ"


@dataclass(frozen=True, slots=True)
class Clock:
    """Where time comes from. `now`: seconds since 1970 (may jump); `monotonic`: seconds, only forward."""

    now: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic


SYSTEM = Clock()


@dataclass(slots=True)
class Ids:
    """Queue ids: 16 characters, time-ordered, unique across processes (sec-Q12).

    56 bits of microseconds, strictly growing within a process, and 24 random bits that a process draws anew
    for each id, so neither a guess nor a clock that stands still yields an id twice.
    """

    clock: Clock = SYSTEM
    random: Callable[[int], bytes] = os.urandom
    _last: int = field(default=0)

    def new(self) -> str:
        micros = max(int(self.clock.now() * 1_000_000), self._last + 1)
        self._last = micros
        number = (micros & (1 << 56) - 1) << 24 | int.from_bytes(self.random(3), "big")
        out = bytearray(16)
        for i in range(15, -1, -1):
            out[i] = _ALPHABET[number & 31]
            number >>= 5
        return out.decode()


def micros_of(queue_id: str) -> int:
    """The microsecond at which `Ids.new` made this id (wall time of that moment)."""
    number = 0
    for char in queue_id.encode():
        number = number << 5 | _ALPHABET.index(char)
    return number >> 24
