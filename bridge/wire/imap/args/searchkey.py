"""The search key of SEARCH, SORT, THREAD and ESEARCH: a tree of values, and how it is read.

Promises: the tree is at most `Scanner.depth` deep and holds at most `KEYS` keys, so walking it may recurse.
Fails by: `BadCommand`; an unknown charset is NO [BADCHARSET].
RFC: 3501 and 9051 section 6.4.4; 5032 (WITHIN), 7162 (MODSEQ), 8474 (EMAILID), 8514 (SAVEDATE), 6203 (FUZZY).
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bridge.wire.imap.seqset import SequenceSet
from bridge.wire.imap.tokens import NUMBER63, BadCommand, Scanner

KEYS: Final = 1000  # keys of one search
CHARSETS: Final = {  # what a client may name, and the codec
    "US-ASCII": "ascii", "UTF-8": "utf-8", "UTF8": "utf-8", "ISO-8859-1": "latin-1", "LATIN1": "latin-1",
    "ISO-8859-2": "iso8859-2", "ISO-8859-7": "iso8859-7", "ISO-8859-15": "iso8859-15", "WINDOWS-1250": "cp1250",
    "WINDOWS-1251": "cp1251", "WINDOWS-1252": "cp1252", "KOI8-R": "koi8-r", "ISO-2022-JP": "iso2022_jp",
    "SHIFT_JIS": "shift_jis", "EUC-JP": "euc_jp", "GB2312": "gb2312", "GB18030": "gb18030", "BIG5": "big5",
    "EUC-KR": "euc_kr",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class All:
    """Every message."""


@dataclass(frozen=True, slots=True)
class And:
    """All of these."""

    keys: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """One of two."""

    left: Key
    right: Key


@dataclass(frozen=True, slots=True)
class Not:
    """None of it."""

    key: Key


@dataclass(frozen=True, slots=True)
class Fuzzy:
    """The key, taken loosely."""

    key: Key


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag or keyword is there, or isn't."""

    flag: str
    present: bool


@dataclass(frozen=True, slots=True)
class Header:
    """A header field (name in capitals) holds this text; an empty text: the field exists."""

    field: str
    value: str


@dataclass(frozen=True, slots=True)
class Text:
    """The body, or the whole message, holds this text."""

    value: str
    body_only: bool


@dataclass(frozen=True, slots=True)
class Day:
    """A date compared by day; `which` is INTERNAL, SENT or SAVED, `compare` is "<", "=" or ">="."""

    which: str
    compare: str
    day: datetime.date


@dataclass(frozen=True, slots=True)
class Size:
    """Larger or smaller than so many octets."""

    larger: bool
    octets: int


@dataclass(frozen=True, slots=True)
class Age:
    """The internal date is at least (OLDER) or at most (YOUNGER) so many seconds ago."""

    older: bool
    seconds: int


@dataclass(frozen=True, slots=True)
class Numbers:
    """Sequence numbers."""

    messages: SequenceSet


@dataclass(frozen=True, slots=True)
class Uids:
    """UIDs."""

    messages: SequenceSet


@dataclass(frozen=True, slots=True)
class ModSeq:
    """Changed at this modseq or later; the entry that RFC 7162 lets a client name changes nothing for us."""

    least: int


@dataclass(frozen=True, slots=True)
class EmailId:
    """The message with this EMAILID."""

    value: str


@dataclass(frozen=True, slots=True)
class ThreadId:
    """The messages with this THREADID."""

    value: str


@dataclass(frozen=True, slots=True)
class SaveDateSupported:
    """The mailbox knows when messages were saved."""


Key = (
    All | And | Or | Not | Fuzzy | Flag | Header | Text | Day | Size | Age | Numbers | Uids | ModSeq | EmailId
    | ThreadId | SaveDateSupported
)  # fmt: skip


_FIXED: dict[str, Key] = {
    "ALL": All(),
    "NEW": And((Flag("\\Recent", True), Flag("\\Seen", False))),
    "OLD": Flag("\\Recent", False),
    "RECENT": Flag("\\Recent", True),
    "SAVEDATESUPPORTED": SaveDateSupported(),
}
for _word in ("Answered", "Deleted", "Draft", "Flagged", "Seen"):
    _FIXED[_word.upper()] = Flag("\\" + _word, True)
    _FIXED["UN" + _word.upper()] = Flag("\\" + _word, False)


class _Strings:
    """Decodes the strings of one search by its charset."""

    __slots__ = ("_codec", "_scan")

    def __init__(self, scan: Scanner, charset: str) -> None:
        self._scan = scan
        codec = CHARSETS.get(charset) if charset else ""
        if codec is None:
            raise BadCommand("Unknown charset", "BADCHARSET (US-ASCII UTF-8 ISO-8859-1)", "NO")
        self._codec = codec

    def __call__(self) -> str:
        raw = self._scan.astring()
        if raw.isascii() and not self._codec.startswith("iso2022"):
            return raw.decode("ascii")
        if self._codec:
            try:
                return raw.decode(self._codec)
            except UnicodeDecodeError:
                raise BadCommand("String is not in the charset that was named") from None
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:  # clients older than the charset argument
            return raw.decode("latin-1")


_Leaf = Callable[[Scanner, _Strings], Key]


def _header(field: str) -> _Leaf:
    return lambda scan, string: Header(field, string())


def _day(which: str, compare: str) -> _Leaf:
    return lambda scan, string: Day(which, compare, scan.date())


def _any_header(scan: Scanner, string: _Strings) -> Key:
    name = scan.astring()
    if not name or not all(33 <= char < 127 and char != 58 for char in name):
        raise BadCommand("Bad header field name")
    scan.space()
    return Header(name.decode("ascii").upper(), string())


def _keyword(present: bool) -> _Leaf:
    return lambda scan, string: Flag(scan.flag(), present)


def _modseq(scan: Scanner, string: _Strings) -> Key:
    if scan.peek() == 34:
        scan.string()
        scan.space()
        if scan.keyword() not in ("PRIV", "SHARED", "ALL"):
            raise BadCommand("priv, shared or all expected")
        scan.space()
    return ModSeq(scan.number(0, NUMBER63))


def _object_id(scan: Scanner) -> str:
    raw = scan.astring()
    if len(raw) > 255 or not raw.isascii():
        raise BadCommand("Bad object id")
    return raw.decode("ascii")


_LEAVES: dict[str, _Leaf] = {
    "BCC": _header("BCC"),
    "CC": _header("CC"),
    "FROM": _header("FROM"),
    "SUBJECT": _header("SUBJECT"),
    "TO": _header("TO"),
    "HEADER": _any_header,
    "BODY": lambda scan, string: Text(string(), True),
    "TEXT": lambda scan, string: Text(string(), False),
    "KEYWORD": _keyword(True),
    "UNKEYWORD": _keyword(False),
    "BEFORE": _day("INTERNAL", "<"),
    "ON": _day("INTERNAL", "="),
    "SINCE": _day("INTERNAL", ">="),
    "SENTBEFORE": _day("SENT", "<"),
    "SENTON": _day("SENT", "="),
    "SENTSINCE": _day("SENT", ">="),
    "SAVEDBEFORE": _day("SAVED", "<"),
    "SAVEDON": _day("SAVED", "="),
    "SAVEDSINCE": _day("SAVED", ">="),
    "LARGER": lambda scan, string: Size(True, scan.number(0, NUMBER63)),
    "SMALLER": lambda scan, string: Size(False, scan.number(0, NUMBER63)),
    "OLDER": lambda scan, string: Age(True, scan.number(1)),
    "YOUNGER": lambda scan, string: Age(False, scan.number(1)),
    "UID": lambda scan, string: Uids(scan.sequence_set()),
    "MODSEQ": _modseq,
    "EMAILID": lambda scan, string: EmailId(_object_id(scan)),
    "THREADID": lambda scan, string: ThreadId(_object_id(scan)),
}


def search_key(scan: Scanner, charset: str) -> Key:
    """All keys up to the end of the command, as one."""
    string = _Strings(scan, charset)
    stack: list[tuple[str, list[Key]]] = [("", [])]
    for _ in range(KEYS):
        while True:  # everything that opens a level
            if scan.accept(b"("):
                stack.append(("(", []))
            elif scan.peek_keyword() in ("NOT", "OR", "FUZZY"):
                stack.append((scan.keyword(), []))
                scan.space()
            else:
                break
            if len(stack) > scan.depth:
                raise BadCommand("Search nested too deeply", "LIMIT", "NO")
        whole = _reduce(scan, stack, _leaf(scan, string))
        if whole is not None:
            return whole
        scan.space()
    raise BadCommand("Too many search keys", "LIMIT", "NO")


def _leaf(scan: Scanner, string: _Strings) -> Key:
    first = scan.peek()
    if 48 <= first <= 57 or first in (42, 36):  # digit * $
        return Numbers(scan.sequence_set())
    word = scan.keyword()
    fixed = _FIXED.get(word)
    if fixed is not None:
        return fixed
    leaf = _LEAVES.get(word)
    if leaf is None:
        raise BadCommand("Unknown search key")
    scan.space()
    return leaf(scan, string)


def _reduce(scan: Scanner, stack: list[tuple[str, list[Key]]], key: Key) -> Key | None:
    """Put a key where it belongs, closing the levels that it completes; the whole search once all are closed."""
    while True:
        kind, keys = stack[-1]
        keys.append(key)
        if kind == "NOT":
            key = Not(key)
        elif kind == "FUZZY":
            key = Fuzzy(key)
        elif kind == "OR" and len(keys) == 2:
            key = Or(keys[0], key)
        elif kind == "(" and scan.accept(b")"):
            key = keys[0] if len(keys) == 1 else And(tuple(keys))
        elif kind == "":
            rest_is_blank = scan.peek() == 32 and not scan.line[scan.pos :].strip(b" ") and scan.at_last_line
            if rest_is_blank or scan.at_end:
                return keys[0] if len(keys) == 1 else And(tuple(keys))
            return None
        else:
            return None
        stack.pop()
