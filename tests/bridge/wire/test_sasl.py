"""SASL PLAIN and LOGIN: S09, sec-I08."""
import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.model.errors import PeerError
from bridge.wire.sasl import LINE_LIMIT, Credentials, Exchange, decode, plain


def test_plain() -> None:
    assert plain(b"\0eloy\0secreto") == Credentials("eloy", "secreto")
    assert plain(b"eloy\0eloy\0secreto") == Credentials("eloy", "secreto")
    assert plain(b"root\0eloy\0secreto") == Credentials("eloy", "secreto", "root")
    assert plain("\0peña\0contraseña".encode()).password == "contraseña"


@pytest.mark.parametrize(
    "message", [b"", b"a", b"a\0b", b"\0\0", b"\0a\0", b"\0\0a", b"a\0b\0c\0d", b"\0\xff\0a", b"\0a\0\xc3"]
)
def test_plain_refused(message: bytes) -> None:
    with pytest.raises(PeerError):
        plain(message)


@pytest.mark.parametrize("line", [b"!", b"YQ", b"YQ=", b"Y Q=", b"YQ==YQ==", b"=YQ=", b"A" * (LINE_LIMIT + 4), b"\xff"])
def test_base64_is_strict(line: bytes) -> None:
    with pytest.raises(PeerError):
        decode(line)


def test_the_empty_response() -> None:
    assert decode(b"=") == decode(b"") == b""


def test_exchanges() -> None:
    one = Exchange("PLAIN")
    assert one.step(None) == b""
    assert one.step(base64.b64encode(b"\0a\0b")) == Credentials("a", "b")
    two = Exchange("LOGIN")
    assert base64.b64decode(two.step(None)) == b"Username:"  # type: ignore[arg-type]
    assert base64.b64decode(two.step(b"YQ==")) == b"Password:"  # type: ignore[arg-type]
    assert two.step(b"Yg==") == Credentials("a", "b")
    with pytest.raises(PeerError):
        Exchange("CRAM-MD5")


def test_passwords_are_not_shown() -> None:
    """sec-A18."""
    assert "secreto" not in repr(plain(b"\0eloy\0secreto"))


@given(st.sampled_from(["PLAIN", "LOGIN"]), st.lists(st.binary(max_size=40), max_size=3), st.booleans())
def test_nothing_but_peer_error_escapes(mechanism: str, lines: list[bytes], encoded: bool) -> None:
    one = Exchange(mechanism)
    for line in lines:
        try:
            if isinstance(one.step(base64.b64encode(line) if encoded else line), Credentials):
                break
        except PeerError:
            break
