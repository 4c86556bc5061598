"""SMTP commands as the server reads them: verb and argument, MAIL and RCPT with their parameters.

Promises: strict grammar for addresses and parameters, tolerant where people type by hand (`MAIL FROM: a@b`, a bare
HELO, any case); what isn't understood is a PeerError whose text fits into a 501. RFC 5321 4.1, RFC 1870, RFC 6152,
RFC 6531 3.4, RFC 4954 5.
"""
import re
from dataclasses import dataclass

from bridge.model import address
from bridge.model.errors import PeerError

COMMAND_LIMIT = 2048
PARAMETERS = 20
_PARAMETER = re.compile(rb"([A-Za-z0-9][A-Za-z0-9-]{0,30})(?:=([!-<>-~\x80-\xff]{1,500}))?\Z")
_SIZE = re.compile(rb"\d{1,20}\Z")


class UnknownParameter(PeerError):
    """A parameter that was not offered: 555."""


@dataclass(frozen=True, slots=True)
class Mail:
    """MAIL: `size` is what the client announces, 0 if it doesn't."""

    sender: str
    size: int = 0
    body: str = ""
    smtputf8: bool = False


def verb(line: bytes) -> tuple[str, str]:
    """(verb in upper case, argument) of a line without its CRLF; what isn't UTF-8 survives as surrogates."""
    word, _, rest = line.partition(b" ")
    return word.decode("ascii", "replace").upper(), rest.strip(b" \t").decode("utf-8", "surrogateescape")


def mail(argument: str, *, domain: str = "") -> Mail:
    """The argument of MAIL; a sender without domain gets `domain` if there is one."""
    raw = _after(argument, b"FROM:")
    sender, rest = address.path(raw, utf8=True, domain=domain)
    size, body, utf8 = 0, "", False
    for name, value in _parameters(rest):
        if name == "SIZE":
            if not _SIZE.match(value):
                raise PeerError("SIZE is not a number")
            size = int(value)
        elif name == "BODY":
            body = value.decode("ascii", "replace").upper()
            if body not in ("7BIT", "8BITMIME"):
                raise PeerError("BODY is neither 7BIT nor 8BITMIME")
        elif name == "SMTPUTF8":
            if value:
                raise PeerError("SMTPUTF8 takes no value")
            utf8 = True
        elif name != "AUTH":  # RFC 4954 5: may be ignored, and is
            raise UnknownParameter(f"{name} is not a parameter of MAIL here")
    if not utf8 and not sender.isascii():
        raise address.BadAddress("address is not ASCII, and SMTPUTF8 was not declared")
    return Mail(sender, size, body, utf8)


def rcpt(argument: str, *, utf8: bool, domain: str = "") -> str:
    """The recipient in the argument of RCPT."""
    recipient, rest = address.path(_after(argument, b"TO:"), utf8=utf8, domain=domain)
    if not recipient:
        raise address.BadAddress("recipient is empty")
    for name, _ in _parameters(rest):
        raise UnknownParameter(f"{name} is not a parameter of RCPT here")
    return recipient


def _after(argument: str, keyword: bytes) -> bytes:
    raw = argument.encode("utf-8", "surrogateescape")
    head = raw[: len(keyword)]
    if head.upper() != keyword:
        raise PeerError(f"syntax is {'MAIL' if keyword == b'FROM:' else 'RCPT'} {keyword.decode()}<address>")
    return raw[len(keyword) :]


def _parameters(rest: bytes) -> list[tuple[str, bytes]]:
    if not rest:
        return []
    words = rest.split()
    if len(words) > PARAMETERS:
        raise PeerError("too many parameters")
    found: dict[str, bytes] = {}
    for word in words:
        match = _PARAMETER.match(word)
        if not match:
            raise PeerError("malformed parameter")
        name = match[1].decode().upper()
        if name in found:
            raise PeerError(f"{name} is given twice")
        found[name] = match[2] or b""
    return list(found.items())
