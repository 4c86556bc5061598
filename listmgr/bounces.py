"""Delivery reports that come back to -bounces: who could not be reached, as far as the report can be read.

Promises: pure and bounded (100 KB are looked at, sec-M19); only RFC 3464 reports are understood; delays are no bounces.
What is found is counted for the member, nothing more: anybody can send a report, so none takes anybody off a list
(sec-O16). RFC 3464.
"""

from dataclasses import dataclass

from bridge.model.address import fold
from bridge.wire import headers, mime
from bridge.wire.text import part_bytes

MOST_BYTES = 100 * 1024
MOST_RECIPIENTS = 100


@dataclass(frozen=True, slots=True)
class Bounce:
    """One recipient that failed: folded address, RFC 3463 status, the remote server's words."""

    key: str
    status: str
    text: str


def bounces(message: bytes) -> tuple[Bounce, ...]:
    """The failures that a report names; none for what is no report."""
    data = message[:MOST_BYTES]
    structure = mime.scan(data)
    root = structure.root
    if (root.type, root.subtype) != (b"multipart", b"report"):
        return ()
    for part in structure.parts:
        if part.type == b"message" and part.subtype in (b"delivery-status", b"global-delivery-status"):
            return _failures(part_bytes(data, part))
    return ()


def _failures(status: bytes) -> tuple[Bounce, ...]:
    found: list[Bounce] = []
    groups = status.replace(b"\r\n", b"\n").split(b"\n\n")
    for group in groups[: MOST_RECIPIENTS + 1]:
        block = group + b"\n"
        if headers.decode(headers.first(block, b"action") or b"").strip().lower() != "failed":
            continue
        address = _address(block)
        if address:
            code = headers.decode(headers.first(block, b"status") or b"").split(" ")[0][:16]
            words = headers.decode(headers.first(block, b"diagnostic-code") or b"")[:500]
            found.append(Bounce(fold(address)[:320], code, words))
    return tuple(found[:MOST_RECIPIENTS])


def _address(block: bytes) -> str:
    """Original-Recipient is what we sent to; Final-Recipient what it became."""
    for name in (b"original-recipient", b"final-recipient"):
        raw = headers.first(block, name)
        if raw is not None:
            kind, _, address = headers.decode(raw).partition(";")
            if kind.strip().lower() in ("rfc822", "utf-8") and "@" in address:
                return address.strip().strip("<>")
    return ""
