"""Header blocks as bytes: find, iterate, decode, edit, and make fields that can't be broken out of.

Promise: any bytes can be read (no colon, LF or CRLF, bare CR, NUL); reading stops at `MAX_BLOCK` bytes and `MAX_FIELDS`
fields (sec-M03), editing does not, so that a field can't hide behind a limit.  What an edit does not name is kept byte
for byte.  Decoded text never holds a control character, and neither CR, LF nor NUL of a caller's text reaches a field
made here (sec-M06, sec-L10).  Fails only with ValueError for a field name of our own that isn't one.
RFC 5322 2.2, RFC 2047, RFC 6532.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING

from bridge.wire import charset

if TYPE_CHECKING:
    import mmap

    Buffer = bytes | bytearray | memoryview | mmap.mmap

MAX_BLOCK = 256 * 1024
MAX_FIELDS = 1000
MAX_LINE = 76
_USUAL = 8192

# Groups: whole field without its last line end, name, raw value.  Possessive throughout: no backtracking.
_FIELD = re.compile(rb"^(([!-9;-~\x80-\xff]++)[ \t]*+:(.*+(?:\n[ \t].*+)*))", re.M)
_BLANK = re.compile(rb"\n\r?\n")
_FOLD = re.compile(rb"\r?\n(?=[ \t])")
_BREAKS = re.compile(rb"[\r\n\x00]+")
_NAME = re.compile(r"[!-9;-~]{1,200}")
_WORD = re.compile(rb"=\?([^?\s]{1,60})\?([bBqQ])\?([^?]*)\?=")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


@dataclass(frozen=True, slots=True)
class Field:
    """One field: `data[start:end]` is all of it with its line end; `value` is raw: folded, without that line end."""

    name: bytes
    value: bytes
    start: int
    end: int


# ---- reading


def body_start(data: Buffer, start: int = 0, end: int | None = None) -> int:
    """Offset after the blank line that ends the header block at `start`; `end` where there is no blank line."""
    stop = len(data) if end is None else end
    if start < stop:
        first = data[start : start + 2]
        if first[:1] == b"\n":
            return start + 1
        if first == b"\r\n":
            return min(start + 2, stop)
    if isinstance(data, bytes):  # the usual case first: LF on disk and a header of a few kilobytes
        at = data.find(b"\n\n", start, min(stop, start + _USUAL))
        if at >= 0 and data.find(b"\n\r\n", start, at + 1) < 0:
            return at + 2
    found = _BLANK.search(data, start, stop)
    return found.end() if found else stop


def block(data: Buffer, start: int = 0, end: int | None = None) -> bytes:
    """The header block at `start` with its blank line, as bytes."""
    return bytes(data[start : body_start(data, start, end)])


def fields(data: Buffer, start: int = 0, end: int | None = None) -> Iterator[Field]:
    """Fields of the header block at `start`, in order, bounded; lines that are no field are passed over."""
    stop = body_start(data, start, end)
    for found in islice(_FIELD.finditer(data, start, min(stop, start + MAX_BLOCK)), MAX_FIELDS):
        after = found.end()
        if after < stop and data[after] == 10:
            after += 1
        yield Field(found[2], found[3].removesuffix(b"\r"), found.start(), after)


def triples(header: bytes) -> list[tuple[bytes, bytes, bytes]]:
    """(whole field, name, raw value) of a block, bounded: the quick form of `fields`; a final CR is still there."""
    found = _FIELD.findall(header, 0, MAX_BLOCK)
    return found[:MAX_FIELDS] if len(found) > MAX_FIELDS else found


def first(header: bytes, name: bytes) -> bytes | None:
    """Raw value of the first field of that name, or None."""
    found = _named((name.lower(),)).search(header, 0, MAX_BLOCK)
    return found[1].removesuffix(b"\r") if found else None


def every(header: bytes, name: bytes) -> list[bytes]:
    """Raw values of all fields of that name, in order."""
    found = _named((name.lower(),)).finditer(header, 0, MAX_BLOCK)
    return [one[1].removesuffix(b"\r") for one in islice(found, MAX_FIELDS)]


def select(header: bytes, names: Iterable[bytes], *, exclude: bool = False) -> bytes:
    """The fields of these names (or all but these), each with its line ends as they are: IMAP HEADER.FIELDS[.NOT].

    The blank line at the end is for the caller to add.
    """
    wanted = {name.lower() for name in names}
    parts = []
    for found in _FIELD.finditer(header):
        if (found[2].lower() in wanted) != exclude:
            parts.append(found[1])
            parts.append(b"\n")
    return b"".join(parts)


def unfold(value: bytes) -> bytes:
    """A raw value on one line: folds undone, stray CR, LF and NUL made spaces, blanks at both ends removed."""
    if _BREAKS.search(value):
        value = _BREAKS.sub(b" ", _FOLD.sub(b"", value))
    return value.strip()


def decode(value: bytes, hint: str | bytes | None = None) -> str:
    """A raw value as text: unfolded, RFC 2047 words decoded, raw 8-bit as UTF-8, else `hint`, else Latin-1."""
    value = unfold(value)
    return clean(_decode_words(value, hint) if b"=?" in value else _plain(value, hint))


def decode_raw(value: bytes) -> str:
    """A piece without encoded words (local part, domain, id) as text without control characters."""
    return clean(_plain(value, None))


def clean(text: str) -> str:
    """Text with control characters, line separators and lone surrogates made spaces."""
    return text if text.isprintable() else _CONTROL.sub(" ", text)


def _plain(value: bytes, hint: str | bytes | None) -> str:
    if value.isascii():
        return value.decode("ascii")
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return charset.decode(value, hint)


def _decode_words(value: bytes, hint: str | bytes | None) -> str:
    """Neighbouring words of one charset are joined before they are decoded: senders cut characters in two."""
    out: list[str] = []
    pending, pending_charset = b"", b""
    at = 0
    for found in _WORD.finditer(value):
        gap = value[at : found.start()]
        at = found.end()
        name = found[1].lower()
        raw = _word_bytes(found[2], found[3])
        if pending_charset == name and (not gap or gap.isspace()):
            pending += raw
            continue
        if pending_charset:
            out.append(charset.decode(pending, pending_charset))
            if gap and gap.isspace():
                gap = b""
        out.append(_plain(gap, hint))
        pending, pending_charset = raw, name
    if pending_charset:
        out.append(charset.decode(pending, pending_charset))
    out.append(_plain(value[at:], hint))
    return "".join(out)


def _word_bytes(encoding: bytes, text: bytes) -> bytes:
    if encoding in b"qQ":
        return binascii.a2b_qp(text, header=True)
    return lenient_base64(text)


_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]+")


def lenient_base64(text: bytes) -> bytes:
    """Bytes of base64 with whatever is not base64 left out and the padding made good; never raises (sec-M12)."""
    try:
        return binascii.a2b_base64(text)
    except binascii.Error:
        clean = _NOT_BASE64.sub(b"", text)
        extra = len(clean) % 4
        if extra == 1:
            clean, extra = clean[:-1], 0
        return binascii.a2b_base64(clean + b"=" * (-extra % 4))


# ---- editing


def line_end(header: bytes) -> bytes:
    """The line end that this block uses: that of its first line, LF where it has none."""
    at = header.find(b"\n")
    return b"\r\n" if at > 0 and header[at - 1] == 13 else b"\n"


def prepend(header: bytes, name: str, text: str) -> bytes:
    """The block with one generated field on top."""
    return field(name, text, line_end(header)) + header


def remove(header: bytes, *names: bytes) -> bytes:
    """The block without all fields of these names, wherever they are; all else byte for byte."""
    if not names:
        return header
    return _removable(tuple(name.lower() for name in names)).sub(b"", header)


def replace(header: bytes, name: str, text: str) -> bytes:
    """The block with the first field of that name replaced (or added on top), the others of that name removed."""
    generated = field(name, text, line_end(header))
    found = _removable((name.encode("ascii").lower(),)).search(header)
    if not found:
        return generated + header
    return header[: found.start()] + generated + remove(header[found.end() :], name.encode("ascii"))


@lru_cache(maxsize=256)
def _named(names: tuple[bytes, ...]) -> re.Pattern[bytes]:
    return re.compile(rb"^(?:" + b"|".join(map(re.escape, names)) + rb")[ \t]*+:(.*+(?:\n[ \t].*+)*)", re.M | re.I)


@lru_cache(maxsize=256)
def _removable(names: tuple[bytes, ...]) -> re.Pattern[bytes]:
    return re.compile(_named(names).pattern + rb"\n?", re.M | re.I)


# ---- making


def field(name: str, text: str, eol: bytes = b"\n") -> bytes:
    """A whole unstructured field for a mail of ours, folded, encoded, with its line end."""
    return _checked(name) + b": " + safe_value(text, len(name) + 2, eol) + eol


def token_field(name: str, tokens: Iterable[bytes], eol: bytes = b"\n") -> bytes:
    """A whole structured field (addresses, ids) folded only between tokens; CR, LF and NUL in them become blanks."""
    line = _checked(name) + b":"
    lines: list[bytes] = []
    for token in tokens:
        token = _BREAKS.sub(b" ", token).strip()
        if not token:
            continue
        if len(line) + 1 + len(token) > MAX_LINE and line.strip() and not line.endswith(b":"):
            lines.append(line)
            line = b""
        line += b" " + token
    lines.append(line)
    return eol.join(lines) + eol


def safe_value(text: str, indent: int = 0, eol: bytes = b"\n") -> bytes:
    """Text as the value of a header that we generate.

    Runs of blanks, control characters, line separators and lone surrogates become one blank; what is not plain ASCII,
    looks like an encoded word or has no place to fold is sent as RFC 2047 words.  The only line ends in the answer are
    our folds, each `eol` followed by a space.  `indent` is the length of what stands before the value on its line.
    """
    text = " ".join([word for word in _CONTROL.sub(" ", text).strip().split(" ") if word])
    if text.isascii() and "=?" not in text:
        words = text.split(" ")
        if max(map(len, words)) < MAX_LINE - 1:
            return _fold_words([word.encode("ascii") for word in words], indent, eol)
    return _fold_words(encoded_words(text, indent), indent, eol)


def encoded_words(text: str, indent: int = 0) -> list[bytes]:
    """RFC 2047 words (UTF-8) of at most 75 bytes each, never cutting a character; join them with a blank or a fold.

    The first one leaves room for `indent` bytes before it on its line.
    """
    raw = text.encode("utf-8", "replace")
    quoted = sum(map(len, map(_Q.__getitem__, raw)))
    quotable = quoted <= len(raw) * 4 // 3 + 4
    full = 63 if quotable else 45  # 75 less "=?utf-8?q?" and "?="; base64 of 45 bytes is 60
    room = max(full - indent if quotable else (61 - indent) // 4 * 3, 12) if indent else full
    words: list[bytes] = []
    chunk: list[bytes] = []
    used = 0
    for char in text:
        piece = char.encode("utf-8", "replace")
        if quotable:
            piece = b"".join(map(_Q.__getitem__, piece))
        if used + len(piece) > room:
            words.append(_word(b"".join(chunk), quotable))
            chunk, used, room = [], 0, full
        chunk.append(piece)
        used += len(piece)
    words.append(_word(b"".join(chunk), quotable))
    return words


_Q_PLAIN = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/"
_Q = [b"_" if c == 32 else bytes((c,)) if c in _Q_PLAIN else b"=%02X" % c for c in range(256)]


def _word(chunk: bytes, quotable: bool) -> bytes:
    if quotable:
        return b"=?utf-8?q?" + chunk + b"?="
    return b"=?utf-8?b?" + base64.b64encode(chunk) + b"?="


def _fold_words(words: list[bytes], indent: int, eol: bytes) -> bytes:
    """Join with blanks, folding before a word that would pass column 76; runs of blanks stay inside a line."""
    out: list[bytes] = []
    column = indent
    for number, word in enumerate(words):
        if number:
            if word and column + 1 + len(word) > MAX_LINE and column > 1:
                out.append(eol)
                column = 0
            out.append(b" ")
            column += 1
        out.append(word)
        column += len(word)
    return b"".join(out)


def _checked(name: str) -> bytes:
    if not _NAME.fullmatch(name):
        raise ValueError(f"not a header field name: {name!r}")
    return name.encode("ascii")
