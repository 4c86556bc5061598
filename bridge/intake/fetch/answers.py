"""FETCH answers of an IMAP server as rows, from the pieces in which imaplib collects them.

Promises: looks only for what the collector asks for (UID, size, text); linear and without recursion, whatever the
server nests (sec-F06); whether a UID was asked for is the caller's question. Fails by: BadAnswer. RFC 3501 7.4.2.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

Piece = bytes | tuple[bytes, bytes]

LONGEST = 65_536  # bytes of one answer without its literals
_QUOTED = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*"')
_UID = re.compile(rb"[( ]UID (\d{1,10})(?=[ )])", re.I)
_SIZE = re.compile(rb"[( ]RFC822\.SIZE (\d{1,19})(?=[ )])", re.I)
_TEXT = re.compile(
    rb'[( ]BODY\[(?:HEADER)?\](?:<\d{1,19}>)? (?:\{(\d{1,19})\}\Z|"([^"\\]*+(?:\\["\\][^"\\]*+)*)"|(NIL))',
    re.I,
)
_ESCAPED = re.compile(rb'\\(["\\])')


class BadAnswer(Exception):
    """The server's answer makes no sense."""


@dataclass(frozen=True, slots=True)
class Row:
    """One answer. `uid` is 0 where it names none; `declared` is the length that the server gave for `text`, of which
    less is there when it was too much to keep."""

    uid: int
    size: int | None
    text: bytes | None
    declared: int = 0


def rows(pieces: Iterable[Piece]) -> Iterator[Row]:
    """The answers in the order they came."""
    heads: list[tuple[bytes, bytes]] = []
    for piece in pieces:
        if isinstance(piece, tuple):
            heads.append(piece)
            continue
        yield _row(heads, piece)
        heads = []
    if heads:
        raise BadAnswer("an answer to FETCH has no end")


def _row(heads: list[tuple[bytes, bytes]], tail: bytes) -> Row:
    if len(tail) + sum(len(head) for head, _ in heads) > LONGEST:
        raise BadAnswer("an answer to FETCH is far too long")
    text: bytes | None = None
    declared = 0
    for head, literal in heads:
        found = _TEXT.search(head)
        if found and found[1]:
            text, declared = literal, int(found[1])
    plain = b"".join(head for head, _ in heads) + tail
    if text is None and (found := _TEXT.search(plain)) and not found[1]:
        text = None if found[3] else _ESCAPED.sub(rb"\1", found[2])
        declared = len(text or b"")
    if b'"' in plain:
        plain = _QUOTED.sub(b'""', plain)
    uids = {int(one) for one in _UID.findall(plain)}
    if len(uids) > 1:
        raise BadAnswer("an answer to FETCH has two UIDs")
    size = _SIZE.search(plain)
    return Row(uids.pop() if uids else 0, int(size[1]) if size else None, text, declared)
