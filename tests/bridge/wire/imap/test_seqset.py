"""Sequence sets against a naive model."""

import itertools
import random
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.wire.imap import seqset
from bridge.wire.imap.seqset import STAR, SequenceSet

NUMBER = st.integers(1, 40).map(str) | st.just("*")
PART = NUMBER | st.tuples(NUMBER, NUMBER).map(":".join)
SET = st.lists(PART, min_size=1, max_size=6).map(lambda parts: ",".join(parts).encode())
UIDS = st.sets(st.integers(1, 45), max_size=20).map(sorted)


def naive(raw: bytes, last: int) -> set[int]:
    found: set[int] = set()
    for part in raw.decode().split(","):
        ends = [last if end == "*" else int(end) for end in part.split(":")]
        found |= set(range(min(ends), max(ends) + 1))
    return found


@given(SET, UIDS)
def test_slices_are_what_the_set_names(raw: bytes, uids: list[int]) -> None:
    found = seqset.parse(raw)
    slices = found.slices(array("I", uids))
    assert all(start < stop for start, stop in slices)
    assert all(left[1] <= right[0] for left, right in itertools.pairwise(slices))
    wanted = naive(raw, uids[-1]) if uids else set()
    assert [uid for start, stop in slices for uid in uids[start:stop]] == [uid for uid in uids if uid in wanted]


@given(SET, st.integers(0, 45))
def test_numbers_are_what_the_set_names(raw: bytes, last: int) -> None:
    found = seqset.parse(raw)
    ranges = found.numbers(last)
    expected = sorted(number for number in naive(raw, last) if 1 <= number <= last) if last else []
    assert [number for low, high in ranges for number in range(low, high + 1)] == expected
    for number in range(1, last + 1):
        assert found.contains(number, last) == (number in expected)


@given(SET, UIDS)
def test_absent_is_what_is_named_and_gone(raw: bytes, uids: list[int]) -> None:
    """I13: VANISHED (EARLIER)."""
    gone = seqset.parse(raw).absent(array("I", uids), 45)
    named = sorted(naive(raw, 45) - set(uids))
    assert [uid for low, high in gone for uid in range(low, high + 1)] == [uid for uid in named if uid <= 45]


@given(SET)
def test_normal_form_and_round_trip(raw: bytes) -> None:
    found = seqset.parse(raw)
    assert seqset.parse(found.format()) == found
    for (_, high), (low, _) in zip(found.ranges, found.ranges[1:]):
        assert low > high + 1 or low == STAR
    named = [int(end) for part in raw.decode().split(",") for end in part.split(":") if end != "*"]
    fixed = [high for low, high in found.ranges if high != STAR] + [low for low, _ in found.ranges if low != STAR]
    assert found.highest == (max(fixed) if fixed else 0) <= max(named, default=0)


@pytest.mark.parametrize(
    "raw",
    [b"", b"0", b"1,", b",1", b"1:", b":1", b"1:2:3", b"a", b"-1", b"1 ", b"01", b"4294967296", b"99999999999", b"1,$"],
)
def test_refuses(raw: bytes) -> None:
    with pytest.raises(ValueError):
        seqset.parse(raw)


def test_dollar_is_the_saved_result() -> None:
    """I14: SEARCHRES."""
    assert seqset.parse(b"$") == SequenceSet((), True)
    assert seqset.parse(b"$").format() == b"$"


@given(st.lists(st.integers(1, 60), unique=True, max_size=30))
def test_compact_keeps_the_order(numbers: list[int]) -> None:
    raw = seqset.compact(numbers)
    back: list[int] = []
    for part in raw.split(b",") if raw else []:
        low, _, high = part.partition(b":")
        back += range(int(low), int(high or low) + 1)
    assert back == numbers


def test_hundred_thousand_messages() -> None:
    """I40: a set of thousands of ranges on a large mailbox; a quadratic way would take minutes."""
    uids = array("I", range(1, 200_001, 2))
    numbers = sorted(random.Random(7).sample(range(1, 200_001), 9000))
    raw = b",".join(b"%d" % number for number in numbers)
    slices = seqset.parse(raw).slices(uids)
    found = [uid for start, stop in slices for uid in uids[start:stop]]
    assert found == [number for number in numbers if number % 2]
    assert seqset.EVERYTHING.slices(uids) == [(0, 100_000)]
