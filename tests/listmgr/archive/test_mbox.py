"""Entries of an mbox."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.model.envelope import Envelope, Origin
from listmgr.archive import mbox
from listmgr.archive.incoming import entry

LINE = b"From ann@example.org Tue Nov 14 22:13:20 2023\n"


def split(data: bytes) -> list[bytes]:
    return [data[begin:end] for begin, end in mbox.entries(data)]


def test_entries() -> None:
    one, two = LINE + b"Subject: a\n\nbody\n\n", LINE + b"Subject: b\n\n\nFrom here on it is text\n\n"
    assert split(one + two) == [one, two]
    assert split(b"") == []


@pytest.mark.parametrize(
    "line",
    [
        b"From x@y Thu Feb 20 01:42:04 2003\n",
        b"From x@y  Thu Feb  2 01:42:04 2003\n",
        b"From x at y.z  Thu Feb 20 01:42:04 2003\n",
        b"From x@y Thu Feb 20 01:42:04 CET 2003\n",
        b"From - Thu Feb 20 01:42:04 2003\r\n",
        b"From x@y Thu, 20 Feb 2003 01:42:04 +0900\n",
    ],
)
def test_forms_of_the_separator(line: bytes) -> None:
    assert len(split(LINE + b"\nbody\n\n" + line + b"Subject: x\n\n")) == 2


@pytest.mark.parametrize(
    "line", [b"From here on\n", b"From what I know in 2003\n", b"From\n", b">From x Thu Feb 20 01:42:04 2003\n"]
)
def test_what_only_looks_like_one(line: bytes) -> None:
    assert len(split(LINE + b"\nbody\n\n" + line)) == 1


def test_a_separator_needs_an_empty_line_before_it() -> None:
    assert len(split(LINE + b"\nbody\n" + LINE)) == 1


def test_arrival() -> None:
    assert mbox.arrival(LINE + b"\n") == 1_700_000_000
    assert mbox.arrival(b"Subject: x\n\n") is None
    assert mbox.arrival(b"From x\n\n") is None


@given(st.binary(max_size=400))
def test_what_goes_in_comes_out(body: bytes) -> None:
    """A30: nothing is lost; line ends are those of Unix."""
    message = b"Subject: x\r\n\r\n" + body.replace(b"\r", b"").replace(b"\n", b"\r\n") + b"\r\n"
    envelope = Envelope("0" * 16, "k", "ann@example.org", (), Origin("smtp"), 1_700_000_000.0)
    made = entry(envelope, [message[:7], message[7:]])
    assert made.startswith(LINE)
    assert mbox.message(made) == message.replace(b"\r\n", b"\n")
    assert split(made + made) == [made, made]


@given(st.binary(max_size=600))
def test_any_bytes_can_be_read(data: bytes) -> None:
    assert b"".join(split(data)) == data
    assert b"".join(split(LINE + data)) == LINE + data


def test_the_sender_cannot_break_the_line() -> None:
    envelope = Envelope("0" * 16, "k", "a b\nFrom c@example.org", (), Origin("smtp"), 0.0)
    assert entry(envelope, [b"Subject: x\r\n\r\n"]).count(b"\n") == 4
