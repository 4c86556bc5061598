"""What the door changes in a header block: little, and only where a rule says so.

Promises: fields are kept byte by byte and in order, or removed whole, or added on top; nothing is decoded or refolded.
Input is a block of header lines (the door cuts off what isn't); nothing raises. Values that are added come from us.
RFC 6409 8 (what a submission server may complete), RFC 5322 3.6, RFC 8601 5 (forged results), sec-S20, sec-S28.
"""
import re
from collections.abc import Iterator

_FIELD = re.compile(rb"([!-9;-~]++)[ \t]*+:[^\n]*+\n(?:[ \t][^\n]*+\n)*")
_COMMENT = re.compile(rb"\([^()]*\)")
_HIDDEN = frozenset({b"bcc", b"resent-bcc", b"return-path"})
_RESULTS = b"authentication-results"


def fields(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(name in lower case, whole field) of a block, in order."""
    for found in _FIELD.finditer(block):
        yield found[1].lower(), found[0]


def incoming(block: bytes, hostname: str) -> bytes:
    """Remove Authentication-Results that claim to be ours; everything else stays as it came."""
    if _RESULTS not in block.lower():
        return block
    ours = hostname.lower().encode()
    return b"".join(field for name, field in fields(block) if name != _RESULTS or _service(field) != ours)


def submitted(block: bytes, *, sender: str, hostname: str, date: str, message_id: str) -> bytes:
    """Complete what a mail program may leave out (Date, Message-ID, From) and remove what must not travel (Bcc)."""
    kept, seen = [], set()
    ours = hostname.lower().encode()
    for name, field in fields(block):
        if name in _HIDDEN or (name == _RESULTS and _service(field) == ours):
            continue
        seen.add(name)
        kept.append(field)
    if b"date" not in seen:
        kept.append(f"Date: {date}\r\n".encode())
    if b"message-id" not in seen:
        kept.append(f"Message-ID: <{message_id}>\r\n".encode())
    if b"from" not in seen:
        kept.append(f"From: {sender or 'MAILER-DAEMON'}\r\n".encode())
    return b"".join(kept)


def _service(field: bytes) -> bytes:
    """The authserv-id: the first word that is no comment."""
    value = field.partition(b":")[2]
    for _ in range(8):  # comments nest; a deeper one hides nothing but itself
        value, changed = _COMMENT.subn(b" ", value)
        if not changed:
            break
    words = value.replace(b";", b" ; ").split(None, 1)
    return words[0].lower().strip(b'"') if words else b""
