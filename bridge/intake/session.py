"""What the server knows of one connection: who is there, and the message that is being handed over.

Promises: one place for all state, one function that ends a transaction (`reset`) and one that forgets everything said
before TLS (`restart`); no verb keeps state of its own (sec-S05, sec-S07). No I/O.
"""
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from bridge.model.envelope import Origin, Recipient

Service = Literal["smtp", "submission", "submissions", "lmtp"]


class Account(Protocol):
    """What the doors need to know of somebody who logged in."""

    @property
    def address(self) -> str: ...


@dataclass(slots=True)
class Transaction:
    """One message between MAIL and the final dot."""

    sender: str
    size: int = 0
    body: str = ""
    smtputf8: bool = False
    recipients: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Visit:
    """One connection. `client`: IP address, "" on a unix socket; `trusted`: from our own networks."""

    service: Service
    client: str
    trusted: bool
    helo: str | None = None       # None: HELO, EHLO or LHLO is still owed
    extended: bool = False
    tls: str = ""
    account: Account | None = None
    login: str = ""
    transaction: Transaction | None = None
    errors: int = 0
    junk: int = 0
    messages: int = 0

    def reset(self) -> None:
        """No transaction any more; who is there stays."""
        self.transaction = None

    def restart(self, tls: str) -> None:
        """TLS is on: whatever was said before was said by anybody (RFC 3207 4.2)."""
        self.transaction = self.account = self.helo = None
        self.login, self.extended = "", False
        self.tls = tls

    @property
    def submits(self) -> bool:
        """True on the ports for mail clients."""
        return self.service in ("submission", "submissions")

    @property
    def may_relay(self) -> bool:
        """True if this client may send anywhere."""
        return self.service != "lmtp" and (self.trusted or self.account is not None)

    @property
    def protocol(self) -> str:
        """The word for the trace header (RFC 3848, RFC 6531 4.3)."""
        if self.service == "lmtp":
            word = "LMTP"
        elif self.transaction is not None and self.transaction.smtputf8:
            word = "UTF8SMTP"
        else:
            word = "ESMTP" if self.extended else "SMTP"
        if word == "SMTP":
            return word
        return word + ("S" if self.tls else "") + ("A" if self.account is not None else "")

    @property
    def origin(self) -> Origin:
        """How the message came in."""
        door = "submission" if self.submits else self.service
        return Origin(door, self.client, self.helo or "", self.protocol, self.tls, self.login)


def recipients(addresses: Sequence[str]) -> tuple[Recipient, ...]:
    """The envelope's recipients: as given, each once."""
    return tuple(Recipient(address) for address in dict.fromkeys(addresses))
