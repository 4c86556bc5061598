"""What is in an mbox file: where each message starts and ends, its hash, its flags; and the message itself.

Promises: a message is what it is without its `From ` line, without the fields in which programs that share the file
note flags and lengths (Status, X-Status, Content-Length ...), and with `>From ` undone: so its bytes, its size and its
hash stay the same however often mutt or mail write the file anew. Memory is bounded, whatever the sizes.
A message starts at a line `From ` that ends in a time and a year, as mutt reads it.
Fails by: OSError.
"""
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b

from bridge.store.mail import ANSWERED, DELETED, DRAFT, FLAGGED, SEEN
from bridge.store.maildir import info_of
from bridge.wire import dates

CHUNK = 1 << 20
HEAD = 1 << 16          # a header block that is longer is taken as it is

_FROM = re.compile(rb"^From [^\n]{0,400}?\d\d:\d\d(?::\d\d)?[^\n]{0,40}? \d{4}[^\n]{0,20}$", re.M)
_DATE = re.compile(rb"([A-Z][a-z]{2}) +(\d{1,2}) +(\d\d:\d\d(?::\d\d)?)(?: +[A-Z]{2,5}| +[+-]\d{4})? +(\d{4})")
_NOTES = re.compile(
    rb"^(?:Status|X-Status|X-Keywords|X-UID|X-IMAP|X-IMAPbase|Content-Length|Lines|X-Mozilla-Status2?):"
    rb"[^\n]*\n(?:[ \t][^\n]*\n)*", re.M | re.I,
)
_FLAGS = re.compile(rb"^(?:X-)?Status:[ \t]*([A-Z]{1,20})[ \t]*$", re.M | re.I)
_QUOTED = re.compile(rb"^>(>*From )", re.M)
_LETTERS = {b"R": SEEN, b"A": ANSWERED, b"F": FLAGGED, b"T": DRAFT, b"D": DELETED}


@dataclass(frozen=True, slots=True)
class Entry:
    """One message. `length` counts from its From line to the next one."""

    start: int
    length: int
    hash: str
    info: str
    date: int


def entries(descriptor: int, start: int, end: int, offset: int) -> Iterator[Entry]:
    """The messages from `start` on; `offset`: minutes east of UTC that the times in From lines are in."""
    starts = list(_starts(descriptor, start, end))
    for at, stop in zip(starts, [*starts[1:], end]):
        yield _entry(descriptor, at, stop - at, offset)


def _starts(descriptor: int, start: int, end: int) -> Iterator[int]:
    """Where From lines begin."""
    at, held = start, b""
    while at < end:
        data = os.pread(descriptor, min(CHUNK, end - at), at)
        if not data:
            return
        base, at = at - len(held), at + len(data)
        data = held + data
        cut = data.rfind(b"\n") + 1 if at < end else len(data)
        if not cut:
            held = data if len(data) < HEAD else b"-"     # in the middle of a line that can't be a From line
            continue
        for found in _FROM.finditer(data, 0, cut):
            yield base + found.start()
        held = data[cut:]


def _entry(descriptor: int, start: int, length: int, offset: int) -> Entry:
    head = os.pread(descriptor, min(length, HEAD), start)
    line, _, rest = head.partition(b"\n")
    mark = blake2b(digest_size=12)
    for chunk in message(descriptor, start, length):
        mark.update(chunk)
    return Entry(start, length, mark.hexdigest(), _info(rest), _date(line, offset))


def _info(head: bytes) -> str:
    """The flags that Status and X-Status say."""
    if b"tatus:" not in head and b"STATUS:" not in head:
        return info_of(0, None, 0)
    letters = b"".join(_FLAGS.findall(head, 0, head.find(b"\n\n") + 1 or len(head)))
    return info_of(sum(bit for letter, bit in _LETTERS.items() if letter in letters), None, 0)


def _date(line: bytes, offset: int) -> int:
    found = _DATE.search(line)
    if not found:
        return 0
    month, day, time, year = found.groups()
    sign, minutes = "-" if offset < 0 else "+", abs(offset)
    text = b"%b %b %b %b %b" % (day, month, year, time, f"{sign}{minutes // 60:02d}{minutes % 60:02d}".encode())
    moment = dates.parse(text)
    return max(moment[0], 0) if moment else 0


def message(descriptor: int, start: int, length: int) -> Iterator[bytes]:
    """The message of an entry, chunk by chunk; nothing where there is no entry any more."""
    end = start + length
    head = os.pread(descriptor, min(length, HEAD), start)
    at = start + len(head)
    line = head.find(b"\n") + 1
    if not line or not head.startswith(b"From "):
        return
    held = bare(head[line:])
    while at < end:
        data = os.pread(descriptor, min(CHUNK, end - at), at)
        if not data:
            break
        at += len(data)
        held += data
        cut = held.rfind(b"\n", 0, -1) + 1      # the last line waits: it may be the empty one, or a part
        if not cut and len(held) > HEAD:
            cut = len(held) - 1
        if cut:
            yield _unquoted(held[:cut])
            held = held[cut:]
    if held.endswith(b"\n\n") or held == b"\n":
        held = held[:-1]
    yield _unquoted(held)


def bare(head: bytes) -> bytes:
    """The start of a message without the fields in which other programs note things."""
    end = 0 if head.startswith(b"\n") else head.find(b"\n\n") + 1 or len(head)
    return _NOTES.sub(b"", head[:end]) + head[end:]


def _unquoted(data: bytes) -> bytes:
    return _QUOTED.sub(rb"\1", data) if b">From " in data else data
