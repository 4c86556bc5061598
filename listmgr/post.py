"""A message as the lists see it: read once from the spool, then a frozen value that rules and cook look at.

Promises: the body is not read (only `text`, on demand, from the first bytes); who wrote it is decided by strict parsing
only, so an ambiguous From is nobody (sec-M07). Never raises for anything that a message contains.
RFC 5322, RFC 3834 2 (what is automatic), RFC 2919.
"""

import re
from dataclasses import dataclass

from bridge.model.address import fold
from bridge.model.envelope import Envelope
from bridge.wire import addresses, headers, mime, text
from listmgr.addresses import single

HEAD = 300 * 1024  # bytes read: a whole header block (256 KB at most) and the beginning of the body
TEXT = 64 * 1024  # characters of text that commands and administrivia are looked for in
_RECIPIENTS = (b"to", b"cc", b"resent-to", b"resent-cc")
_LIST_ID = re.compile(r"<([^<>]*)>\s*\Z")
_QUIET = ("no", "")


@dataclass(frozen=True, slots=True)
class Post:
    """`header` is the block with its blank line, `head` the first bytes of the message (`header` included)."""

    envelope: Envelope
    head: bytes
    header: bytes
    size: int
    author: addresses.Mailbox | None
    subject: str
    explicit: tuple[str, ...]  # folded addresses in To and Cc

    @property
    def sender(self) -> str:
        """The envelope sender, "" for the null sender."""
        return self.envelope.sender

    @property
    def from_address(self) -> str:
        """The author's address, or "" if From is missing, several or ambiguous."""
        return self.author.address if self.author else ""

    @property
    def proven(self) -> bool:
        """Did the writer log in or write on this machine? Then From is not a stranger's claim (sec-L02)."""
        return bool(self.envelope.origin.login) or self.envelope.origin.door in ("submission", "sendmail", "web")

    @property
    def automatic(self) -> bool:
        """Written by a program, not a person: not distributed, nor answered (RFC 3834, sec-L17)."""
        if not self.sender:
            return True
        submitted = self.value(b"auto-submitted").partition(";")[0].strip().lower()
        precedence = self.value(b"precedence").lower()
        return submitted not in _QUIET or precedence in ("bulk", "junk")

    @property
    def unanswerable(self) -> bool:
        """Must get no answer from a program: automatic, forged by what SPF and DMARC say, or its writer asked for
        none."""
        return self.automatic or self.envelope.forged or self.value(b"x-auto-response-suppress") != ""

    def value(self, name: bytes) -> str:
        """The first field of that name as text, or ""."""
        raw = headers.first(self.header, name)
        return headers.decode(raw) if raw is not None else ""

    def values(self, name: bytes) -> list[str]:
        return [headers.decode(raw) for raw in headers.every(self.header, name)]

    def passed(self, posting: str, list_id: str) -> bool:
        """Has the message been through this list (P10)?"""
        if any(fold(value) == fold(posting) for value in self.values(b"x-beenthere")):
            return True
        for value in self.values(b"list-id"):
            found = _LIST_ID.search(value)
            if (found[1] if found else value).strip().lower() == list_id.lower():
                return True
        return False

    def text(self) -> str:
        """The beginning of the readable text, HTML reduced to words, attachments left out."""
        structure = mime.scan(self.head)
        for part in structure.parts:
            if text.is_text(part) and not text.is_attachment(part):
                return text.part_text(self.head, part, TEXT)[:TEXT]
        return ""


def read(envelope: Envelope, head: bytes, size: int) -> Post:
    """The post of an envelope, the first `HEAD` bytes and the whole size of the message."""
    header = head[: headers.body_start(head)]
    explicit: dict[str, None] = {}
    for name in _RECIPIENTS:
        for raw in headers.every(header, name)[:20]:
            explicit.update((fold(one.address), None) for one in addresses.lenient(raw))
    subject = headers.first(header, b"subject")
    froms = headers.every(header, b"from")
    return Post(
        envelope, head, header, size,
        single(froms[0]) if len(froms) == 1 else None,
        headers.decode(subject) if subject is not None else "",
        tuple(explicit)[: addresses.MAX_ADDRESSES],
    )  # fmt: skip
