"""Replies of servers, also of hostile ones (sec-O04, sec-O05)."""
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.model.errors import PeerError
from bridge.model.reply import Reply
from bridge.wire.smtp.replies import LINES_LIMIT, Replies


def read(*chunks):
    replies = Replies()
    return [answer.reply() for chunk in chunks for answer in replies.feed(chunk)]


def test_lines_codes_and_enhanced_codes():
    assert read(b"250 2.1.5 Ok\r\n550-5.1.1 no\r\n550 5.1.1 such user\r\n354\r\n250 4.0.0 odd\n") == [
        Reply(250, "2.1.5", "Ok"), Reply(550, "5.1.1", "no such user"), Reply(354, "", ""),
        Reply(250, "", "4.0.0 odd")]
    assert read(b"550 5.1.1\r\n") == [Reply(550, "5.1.1", "")]


@pytest.mark.parametrize("cut", range(1, 40))
def test_cut_anywhere(cut):
    data = b"220 hello\r\n250-a\r\n250-PIPELINING\r\n250 SIZE 7\r\n"
    assert read(*(data[i : i + cut] for i in range(0, len(data), cut))) == read(data)
    assert len(read(data)) == 2


@pytest.mark.parametrize("hostile", [
    b"x" * 9000, b"250-" + b"x" * 9000 + b"\r\n", b"250-x\r\n" * (LINES_LIMIT + 1), b"250-" + b"x" * 8000 + b"\r\n",
    b"hello\r\n", b"250-a\r\n251 b\r\n", b"99 x\r\n", b"650 x\r\n", b"2500 x\r\n", b"250_x\r\n", b"\r\n",
    b"250-\xff\r\nx\r\n",
])
def test_sec_O04_limits_and_nonsense(hostile):
    with pytest.raises(PeerError):
        read(*([hostile] * 20))


def test_sec_O05_text_is_harmless_and_short():
    reply, = read(b"550 \x1b[31m<script>\x00\x85\xe2\x80\xae" + b"a" * 5000 + b"\r\n")
    assert reply.text.isprintable()
    assert len(reply.text) <= 500
    assert "<script>" in reply.text


@settings(deadline=None)
@given(st.lists(st.binary(max_size=30)))
def test_only_peer_error_escapes(chunks):
    try:
        for reply in read(*chunks):
            assert 200 <= reply.code < 600
    except PeerError:
        pass
