"""When to try again, and when to give up.

Promises: waits double from `first` to `longest`, each with a jitter of 20 % either way, so that what failed together
doesn't come back together (sec-Q13); a jump of the clock is noticed by comparing wall and monotonic time, and for an
hour after one nothing may be given up (D-9).
Pure: time and chance are passed in.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from bridge.model.clock import Clock

JITTER = 0.2
JUMP = 60.0             # difference of the two clocks that is no drift, seconds
JUMP_HOLD = 3600.0      # no expiry for so long after a jump, seconds


@dataclass(frozen=True, slots=True)
class Backoff:
    """Growing waits. `chance` gives a float in [0, 1)."""

    first: float = 300.0
    longest: float = 14400.0
    chance: Callable[[], float] = Random().random

    def wait(self, attempts: int) -> float:
        """Seconds to wait after the attempt of this number (1 is the first); never more than `longest`."""
        base = min(self.first * 2.0 ** min(max(attempts - 1, 0), 40), self.longest / (1 + JITTER))
        return base * (1 - JITTER + 2 * JITTER * self.chance())


class JumpWatch:
    """The queue's idea of wall time: goes on evenly when the wall clock is set, until the jump is accepted.

    So all times in the rows belong to one time line, and `accept` moves from one to the next at one moment.
    """

    __slots__ = ("_clock", "_held_until", "_offset")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset = clock.now() - clock.monotonic()
        self._held_until = float("-inf")

    def now(self) -> float:
        return self._clock.monotonic() + self._offset

    def jump(self) -> float:
        """By how much the wall clock was set since the last call that answered 0 or the last `accept`; drift is 0."""
        offset = self._clock.now() - self._clock.monotonic()
        if abs(offset - self._offset) > JUMP:
            return offset - self._offset
        self._offset = offset
        return 0.0

    def accept(self, jump: float) -> None:
        """From now on `now` has the jump in it, and for an hour nothing expires."""
        self._offset += jump
        self._held_until = self._clock.monotonic() + JUMP_HOLD

    @property
    def held(self) -> bool:
        """True for an hour after a jump."""
        return self._clock.monotonic() < self._held_until
