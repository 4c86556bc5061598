"""The readable text of a message: transfer encodings undone, charsets decoded, HTML reduced to its words.

For SEARCH BODY/TEXT, previews and the archive's index; what people see as HTML goes through a real sanitiser elsewhere.
Promise: never raises, never runs anything, never unpacks an attachment (sec-M12, sec-M13); every decoder is tolerant
and stops at a cap.  RFC 2045 6.7 and 6.8, uuencode as it is found in old mail.
"""

from __future__ import annotations

import binascii
import html
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from bridge.wire import charset, headers, mime

if TYPE_CHECKING:
    from bridge.wire.mime import Buffer, Part, Structure

MAX_PART = 2 * 1024 * 1024  # encoded bytes of one part that are decoded
MAX_TOTAL = 8 * 1024 * 1024  # of all parts of a message
MAX_HTML = 1024 * 1024  # characters of HTML that are stripped

_UU_BEGIN = re.compile(rb"^begin(?:-base64)? [0-7]{3,4} [^\n]*\n", re.M)


def transfer_decode(data: bytes, encoding: bytes) -> bytes:
    """The content of an encoded body; what can't be decoded stays as it is or is left out."""
    if encoding == b"quoted-printable":
        return binascii.a2b_qp(data)
    if encoding == b"base64":
        return headers.lenient_base64(data)
    if encoding in (b"x-uuencode", b"uuencode", b"x-uue", b"uue"):
        return _uudecode(data)
    return data


def _uudecode(data: bytes) -> bytes:
    begin = _UU_BEGIN.search(data)
    lines = data[begin.end() :].split(b"\n") if begin else data.split(b"\n")
    out = []
    for line in lines:
        line = line.rstrip(b"\r")
        if line == b"end":
            break
        try:
            out.append(binascii.a2b_uu(line))
        except binascii.Error:  # a line longer than its count says: encoders that pad
            count = (((line[0] - 32) & 63) * 4 + 5) // 3 if line else 0
            try:
                out.append(binascii.a2b_uu(line[:count]))
            except binascii.Error:
                continue
    return b"".join(out)


def part_bytes(data: Buffer, part: Part, limit: int = MAX_PART) -> bytes:
    """The decoded content of a leaf, from at most `limit` encoded bytes."""
    raw = bytes(data[part.body_start : min(part.body_end, part.body_start + limit)])
    return transfer_decode(raw, part.encoding)


def part_text(data: Buffer, part: Part, limit: int = MAX_PART) -> str:
    """A text part as text with LF line ends, HTML stripped."""
    text = charset.decode(part_bytes(data, part, limit), part.charset)
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return html_to_text(text) if part.subtype == b"html" else text


def is_text(part: Part) -> bool:
    return part.kind is mime.Kind.LEAF and part.type == b"text"


def is_attachment(part: Part) -> bool:
    """A leaf that people see as a file: so declared, or named and not text, or of no kind shown inline."""
    disposition = part.disposition
    if disposition is not None and disposition[0] == b"attachment":
        return True
    if part.type == b"text":
        return False
    if part.kind is not mime.Kind.LEAF or (part.type, part.subtype) in _SIGNATURES:
        return False
    if part.type == b"image" and (b"content-id" in part.fields or (disposition and disposition[0] == b"inline")):
        return False
    return part.type != b"message" or part.subtype not in _REPORTS


_SIGNATURES = {
    (b"application", b"pgp-signature"), (b"application", b"pkcs7-signature"), (b"application", b"x-pkcs7-signature"),
    (b"application", b"pgp-encrypted"),
}  # fmt: skip
_REPORTS = {b"delivery-status", b"disposition-notification", b"feedback-report", b"global-delivery-status"}


def texts(data: Buffer, structure: Structure, *, attachments: bool = False, limit: int = MAX_TOTAL) -> Iterator[str]:
    """The text of each text part in order, attached text files only if asked; `limit` encoded bytes in all."""
    for part in structure.parts:
        if limit <= 0:
            return
        if is_text(part) and (attachments or not is_attachment(part)):
            yield part_text(data, part, min(limit, MAX_PART))
            limit -= part.body_end - part.body_start


def body_text(data: Buffer, structure: Structure | None = None, *, limit: int = MAX_TOTAL) -> str:
    """All text parts of a message, attached text included: what SEARCH BODY looks at."""
    data = mime.searchable(data)
    return "\n".join(texts(data, structure or mime.scan(data), attachments=True, limit=limit))


def search_text(data: Buffer, structure: Structure | None = None, *, limit: int = MAX_TOTAL) -> str:
    """What SEARCH TEXT looks at: decoded headers of the message and of all parts, then the text."""
    data = mime.searchable(data)
    structure = structure or mime.scan(data)
    out = [name.decode("latin-1") + ": " + headers.decode(value) for _, name, value in structure.header_fields]
    for part in structure.parts[1:]:
        out.extend(name.decode("latin-1") + ": " + headers.decode(value) for name, value in part.fields.items())
    out.append(body_text(data, structure, limit=limit))
    return "\n".join(out)


# ---- HTML

# Each alternative with an end that may be missing runs to the end of the text then, so the whole is one linear pass.
_HIDDEN = re.compile(r"<!--.*?(?:-->|\Z)|<(script|style|title|template|noframes)\b.*?(?:</\1\s*>|\Z)", re.S | re.I)
_BREAK = re.compile(
    r"<(?:br|/?p|/?div|/?tr|/?li|/?h[1-6]|/?blockquote|/?table|/?ul|/?ol|hr|/?pre|/?section|/?article)\b[^>]*(?:>|\Z)",
    re.I,
)
_CELL = re.compile(r"</t[dh]\s*>", re.I)
_TAG = re.compile(r"<[a-zA-Z/!?][^>]*(?:>|\Z)")
_BLANKS = re.compile(r"[ \t\r\f\v\n\u00a0]+")
_LINE_BLANKS = re.compile(r" ?\x00[ \x00]*")


def html_to_text(source: str, limit: int = MAX_HTML) -> str:
    """The words of an HTML text, a line per block; for searching and previews, not for display as HTML."""
    source = source[:limit].replace("\0", " ")
    if "<" in source:
        source = _HIDDEN.sub(" ", source)
        source = _BLANKS.sub(" ", source)
        source = _BREAK.sub("\0", source)
        source = _TAG.sub("", _CELL.sub(" ", source))
    else:
        source = _BLANKS.sub(" ", source)
    source = _LINE_BLANKS.sub("\n", source)
    if "&" in source:
        source = html.unescape(source)
    return source.strip()
