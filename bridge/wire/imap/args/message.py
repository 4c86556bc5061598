"""Arguments of the commands about messages of the selected mailbox: FETCH, STORE, COPY, MOVE, UID EXPUNGE.

Promises: an `Item` carries the label that its answer begins with, so answering needs no formatting.
Fails by: `BadCommand`.
RFC: 3501 and 9051 section 6.4; 7162 (CHANGEDSINCE, UNCHANGEDSINCE, VANISHED), 3516 (BINARY), 8970 (PREVIEW), 8514
(SAVEDATE), 8474 (EMAILID, THREADID), 9394 (PARTIAL), 6851 (MOVE), 4315 (UIDPLUS).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from bridge.wire.imap.seqset import SequenceSet
from bridge.wire.imap.tokens import NUMBER63, BadCommand, Scanner

ITEMS: Final = 100  # items of one FETCH
HEADER_FIELDS: Final = 200  # names in one HEADER.FIELDS
PART_DEPTH: Final = 50  # numbers in one part specifier

_NAME = re.compile(rb"[A-Za-z0-9.]+")
_PART = re.compile(rb"[1-9][0-9]{0,8}(?:\.[1-9][0-9]{0,8})*")
_PARTIAL = re.compile(rb"<([0-9]{1,19})\.([1-9][0-9]{0,18})>")
_KIND = re.compile(rb"(HEADER\.FIELDS\.NOT|HEADER\.FIELDS|HEADER|TEXT|MIME)(?=[\] ])", re.IGNORECASE)
_FIELD_ATOM = re.compile(rb"[^\x00-\x20(){%*\"\\\]\x7f-\xff:]+")
_ITEM_LIST = re.compile(rb"\([A-Za-z0-9.\[\]() <>_-]{1,400}\)")  # nothing quoted: the same for every client
_SIMPLE = frozenset(
    ("FLAGS", "UID", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE", "BODYSTRUCTURE", "MODSEQ", "EMAILID", "THREADID",
     "SAVEDATE")
)  # fmt: skip
_SECTIONED = {
    "BODY": ("BODY", False), "BODY.PEEK": ("BODY", True), "BINARY": ("BINARY", False), "BINARY.PEEK": ("BINARY", True),
    "BINARY.SIZE": ("BINARY.SIZE", True),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Section:
    """Which piece of a message: a part, and HEADER, HEADER.FIELDS, HEADER.FIELDS.NOT, TEXT, MIME or all ("")."""

    part: tuple[int, ...] = ()
    kind: str = ""
    fields: tuple[str, ...] = ()  # in capitals, for comparison


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to fetch; `label` goes before its value in the answer."""

    name: str
    label: bytes
    section: Section | None = None
    partial: tuple[int, int] | None = None  # (offset, length)
    peek: bool = True
    lazy: bool = False


@dataclass(frozen=True, slots=True)
class Fetch:
    """FETCH and UID FETCH."""

    uid: bool
    messages: SequenceSet
    items: tuple[Item, ...]
    changed_since: int | None = None
    vanished: bool = False
    partial: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Store:
    """STORE and UID STORE; `mode` is "", "+" or "-"."""

    uid: bool
    messages: SequenceSet
    mode: str
    silent: bool
    flags: tuple[str, ...]
    unchanged_since: int | None = None


@dataclass(frozen=True, slots=True)
class Copy:
    """COPY and UID COPY."""

    uid: bool
    messages: SequenceSet
    mailbox: str


@dataclass(frozen=True, slots=True)
class Move:
    """MOVE and UID MOVE."""

    uid: bool
    messages: SequenceSet
    mailbox: str


@dataclass(frozen=True, slots=True)
class UidExpunge:
    """UID EXPUNGE."""

    messages: SequenceSet


def _simple(name: str) -> Item:
    return Item(name, name.encode("ascii"))


_ITEMS = {name: _simple(name) for name in _SIMPLE}
_ITEMS |= {
    "BODY": _simple("BODY"),
    "RFC822": Item("BODY[]", b"RFC822", Section(), None, False),
    "RFC822.HEADER": Item("BODY[]", b"RFC822.HEADER", Section((), "HEADER"), None, True),
    "RFC822.TEXT": Item("BODY[]", b"RFC822.TEXT", Section((), "TEXT"), None, False),
}
_FAST = tuple(_ITEMS[name] for name in ("FLAGS", "INTERNALDATE", "RFC822.SIZE"))
MACROS: Final = {
    "FAST": _FAST,
    "ALL": (*_FAST, _ITEMS["ENVELOPE"]),
    "FULL": (*_FAST, _ITEMS["ENVELOPE"], _ITEMS["BODY"]),
}


def fetch(scan: Scanner) -> Fetch:
    """FETCH."""
    return _fetch(scan, False)


def uid_fetch(scan: Scanner) -> Fetch:
    """UID FETCH."""
    return _fetch(scan, True)


def _fetch(scan: Scanner, uid: bool) -> Fetch:
    scan.space()
    messages = scan.sequence_set()
    scan.space()
    items = fetch_items(scan)
    if not scan.accept(b" "):
        return Fetch(uid, messages, items)
    changed, vanished, partial = None, False, None
    scan.expect(b"(")
    count = 1
    while True:
        word = scan.keyword()
        if word == "CHANGEDSINCE" and changed is None:
            scan.space()
            changed = scan.number(0, NUMBER63)  # RFC 7162 has no 0, clients do
        elif word == "VANISHED" and uid:
            vanished = True
        elif word == "PARTIAL" and uid and partial is None:
            scan.space()
            partial = scan.partial()
        else:
            raise BadCommand("Unknown modifier of FETCH")
        if not scan.more(count, 8):
            break
        count += 1
    if vanished and changed is None:
        raise BadCommand("VANISHED needs CHANGEDSINCE")
    return Fetch(uid, messages, items, changed, vanished, partial)


def fetch_items(scan: Scanner) -> tuple[Item, ...]:
    """A macro, one item, or a list of items without doubles."""
    if scan.peek() != 40:
        name = scan.peek_keyword()
        if name in MACROS:
            scan.keyword()
            return MACROS[name]
        return (_item(scan),)
    if scan.line.endswith(b")") and scan.at_last_line and _ITEM_LIST.fullmatch(scan.line, scan.pos):
        items = _known_list(scan.line[scan.pos :])
        if items is not None:
            scan.pos = len(scan.line)
            return items
    return _item_list(scan)


@lru_cache(maxsize=512)
def _known_list(raw: bytes) -> tuple[Item, ...] | None:
    """Clients ask for the same few lists again and again; None where more than a list of items is there."""
    scan = Scanner((raw,))
    items = _item_list(scan)
    return items if scan.at_end else None


def _item_list(scan: Scanner) -> tuple[Item, ...]:
    scan.expect(b"(")
    items = [_item(scan)]
    while scan.more(len(items), ITEMS):
        items.append(_item(scan))
    return tuple(dict.fromkeys(items))


def _item(scan: Scanner) -> Item:
    match = _NAME.match(scan.line, scan.pos)
    if match is None:
        raise BadCommand("FETCH item expected")
    scan.pos = match.end()
    name = match[0].decode("ascii").upper()
    if scan.peek() == 91 and name in _SECTIONED:
        return _sectioned(scan, *_SECTIONED[name])
    if name == "PREVIEW":
        return _preview(scan)
    item = _ITEMS.get(name)
    if item is None:
        raise BadCommand("Unknown FETCH item")
    return item


def _preview(scan: Scanner) -> Item:
    lazy = scan.accept(b" (")
    if lazy:
        if scan.keyword() != "LAZY":
            raise BadCommand("Unknown modifier of PREVIEW")
        scan.expect(b")")
    return Item("PREVIEW", b"PREVIEW", lazy=lazy)


def _sectioned(scan: Scanner, name: str, peek: bool) -> Item:
    scan.expect(b"[")
    part = _part(scan)
    kind, label = "", b""
    fields: tuple[str, ...] = ()
    if scan.peek() != 93:
        if part:
            scan.expect(b".")
        if name != "BODY":
            raise BadCommand("Bad section of BINARY")
        kind = _kind(scan, bool(part))
        if kind.startswith("HEADER.FIELDS"):
            scan.space()
            fields, label = _fields(scan)
    scan.expect(b"]")
    numbers = b".".join([b"%d" % number for number in part])
    dot = b"." if part and kind else b""
    label = b"%b[%b%b%b%b]" % (name.encode("ascii"), numbers, dot, kind.encode("ascii"), label)
    partial = None
    if name != "BINARY.SIZE" and scan.peek() == 60:
        partial = _partial(scan)
        label += b"<%d>" % partial[0]
    return Item(name + "[]", label, Section(part, kind, tuple(field.upper() for field in fields)), partial, peek)


def _part(scan: Scanner) -> tuple[int, ...]:
    match = _PART.match(scan.line, scan.pos)
    if match is None:
        return ()
    scan.pos = match.end()
    numbers = match[0].split(b".")
    if len(numbers) > PART_DEPTH:
        raise BadCommand("Part specifier too deep")
    return tuple([int(number) for number in numbers])


def _kind(scan: Scanner, inside: bool) -> str:
    match = _KIND.match(scan.line, scan.pos)
    if match is None:
        raise BadCommand("Unknown section")
    kind = match[0].decode("ascii").upper()
    if kind == "MIME" and not inside:
        raise BadCommand("MIME needs a part number")
    scan.pos = match.end()
    return kind


def _fields(scan: Scanner) -> tuple[tuple[str, ...], bytes]:
    scan.expect(b"(")
    names = [_field(scan)]
    while scan.more(len(names), HEADER_FIELDS):
        names.append(_field(scan))
    label = b" ".join([name if _FIELD_ATOM.fullmatch(name) else b'"%b"' % name for name in names])
    return tuple(name.decode("ascii") for name in names), b" (" + label + b")"


def _field(scan: Scanner) -> bytes:
    name = scan.astring()
    if not name or not all(33 <= char < 127 and char not in b':"\\' for char in name):
        raise BadCommand("Bad header field name")
    return name


def _partial(scan: Scanner) -> tuple[int, int]:
    match = _PARTIAL.match(scan.line, scan.pos)
    if match is None:
        raise BadCommand("Bad partial range")
    offset, length = int(match[1]), int(match[2])
    if max(offset, length) > NUMBER63:
        raise BadCommand("Number out of range")
    scan.pos = match.end()
    return offset, length


def store(scan: Scanner) -> Store:
    """STORE."""
    return _store(scan, False)


def uid_store(scan: Scanner) -> Store:
    """UID STORE."""
    return _store(scan, True)


def _store(scan: Scanner, uid: bool) -> Store:
    scan.space()
    messages = scan.sequence_set()
    scan.space()
    unchanged = None
    if scan.accept(b"("):
        if scan.keyword() != "UNCHANGEDSINCE":
            raise BadCommand("Unknown modifier of STORE")
        scan.space()
        unchanged = scan.number(0, NUMBER63)
        scan.expect(b")")
        scan.space()
    mode = "+" if scan.accept(b"+") else "-" if scan.accept(b"-") else ""
    word = scan.keyword()
    if word not in ("FLAGS", "FLAGS.SILENT"):
        raise BadCommand("FLAGS expected")
    scan.space()
    flags = scan.flags() if scan.peek() == 40 else scan.bare_flags()
    return Store(uid, messages, mode, word != "FLAGS", flags, unchanged)


def copy(scan: Scanner) -> Copy:
    """COPY."""
    return Copy(False, *_transfer(scan))


def uid_copy(scan: Scanner) -> Copy:
    """UID COPY."""
    return Copy(True, *_transfer(scan))


def move(scan: Scanner) -> Move:
    """MOVE."""
    return Move(False, *_transfer(scan))


def uid_move(scan: Scanner) -> Move:
    """UID MOVE."""
    return Move(True, *_transfer(scan))


def _transfer(scan: Scanner) -> tuple[SequenceSet, str]:
    scan.space()
    messages = scan.sequence_set()
    scan.space()
    return messages, scan.mailbox()


def uid_expunge(scan: Scanner) -> UidExpunge:
    """UID EXPUNGE."""
    scan.space()
    return UidExpunge(scan.sequence_set())
