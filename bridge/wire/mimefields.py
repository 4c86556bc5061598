"""Structured header fields of MIME: type, encoding, disposition, and their parameters.

Promise: any bytes give an answer, in time linear to what is looked at: `MAX_STRUCTURED` bytes and `MAX_PARAMS`
parameters of one field (sec-M04).  RFC 2045 (fields, comments), 2231 (parameters in sections and charsets), 2047 where
senders use it for parameters.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import islice
from urllib.parse import unquote_to_bytes

from bridge.wire import charset, headers

MAX_PARAMS = 100
MAX_STRUCTURED = 100 * 1024  # bytes of one structured field that are looked at

Params = tuple[tuple[bytes, bytes], ...]

_TOKEN = rb"[!#$%&'*+.^_`{|}~0-9A-Za-z-]{1,127}"
_TYPE = re.compile(rb"\s*+(" + _TOKEN + rb")\s*+/\s*+(" + _TOKEN + rb")(?=[;\s(]|\Z)")
_DISPOSITION = re.compile(rb"\s*+(" + _TOKEN + rb")(?=[;\s(]|\Z)")
_ENCODING = re.compile(_TOKEN)
_PARAM = re.compile(
    rb";\s*+([^\s;=\"()<>@,:\\/\[\]?]{1,127})\s*+=\s*+(?:\"([^\"\\]*+(?:\\.[^\"\\]*+)*)\"?|([^;]*+))",
    re.S,
)
_ESCAPED = re.compile(rb"\\(.)", re.S)
_SECTION = re.compile(rb"([^*]+)\*(?:(\d{1,3})(\*)?)?")
_COMMENT = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*"?|\([^()\\]*+(?:\\.[^()\\]*+)*\)', re.S)


def parse_type(value: bytes | None) -> tuple[bytes, bytes, Params] | None:
    """Content-Type as (type, subtype, params) in lower case, or None where it is missing or broken (RFC 2045 5.2)."""
    if value is None:
        return None
    return _parse_short_type(value) if len(value) <= _SHORT else _parse_type(value)


def _parse_type(value: bytes) -> tuple[bytes, bytes, Params] | None:
    value = _uncommented(value)
    found = _TYPE.match(value)
    if not found:
        return None
    params = parse_params(value, found.end()) if found.end() < len(value) else ()
    return found[1].lower(), found[2].lower(), params


# `text/plain; charset=utf-8` and its like come again in every message; long values hold a boundary or a name
_SHORT = 64
_parse_short_type = lru_cache(maxsize=512)(_parse_type)


def parse_encoding(value: bytes | None) -> bytes:
    """Content-Transfer-Encoding in lower case, 7bit where it is missing or broken."""
    if value is None:
        return b"7bit"
    known = _ENCODINGS.get(value.strip().lower())
    if known is not None:
        return known
    found = _ENCODING.search(_uncommented(value))
    return found[0].lower() if found else b"7bit"


_ENCODINGS = {name: name for name in (b"7bit", b"8bit", b"binary", b"base64", b"quoted-printable")}


def parse_disposition(value: bytes) -> tuple[bytes, Params] | None:
    """Content-Disposition as (lower-case word, parameters), or None where it is broken (RFC 2183)."""
    value = _uncommented(value)
    found = _DISPOSITION.match(value)
    if not found:
        return None
    return found[1].lower(), parse_params(value, found.end())


def _uncommented(value: bytes) -> bytes:
    value = value[:MAX_STRUCTURED]
    value = headers.unfold(value)
    if b"(" in value:
        value = _COMMENT.sub(lambda found: b" " if found[0][:1] == b"(" else found[0], value)
    return value


def parse_params(value: bytes, start: int = 0) -> Params:
    """Parameters by lower-case name, the first of a name wins, RFC 2231 sections joined.

    A value with charset and percent signs keeps them under `name*`; continuations with a hole are dropped from the
    hole on, a name that has no section 0 is dropped altogether (sec-M04).
    """
    plain: dict[bytes, bytes] = {}
    sections: dict[bytes, dict[int, tuple[bytes, bool]]] = {}
    for found in islice(_PARAM.finditer(value, start), MAX_PARAMS):
        name, quoted, token = found.groups()
        name = name.lower()
        if quoted is None:
            text = token.strip()
        else:
            text = _ESCAPED.sub(rb"\1", quoted) if b"\\" in quoted else quoted
        piece = _SECTION.fullmatch(name) if b"*" in name else None
        if piece is None or piece[2] is None:
            plain.setdefault(name, text)
        else:
            sections.setdefault(piece[1], {}).setdefault(int(piece[2]), (text, piece[3] is not None))
    for name, parts in sections.items():
        _join_sections(plain, name, parts)
    return tuple(plain.items())


def _join_sections(plain: dict[bytes, bytes], name: bytes, parts: dict[int, tuple[bytes, bool]]) -> None:
    if 0 not in parts:
        return
    pieces: list[tuple[bytes, bool]] = []
    while (number := len(pieces)) in parts:
        pieces.append(parts[number])
    if any(extended for _, extended in pieces):
        joined = b"".join(text if extended else _percent(text) for text, extended in pieces)
        if not pieces[0][1]:
            joined = b"''" + joined
        plain.setdefault(name + b"*", joined)
    else:
        plain.setdefault(name, b"".join(text for text, _ in pieces))


def _percent(text: bytes) -> bytes:
    return text.replace(b"%", b"%25").replace(b"'", b"%27")


def param(params: Params, name: bytes) -> bytes | None:
    """The value of a parameter; `name` in lower case."""
    for key, value in params:
        if key == name:
            return value
    return None


def text_param(params: Params, name: bytes) -> str | None:
    """A parameter as text: RFC 2231 form first, else the plain one with RFC 2047 words as many senders write them."""
    extended = param(params, name + b"*")
    if extended is not None:
        label, quote, rest = extended.partition(b"'")
        _, second, text = rest.partition(b"'")
        if quote and second:
            return headers.clean(charset.decode(unquote_to_bytes(text), label))
        return headers.clean(charset.guess(unquote_to_bytes(extended)))
    plain = param(params, name)
    return headers.decode(plain) if plain is not None else None
