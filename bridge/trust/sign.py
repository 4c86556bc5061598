"""A DKIM-Signature over a message: relaxed/relaxed, SHA-256, an end date, and fields that nobody can add to.

Promises: `From` is signed always; each field of `_GUARDED` is named once more than it occurs, so that a second one
breaks the signature (oversigning, sec-O13); no `l=`, the whole body counts, hashed once however many keys sign.
Fails by: nothing; a message without `From` is not signed. RFC 6376, 8301, 8463.
"""

import base64
import re
from collections.abc import Iterable, Sequence

from bridge.model.address import fold_domain
from bridge.trust.canonical import relaxed_field
from bridge.trust.key import Key
from bridge.wire import addresses, headers

_GUARDED = (
    b"from", b"to", b"cc", b"subject", b"date", b"message-id", b"reply-to", b"sender", b"in-reply-to", b"references",
    b"mime-version", b"content-type", b"content-transfer-encoding",
)  # fmt: skip
_SIGNED_TOO = (b"content-disposition", b"content-id", b"content-description", b"list-id", b"list-unsubscribe",
               b"list-unsubscribe-post", b"list-post", b"list-archive", b"list-help", b"list-owner", b"list-subscribe",
               b"resent-from", b"resent-to", b"resent-cc", b"resent-date", b"resent-message-id")  # fmt: skip
_LINE = 72


def author_domains(header: bytes) -> tuple[int, list[str]]:
    """How many `From` fields there are, and the domains that they name, folded, each once."""
    found = headers.every(header, b"from")
    named = (fold_domain(one.domain) for value in found for one in addresses.lenient(value))
    return len(found), list(dict.fromkeys(domain for domain in named if domain))


def author_domain(header: bytes) -> str:
    """The domain of the one author; "" where `From` doesn't name exactly one domain."""
    fields, domains = author_domains(header)
    return domains[0] if fields == 1 and len(domains) == 1 else ""


def signatures(header: bytes, body_hash: bytes, keys: Sequence[Key], now: int, lifetime: int) -> bytes:
    """One `DKIM-Signature` field for each key, to stand before the header. `lifetime` in seconds; 0: no end.

    `header` is the block as it will be sent, with CRLF; `body_hash` the SHA-256 of the relaxed body.
    """
    fields: dict[bytes, list[bytes]] = {}
    for one in headers.fields(header):
        fields.setdefault(one.name.lower(), []).append(header[one.start : one.end])
    if b"from" not in fields:
        return b""
    names = [name for name in (*_GUARDED, *_SIGNED_TOO) for _ in fields.get(name, ())]
    covered = b"".join(relaxed_field(field) for name in dict.fromkeys(names) for field in reversed(fields[name]))
    listed = sorted([*names, *_GUARDED], key=[*_GUARDED, *_SIGNED_TOO].index)
    return b"".join(_signature(key, listed, covered, body_hash, now, lifetime) for key in keys)


def _signature(
    key: Key, listed: Iterable[bytes], covered: bytes, body_hash: bytes, now: int, lifetime: int
) -> bytes:
    tags = [
        "v=1", f"a={key.algorithm}-sha256", "c=relaxed/relaxed", f"d={key.domain}", f"s={key.selector}", f"t={now}",
        *([f"x={now + lifetime}"] if lifetime else []), "h=" + ":".join(name.decode() for name in listed),
        f"bh={base64.b64encode(body_hash).decode()}",
    ]  # fmt: skip
    start = _folded(tags)
    value = base64.b64encode(key.sign(covered + relaxed_field(start).removesuffix(b"\r\n"))).decode()
    lines = [value[at : at + _LINE] for at in range(0, len(value), _LINE)]
    return start + "\r\n\t".join(lines).encode() + b"\r\n"


def _folded(tags: Sequence[str]) -> bytes:
    """The field up to and with `b=`, in lines that every server leaves as they are."""
    lines, line = [], "DKIM-Signature:"
    for tag in tags:
        for piece in re.findall(r"[^:]+:?", f" {tag};") if tag.startswith("h=") else [f" {tag};"]:
            if len(line) + len(piece) > _LINE:
                lines.append(line)
                line = "\t" + piece.lstrip(" ")
            else:
                line += piece
    return "\r\n".join([*lines, line, "\tb="]).encode()
