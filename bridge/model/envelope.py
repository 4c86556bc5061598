"""One envelope, by value: who sends what to whom, and how it came in.

Promises: frozen; changed only by `dataclasses.replace`; the body is a reference to a spool file, never bytes.
The JSON form is the first line of a spool file (SECURITY D-1) and must stay readable for ever: new fields get defaults.
"""
import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Recipient:
    """One envelope recipient. `address` is "local@domain"; `original` an ORCPT value or ""; `notify` as in RFC 3461."""

    address: str
    original: str = ""
    notify: str = ""


@dataclass(frozen=True, slots=True)
class Origin:
    """How a message came in, for the trace header and the journal.

    `door`: smtp submission lmtp sendmail fetch list dsn web.
    """

    door: str
    client: str = ""        # IP address, or the name of a fetched account or list
    helo: str = ""
    protocol: str = ""      # ESMTP, ESMTPS, ESMTPSA, LMTP ... for Received (RFC 3848)
    tls: str = ""
    login: str = ""         # account that authenticated


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a spool file says of itself.

    `key` makes acceptance idempotent: two messages of the same key are one (`fetch:...`, `list:...`, `dsn:...`);
    a message from a client has its own id as key. `sender` is "" for the null sender. `parent` is the id of the
    message that this one was made from, or "".
    """

    id: str
    key: str
    sender: str
    recipients: tuple[Recipient, ...]
    origin: Origin
    received_at: float
    parent: str = ""
    body: str = ""          # "8BITMIME" or "" as declared
    smtputf8: bool = False
    ret: str = ""           # RFC 3461: FULL, HDRS or ""
    envid: str = ""
    priority: int = 0       # 0 personal mail, 1 bulk: lists, digests (S97)
    trust: str = ""         # of a stranger's message: the value of its Authentication-Results, unfolded (S42)
    version: int = 1

    @property
    def forged(self) -> bool:
        """DMARC failed, or SPF did and DMARC couldn't make good for it: who is shown as the sender most likely isn't.
        No answer to such a message ever leaves (sec-S21, sec-L02)."""
        words = {part.partition(" ")[0] for part in self.trust.split("; ")}
        return "dmarc=fail" in words or ("spf=fail" in words and "dmarc=pass" not in words)

    def to_json(self) -> bytes:
        """One line of ASCII JSON, no line break inside."""
        fields = {name: getattr(self, name) for name in _PLAIN}
        fields["recipients"] = [
            {"address": one.address, "original": one.original, "notify": one.notify} for one in self.recipients
        ]
        origin = self.origin
        fields["origin"] = {name: getattr(origin, name) for name in _ORIGIN}
        return _encode(fields).encode()


_PLAIN = tuple(name for name in Envelope.__dataclass_fields__ if name not in ("recipients", "origin"))
_ORIGIN = tuple(Origin.__dataclass_fields__)
_encode = json.JSONEncoder(separators=(",", ":")).encode


def from_json(line: bytes) -> Envelope:
    """The envelope of a spool file's first line. Raises ValueError (also KeyError, TypeError) for what is not one."""
    data: dict[str, Any] = json.loads(line)
    known = {name: data[name] for name in Envelope.__dataclass_fields__ if name in data}
    known["recipients"] = tuple(Recipient(**recipient) for recipient in data["recipients"])
    known["origin"] = Origin(**data["origin"])
    return Envelope(**known)
