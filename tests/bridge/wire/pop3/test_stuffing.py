"""Bodies of RETR and TOP: exact to the byte, wherever they are cut (I48, I49)."""
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.wire.pop3.stuffing import Stuffer, Top, stuffed

MESSAGE = b".From: a\r\nTo: b\r\n\r\n.one\r\n..two\r\nthree\r\n.\r\n"
bodies = st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"a", b"\0"]), max_size=30).map(b"".join)


def unstuffed(answer):
    """As a client reads: up to the first CRLF.CRLF, a dot taken off each line."""
    answer = b"\r\n" + answer
    end = answer.find(b"\r\n.\r\n")
    assert end + 5 == len(answer)
    return answer[: end + 2].replace(b"\r\n.", b"\r\n")[2:]


@settings(deadline=None)
@given(bodies)
def test_a_client_gets_back_what_was_stored(message):
    expected = message if message.endswith(b"\r\n") or not message else message + b"\r\n"
    assert unstuffed(stuffed(message)) == expected


@settings(deadline=None)
@given(bodies, st.integers(1, 5))
def test_streaming_gives_the_same_bytes(message, cut):
    stuffer = Stuffer()
    chunks = [stuffer.feed(message[i : i + cut]) for i in range(0, len(message), cut)]
    assert b"".join(chunks) + stuffer.end() == stuffed(message)


@pytest.mark.parametrize("cut", range(1, len(MESSAGE) + 1))
@pytest.mark.parametrize(("lines", "length"), [(0, 19), (1, 25), (2, 32), (3, 39), (4, 42), (99, 42)])
def test_I49_top_cut_anywhere(cut, lines, length):
    top = Top(lines)
    chunks = [top.feed(MESSAGE[i : i + cut]) for i in range(0, len(MESSAGE), cut)]
    assert b"".join(chunks) == MESSAGE[:length]
    assert top.done == (lines < 99)


def test_top_of_odd_messages():
    assert Top(0).feed(b"\r\nbody\r\n") == b"\r\n"
    assert Top(1).feed(b"\r\nbody\r\nmore\r\n") == b"\r\nbody\r\n"
    assert Top(5).feed(b"Subject: no body\r\n") == b"Subject: no body\r\n"
