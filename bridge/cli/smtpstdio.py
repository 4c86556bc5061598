"""SMTP on standard input and output (`sendmail -bs`), for programs that talk it to a local sendmail (S77).

Promises: what got its 250 is safe in the drop folder; syntax is checked here, who may send what by who takes it there.
Ends at QUIT, at the end of input or after too many mistakes. RFC 5321 4.1.
"""

from collections.abc import Callable, Iterator
from typing import BinaryIO

from bridge.model.errors import PeerError
from bridge.wire.smtp import commands

_MISTAKES = 50
_RECIPIENTS = 10_000
_LINE = 1 << 16
_BARE = "bare.invalid"      # stands for the domain that names without one get later

Leave = Callable[[dict[str, object], Iterator[bytes]], str]


class _Dialogue:
    """One conversation. `leave(record, message)` as in `bridge.cli.sendmail`."""

    def __init__(self, lines: BinaryIO, out: BinaryIO, leave: Leave) -> None:
        self._lines, self._out, self._leave = lines, out, leave
        self._sender: commands.Mail | None = None
        self._recipients: list[str] = []
        self._mistakes = 0
        self._ended = False

    def run(self) -> None:
        self._say("220 localhost ESMTP")
        while not self._ended and (line := self._lines.readline(_LINE)):
            verb, argument = commands.verb(line.rstrip(b"\r\n"))
            try:
                self._do(verb, argument)
            except PeerError as error:
                self._wrong(f"501 5.5.4 {error}")
            if self._mistakes > _MISTAKES:
                self._say("421 4.7.0 Too many mistakes")
                return

    def _do(self, verb: str, argument: str) -> None:
        match verb:
            case "HELO":
                self._reset("250 localhost")
            case "EHLO":
                self._reset("250-localhost\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 ENHANCEDSTATUSCODES")
            case "MAIL":
                self._mail(argument)
            case "RCPT":
                self._rcpt(argument)
            case "DATA":
                self._data()
            case "RSET":
                self._reset("250 2.0.0 Ok")
            case "NOOP":
                self._say("250 2.0.0 Ok")
            case "VRFY":
                self._say("252 2.0.0 It will be tried")
            case "QUIT":
                self._say("221 2.0.0 Bye")
                self._ended = True
            case _:
                self._wrong("500 5.5.2 Command not known")

    def _mail(self, argument: str) -> None:
        if self._sender is not None:
            self._wrong("503 5.5.1 There is a sender already")
            return
        self._sender = commands.mail(argument, domain=_BARE)
        self._say("250 2.1.0 Ok")

    def _rcpt(self, argument: str) -> None:
        if self._sender is None:
            self._wrong("503 5.5.1 MAIL first")
        elif len(self._recipients) >= _RECIPIENTS:
            self._wrong("452 4.5.3 Too many recipients")
        else:
            self._recipients.append(_named(commands.rcpt(argument, utf8=self._sender.smtputf8, domain=_BARE)))
            self._say("250 2.1.5 Ok")

    def _data(self) -> None:
        if self._sender is None or not self._recipients:
            self._wrong("503 5.5.1 MAIL and RCPT first")
            return
        record: dict[str, object] = {
            "version": 1, "sender": _named(self._sender.sender), "recipients": self._recipients,
            "body": self._sender.body,
        }  # fmt: skip
        self._say("354 End with a dot on a line of its own")
        message = _message(self._lines)
        try:
            name = self._leave(record, message)
        except _Cut:
            self._ended = True      # the input ended in the middle: nothing was sent
        except SystemExit:
            for _ in message:
                pass
            self._reset("451 4.3.0 Could not be kept, try again later")
        else:
            self._reset(f"250 2.0.0 Ok: handed in as {name}")

    def _reset(self, reply: str) -> None:
        self._sender, self._recipients = None, []
        self._say(reply)

    def _wrong(self, reply: str) -> None:
        self._mistakes += 1
        self._say(reply)

    def _say(self, reply: str) -> None:
        self._out.write(reply.encode("utf-8", "replace") + b"\r\n")
        self._out.flush()


class _Cut(Exception):
    """The input ended inside a message."""


def _message(lines: BinaryIO) -> Iterator[bytes]:
    """Up to the line with the dot, dots undone."""
    fresh = True
    while line := lines.readline(_LINE):
        if fresh and line.startswith(b"."):
            if line in (b".\r\n", b".\n"):
                return
            line = line[1:]
        fresh = line.endswith(b"\n")
        yield line
    raise _Cut


def _named(address: str) -> str:
    return address.removesuffix(f"@{_BARE}")


def converse(lines: BinaryIO, out: BinaryIO, leave: Leave) -> None:
    """Talk until the other side has enough."""
    _Dialogue(lines, out, leave).run()
