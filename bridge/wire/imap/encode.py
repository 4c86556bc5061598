"""Responses as bytes.

Promises: what comes out is well-formed whatever text goes in: no CR, LF or NUL in a line, every string quoted or
counted. Rows of a FETCH are joined by one formatting operation per block, not per message.
Fails by: nothing that a peer or a message can cause.
Not here: which responses to send, and when (`view`, and the server above).
RFC: 3501 and 9051 section 7; 4315 (APPENDUID, COPYUID), 4731 (ESEARCH), 7162 (MODSEQ, VANISHED), 9394 (PARTIAL),
5256 (SORT, THREAD), 9208 (QUOTA), 6855 (UTF8=ACCEPT).

Texts for people (the end of status lines) are bytes in UTF-8; outside of ASCII they are only sent as they are where
the client may expect it, so callers keep them ASCII for clients of IMAP4rev1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Final

from bridge.wire.imap import utf7
from bridge.wire.imap.seqset import compact, format_ranges, ranges_of

CRLF: Final = b"\r\n"
NIL: Final = b"NIL"
QUOTED_LENGTH: Final = 1000  # longer strings go out as literals

_ATOM = re.compile(rb"[^\x00-\x20(){%*\"\\\[\]\x7f-\xff]+")  # brackets are legal, but confuse clients
_QUOTABLE = re.compile(rb"[\x01-\x09\x0b\x0c\x0e-\x7f]*")
_QUOTABLE_UTF8 = re.compile(rb"[^\x00\r\n]*")
_SPECIAL = re.compile(rb'(["\\])')
_BREAK = re.compile(rb"[\x00\r\n]+")


# -- strings -------------------------------------------------------------------------------------------------------


def quoted(raw: bytes) -> bytes:
    """A quoted string; the caller knows that there is no CR, LF or NUL in it."""
    return b'"' + (_SPECIAL.sub(rb"\\\1", raw) if b'"' in raw or b"\\" in raw else raw) + b'"'


def literal(raw: bytes) -> bytes:
    """A literal; NUL can't be in one and becomes 0x80, as RFC 3501 errata and other servers have it."""
    if b"\0" in raw:
        raw = raw.replace(b"\0", b"\x80")
    return b"{%d}\r\n%b" % (len(raw), raw)


def literal8(raw: bytes) -> bytes:
    """A literal that may hold anything (BINARY)."""
    return b"~{%d}\r\n%b" % (len(raw), raw)


def string(value: bytes | str | None, utf8: bool = False) -> bytes:
    """An nstring: NIL, quoted where possible, else a literal."""
    if value is None:
        return NIL
    raw = value.encode("utf-8", "replace") if isinstance(value, str) else value
    if len(raw) <= QUOTED_LENGTH:
        if _QUOTABLE.fullmatch(raw):
            return quoted(raw)
        if utf8 and _QUOTABLE_UTF8.fullmatch(raw) and _is_utf8(raw):
            return quoted(raw)
    return literal(raw)


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def astring(value: bytes | str, utf8: bool = False) -> bytes:
    """An atom where possible, else a string."""
    raw = value.encode("utf-8", "replace") if isinstance(value, str) else value
    return raw if _ATOM.fullmatch(raw) and raw.upper() != NIL else string(raw, utf8)


def mailbox(name: str, utf8: bool = False) -> bytes:
    """A mailbox name: modified UTF-7, or UTF-8 where the client enabled it."""
    if utf8:
        return astring(name, True)
    return astring(utf7.encode(name.encode("utf-8", "replace").decode("utf-8")))


# -- lines ---------------------------------------------------------------------------------------------------------


def tagged(tag: bytes, status_word: bytes, text: bytes, code: bytes = b"") -> bytes:
    """The end of a command: OK, NO or BAD."""
    return tag + b" " + _status(status_word, text, code)


def status(word: bytes, text: bytes, code: bytes = b"") -> bytes:
    """An untagged OK, NO, BAD, BYE or PREAUTH."""
    return b"* " + _status(word, text, code)


def _status(word: bytes, text: bytes, code: bytes) -> bytes:
    text = _line(text) or b"-"
    if code:
        return b"%b [%b] %b\r\n" % (word, _line(code).replace(b"]", b""), text)
    if text.startswith(b"["):  # would be read as a response code
        text = b"- " + text
    return b"%b %b\r\n" % (word, text)


def _line(text: bytes) -> bytes:
    return _BREAK.sub(b" ", text)


def untagged(data: bytes) -> bytes:
    """Any other untagged response; the data is ready."""
    return b"* " + data + CRLF


def capability(names: bytes) -> bytes:
    """* CAPABILITY."""
    return b"* CAPABILITY " + names + CRLF


def enabled(names: Iterable[str]) -> bytes:
    """* ENABLED."""
    return b" ".join([b"* ENABLED", *[name.encode("ascii") for name in names]]) + CRLF


def parenthesised(words: Iterable[bytes]) -> bytes:
    """A list of ready words."""
    return b"(" + b" ".join(words) + b")"


def flags(names: Iterable[str]) -> bytes:
    """A list of flags, as it stands in FETCH and FLAGS."""
    return b"(" + " ".join(names).encode("ascii") + b")"


def flags_line(names: Iterable[str]) -> bytes:
    """* FLAGS."""
    return b"* FLAGS " + flags(names) + CRLF


def permanent_flags(names: Iterable[str], more: bool) -> bytes:
    r"""The code PERMANENTFLAGS; `more` where the client may create keywords (\*)."""
    every = [*names, "\\*"] if more else list(names)
    return b"* OK [PERMANENTFLAGS " + flags(every) + b"] Flags that are kept\r\n"


def ident(fields: Sequence[tuple[str, str | None]]) -> bytes:
    """* ID."""
    if not fields:
        return b"* ID NIL\r\n"
    words = chain.from_iterable((string(key), string(value)) for key, value in fields)
    return b"* ID " + parenthesised(words) + CRLF


# -- mailboxes -----------------------------------------------------------------------------------------------------


def list_line(
    name: str, attributes: Iterable[str] = (), separator: str | None = "/", *, utf8: bool = False,
    word: bytes = b"LIST", children: Iterable[str] = (), old_name: str | None = None,
) -> bytes:  # fmt: skip
    """* LIST (or LSUB), with CHILDINFO and OLDNAME."""
    line = b"* %b %b %b %b" % (
        word,
        flags(attributes),
        NIL if separator is None else quoted(separator.encode("ascii")),
        mailbox(name, utf8),
    )
    extra: list[bytes] = []
    info = [quoted(option.encode("ascii")) for option in children]
    if info:
        extra.append(b'"CHILDINFO" ' + parenthesised(info))
    if old_name is not None:
        extra.append(b'"OLDNAME" (' + mailbox(old_name, utf8) + b")")
    return line + (b" " + parenthesised(extra) if extra else b"") + CRLF


def status_line(name: str, values: Iterable[tuple[str, int | str | None]], utf8: bool = False) -> bytes:
    """* STATUS; a str is an object id, None is NIL."""
    words = [item.encode("ascii") + b" " + _status_value(value) for item, value in values]
    return b"* STATUS " + mailbox(name, utf8) + b" " + parenthesised(words) + CRLF


def _status_value(value: int | str | None) -> bytes:
    if value is None:
        return NIL
    return b"%d" % value if isinstance(value, int) else b"(" + value.encode("ascii") + b")"


def namespace(
    personal: Iterable[tuple[str, str]], others: Iterable[tuple[str, str]] = (), shared: Iterable[tuple[str, str]] = ()
) -> bytes:
    """* NAMESPACE; each is (prefix, separator)."""
    groups = [_namespaces(group) for group in (personal, others, shared)]
    return b"* NAMESPACE " + b" ".join(groups) + CRLF


def _namespaces(group: Iterable[tuple[str, str]]) -> bytes:
    found = [b"(" + string(utf7.encode(prefix)) + b" " + string(separator) + b")" for prefix, separator in group]
    return b"(" + b"".join(found) + b")" if found else NIL


def quota(root: str, resources: Iterable[tuple[str, int, int]]) -> bytes:
    """* QUOTA; each resource is (name, used, limit)."""
    words = [b"%b %d %d" % (name.encode("ascii"), used, limit) for name, used, limit in resources]
    return b"* QUOTA " + astring(root) + b" " + parenthesised(words) + CRLF


def quota_root(name: str, roots: Iterable[str], utf8: bool = False) -> bytes:
    """* QUOTAROOT."""
    return b" ".join([b"* QUOTAROOT", mailbox(name, utf8), *[astring(root) for root in roots]]) + CRLF


def acl(name: str, rights: Iterable[tuple[str, str]], utf8: bool = False) -> bytes:
    """* ACL; each is (identifier, rights)."""
    words = [word for who, what in rights for word in (astring(who, utf8), astring(what))]
    return b" ".join([b"* ACL", mailbox(name, utf8), *words]) + CRLF


def list_rights(name: str, who: str, always: str, others: Iterable[str], utf8: bool = False) -> bytes:
    """* LISTRIGHTS; `always` can't be taken away, each of the others can be granted alone."""
    words = [astring(rights) for rights in (always, *others)]
    return b" ".join([b"* LISTRIGHTS", mailbox(name, utf8), astring(who, utf8), *words]) + CRLF


def my_rights(name: str, rights: str, utf8: bool = False) -> bytes:
    """* MYRIGHTS."""
    return b"* MYRIGHTS %b %b\r\n" % (mailbox(name, utf8), astring(rights))


def metadata(name: str, values: Iterable[tuple[str, bytes | None]], utf8: bool = False) -> bytes:
    """* METADATA; a value with NUL goes out as literal8."""
    words: list[bytes] = []
    for entry, value in values:
        words.append(astring(entry))
        words.append(literal8(value) if value is not None and b"\0" in value else string(value))
    return b"* METADATA " + mailbox(name, utf8) + b" " + parenthesised(words) + CRLF


def append_uid(uidvalidity: int, uids: Iterable[int]) -> bytes:
    """The code APPENDUID."""
    return b"APPENDUID %d %b" % (uidvalidity, compact(uids))


def copy_uid(uidvalidity: int, source: Iterable[int], target: Iterable[int]) -> bytes:
    """The code COPYUID; the two lists are parallel."""
    return b"COPYUID %d %b %b" % (uidvalidity, compact(source), compact(target))


# -- searches ------------------------------------------------------------------------------------------------------


def search(numbers: Iterable[int], modseq: int | None = None, word: bytes = b"SEARCH") -> bytes:
    """* SEARCH (or SORT), the old form."""
    line = b" ".join([b"* " + word, *[b"%d" % number for number in numbers]])
    return line + (b" (MODSEQ %d)" % modseq if modseq is not None else b"") + CRLF


def esearch(
    tag: bytes, uid: bool, *, least: int | None = None, most: int | None = None, count: int | None = None,
    everything: Iterable[int] | None = None, modseq: int | None = None,
    partial: tuple[tuple[int, int], Iterable[int]] | None = None, mailbox_name: tuple[str, int] | None = None,
    utf8: bool = False,
) -> bytes:  # fmt: skip
    """* ESEARCH; an empty ALL is left out, as is what is None. `mailbox_name` (name, UIDVALIDITY) is MULTISEARCH."""
    out = [b"* ESEARCH (TAG " + quoted(tag)]
    if mailbox_name is not None:
        out.append(b" MAILBOX %b UIDVALIDITY %d" % (mailbox(mailbox_name[0], utf8), mailbox_name[1]))
    out.append(b") UID" if uid else b")")
    for label, value in ((b"MIN", least), (b"MAX", most), (b"COUNT", count), (b"MODSEQ", modseq)):
        if value is not None:
            out.append(b" %b %d" % (label, value))
    found = compact(everything) if everything is not None else b""
    if found:
        out.append(b" ALL " + found)
    if partial is not None:
        (first, last), numbers = partial
        out.append(b" PARTIAL (%d:%d %b)" % (first, last, compact(numbers) or NIL))
    return b"".join(out) + CRLF


def context_update(tag: bytes, uid: bool, added: bool, position: int, numbers: Iterable[int]) -> bytes:
    """* ESEARCH with ADDTO or REMOVEFROM, of a search that asked for UPDATE (RFC 5267)."""
    word = b"ADDTO" if added else b"REMOVEFROM"
    which = b" UID" if uid else b""
    return b"* ESEARCH (TAG %b)%b %b (%d %b)\r\n" % (quoted(tag), which, word, position, compact(numbers))


Thread = tuple[int | None, Sequence["Thread"]]


def thread(threads: Iterable[Thread]) -> bytes:
    """* THREAD; a node is (number, children), number None for a missing parent. Depth costs no stack."""
    out = [b"* THREAD "]
    todo: list[Thread | bytes] = []
    for root in threads:
        todo.append(b")")
        todo.append(root)
        todo.append(b"(")
        while todo:
            node = todo.pop()
            if isinstance(node, bytes):
                out.append(node)
                continue
            number, children = node
            if number is not None:
                out.append(b"%d" % number)
                if children:
                    out.append(b" ")
            if len(children) == 1 and number is not None:
                todo.append(children[0])
            else:
                for child in reversed(children):
                    todo.extend((b")", child, b"("))
    return (b"".join(out) if len(out) > 1 else b"* THREAD") + CRLF


# -- messages ------------------------------------------------------------------------------------------------------


def exists(count: int) -> bytes:
    """* n EXISTS."""
    return b"* %d EXISTS\r\n" % count


def recent(count: int) -> bytes:
    """* n RECENT."""
    return b"* %d RECENT\r\n" % count


def vanished(uids: Iterable[int], earlier: bool = False) -> bytes:
    """* VANISHED; nothing at all where there are no UIDs."""
    return vanished_ranges(ranges_of(uids), earlier)


def vanished_ranges(ranges: Iterable[tuple[int, int]], earlier: bool = False) -> bytes:
    """* VANISHED from ranges."""
    found = format_ranges(ranges)
    return b"* VANISHED %b%b\r\n" % (b"(EARLIER) " if earlier else b"", found) if found else b""


def fetch_template(items: Iterable[tuple[bytes, bytes]], uidfetch: bool = False) -> bytes:
    """The line of one message for `fetch_rows`: items are (label, conversion), the conversion %d, %b or (%b).

    The first value of a row is the sequence number (the UID with `uidfetch`: RFC 9586).
    """
    words = [label.replace(b"%", b"%%") + b" " + conversion for label, conversion in items]
    return b"* %d " + (b"UIDFETCH" if uidfetch else b"FETCH") + b" (" + b" ".join(words) + b")\r\n"


def fetch_rows(template: bytes, rows: Sequence[Sequence[object]]) -> bytes:
    """The lines of a block of messages in one go; blocks of a few hundred rows keep the memory bounded."""
    return (template * len(rows)) % tuple(chain.from_iterable(rows))


def fetch(number: int, items: Iterable[bytes], uidfetch: bool = False) -> bytes:
    """The line of one message from ready items (label and value)."""
    return b"* %d %b (%b)\r\n" % (number, b"UIDFETCH" if uidfetch else b"FETCH", b" ".join(items))


def literal_header(size: int, binary: bool = False) -> bytes:
    """What goes before `size` streamed bytes."""
    return b"~{%d}\r\n" % size if binary else b"{%d}\r\n" % size


FETCH_CLOSE: Final = b")\r\n"
