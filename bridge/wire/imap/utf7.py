"""Modified UTF-7 of mailbox names, both ways.

Promises: `decode(encode(name)) == name` for every name without surrogates, and `decode` takes only what `encode`
would write, so that a mailbox has one spelling.
Fails by: ValueError.
RFC: 3501 section 5.1.3, 9051 appendix A.
"""

from __future__ import annotations

import binascii
import re

_PLAIN = re.compile(r"[\x20-\x7e]*")
_PRINTABLE = re.compile(r"[\x20-\x7e]")
_OTHER = re.compile(r"[^\x20-\x7e]+|&")
_PART = re.compile(rb"&([A-Za-z0-9+,]*)-")
_ASCII = re.compile(rb"[\x20-\x25\x27-\x7e]*")


def encode(name: str) -> bytes:
    """The name as it goes over the wire of IMAP4rev1."""
    if "&" not in name and _PLAIN.fullmatch(name):
        return name.encode("ascii")
    return _OTHER.sub(_shift, name).encode("ascii")


def _shift(match: re.Match[str]) -> str:
    text = match[0]
    if text == "&":
        return "&-"
    coded = binascii.b2a_base64(text.encode("utf-16-be"), newline=False).rstrip(b"=").replace(b"/", b",")
    return "&" + coded.decode("ascii") + "-"


def decode(raw: bytes) -> str:
    """The name that a client of IMAP4rev1 means; ValueError where it isn't strict modified UTF-7."""
    if b"&" not in raw:
        if not _ASCII.fullmatch(raw):
            raise ValueError("character outside of printable ASCII")
        return raw.decode("ascii")
    out: list[str] = []
    position, shifted = 0, False
    for match in _PART.finditer(raw):
        between = raw[position : match.start()]
        if not _ASCII.fullmatch(between):
            raise ValueError("stray & or character outside of printable ASCII")
        out.append(between.decode("ascii"))
        coded = match[1]
        if shifted and not between and coded:
            raise ValueError("two shifted parts in a row")
        out.append(_unshift(coded) if coded else "&")
        position, shifted = match.end(), bool(coded)
    if not _ASCII.fullmatch(raw, position):
        raise ValueError("stray & or character outside of printable ASCII")
    out.append(raw[position:].decode("ascii"))
    return "".join(out)


def _unshift(coded: bytes) -> str:
    padded = coded.replace(b",", b"/") + b"=" * (-len(coded) % 4)
    try:
        units = binascii.a2b_base64(padded, strict_mode=True)
        text = units.decode("utf-16-be")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ValueError("bad base64 or UTF-16 in a shifted part") from error
    if binascii.b2a_base64(units, newline=False) != padded:
        raise ValueError("surplus bits in a shifted part")
    if _PRINTABLE.search(text):
        raise ValueError("printable ASCII in a shifted part")
    return text
