"""RFC 5322 address lists, read twice: strictly to decide, leniently to show.

`strict` answers None for anything that two readers could understand differently (sec-M07: two `@`, a tail after a
comment, groups, routes, encoded words in an address), so a decision such as list membership never rests on a guess.
`entries` and `lenient` read whatever is there for ENVELOPE and display; they never raise, look at `MAX_VALUE` bytes
and give `MAX_ADDRESSES` addresses (sec-M05), in linear time.  RFC 5322 3.4 and 4.4, RFC 6532.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from bridge.wire import headers

MAX_VALUE = 100 * 1024
MAX_ADDRESSES = 1000
MAX_LOCAL = 255
MAX_DOMAIN = 253


@dataclass(frozen=True, slots=True)
class Mailbox:
    """Somebody: decoded display name (or ""), local part without quotes, domain as written (or "" if broken)."""

    name: str
    local: str
    domain: str

    @property
    def address(self) -> str:
        return f"{self.local}@{self.domain}" if self.domain else self.local


class Kind(Enum):
    MAILBOX = 1
    GROUP = 2  # start of a group; the name is in `name`
    GROUP_END = 3


@dataclass(slots=True)
class Entry:
    """One element of an address list as raw bytes: quotes and folds gone, encoded words still encoded."""

    kind: Kind
    name: bytes
    route: bytes
    local: bytes
    domain: bytes


# ---- strict

_ATEXT = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\xff-"
_PHRASE = rf'(?:(?:"[^"\\\x00-\x1f\x7f]*+(?:\\[ -~][^"\\\x00-\x1f\x7f]*+)*"|[{_ATEXT}.]++)[ \t]*+)*'
_LOCAL = rf'([{_ATEXT}]++(?:\.[{_ATEXT}]++)*|"[^"\\\x00-\x1f\x7f]*+")'
_ADDRESS = _LOCAL + r"@([A-Za-z0-9_.\x80-\xff-]++|\[[0-9A-Fa-f.:IPv]++\])"
_COMMENT = r"(?:\([^()<>@,;:\"\\\x00-\x1f\x7f]*+\)[ \t]*+)?"
_STRICT = re.compile(
    rf"[ \t]*+(?:({_PHRASE})<{_ADDRESS}>[ \t]*+|{_ADDRESS}[ \t]*+){_COMMENT}(?:(,)|\Z)".encode("latin-1")
)
_FOLDED = re.compile(rb"\r?\n(?=[ \t])")
_QUOTED_LOCAL = re.compile(r'[^@<>()\[\],;:\\"\x00-\x1f\x7f]+')
_LABEL = re.compile(r"[A-Za-z0-9_\x80-\U0010ffff](?:[A-Za-z0-9_\x80-\U0010ffff-]{0,61}[A-Za-z0-9_\x80-\U0010ffff])?")
_LITERAL = re.compile(r"\[(?:\d{1,3}(?:\.\d{1,3}){3}|IPv6:[0-9A-Fa-f:.]{2,45})\]")


def strict(value: bytes | str) -> tuple[Mailbox, ...] | None:
    """The mailboxes of a header value if there is exactly one way to read it, else None; an empty list is None, too."""
    raw = value.encode("utf-8", "replace") if isinstance(value, str) else value
    if len(raw) > MAX_VALUE:
        return None
    raw = _FOLDED.sub(b"", raw.strip(b" \t\r\n"))
    found: list[Mailbox] = []
    at = 0
    while True:
        match = _STRICT.match(raw, at)
        if not match or len(found) == MAX_ADDRESSES:
            return None
        phrase, local, domain, bare_local, bare_domain, comma = match.groups()
        mailbox = _strict_mailbox(phrase or b"", local or bare_local, domain or bare_domain)
        if mailbox is None:
            return None
        found.append(mailbox)
        at = match.end()
        if not comma:
            return tuple(found)


def _strict_mailbox(phrase: bytes, raw_local: bytes, raw_domain: bytes) -> Mailbox | None:
    try:
        local, domain = raw_local.decode("utf-8"), raw_domain.decode("utf-8")
    except UnicodeDecodeError:
        return None
    if local[0] == '"':
        local = local[1:-1]
        if not _QUOTED_LOCAL.fullmatch(local):
            return None
    if len(raw_local) > MAX_LOCAL or "=?" in local or not _plain(local) or not valid_domain(domain):
        return None
    return Mailbox(_phrase_text(phrase), local, domain)


def valid_domain(domain: str) -> bool:
    """Labels of letters, digits, hyphen and underscore (or non-ASCII letters), or an address literal."""
    if domain[:1] == "[":
        return _LITERAL.fullmatch(domain) is not None
    if not domain or len(domain) > MAX_DOMAIN or not _plain(domain):
        return False
    return all(map(_LABEL.fullmatch, domain.split(".")))


def _plain(text: str) -> bool:
    """Printable, and spelled in the one way that NFC allows: no invisible characters in an address we decide on."""
    return text.isascii() or (text.isprintable() and unicodedata.is_normalized("NFC", text))


_PHRASE_WORD = re.compile(rb'"([^"\\]*+(?:\\.[^"\\]*+)*)"|([^\s"]++)', re.S)
_ESCAPED = re.compile(rb"\\(.)", re.S)


def _phrase_text(phrase: bytes) -> str:
    if b'"' in phrase:
        phrase = b" ".join(_ESCAPED.sub(rb"\1", q) if q else atom for q, atom in _PHRASE_WORD.findall(phrase))
    return headers.decode(phrase)


# ---- lenient

_SIMPLE = re.compile(
    rb'\s*+(?:(?:"([^"\\]*+)"\s*+|([^"(),:;<>@\[\]\\]*+))<([^\s"(),:;<>@\[\]\\]++)@([^\s"(),:;<>@\[\]\\]++)>'
    rb'|([^\s"(),:;<>@\[\]\\]++)@([^\s"(),:;<>@\[\]\\]++))\s*+(?:(,)|\Z)'
)
_TOKEN = re.compile(
    rb'"([^"\\]*+(?:\\.[^"\\]*+)*)"?|(\()|([<>@,;:])|(\[[^\]<>,;"@\s]*+\]?|[^\s"()<>@,;:\[]++|\))',
    re.S,
)
_PAREN = re.compile(rb"\\.|[()]", re.S)


def entries(value: bytes) -> list[Entry]:
    """Everything that looks like an element of an address list, as raw bytes, groups marked."""
    value = headers.unfold(value[:MAX_VALUE])
    found: list[Entry] = []
    at, size = 0, len(value)
    while at < size:
        match = _SIMPLE.match(value, at)
        if not match:
            return _Reader().read(value)
        quoted, phrase, local, domain, bare_local, bare_domain, comma = match.groups()
        if local is None:
            found.append(Entry(Kind.MAILBOX, b"", b"", bare_local, bare_domain))
        else:
            name = quoted if quoted is not None else phrase.strip()
            found.append(Entry(Kind.MAILBOX, name, b"", local, domain))
        if not comma or len(found) == MAX_ADDRESSES:
            break
        at = match.end()
    return found


def lenient(value: bytes) -> tuple[Mailbox, ...]:
    """The mailboxes in a header value for display, members of groups included."""
    return tuple(mailbox(entry) for entry in entries(value) if entry.kind is Kind.MAILBOX)


def mailbox(entry: Entry) -> Mailbox:
    """An entry with its name decoded; what is not UTF-8 in the address is replaced."""
    return Mailbox(headers.decode(entry.name), headers.decode_raw(entry.local), headers.decode_raw(entry.domain))


class _Reader:
    """The patient reader of lists that `_SIMPLE` doesn't match: one pass over tokens, one address at a time."""

    __slots__ = ("angle", "at", "closed", "comment", "domain", "found", "group", "local", "route", "words")

    def __init__(self) -> None:
        self.found: list[Entry] = []
        self.group = False
        self._clear()

    def _clear(self) -> None:
        self.words: list[bytes] = []
        self.local: list[bytes] = []
        self.domain: list[bytes] = []
        self.route: list[bytes] = []
        self.comment = b""
        self.angle = False  # between < and >
        self.at = False  # after the @ of the address
        self.closed = False  # after the >; what follows belongs to the name

    def read(self, value: bytes) -> list[Entry]:
        position, size = 0, len(value)
        while position < size and len(self.found) < MAX_ADDRESSES:
            match = _TOKEN.search(value, position)
            if not match:
                break
            position = match.end()
            quoted, paren, special, atom = match.groups()
            if paren:
                position = self._comment(value, position)
            elif special:
                self._special(special)
            else:
                self._word(_ESCAPED.sub(rb"\1", quoted) if quoted is not None else atom)
        self._flush()
        if self.group:
            self.found.append(Entry(Kind.GROUP_END, b"", b"", b"", b""))
        return self.found

    def _comment(self, value: bytes, start: int) -> int:
        depth, end = 1, len(value)
        for found in _PAREN.finditer(value, start):
            mark = value[found.start()]
            depth += (mark == 40) - (mark == 41)
            if not depth:
                end = found.start()
                break
        self.comment = _ESCAPED.sub(rb"\1", value[start:end]).strip()
        return end + 1

    def _word(self, word: bytes) -> None:
        if self.closed:
            self.words.append(word)
        elif self.at:
            (self.route if self.angle and not self.local else self.domain).append(word)
        elif self.angle:
            self.local.append(word)
        else:
            self.words.append(word)

    def _special(self, special: bytes) -> None:
        if special == b"@":
            self._at_sign()
        elif special == b"<" and self.closed:
            self._flush()  # "a <b@c> d <e@f>": a comma is missing
            self.angle = True
        elif special == b"<":
            if self.at and not self.angle:  # "a@b <c@d>": the first was a name
                self.words.append(b"".join(self.local) + b"@" + b"".join(self.domain))
                self.local, self.domain = [], []
            self.angle, self.at = True, False
        elif special == b">":
            self._close_angle()
        elif special == b":":
            self._colon()
        elif self.angle and self.at and not self.local and special == b",":
            self.route.append(b",")
        else:
            self._flush()
            if special == b";" and self.group:
                self.group = False
                self.found.append(Entry(Kind.GROUP_END, b"", b"", b"", b""))

    def _at_sign(self) -> None:
        if self.closed:
            self.words.append(b"@")
        elif self.at and self.angle and not self.local:  # a second hop of a route
            self.route.append(b"@")
        elif self.at:
            self.local += [b"@", *self.domain]
            self.domain = []
        else:
            if not self.angle and self.words:
                self.local = [self.words.pop()]
            elif self.angle and not self.local:
                self.route.append(b"@")
            self.at = True

    def _close_angle(self) -> None:
        self.closed = self.closed or self.angle
        self.angle = self.at = False

    def _colon(self) -> None:
        if self.angle and self.at and not self.local:
            self.at = False  # end of the route
        elif not (self.at or self.angle or self.closed or self.group):
            self.group = True
            self.found.append(Entry(Kind.GROUP, b" ".join(self.words), b"", b"", b""))
            self._clear()
        else:
            self._word(b":")

    def _flush(self) -> None:
        words, local, domain, route = self.words, self.local, self.domain, self.route
        if words or local or domain or route:
            name = b" ".join(words)
            if not local and not domain and not route and not (self.at or self.angle or self.closed):
                name, local = b"", [b" ".join(words)]
            self.found.append(
                Entry(Kind.MAILBOX, name or self.comment, b"".join(route), b"".join(local), b"".join(domain))
            )
        self._clear()


# ---- writing

_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]+")
_ANY_ATEXT = _ATEXT.replace(r"\xff", r"\U0010ffff")
_DOT_ATOM = re.compile(rf"[{_ANY_ATEXT}]+(?:\.[{_ANY_ATEXT}]+)*")
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_SPECIAL = re.compile(r'(["\\])')


def format_mailbox(mailbox: Mailbox) -> bytes:
    """A mailbox for a header of our own: `name <local@domain>`, quoted or encoded as its characters need."""
    address = b"<" + format_address(mailbox) + b">"
    name = " ".join(_UNSAFE.sub(" ", mailbox.name).split())
    if not name:
        return address[1:-1]
    if name.isascii() and "=?" not in name and len(name) < headers.MAX_LINE * 4:
        text = name if _ATOMS.fullmatch(name) else '"' + _SPECIAL.sub(r"\\\1", name) + '"'
        return text.encode("ascii") + b" " + address
    return b" ".join(headers.encoded_words(name)) + b" " + address


def format_address(mailbox: Mailbox) -> bytes:
    """`local@domain`, the local part quoted where it must be, a non-ASCII domain in its ASCII form."""
    local = _UNSAFE.sub("", mailbox.local)
    if not _DOT_ATOM.fullmatch(local):
        local = '"' + _SPECIAL.sub(r"\\\1", local) + '"'
    domain = "".join(_UNSAFE.sub("", mailbox.domain).split())
    for special in '<>,;()"\\@':
        domain = domain.replace(special, "")
    raw = local.encode("utf-8")
    return raw + b"@" + ascii_domain(domain) if domain else raw


def ascii_domain(domain: str) -> bytes:
    """IDNA form of a domain; labels are measured first (sec-M11), what IDNA refuses stays UTF-8."""
    if not domain.isascii() and len(domain) <= MAX_DOMAIN and all(0 < len(label) <= 63 for label in domain.split(".")):
        try:
            return domain.encode("idna")
        except UnicodeError:
            pass
    return domain.encode("utf-8", "replace")


def address_field(name: str, mailboxes: Iterable[Mailbox], eol: bytes = b"\n") -> bytes:
    """A whole address header of our own, folded between mailboxes."""
    texts = [format_mailbox(mailbox) for mailbox in mailboxes]
    return headers.token_field(name, [text + b"," for text in texts[:-1]] + texts[-1:], eol)
