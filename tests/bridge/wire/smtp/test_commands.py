"""MAIL and RCPT as the server reads them: S05, S06, S12, sec-S10."""
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.model.address import BadAddress
from bridge.model.errors import PeerError
from bridge.wire.smtp.commands import Mail, UnknownParameter, mail, rcpt, verb


def test_verb() -> None:
    assert verb(b"mail FROM:<a@b> ") == ("MAIL", "FROM:<a@b>")
    assert verb(b"QUIT") == ("QUIT", "")
    assert verb(b"") == ("", "")
    assert verb(b"\xff\xfe x") == ("\ufffd\ufffd", "x")
    assert verb(b"NOOP \xff")[1].encode("utf-8", "surrogateescape") == b"\xff"


def test_mail() -> None:
    assert mail("FROM:<a@b>") == mail("from: a@b") == Mail("a@b")
    assert mail("FROM:<>") == Mail("")
    assert mail("FROM:<a@b> SIZE=10 BODY=8bitmime") == Mail("a@b", 10, "8BITMIME")
    assert mail("FROM:<ñ@b> SMTPUTF8") == Mail("ñ@b", smtputf8=True)
    assert mail("FROM:<root>", domain="example.org") == Mail("root@example.org")
    assert mail("FROM:<a@b> AUTH=<>") == Mail("a@b")


@pytest.mark.parametrize("argument", ["", "FROM", "TO:<a@b>", "FROM:<a@b> SIZE", "FROM:<a@b> SIZE=-1", "FROM:<a@b> X=",
                                      "FROM:<a@b> SMTPUTF8=1", "FROM:<a@b> SIZE=1 size=2", "FROM:<a@b>" + " A" * 21,
                                      "FROM:<a@b> SIZE=" + "9" * 21, "FROM:<a@b> BODY=x"])  # fmt: skip
def test_mail_refused(argument: str) -> None:
    with pytest.raises(PeerError):
        mail(argument)


def test_rcpt() -> None:
    assert rcpt("TO:<a@b>", utf8=False) == rcpt("to: a@b", utf8=False) == "a@b"
    with pytest.raises(BadAddress):
        rcpt("TO:<>", utf8=False)
    with pytest.raises(BadAddress):
        rcpt("TO:<ñ@b>", utf8=False)
    with pytest.raises(UnknownParameter):
        rcpt("TO:<a@b> NOTIFY=NEVER", utf8=False)


@given(st.binary(max_size=80))
def test_nothing_but_peer_error_escapes(line: bytes) -> None:
    argument = verb(line)[1]
    for parse in (lambda: mail("FROM:" + argument), lambda: rcpt("TO:" + argument, utf8=True), lambda: mail(argument)):
        try:
            parse()
        except PeerError:
            pass
