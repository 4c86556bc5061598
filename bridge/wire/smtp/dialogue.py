"""What the client's side of SMTP is spoken of with: steps, a mail to send, what a server offers, results, events.

Promises: frozen values; `offer` reads any EHLO answer and never raises. RFC 5321 4.1.1.1, 1870, 4954, 6531.
"""
import re
from dataclasses import dataclass
from enum import Enum

from bridge.model.address import split
from bridge.model.reply import Reply
from bridge.wire.smtp.replies import Answer

_KEYWORD = re.compile(rb"[A-Za-z0-9][A-Za-z0-9-]{0,63}\Z")
_LEGACY_AUTH = b"AUTH="


class Step(Enum):
    """What an answer answers. The values are those of the stages of failure policy."""

    GREETING = "greeting"
    HELLO = "hello"
    HELO = "helo"
    TLS = "starttls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    DOT = "dot"
    RSET = "rset"
    QUIT = "quit"


class Protection(Enum):
    """How much TLS a session needs: never; where offered; or not without. Who checks the certificate is not here."""

    NONE = "none"
    MAY = "may"
    MUST = "must"


@dataclass(frozen=True, slots=True)
class Mail:
    """One transaction. `eight_bit`, `utf8`: as the message was declared when it came in."""

    sender: str
    recipients: tuple[str, ...]
    size: int = 0
    eight_bit: bool = False
    utf8: bool = False


@dataclass(frozen=True, slots=True)
class Offer:
    """What EHLO was answered with. `size`: 0 where no limit was named."""

    name: str = ""
    pipelining: bool = False
    starttls: bool = False
    eight_bit: bool = False
    utf8: bool = False
    size_known: bool = False
    size: int = 0
    auth: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one recipient: the reply that decided, and which command it answered."""

    step: Step
    reply: Reply

    @property
    def delivered(self) -> bool:
        return self.step is Step.DOT and self.reply.code // 100 == 2


@dataclass(frozen=True, slots=True)
class StartTls:
    pass


@dataclass(frozen=True, slots=True)
class Ready:
    pass


@dataclass(frozen=True, slots=True)
class SendBody:
    pass


@dataclass(frozen=True, slots=True)
class Done:
    """In the order of `Mail.recipients`."""

    results: tuple[Result, ...]


@dataclass(frozen=True, slots=True)
class Broken:
    step: Step
    reply: Reply | None


Event = StartTls | Ready | SendBody | Done | Broken


def needs_utf8(sender: str, recipients: tuple[str, ...]) -> bool:
    """Whether an envelope can only go to a server with SMTPUTF8: a local part isn't ASCII."""
    return not all(address.isascii() or split(address)[0].isascii() for address in (sender, *recipients))


def offer(answer: Answer) -> Offer:
    """The EHLO keywords that we know; others, and lines that are none, are passed over."""
    words: dict[str, list[bytes]] = {}
    for line in answer.lines[1:]:
        if line[:5].upper() == _LEGACY_AUTH:
            line = b"AUTH " + line[5:]
        name, *values = line.split() or [b""]
        if _KEYWORD.match(name):
            words.setdefault(name.decode().upper(), []).extend(values)
    size = words.get("SIZE", [b""])[:1]
    limit = int(size[0]) if size and size[0].isdigit() and len(size[0]) < 20 else 0
    return Offer(
        answer.lines[0].split(b" ")[0].decode("ascii", "replace")[:255], "PIPELINING" in words, "STARTTLS" in words,
        "8BITMIME" in words, "SMTPUTF8" in words, "SIZE" in words, limit,
        frozenset(value.decode("ascii", "replace").upper() for value in words.get("AUTH", ())),
    )
