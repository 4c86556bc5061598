"""The scanner of IMAP commands: from lines and literals to tokens, on demand.

Promises: each method reads one thing of the grammar at the current place and moves behind it, in time linear to its
length; nothing is read twice and nothing recurses. A method that raises leaves the place where it was or later.
Fails by: `BadCommand`, the one exception for the peer's fault (BAD; NO where the syntax is fine, the value isn't).
Not here: the shape of commands (`args`).
RFC: 3501 and 9051 section 9 (formal syntax), 6855 (UTF8=ACCEPT).

Quoted strings may hold 8-bit characters in every mode, as old clients send them; what they mean is decided where
the string is used.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta, timezone
from typing import Final

from bridge.wire.dates import MONTH
from bridge.wire.imap import seqset, utf7
from bridge.wire.imap.fragment import Frame, Literal
from bridge.wire.imap.seqset import SequenceSet

MAILBOX_LENGTH: Final = 1000  # bytes of a mailbox name on the wire
KEYWORD_LENGTH: Final = 50  # characters of a keyword
FLAGS: Final = 100  # flags of one command
LIST_LENGTH: Final = 1000  # elements of any other list
NUMBER32: Final = (1 << 32) - 1
NUMBER63: Final = (1 << 63) - 1

_ATOM = re.compile(rb"[^\x00-\x20(){%*\"\\\]\x7f-\xff]+")
_ASTRING = re.compile(rb"[^\x00-\x20(){%*\"\\\x7f-\xff]+")
TAG: Final = re.compile(rb"[^\x00-\x20(){%*\"\\+\x7f-\xff]+")
_PATTERN = re.compile(rb"[^\x00-\x20(){\"\\\x7f-\xff]+")
_QUOTED = re.compile(rb'"([^"\\\r\n\x00]*(?:\\["\\][^"\\\r\n\x00]*)*)"')
_ESCAPED = re.compile(rb"\\(.)")
_NUMBER = re.compile(rb"[0-9]{1,20}")
_SET = re.compile(rb"[0-9*:,]+|\$")
_FLAG = re.compile(rb"\\?[^\x00-\x20(){%*\"\\\]\x7f-\xff]+")
_FLAG_LIST = re.compile(rb"\(([^()\x00-\x1f\"]*)\)")
_DATE = re.compile(rb"([0-9]{1,2})-([A-Za-z]{3})-([0-9]{4})")
_DATE_TIME = re.compile(
    rb'"([ 0-9]?[0-9])-([A-Za-z]{3})-([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) ([+-])([0-9]{2})([0-9]{2})"'
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")

SYSTEM_FLAGS: Final = {
    flag.lower(): flag for flag in ("\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft", "\\Recent")
}


class BadCommand(Exception):
    """The peer's command can't be carried out; `text` is for the peer."""

    def __init__(self, text: str, code: str = "", status: str = "BAD") -> None:
        super().__init__(text)
        self.text = text
        self.code = code
        self.status = status


class Awaiting(Exception):
    """The scanner met a literal that is announced but not here yet; only where a command is read before its end."""


class Scanner:
    """A place in one command."""

    __slots__ = ("_frame", "_index", "depth", "line", "pos", "utf8")

    def __init__(self, frame: Frame, utf8: bool = False, depth: int = 32) -> None:
        first = frame[0]
        assert isinstance(first, bytes)
        self._frame = frame
        self._index = 0
        self.line = first
        self.pos = 0
        self.utf8 = utf8
        self.depth = depth

    # -- places ------------------------------------------------------------------------------------------------

    def mark(self) -> tuple[int, int]:
        """This place, for `go_back`."""
        return self._index, self.pos

    def go_back(self, mark: tuple[int, int], frame: Frame) -> None:
        """Continue from a place seen before, where the command may have grown."""
        self._frame = frame
        self._index, self.pos = mark
        line = frame[self._index]
        assert isinstance(line, bytes)
        self.line = line

    def peek(self) -> int:
        """The next byte of the line; -1 at its end."""
        return self.line[self.pos] if self.pos < len(self.line) else -1

    @property
    def at_literal(self) -> bool:
        """True where a literal comes next."""
        return self.pos == len(self.line) and self._index + 1 < len(self._frame)

    @property
    def at_last_line(self) -> bool:
        """True where no literal follows any more."""
        return self._index + 1 == len(self._frame)

    @property
    def at_end(self) -> bool:
        """True where the command has nothing more."""
        return self.pos == len(self.line) and self._index + 1 == len(self._frame)

    def end(self) -> None:
        """Nothing but spaces may follow."""
        if self.line.count(b" ", self.pos) == len(self.line) - self.pos:
            self.pos = len(self.line)
        if not self.at_end:
            raise BadCommand("Unexpected text after the command's arguments")

    # -- single characters -------------------------------------------------------------------------------------

    def space(self) -> None:
        """One space."""
        pos = self.pos
        if self.line[pos : pos + 1] != b" ":
            raise BadCommand("Missing argument" if self.at_end else "Space expected")
        self.pos = pos + 1

    def accept(self, char: bytes) -> bool:
        """Go behind this text if it comes next."""
        if self.line.startswith(char, self.pos):
            self.pos += len(char)
            return True
        return False

    def expect(self, char: bytes) -> None:
        """This text must come next."""
        if not self.accept(char):
            raise BadCommand(f"{char.decode('ascii')} expected")

    # -- words -------------------------------------------------------------------------------------------------

    def _match(self, pattern: re.Pattern[bytes], what: str) -> bytes:
        match = pattern.match(self.line, self.pos)
        if match is None:
            raise BadCommand(f"{what} expected")
        self.pos = match.end()
        return match[0]

    def tag(self) -> bytes:
        """The tag of a command."""
        return self._match(TAG, "Tag")

    def atom(self) -> bytes:
        """An atom."""
        return self._match(_ATOM, "Atom")

    def keyword(self) -> str:
        """An atom whose case doesn't matter, in capitals."""
        return self._match(_ATOM, "Word").decode("ascii").upper()

    def peek_keyword(self) -> str:
        """The keyword at this place, without moving; empty where there is none."""
        match = _ATOM.match(self.line, self.pos)
        return match[0].decode("ascii").upper() if match else ""

    def astring(self) -> bytes:
        """Atom, quoted string or literal."""
        match = _ASTRING.match(self.line, self.pos)
        if match is not None:
            self.pos = match.end()
            return match[0]
        return self.string()

    def string(self) -> bytes:
        """Quoted string or literal."""
        if self.at_literal:
            literal = self.literal()
            if literal.data is None or literal.binary or b"\0" in literal.data:
                raise BadCommand("A literal without NUL expected")
            return literal.data
        match = _QUOTED.match(self.line, self.pos)
        if match is None:
            raise BadCommand("Missing argument" if self.at_end else "String expected")
        self.pos = match.end()
        return _ESCAPED.sub(rb"\1", match[1]) if b"\\" in match[1] else match[1]

    def nstring(self) -> bytes | None:
        """String or NIL."""
        if self.peek_keyword() == "NIL":
            self.pos += 3
            return None
        return self.string()

    def literal(self) -> Literal:
        """A literal, wherever its bytes are."""
        if not self.at_literal:
            raise BadCommand("Literal expected")
        literal = self._frame[self._index + 1]
        assert isinstance(literal, Literal)
        if literal.data is None and literal.sink is None:
            raise Awaiting
        line = self._frame[self._index + 2]
        assert isinstance(line, bytes)
        self._index += 2
        self.line = line
        self.pos = 0
        return literal

    def pattern(self) -> bytes:
        """A mailbox name with wildcards."""
        match = _PATTERN.match(self.line, self.pos)
        if match is not None:
            self.pos = match.end()
            return match[0]
        return self.string()

    # -- numbers -----------------------------------------------------------------------------------------------

    def number(self, least: int = 0, most: int = NUMBER32) -> int:
        """A number within these bounds."""
        number = int(self._match(_NUMBER, "Number"))
        if not least <= number <= most:
            raise BadCommand("Number out of range")
        return number

    def sequence_set(self) -> SequenceSet:
        """A sequence set or `$`."""
        raw = self._match(_SET, "Sequence set")
        try:
            return seqset.parse(raw)
        except ValueError:
            raise BadCommand("Bad sequence set") from None

    def partial(self) -> tuple[int, int]:
        """A range of results: 1:500 or -1:-500 (RFC 9394)."""
        sign = -1 if self.accept(b"-") else 1
        first = self.number(1)
        self.expect(b":")
        if sign < 0:
            self.expect(b"-")
        return sign * first, sign * self.number(1)

    # -- lists -------------------------------------------------------------------------------------------------

    def more(self, count: int, limit: int = LIST_LENGTH) -> bool:
        """In a list, behind an element: True before the next element, False behind the closing parenthesis."""
        if self.accept(b")"):
            return False
        if count >= limit:
            raise BadCommand("List too long", "LIMIT")
        self.space()
        return True

    def keywords(self, limit: int = LIST_LENGTH) -> list[str]:
        """A parenthesised list of one or more keywords."""
        self.expect(b"(")
        words = [self.keyword()]
        while self.more(len(words), limit):
            words.append(self.keyword())
        return words

    # -- strings with a meaning --------------------------------------------------------------------------------

    def text(self) -> str:
        """An astring in UTF-8."""
        return utf8_text(self.astring())

    def mailbox(self) -> str:
        """A mailbox name."""
        return mailbox_name(self.astring(), self.utf8)

    def flag(self) -> str:
        """A flag, system flags in their usual case."""
        return _flag(self._match(_FLAG, "Flag"))

    def flags(self) -> tuple[str, ...]:
        """A parenthesised list of flags that a client may set; `\\Recent` is left out."""
        match = _FLAG_LIST.match(self.line, self.pos)
        if match is None:
            raise BadCommand("List of flags expected")
        self.pos = match.end()
        return _flags(match[1]) if match[1] else ()

    def bare_flags(self) -> tuple[str, ...]:
        """Flags without parentheses, up to the end of the line (STORE)."""
        rest = self.line[self.pos :].rstrip(b" ")
        self.pos = len(self.line)
        return _flags(rest)

    def date(self) -> date:
        """A day, quoted or not."""
        quoted = self.accept(b'"')
        match = _DATE.match(self.line, self.pos)
        if match is None:
            raise BadCommand("Date expected, like 1-Feb-1994")
        self.pos = match.end()
        if quoted:
            self.expect(b'"')
        day, month, year = match.groups()
        try:
            return date(int(year), MONTH[month.lower()], int(day))
        except (ValueError, KeyError):
            raise BadCommand("No such day") from None

    def date_time(self) -> datetime:
        """A date with time and zone, quoted."""
        match = _DATE_TIME.match(self.line, self.pos)
        if match is None:
            raise BadCommand('Date and time expected, like "17-Jul-1996 02:44:25 -0700"')
        day, month, year, hour, minute, second, sign, zone_hours, zone_minutes = match.groups()
        offset = timedelta(hours=int(zone_hours), minutes=int(zone_minutes))
        try:
            zone = timezone(-offset if sign == b"-" else offset)
            when = datetime(
                int(year), MONTH[month.lower()], int(day), int(hour), int(minute), min(int(second), 59), tzinfo=zone
            )
        except (ValueError, KeyError):
            raise BadCommand("No such date and time") from None
        self.pos = match.end()
        return when


def utf8_text(raw: bytes) -> str:
    """Bytes that must be UTF-8."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise BadCommand("Not UTF-8") from None


def mailbox_name(raw: bytes, utf8: bool) -> str:
    """The name behind its wire form; NO where no mailbox can have it."""
    if raw.upper() == b"INBOX":
        return "INBOX"
    if len(raw) > MAILBOX_LENGTH:
        raise BadCommand("Mailbox name too long", "CANNOT", "NO")
    try:
        if utf8 or not (raw.isascii() or b"&" in raw):
            name = raw.decode("utf-8")
        else:
            name = utf7.decode(raw)
    except ValueError:
        raise BadCommand("Mailbox name is not valid modified UTF-7 or UTF-8", "CANNOT", "NO") from None
    if _CONTROL.search(name):
        raise BadCommand("Control character in mailbox name", "CANNOT", "NO")
    return name


def _flag(raw: bytes) -> str:
    flag = raw.decode("ascii")
    if flag.startswith("\\"):
        known = SYSTEM_FLAGS.get(flag.lower())
        if known is None:
            raise BadCommand("Unknown system flag")
        return known
    if len(flag) > KEYWORD_LENGTH:
        raise BadCommand("Keyword too long", "LIMIT", "NO")
    return flag


def _flags(raw: bytes) -> tuple[str, ...]:
    words = raw.split(b" ")
    if len(words) > FLAGS:
        raise BadCommand("Too many flags", "LIMIT", "NO")
    found: dict[str, None] = {}
    for word in words:
        if not _FLAG.fullmatch(word):
            raise BadCommand("Bad flag")
        found[_flag(word)] = None
    found.pop("\\Recent", None)
    return tuple(found)
