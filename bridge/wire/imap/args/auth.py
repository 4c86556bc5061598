"""Arguments of the commands about the session itself: who, with what, and which features.

Fails by: `BadCommand`.
RFC: 3501 and 9051 sections 6.1, 6.2; 4959 (SASL-IR), 5161 (ENABLE), 2971 (ID), 4978 (COMPRESS).
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass, field
from typing import Final

from bridge.wire.imap.tokens import BadCommand, Scanner

ID_FIELDS: Final = 30  # RFC 2971 section 3.3
ID_KEY: Final = 30
ID_VALUE: Final = 1024
SASL_LINE: Final = 12_288  # a base64 line of AUTHENTICATE, as RFC 4954 has it for SMTP

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


@dataclass(frozen=True, slots=True)
class Bare:
    """A command without arguments."""


BARE: Final = Bare()


@dataclass(frozen=True, slots=True)
class Login:
    """LOGIN."""

    user: str
    password: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Authenticate:
    """AUTHENTICATE; `initial` is None where the client waits for a challenge."""

    mechanism: str
    initial: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Enable:
    """ENABLE."""

    capabilities: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Id:
    """ID: what the client says about itself, without control characters; to be logged, never to be trusted."""

    fields: tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, slots=True)
class Compress:
    """COMPRESS."""

    mechanism: str


def bare(scan: Scanner) -> Bare:
    """No arguments."""
    return BARE


def login(scan: Scanner) -> Login:
    """Name and password; a name that isn't UTF-8 is nobody's."""
    scan.space()
    user = scan.astring()
    scan.space()
    password = scan.astring()
    try:
        return Login(user.decode("utf-8"), password)
    except UnicodeDecodeError:
        raise BadCommand("Invalid credentials", "AUTHENTICATIONFAILED", "NO") from None


def authenticate(scan: Scanner) -> Authenticate:
    """Mechanism and perhaps the initial response."""
    scan.space()
    mechanism = scan.keyword()
    if not scan.accept(b" "):
        return Authenticate(mechanism, None)
    raw = scan.line[scan.pos :]
    scan.pos = len(scan.line)
    if raw == b"=":
        return Authenticate(mechanism, b"")
    initial = unbase64(raw)
    if not initial:
        raise BadCommand("Initial response is not base64")
    return Authenticate(mechanism, initial)


def unbase64(raw: bytes) -> bytes | None:
    """Strictly decoded base64 of bounded length; None where it isn't."""
    if len(raw) > SASL_LINE:
        return None
    try:
        return binascii.a2b_base64(raw, strict_mode=True) if raw else b""
    except binascii.Error:
        return None


def enable(scan: Scanner) -> Enable:
    """One or more capabilities."""
    scan.space()
    found = [scan.keyword()]
    while scan.accept(b" "):
        found.append(scan.keyword())
    return Enable(tuple(dict.fromkeys(found)))


def identify(scan: Scanner) -> Id:
    """ID: NIL or pairs of strings."""
    scan.space()
    if scan.peek_keyword() == "NIL":
        scan.keyword()
        return Id(())
    scan.expect(b"(")
    fields: list[tuple[str, str | None]] = []
    if scan.accept(b")"):
        return Id(())
    while True:
        key = scan.string()
        scan.space()
        value = scan.nstring()
        if len(key) > ID_KEY or (value is not None and len(value) > ID_VALUE):
            raise BadCommand("ID field too long")
        fields.append((_clean(key), None if value is None else _clean(value)))
        if not scan.more(len(fields), ID_FIELDS):
            return Id(tuple(fields))


def _clean(raw: bytes) -> str:
    return _CONTROL.sub(" ", raw.decode("utf-8", "replace"))


def compress(scan: Scanner) -> Compress:
    """The mechanism."""
    scan.space()
    return Compress(scan.keyword())
