"""Framing: the same commands however the bytes are cut, and no literal byte ever taken for a command."""

import dataclasses
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.wire.imap.fragment import (
    LATER,
    POST_AUTH,
    PRE_AUTH,
    TOO_LONG,
    Decision,
    Fragmenter,
    Frame,
    Limits,
    Literal,
    Need,
    Poisoned,
    Refuse,
)

SMALL = Limits(line=60, literal=20, literals=30, count=3, discard=300, nonsync=None, depth=4, bad=10)


class Box:
    """A sink that remembers."""

    def __init__(self) -> None:
        self.data = b""
        self.chunks = 0
        self.ended = self.abandoned = False

    def write(self, data: bytes | memoryview) -> None:
        assert not self.ended
        self.data += bytes(data)
        self.chunks += 1

    def end(self) -> None:
        self.ended = True

    def abandon(self) -> None:
        self.abandoned = True


def drive(chunks: list[bytes], limits: Limits = SMALL, decide: Decision = None) -> list[object]:
    """Everything that comes out, go-aheads as "+"."""
    fragmenter = Fragmenter(limits, lambda *_: decide)
    out: list[object] = []
    for chunk in chunks:
        fragmenter.feed(chunk)
        while True:
            result = fragmenter.next()
            if result is None:
                break
            out.append("+" if result is Need.GO_AHEAD else result)
            if isinstance(result, Poisoned) and result.fatal:
                return out
    return out


def bytewise(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


DIALOGUES = [
    b"a NOOP\r\nb NOOP\nc LOGOUT\r\n",
    b"a LOGIN {3}\r\nfoo {3+}\r\nbar\r\nb NOOP\r\n",
    b"a APPEND x ~{4+}\r\n\0\r\n\n\r\nb NOOP\r\n",
    b"a LOGIN {0+}\r\n {0}\r\n\r\n",
    b"a " + b"x" * 100 + b"\r\nb NOOP\r\n",
    b"a " + b"x" * 100 + b"{10+}\r\nz LOGOUT\r\nmore\r\nb NOOP\r\n",
    b"a " + b"x" * 100 + b"{9}\r\nb NOOP\r\n",
    b"a LOGIN {21+}\r\n" + b"z LOGOUT\r\n" * 2 + b"x\r\nb NOOP\r\n",
    b"a LOGIN {21}\r\nb NOOP\r\n",
    b"a {1+}\r\nx {1+}\r\nx {1+}\r\nx {1+}\r\nx {1+}\r\nx\r\nb NOOP\r\n",
    b"a {99999999999999999999999999+}\r\nb NOOP\r\n",
    b"a {99999999999999999999999999}\r\nb NOOP\r\n",
    b"\r\n\n}\r\n{5\r\n{a}\r\n{-5}\r\n{5+ }\r\nb NOOP\r\n",
    b"x" * 70,
]


@pytest.mark.parametrize("data", DIALOGUES)
def test_every_split_gives_the_same(data: bytes) -> None:
    whole = drive([data])
    assert drive(bytewise(data)) == whole
    for cut in range(1, len(data)):
        assert drive([data[:cut], data[cut:]]) == whole


def test_lines_and_literals() -> None:
    assert drive([DIALOGUES[0]]) == [(b"a NOOP",), (b"b NOOP",), (b"c LOGOUT",)]
    foo, bar = Literal(3, True, False, b"foo"), Literal(3, False, False, b"bar")
    assert drive([DIALOGUES[1]]) == ["+", (b"a LOGIN ", foo, b" ", bar, b""), (b"b NOOP",)]
    assert drive([DIALOGUES[2]]) == [(b"a APPEND x ", Literal(4, False, True, b"\0\r\n\n"), b""), (b"b NOOP",)]


def test_a_refused_literal_is_never_run() -> None:
    """sec-I01: the bytes of an unwanted {n+} hold commands; exactly n of them are thrown away."""
    found = drive([DIALOGUES[7]])
    assert [type(one) for one in found] == [Poisoned, tuple]
    assert found[1] == (b"b NOOP",)
    assert found[0].start == b"a LOGIN {21+}"
    assert not found[0].fatal


def test_the_literal_of_an_overlong_line_is_never_run() -> None:
    found = drive([DIALOGUES[5]])
    assert [type(one) for one in found] == [Poisoned, tuple]
    assert found[0].reason == TOO_LONG
    assert found[1] == (b"b NOOP",)


def test_a_refused_synchronising_literal_gets_no_go_ahead() -> None:
    for data in (DIALOGUES[8], DIALOGUES[6]):
        found = drive([data])
        assert [type(one) for one in found] == [Poisoned, tuple]


def test_what_is_too_much_to_throw_away_ends_the_connection() -> None:
    """sec-I01: {4294967295+} and endless lines."""
    for data in (b"a LOGIN {4294967295+}\r\n", DIALOGUES[10], b"a " + b"x" * 1000):
        last = drive([data])[-1]
        assert isinstance(last, Poisoned)
        assert last.fatal


def test_pre_auth_memory_stays_small() -> None:
    """sec-I01: 100 connections that drip an endless line keep a line's tail each."""
    crowd = [Fragmenter(PRE_AUTH) for _ in range(100)]
    for _ in range(6):
        for one in crowd:
            one.feed(b"y" * 9000)
            one.next()
    assert max(one.buffered for one in crowd) <= 64


def test_a_slow_drip_is_not_quadratic() -> None:
    """64 KB byte by byte: half a million bytes of searching if done right, two thousand million if not."""
    fragmenter = Fragmenter(POST_AUTH)
    for _ in range(60_000):
        fragmenter.feed(b"z")
        assert fragmenter.next() is None
    fragmenter.feed(b"\r\n")
    assert fragmenter.next() == (b"z" * 60_000,)


def test_sum_of_literals_is_limited() -> None:
    found = drive([b"a {16+}\r\n" + b"x" * 16 + b" {16+}\r\n" + b"x" * 16 + b"\r\nb NOOP\r\n"])
    assert [type(one) for one in found] == [Poisoned, tuple]


def test_literal_minus() -> None:
    """I07: LITERAL- refuses a large {n+}, takes a large {n}."""
    limits = dataclasses.replace(SMALL, nonsync=5)
    found = drive([b"a {6+}\r\n123456\r\nb {6}\r\n123456\r\n"], limits)
    assert [type(one) for one in found] == [Poisoned, str, tuple]


def test_big_literals_stream_to_the_sink() -> None:
    box = Box()
    fragmenter = Fragmenter(SMALL, lambda *_: box)
    fragmenter.feed(b"a APPEND x {100000}\r\n")
    assert fragmenter.next() is Need.GO_AHEAD
    for _ in range(10):
        fragmenter.feed(b"m" * 10_000)
        assert fragmenter.next() is None
        assert fragmenter.buffered == 0
    fragmenter.feed(b"\r\n")
    frame = fragmenter.next()
    assert frame == (b"a APPEND x ", Literal(100_000, True, False), b"")
    assert frame[1].sink is box
    assert box.data == b"m" * 100_000
    assert box.ended
    assert not box.abandoned


def test_sinks_are_abandoned_with_their_command() -> None:
    """A second literal that is refused, an overlong line behind the literal, a lost connection."""
    for rest in (b" {400}\r\n", b" " + b"x" * 100 + b"\r\n", None):
        box = Box()
        answers: list[Decision] = [box, Refuse("no")]
        fragmenter = Fragmenter(SMALL, lambda *_, answers=answers: answers.pop(0))
        fragmenter.feed(b"a APPEND x {5+}\r\nhello")
        assert fragmenter.next() is None
        if rest is None:
            fragmenter.abandon()
        else:
            fragmenter.feed(rest)
            assert isinstance(fragmenter.next(), Poisoned)
        assert box.abandoned


def test_a_lost_connection_abandons_the_sink_that_is_being_filled() -> None:
    box = Box()
    fragmenter = Fragmenter(SMALL, lambda *_: box)
    fragmenter.feed(b"a APPEND x {5+}\r\nhe")
    fragmenter.next()
    fragmenter.abandon()
    assert box.abandoned
    assert not box.ended


def test_a_decision_can_wait() -> None:
    box = Box()
    fragmenter = Fragmenter(SMALL, lambda *_: LATER)
    fragmenter.feed(b"a APPEND x {5}\r\n")
    assert fragmenter.next() is Need.DECISION
    assert fragmenter.next() is Need.DECISION
    fragmenter.decide(box)
    assert fragmenter.next() is Need.GO_AHEAD
    fragmenter.feed(b"hello\r\nb {3}\r\n")
    assert isinstance(fragmenter.next(), tuple)
    assert fragmenter.next() is Need.DECISION
    fragmenter.decide(Refuse("no"))
    assert isinstance(fragmenter.next(), Poisoned)
    assert fragmenter.idle


def test_the_callback_sees_the_command_so_far() -> None:
    seen: list[tuple[Frame, int, bool, bool]] = []

    def look(frame: Frame, size: int, sync: bool, binary: bool) -> Decision:
        seen.append((frame, size, sync, binary))
        return None

    fragmenter = Fragmenter(SMALL, look)
    fragmenter.feed(b"a X {1+}\r\ny ~{2}\r\nzz\r\n")
    while fragmenter.next():
        pass
    assert seen == [
        ((b"a X ",), 1, False, False),
        ((b"a X ", Literal(1, False, False, b"y"), b" "), 2, True, True),
    ]


def test_raw_lines() -> None:
    fragmenter = Fragmenter(SMALL)
    fragmenter.feed(b"DO")
    assert fragmenter.raw_line(10) is None
    fragmenter.feed(b"NE\r\n{5+}\n")
    assert fragmenter.raw_line(10) == b"DONE"
    assert fragmenter.raw_line(10) == b"{5+}"
    for _ in range(100):
        fragmenter.feed(b"x" * 10)
        assert fragmenter.raw_line(20) is None
        assert fragmenter.buffered <= 20
    fragmenter.feed(b"\r\nnext\r\n")
    assert fragmenter.raw_line(20) is TOO_LONG
    assert fragmenter.raw_line(20) == b"next"


PIECES = st.sampled_from(
    [
        b"a NOOP",
        b"\r\n",
        b"\n",
        b" ",
        b"{3+}\r\nabc",
        b"{3}\r\n",
        b"{30+}\r\n",
        b"x" * 70,
        b"}",
        b"~{1+}\r\n\0",
        b"{",
        b"\r",
    ]
)


@given(st.lists(PIECES, max_size=25).map(b"".join), st.data())
def test_any_split_of_anything(data: bytes, draw: st.DataObject) -> None:
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(data)), max_size=5)))
    ends = [0, *cuts, len(data)]
    chunks = [data[start:stop] for start, stop in itertools.pairwise(ends)]
    assert drive(chunks) == drive([data]) == drive(bytewise(data))
