"""SASL PLAIN and LOGIN, the server's side: base64 lines in, challenges out, credentials at the end.

Promises: base64 is read strictly; nothing but PeerError escapes; credentials are never part of an error's text.
`Exchange` is the little machine that SMTP, IMAP and POP3 share: `step(None)` begins without an initial response.
RFC 4616 (PLAIN), RFC 4954 4, draft-murchison-sasl-login (LOGIN).
"""
import binascii
from dataclasses import dataclass, field

from bridge.model.errors import PeerError

MECHANISMS = ("PLAIN", "LOGIN")
LINE_LIMIT = 12_288  # RFC 4954 4.3: a response line with its CRLF


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client claims and proves it with. `identity`: whom it wants to act as, "" for itself."""

    login: str
    password: str = field(repr=False)
    identity: str = ""


class Exchange:
    """One authentication with `mechanism`, one of MECHANISMS."""

    __slots__ = ("_login", "_mechanism")

    def __init__(self, mechanism: str) -> None:
        if mechanism not in MECHANISMS:
            raise PeerError("unknown mechanism")
        self._mechanism = mechanism
        self._login: str | None = None

    def step(self, response: bytes | None) -> bytes | Credentials:
        """Feed the client's base64 line; answers the next challenge (base64) or the credentials."""
        if self._mechanism == "PLAIN":
            return b"" if response is None else plain(decode(response))
        if response is None:
            return _USERNAME
        if self._login is None:
            self._login = _text(decode(response))
            return _PASSWORD
        return _checked(Credentials(self._login, _text(decode(response))))


_USERNAME = binascii.b2a_base64(b"Username:", newline=False)
_PASSWORD = binascii.b2a_base64(b"Password:", newline=False)


def decode(line: bytes) -> bytes:
    """One base64 line without its CRLF; `=` alone stands for an empty response."""
    if line == b"=":
        return b""
    if len(line) > LINE_LIMIT:
        raise PeerError("response is too long")
    try:
        return binascii.a2b_base64(line, strict_mode=True)
    except binascii.Error:
        raise PeerError("response is not base64") from None


def plain(message: bytes) -> Credentials:
    """The PLAIN message: identity NUL login NUL password."""
    parts = message.split(b"\0")
    if len(parts) != 3:
        raise PeerError("malformed PLAIN message")
    identity, login, password = map(_text, parts)
    return _checked(Credentials(login, password, "" if identity == login else identity))


def _checked(found: Credentials) -> Credentials:
    if not found.login or not found.password:
        raise PeerError("login or password is empty")
    return found


def _text(raw: bytes) -> str:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise PeerError("response is not UTF-8") from None
    if "\0" in text:
        raise PeerError("response has a NUL")
    return text
