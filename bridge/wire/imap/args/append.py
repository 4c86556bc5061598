"""Arguments of APPEND and REPLACE, also while their messages are still to come.

Promises: `Announcer` knows what a literal is for before a byte of it arrives, and looks at each byte of a
command at most twice however many messages it brings.
Fails by: `BadCommand`.
RFC: 3501 and 9051 section 6.3.12, 3502 (MULTIAPPEND), 3516 (literal8), 6855 (UTF8), 4469 (CATENATE), 8508 (REPLACE).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from bridge.wire.imap.fragment import Frame, Literal
from bridge.wire.imap.tokens import Awaiting, BadCommand, Scanner

MESSAGES: Final = 500  # messages of one MULTIAPPEND
PARTS: Final = 500  # parts of one CATENATE

_BRINGS_MESSAGES = re.compile(rb"[^ ]+ (?:APPEND|REPLACE|UID REPLACE) ", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class AppendMessage:
    """One message to append: a literal, or the parts of a CATENATE (str: an IMAP URL)."""

    flags: tuple[str, ...]
    date: datetime | None
    body: Literal | None
    parts: tuple[Literal | str, ...] = ()
    utf8: bool = False


@dataclass(frozen=True, slots=True)
class Append:
    """APPEND with one or more messages."""

    mailbox: str
    messages: tuple[AppendMessage, ...]


@dataclass(frozen=True, slots=True)
class Replace:
    """REPLACE and UID REPLACE; message 0 is `*`."""

    uid: bool
    message: int
    mailbox: str
    append: AppendMessage


@dataclass(frozen=True, slots=True)
class MessageLiteral:
    """A message, or a part of one, that a client wants to send."""

    tag: bytes
    command: str
    mailbox: str
    index: int  # which message of the command, from 0
    flags: tuple[str, ...]
    date: datetime | None
    size: int
    sync: bool
    binary: bool
    catenate: bool


class _Reader:
    """Reads mailbox and messages step by step; a step that meets a literal not yet here can be repeated."""

    __slots__ = ("catenating", "limit", "mailbox", "messages", "parts", "pending", "scan", "url")

    def __init__(self, scan: Scanner, limit: int) -> None:
        self.scan = scan
        self.limit = limit
        self.mailbox: str | None = None
        self.messages: list[AppendMessage] = []
        self.pending: AppendMessage | None = None  # its options are known, its literal is next
        self.parts: list[Literal | str] = []
        self.catenating = False
        self.url = False  # the string that is next is a URL

    def step(self) -> bool:
        """One step; False at the end of the command."""
        if self.mailbox is None:
            self.scan.space()
            self.mailbox = self.scan.mailbox()
            return True
        if self.catenating:
            self._part()
            return True
        if self.messages and self.scan.at_last_line and not self.scan.line[self.scan.pos :].strip(b" "):
            return False
        if len(self.messages) >= self.limit:
            raise BadCommand("Too many messages in one command", "LIMIT")
        self._message()
        return True

    def _message(self) -> None:
        scan = self.scan
        self.pending, self.url = None, False
        scan.space()
        scan.accept(b" ")  # imapclient sends two spaces between messages, others where no flags and date are
        flags: tuple[str, ...] = ()
        date: datetime | None = None
        if scan.peek() == 40:
            flags = scan.flags()
            scan.space()
        if scan.peek() == 34:
            date = scan.date_time()
            scan.space()
        pending = AppendMessage(flags, date, None)
        if scan.at_literal:
            self.pending = pending
            self.messages.append(replace(pending, body=scan.literal()))
        elif scan.peek_keyword() == "UTF8":
            scan.keyword()
            scan.expect(b" (")
            self.pending = pending
            body = scan.literal()
            if not body.binary:
                raise BadCommand("UTF8 needs a literal8")
            scan.expect(b")")
            self.messages.append(replace(pending, body=body, utf8=True))
        elif scan.peek_keyword() == "CATENATE":
            scan.keyword()
            scan.space()
            scan.expect(b"(")
            self.pending, self.parts, self.catenating = pending, [], True
        else:
            raise BadCommand("Literal expected")
        if not self.catenating:
            self.pending = None

    def _part(self) -> None:
        scan = self.scan
        assert self.pending is not None
        if len(self.parts) >= PARTS:
            raise BadCommand("Too many parts in CATENATE", "LIMIT")
        word = scan.keyword()
        scan.space()
        self.url = word == "URL"
        if word == "TEXT":
            part: Literal | str = scan.literal()
        elif word == "URL":
            part = scan.text()
        else:
            raise BadCommand("TEXT or URL expected")
        self.parts.append(part)
        if not scan.more(len(self.parts)):
            self.messages.append(replace(self.pending, parts=tuple(self.parts)))
            self.pending, self.catenating = None, False

    @property
    def at_message(self) -> bool:
        """True where the literal that is next is (a part of) a message."""
        return self.scan.at_literal and self.pending is not None and not self.url


def append(scan: Scanner) -> Append:
    """APPEND."""
    reader = _Reader(scan, MESSAGES)
    while reader.step():
        pass
    assert reader.mailbox is not None
    return Append(reader.mailbox, tuple(reader.messages))


def replace_message(scan: Scanner) -> Replace:
    """REPLACE."""
    return _replace(scan, False)


def uid_replace(scan: Scanner) -> Replace:
    """UID REPLACE."""
    return _replace(scan, True)


def _replace(scan: Scanner, uid: bool) -> Replace:
    number = _replaced(scan)
    reader = _Reader(scan, 1)
    while reader.step():
        pass
    assert reader.mailbox is not None
    return Replace(uid, number, reader.mailbox, reader.messages[0])


def _replaced(scan: Scanner) -> int:
    scan.space()
    return 0 if scan.accept(b"*") else scan.number(1)


class Announcer:
    """Says for each literal of a command whether it is a message, and of what kind."""

    __slots__ = ("_command", "_mark", "_reader", "_tag")

    def __init__(self) -> None:
        self._reader: _Reader | None = None
        self._mark = (0, 0)
        self._tag = b""
        self._command = ""

    def announce(self, frame: Frame, utf8: bool, size: int, sync: bool, binary: bool) -> MessageLiteral | None:
        """The literal behind `frame`; None where it isn't a message. A new command begins with a frame of one piece."""
        if len(frame) == 1:
            self._reader = None
            first = frame[0]
            if not isinstance(first, bytes) or not _BRINGS_MESSAGES.match(first):
                return None
        elif self._reader is None:
            return None
        whole = (*frame, Literal(size, sync, binary), b"")
        reader = self._reader
        if reader is None:
            reader = self._open(Scanner(whole, utf8))
        else:
            reader.scan.go_back(self._mark, whole)
        self._mark = reader.scan.mark()
        try:
            while reader.step():
                self._mark = reader.scan.mark()
        except Awaiting:
            pass
        if not reader.at_message or reader.pending is None or reader.mailbox is None:
            return None
        pending = reader.pending
        return MessageLiteral(
            self._tag, self._command, reader.mailbox, len(reader.messages), pending.flags, pending.date,
            size, sync, binary, reader.catenating,
        )  # fmt: skip

    def _open(self, scan: Scanner) -> _Reader:
        self._tag = scan.tag()
        scan.space()
        self._command = scan.keyword()
        if self._command == "UID":
            scan.space()
            self._command = "UID " + scan.keyword()
        limit = MESSAGES
        if self._command != "APPEND":
            _replaced(scan)
            limit = 1
        self._reader = _Reader(scan, limit)
        return self._reader
