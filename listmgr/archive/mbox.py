"""The mbox format, read: where entries begin and end, and what each says.

Promises: pure; any bytes can be read; one pass of `find`, nothing per line. A line is a separator only if it follows an
empty line (or begins the file) and has the shape `From sender date`, so a `From ` in a foreign, unquoted text splits
nothing. RFC 4155; quoting is mboxrd.
"""

import re
from collections.abc import Iterator
from mmap import mmap

from bridge.wire import dates

_SEPARATOR = re.compile(
    rb"From [^\r\n]{0,400}?[A-Za-z]{3}[ ,]+(?:[A-Za-z]{3} {1,2}\d{1,2}|\d{1,2} [A-Za-z]{3})"
    rb"[^\r\n]{0,60}\d{4}[^\r\n]{0,20}\r?\n"
)
_DATE = re.compile(
    rb"[A-Za-z]{3}[ ,]+[A-Za-z]{3} {1,2}\d{1,2} +\d{1,2}:\d\d(?::\d\d)?(?: [A-Z+-][A-Z0-9]{2,4})? +\d{4}"
)
_QUOTED = re.compile(rb"^>(>*From )", re.M)


def entries(data: "bytes | mmap", start: int = 0) -> Iterator[tuple[int, int]]:
    """(offset, end) of each entry from `start` on; what stands before the first separator belongs to the first
    entry."""
    begin, size = start, len(data)
    if begin >= size:
        return
    at = begin
    while True:
        at = data.find(b"\nFrom ", at)
        if at < 0:
            yield begin, size
            return
        at += 1
        if _after_blank_line(data, at, start) and _SEPARATOR.match(data, at):
            yield begin, at
            begin = at


def _after_blank_line(data: "bytes | mmap", at: int, start: int) -> bool:
    return at - 2 >= start and (data[at - 2] == 10 or (at - 3 >= start and data[at - 3 : at] == b"\n\r\n"))


def message(entry: bytes) -> bytes:
    """The message of an entry: without its From_ line and the empty line at the end, quoting undone."""
    body = entry
    if entry.startswith(b"From "):
        body = entry[entry.find(b"\n") + 1 :] if b"\n" in entry else b""
    if body.endswith(b"\n\n"):
        body = body[:-1]
    return _QUOTED.sub(rb"\1", body) if b">From " in body else body


def arrival(entry: bytes) -> int | None:
    """The date of the From_ line (taken as UTC), if it has one."""
    if not entry.startswith(b"From "):
        return None
    found = _DATE.search(entry[: max(entry.find(b"\n"), 0)][:500])
    parsed = dates.parse(found[0]) if found else None
    return parsed[0] if parsed else None
