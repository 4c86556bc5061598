"""APPEND (I17, I05, sec-I13): streaming, several at once, refusals, trouble in the middle."""
import errno
import os

import pytest

from bridge.store import failpoints
from bridge.store.transfer import Draft
from tests.bridge.serve.imap.world import Talk, World, fetched, letter
from tests.bridge.wire.imap.reader import Status


@pytest.fixture
def one(talk):
    connected = talk("ana")
    connected.ok("SELECT INBOX")
    return connected


def drafts(world):
    return os.listdir(world.people["ana"].maildir / "tmp")


def test_append(one):
    end = one.append(letter(1), options=b'(\\Seen Etiqueta) "05-Jan-2020 10:11:12 +0100" ')
    assert (end.code.split()[0], end.code.split()[2]) == ("APPENDUID", "1")
    found = fetched(one.data("FETCH 1 (FLAGS INTERNALDATE BODY.PEEK[])")[0])
    assert {"\\Seen", "Etiqueta"} <= set(found["FLAGS"])
    assert found["INTERNALDATE"] == b"05-Jan-2020 09:11:12 +0000"
    assert found["BODY[]"] == letter(1)


def test_the_answer_tells_of_the_message(one):
    """RFC 3501 6.3.11: EXISTS before the tagged OK, when the mailbox is the open one."""
    one.send(b"a APPEND INBOX {%d+}\r\n" % len(letter(1)) + letter(1) + b"\r\n")
    told, end = one.until("a")
    assert [1, "EXISTS"] in [r.values for r in told]
    assert end.word == "OK"


def test_several_at_once(one):
    """I17: all or none."""
    text = b"".join(b" (\\Seen) {%d+}\r\n" % len(letter(n)) + letter(n) for n in range(3))
    one.send(b"a APPEND INBOX" + text + b"\r\n")
    _, end = one.until("a")
    assert end.code.split()[2] == "1:3"
    one.send(b"b APPEND INBOX" + text + b" (\\Seen) {0+}\r\n\r\n")
    assert one.until("b")[1].word == "NO"
    assert one.data("STATUS INBOX (MESSAGES)") == [["STATUS", "INBOX", ["MESSAGES", 3]]]


def test_one_command_has_its_bounds(world, one):
    """Small messages stay in memory until the end: not too many of them in one command."""
    part = b" {200000+}\r\n" + b"x" * 200_000
    one.send(b"a APPEND INBOX" + part * 100 + b"\r\n")
    assert one.until("a")[1].code == "LIMIT"
    assert drafts(world) == []
    one.send(b"b APPEND INBOX" + part * 3 + b"\r\n")
    assert one.until("b")[1].code.split()[2] == "1:3"


def test_utf8(one):
    """I19, I18: literal8, as a client with UTF8=ACCEPT or BINARY sends it."""
    one.ok("ENABLE UTF8=ACCEPT")
    text = "Subject: año\r\n\r\nhola\r\n".encode()
    one.send(b"a APPEND INBOX (\\Seen) UTF8 (~{%d+}\r\n" % len(text) + text + b")\r\n")
    assert one.until("a")[1].code.startswith("APPENDUID")
    one.send(b"b APPEND INBOX ~{%d+}\r\n" % len(text) + text + b"\r\n")
    assert one.until("b")[1].code.startswith("APPENDUID")
    assert [fetched(v)["BODY[]"] for v in one.data("FETCH 1:2 BODY.PEEK[]")] == [text, text]


def test_refused_before_a_byte_is_sent(tmp_path):
    """TRYCREATE, TOOBIG; a literal that needs no go-ahead is read and thrown away."""
    with World(tmp_path, message_size=1000) as world, Talk(world, "ana") as one:
        assert one.append(letter(1), "Nada").code == "TRYCREATE"
        assert one.append(b"x" * 1001).code == "TOOBIG"
        one.send(b"a APPEND Nada {%d+}\r\n" % 500 + b"x" * 500 + b"\r\n")
        assert one.until("a")[1].code == "TRYCREATE"
        one.send(b"b APPEND INBOX {5000+}\r\n" + b"a LOGOUT\r\n" * 500 + b"\r\n")
        assert one.until("b")[1].code == "TOOBIG"
        assert one.append(letter(1)).word == "OK"
        assert drafts(world) == []
        assert "APPENDLIMIT=1000" in [str(name) for name in one.data("CAPABILITY")[0]]
        assert one.data("STATUS INBOX (APPENDLIMIT)") == [["STATUS", "INBOX", ["APPENDLIMIT", 1000]]]


def test_big_one_goes_to_disk_while_it_comes(world, one):
    body = b"Subject: grande\r\n\r\n" + (b"y" * 98 + b"\r\n") * 20_000
    one.send(b"a APPEND INBOX {%d}\r\n" % len(body))
    one.response()
    one.send(body[: len(body) // 2])
    while not drafts(world):
        pass
    one.send(body[len(body) // 2 :] + b"\r\n")
    assert one.until("a")[1].word == "OK"
    assert fetched(one.data("FETCH 1 BODY.PEEK[]")[0])["BODY[]"] == body
    assert drafts(world) == []


def test_line_ends_become_right(one):
    """sec-I13: lone CR and LF become CRLF; NUL can't be told in a literal."""
    assert one.append(b"Subject: x\n\nuno\rdos\r\ntres\0\n").word == "OK"
    assert fetched(one.data("FETCH 1 BODY.PEEK[]")[0])["BODY[]"] == (
        b"Subject: x\r\n\r\nuno\r\ndos\r\ntres\x80\r\n")
    size = fetched(one.data("FETCH 1 RFC822.SIZE")[0])["RFC822.SIZE"]
    assert size == len(b"Subject: x\r\n\r\nuno\r\ndos\r\ntres\x80\r\n")


def test_lost_in_the_middle(world, talk):
    """A client that vanishes leaves nothing."""
    one = talk("ana")
    one.send(b"a APPEND INBOX {400000}\r\n")
    one.response()
    one.send(b"x" * 399_000)
    while not drafts(world):
        pass
    one.close()
    while drafts(world):
        pass
    other = talk("ana")
    assert other.data("STATUS INBOX (MESSAGES)") == [["STATUS", "INBOX", ["MESSAGES", 0]]]


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.EIO])
def test_disk_trouble_while_it_comes(world, one, monkeypatch, error):
    """P12: a full disk is NO with its code; the conversation stays in step and nothing is left behind."""
    def broken(self, data):
        raise OSError(error, "disk")

    with monkeypatch.context() as patch:
        patch.setattr(Draft, "write", broken)
        assert one.append(letter(1)).word == "NO"
    assert one.append(letter(1)).word == "OK"
    assert drafts(world) == []


@pytest.mark.parametrize("trouble", ["ENOSPC", "EDQUOT"])
@pytest.mark.parametrize("point", ["append.sync", "append.show", "append.folder"])
def test_disk_trouble_at_the_end(world, one, point, trouble):
    try:
        failpoints.arm(f"{point}={trouble}")
        end = one.append(letter(1))
    finally:
        failpoints.arm("")
    assert isinstance(end, Status)
    assert (end.word, end.code) == ("NO", "OVERQUOTA")
    assert one.append(letter(2)).word == "OK"


def test_what_is_not_offered(one):
    assert one.no("APPEND INBOX CATENATE (URL \"/INBOX;UID=1\")", "BAD")
    one.send(b"a REPLACE 1 INBOX {3+}\r\nabc\r\n")
    assert one.until("a")[1].word == "BAD"
    one.ok("NOOP")
