"""Sequence sets: parsed to sorted ranges, applied to sorted UIDs by bisection, written compactly.

Promises: ranges are sorted, disjoint and not adjacent; applying a set costs its ranges times log n, not n.
Fails by: ValueError in `parse`.
RFC: 3501 and 9051 (sequence-set), 5182 (`$`).

`*` is the largest number in use. A range that reaches to `*` is kept with `STAR` as its upper end; because `9:*` is
`*:9`, it always holds the largest number, even where that is below 9.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

STAR: Final = 1 << 32
_END = r"(?:\*|[1-9][0-9]{0,9})"
_SYNTAX = re.compile(f"{_END}(?::{_END})?(?:,{_END}(?::{_END})?)*".encode("ascii"))
_SINGLE = re.compile(rb"[1-9][0-9]{0,9}")


@dataclass(frozen=True, slots=True)
class SequenceSet:
    """Numbers or UIDs as a client named them; `saved` is `$`, the result of the last SEARCH."""

    ranges: tuple[tuple[int, int], ...]
    saved: bool = False

    @property
    def has_star(self) -> bool:
        """True where the set depends on the largest number in use."""
        return bool(self.ranges) and self.ranges[-1][1] == STAR

    @property
    def highest(self) -> int:
        """The largest number named as such (a sequence number above EXISTS deserves a BAD); 0: only `*`."""
        if not self.ranges:
            return 0
        low, high = self.ranges[-1]
        if high != STAR:
            return high
        if low != STAR:
            return low
        return self.ranges[-2][1] if len(self.ranges) > 1 else 0

    def numbers(self, last: int) -> list[tuple[int, int]]:
        """The ranges that exist where 1 to `last` exist."""
        found: list[tuple[int, int]] = []
        if not last:
            return found
        for low, high in self.ranges:
            if high == STAR:
                found.append((min(low, last), last))
            elif low <= last:
                found.append((low, min(high, last)))
        return _merged(found) if self.has_star else found

    def slices(self, uids: Sequence[int]) -> list[tuple[int, int]]:
        """Where the named UIDs are in the sorted `uids`: slices (start, stop), none empty."""
        found: list[tuple[int, int]] = []
        if not uids:
            return found
        size, last = len(uids), uids[-1]
        start = 0
        for low, high in self.ranges:
            if high == STAR:
                start = bisect_left(uids, min(low, last), 0 if low > last else start)
                if found and start < found[-1][1]:
                    start = found[-1][1]
                if start < size:
                    found.append((start, size))
                break
            start = bisect_left(uids, low, start)
            if start == size:
                if not self.has_star:
                    break
                continue
            stop = bisect_right(uids, high, start)
            if stop > start:
                found.append((start, stop))
                start = stop
        return found

    def absent(self, uids: Sequence[int], last: int) -> list[tuple[int, int]]:
        """The named UIDs up to `last` that are not in the sorted `uids`: what a QRESYNC client must forget."""
        found: list[tuple[int, int]] = []
        for low, high in self.numbers(last):
            expected = low
            for at in range(bisect_left(uids, low), bisect_right(uids, high)):
                if uids[at] > expected:
                    found.append((expected, uids[at] - 1))
                expected = uids[at] + 1
            if expected <= high:
                found.append((expected, high))
        return found

    def contains(self, number: int, last: int) -> bool:
        """Whether this number is named, where `last` is the largest in use."""
        if self.has_star and number == last:
            return True
        at = bisect_right(self.ranges, (number, STAR)) - 1
        return at >= 0 and self.ranges[at][0] <= number <= self.ranges[at][1] and number <= last

    def format(self) -> bytes:
        """The set as a client writes it."""
        return b"$" if self.saved else format_ranges(self.ranges)


SAVED: Final = SequenceSet((), True)
EVERYTHING: Final = SequenceSet(((1, STAR),))


def parse(raw: bytes) -> SequenceSet:
    """A set from its wire form; ValueError where it isn't one."""
    if _SINGLE.fullmatch(raw):
        return SequenceSet(((_number(raw), int(raw)),))
    if raw == b"1:*":
        return EVERYTHING
    if raw == b"$":
        return SAVED
    if not _SYNTAX.fullmatch(raw):
        raise ValueError("not a sequence set")
    ranges: list[tuple[int, int]] = []
    for part in raw.split(b","):
        left, colon, right = part.partition(b":")
        low = _number(left)
        high = _number(right) if colon else low
        ranges.append((low, high) if low <= high else (high, low))
    return SequenceSet(tuple(_merged(ranges)))


def _number(raw: bytes) -> int:
    if raw == b"*":
        return STAR
    number = int(raw)
    if number >= STAR:
        raise ValueError("number above 4294967295")
    return number


def _merged(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    if len(ranges) < 2:
        return ranges
    ranges.sort()
    out: list[tuple[int, int]] = []
    low, high = ranges[0]
    for left, right in ranges[1:]:
        if left <= high + 1 and left != STAR:
            high = max(high, right)
        elif left == STAR and high == STAR:
            continue
        else:
            out.append((low, high))
            low, high = left, right
    out.append((low, high))
    return out


def format_ranges(ranges: Iterable[tuple[int, int]]) -> bytes:
    """Ranges as wire bytes."""
    return b",".join([_format(low, high) for low, high in ranges])


def _format(low: int, high: int) -> bytes:
    if low == STAR:
        return b"*"
    if low == high:
        return b"%d" % low
    return b"%d:*" % low if high == STAR else b"%d:%d" % (low, high)


def compact(numbers: Iterable[int]) -> bytes:
    """Ascending numbers as the shortest set of ascending ranges."""
    return format_ranges(ranges_of(numbers))


def ranges_of(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Numbers above 0 as ranges; a number that doesn't ascend by one starts a new range, so order is kept."""
    out: list[tuple[int, int]] = []
    low = high = 0
    for number in numbers:
        if number == high + 1 and high:
            high = number
        else:
            if high:
                out.append((low, high))
            low = high = number
    if high:
        out.append((low, high))
    return out
