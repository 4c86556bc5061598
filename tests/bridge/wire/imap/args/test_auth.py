"""Arguments of the session's own commands."""

import base64

import pytest

from bridge.wire.imap.args import auth
from bridge.wire.imap.fragment import Literal
from bridge.wire.imap.tokens import BadCommand, Scanner


def scan(line: bytes) -> Scanner:
    return Scanner((line,))


def test_login_takes_atoms_strings_and_literals() -> None:
    assert auth.login(scan(b' ana "a \\"b\\\\"')) == auth.Login("ana", b'a "b\\')
    frame = (b" ", Literal(3, True, False, b"ana"), b" ", Literal(5, False, False, b"\xc3\xb1]x "), b"")
    assert auth.login(Scanner(frame)) == auth.Login("ana", b"\xc3\xb1]x ")
    assert auth.login(scan(b' a@example.org ""')).password == b""


def test_secrets_are_not_in_the_repr() -> None:
    assert "hunter2" not in repr(auth.login(scan(b" ana hunter2")))
    assert "hunter2" not in repr(auth.authenticate(scan(b" PLAIN " + base64.b64encode(b"\0ana\0hunter2"))))


@pytest.mark.parametrize("line", [b"", b" ", b" a", b" a ", b" a(b c", b' "a b', b" a\x00b c", b" \xf1 x", b' "\\x" y'])
def test_login_refuses(line: bytes) -> None:
    with pytest.raises(BadCommand):
        auth.login(scan(line))


def test_authenticate_with_and_without_initial_response() -> None:
    """I02: SASL-IR; "=" is an empty response."""
    assert auth.authenticate(scan(b" plain")) == auth.Authenticate("PLAIN", None)
    assert auth.authenticate(scan(b" PLAIN AGEAYg==")) == auth.Authenticate("PLAIN", b"\0a\0b")
    assert auth.authenticate(scan(b" EXTERNAL =")) == auth.Authenticate("EXTERNAL", b"")


@pytest.mark.parametrize("raw", [b"A", b"AGEAYg=", b"AG EA", b"AGEAYg==AA", b"====", b"\xff", b"AGEA" * 4000])
def test_base64_is_strict(raw: bytes) -> None:
    """sec-I08."""
    assert auth.unbase64(raw) is None
    with pytest.raises(BadCommand):
        auth.authenticate(scan(b" PLAIN " + raw))


def test_id() -> None:
    assert auth.identify(scan(b" NIL")) == auth.Id(())
    assert auth.identify(scan(b" ()")) == auth.Id(())
    fields = auth.identify(scan(b' ("name" "K-9" "vendor" NIL)')).fields
    assert fields == (("name", "K-9"), ("vendor", None))


def test_id_can_not_inject_lines_into_a_log() -> None:
    """sec-I09."""
    frame = (b' ("name" ', Literal(14, True, False, "a\r\nb\x1b[2J\u2028c".encode()), b")")
    ((_, value),) = auth.identify(Scanner(frame)).fields
    assert value == "a b [2J c"


def test_id_is_limited() -> None:
    pairs = b" ".join([b'"a" "b"'] * 31)
    for line in (b" (" + pairs + b")", b' ("' + b"k" * 31 + b'" "v")', b' ("k" "' + b"v" * 1025 + b'")', b' ("k")'):
        with pytest.raises(BadCommand):
            auth.identify(scan(line))


def test_enable_and_compress() -> None:
    assert auth.enable(scan(b" condstore UTF8=ACCEPT CONDSTORE")) == auth.Enable(("CONDSTORE", "UTF8=ACCEPT"))
    assert auth.compress(scan(b" deflate")) == auth.Compress("DEFLATE")
