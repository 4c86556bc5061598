"""sec-S01 (what ends DATA), sec-S02 (what leaves), S22."""
import re
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.wire.dots import Canonical, Decoder, canonical, encode

BARE = re.compile(rb"(?<!\r)\n|\r(?!\n)")
HIDDEN = b"MAIL FROM:<evil@example.com>\r\n"


def decode(raw: bytes, cuts: list[int] | None = None, *, normalize: bool = False) -> tuple[bytes, bool, bytes, bool]:
    decoder = Decoder(normalize=normalize)
    out = b""
    edges = sorted({0, len(raw), *(cut % (len(raw) + 1) for cut in cuts or [])})
    for start, stop in pairwise(edges):
        body, finished, rest = decoder.feed(raw[start:stop])
        out += body
        if finished:
            assert decoder.size == start + (stop - start) - len(rest)
            return out, True, rest + raw[stop:], decoder.broken
    return out, False, b"", decoder.broken


@pytest.mark.parametrize(
    ("raw", "message", "rest"),
    [
        (b".\r\n", b"", b""),
        (b"a\r\n.\r\n", b"a\r\n", b""),
        (b"\r\n.\r\n", b"\r\n", b""),
        (b"..\r\n.\r\n", b".\r\n", b""),
        (b".a\r\n.\r\n", b"a\r\n", b""),
        (b"a\r\n..\r\n.\r\n", b"a\r\n.\r\n", b""),
        (b"a\r\n...\r\n..b\r\n.\r\nQUIT\r\n", b"a\r\n..\r\n.b\r\n", b"QUIT\r\n"),
        (b"a.\r\n.\r\n.\r\n", b"a.\r\n", b".\r\n"),
    ],
)
def test_dot_unstuffing_at_every_cut(raw: bytes, message: bytes, rest: bytes) -> None:
    for cut in range(len(raw) + 1):
        for other in range(cut, len(raw) + 1):
            assert decode(raw, [cut, other]) == (message, True, rest, False)


@pytest.mark.parametrize(
    "end",
    [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n", b"\r\n\0.\r\n", b"\r\n.\0\r\n", b"\n.\r",
     b"\r.\n", b"\r\r\n.\r\r\n", b"\r\n.\r\r\n", b"\n\n.\n\n", b"\r\n .\r\n"],
)  # fmt: skip
def test_sec_s01_only_crlf_dot_crlf_ends(end: bytes) -> None:
    """The hidden command is part of the (broken) message, never of what follows it."""
    raw = b"Subject: a\r\n\r\nb" + end + HIDDEN + b"\r\n.\r\n"
    for cut in range(len(raw)):
        _, finished, rest, broken = decode(raw, [cut])
        assert finished
        assert rest == b""
        assert broken == (b" ." not in end)


def test_a_broken_message_gives_nothing_more_and_is_read_to_its_end() -> None:
    decoder = Decoder()
    assert decoder.feed(b"good\r\nbad\nworse\r\n") == (b"", False, b"")
    assert decoder.feed(b"more\r\n.\r\nRSET\r\n") == (b"", True, b"RSET\r\n")
    assert decoder.broken


def test_normalize_makes_every_line_end_one() -> None:
    raw = b"a\nb\rc\0d\r\r\n\n.\ne\r\n.\r\n"
    for cut in range(len(raw)):
        assert decode(raw, [cut], normalize=True)[:2] == (b"a\r\nb\r\ncd\r\n\r\n\r\n.\r\ne\r\n", True)


@given(st.lists(st.sampled_from([b"\r", b"\n", b".", b"\r\n", b"a", b"\0", b"\r\n.", b".\r\n"]), max_size=40))
def test_sec_s02_no_stray_cr_or_lf_leaves(parts: list[bytes]) -> None:
    message = b"".join(parts)
    wire = encode(message)
    assert not BARE.search(wire)
    assert wire.count(b"\r\n.\r\n") == 1 - (wire == b".\r\n")
    assert wire.endswith(b".\r\n")
    body, finished, rest, _ = decode(wire, normalize=True)
    expected = canonical(message)
    if expected and not expected.endswith(b"\r\n"):
        expected += b"\r\n"
    assert (body, finished, rest) == (expected.replace(b"\0", b""), True, b"")


@given(st.binary(max_size=200), st.lists(st.integers(0, 300), max_size=6))
def test_cuts_make_no_difference(raw: bytes, cuts: list[int]) -> None:
    raw = raw.replace(b"x", b"\r\n").replace(b"y", b"\r\n.") + b"\r\n.\r\nrest"
    assert decode(raw, cuts)[1:] == decode(raw)[1:]
    if not decode(raw)[3]:
        assert decode(raw, cuts) == decode(raw)
    assert decode(raw, cuts, normalize=True) == decode(raw, normalize=True)


@given(st.lists(st.binary(max_size=20), max_size=8))
def test_canonical_at_every_cut(parts: list[bytes]) -> None:
    one = Canonical()
    whole = b"".join(one.feed(part) for part in parts) + one.end()
    assert whole == canonical(b"".join(parts))
    assert not BARE.search(whole)
    assert canonical(whole) == whole


@pytest.mark.parametrize("line", [b"\r\n", b".", b"\r", b"\r\n.", b"\r\n..\r", b"a"])
def test_no_blow_up(line: bytes) -> None:
    decoder, start = Decoder(), time.monotonic()
    for _ in range(64):
        decoder.feed(line * 16384)
    assert time.monotonic() - start < 10
