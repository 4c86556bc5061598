"""The MIME structure of a stored message: one bounded pass that finds every part and measures it.

Messages are stored with LF (or, by other programs, CRLF) and go out with CRLF.  So each part has *disk* offsets, for
slicing the file, and *wire* sizes, as if every line ended in CRLF, as BODYSTRUCTURE needs them.

Promise: any bytes give a structure; nothing is recursive, no body is copied, and each bomb of sec-M01 to M05 meets a
limit: depth, number of parts, bytes of part headers, length of a boundary, work spent looking for boundaries.  What
lies beyond a limit is one opaque leaf; `Structure.truncated` says so.  RFC 2045, 2046, RFC 9051 6.4.5 for part numbers.
A `memoryview` is taken by its underlying bytes or mmap where it covers all of it, else copied.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, cast

from bridge.wire import headers
from bridge.wire.mimefields import Params, param, parse_disposition, parse_encoding, parse_type, text_param

if TYPE_CHECKING:
    import mmap

    Buffer = bytes | bytearray | memoryview | mmap.mmap
    Searchable = bytes | bytearray | mmap.mmap

MAX_DEPTH = 50
MAX_PARTS = 5000
MAX_BOUNDARY = 2048
HEADER_BUDGET = 1024 * 1024  # bytes of part headers that are parsed in one message
FALSE_DELIMITERS = 10_000  # lines that begin like a delimiter but are none, in one message
SEARCH_BUDGET = 256 * 1024 * 1024  # bytes searched for boundaries, or four times the message if that is more
COUNT_WINDOW = 256 * 1024  # mmap can't count: it is read through windows of this size


class Kind(Enum):
    LEAF = 1
    MULTIPART = 2
    MESSAGE = 3  # message/rfc822 or message/global, whose one child is the embedded message


@dataclass(slots=True, eq=False)
class Part:
    """One entity.  Built while scanning, read-only afterwards.

    `data[header_start:body_start]` is its header with the blank line, `data[body_start:body_end]` its body; the line
    end before a delimiter belongs to the delimiter.  `section` is its IMAP number; the multipart that is a whole
    message has none of its own and carries that of the message part around it ("" at the top).
    """

    section: str
    header_start: int
    body_start: int
    body_end: int
    kind: Kind = Kind.LEAF
    type: bytes = b"text"
    subtype: bytes = b"plain"
    params: Params = ()
    encoding: bytes = b"7bit"
    opaque: bool = False  # a container behind a limit, shown as application/octet-stream
    header_octets: int = 0  # wire sizes
    octets: int = 0
    lines: int = 0
    fields: dict[bytes, bytes] = field(default_factory=dict)  # lower-case name -> first raw value
    children: list[Part] = field(default_factory=list)
    disposition: tuple[bytes, Params] | None = None  # (lower-case word, parameters)

    @property
    def charset(self) -> bytes | None:
        return param(self.params, b"charset")

    @property
    def filename(self) -> str | None:
        """The decoded name of an attachment: filename of the disposition, else name of the type."""
        name = text_param(self.disposition[1], b"filename") if self.disposition else None
        return name if name is not None else text_param(self.params, b"name")


@dataclass(frozen=True, slots=True, eq=False)
class Structure:
    """A scanned message: `parts` are all entities in the order they begin, `root` first."""

    root: Part
    parts: tuple[Part, ...]
    size: int  # on disk
    octets: int  # on the wire
    truncated: bool  # some limit was met
    header: bytes  # header block of the message with its blank line, as on disk; cut after headers.MAX_BLOCK + 1 bytes
    header_fields: list[tuple[bytes, bytes, bytes]]  # of it: (whole field, lower-case name, raw value)


def searchable(data: Buffer) -> Searchable:
    """The same bytes as an object with `find`."""
    if not isinstance(data, memoryview):
        return data
    base = data.obj
    if isinstance(base, bytes) and data.contiguous and len(base) == data.nbytes:
        return base
    if not isinstance(base, bytes | bytearray) and hasattr(base, "find") and data.contiguous:
        mapped = cast("mmap.mmap", base)
        if len(mapped) == data.nbytes:
            return mapped
    return bytes(data)


def scan(data: Buffer) -> Structure:
    """The structure of a whole message."""
    return _Scanner(searchable(data)).run()


# ---- scanning

_TAIL = re.compile(rb"(--)?[ \t]*+(?:\r?\n|\Z)")
_CONTAINED = (b"7bit", b"8bit", b"binary")


class _Scanner:
    __slots__ = ("data", "false", "headers_left", "parts", "search_left", "truncated")

    def __init__(self, data: Searchable) -> None:
        self.data = data
        self.parts: list[Part] = []
        self.truncated = False
        self.headers_left = HEADER_BUDGET
        self.search_left = max(SEARCH_BUDGET, 4 * len(data))
        self.false = FALSE_DELIMITERS

    def run(self) -> Structure:
        data, size = self.data, len(self.data)
        start = headers.body_start(data)
        header = bytes(data[: min(start, headers.MAX_BLOCK + 1)])
        triples = [(whole, name.lower(), value) for whole, name, value in headers.triples(header)]
        if start > headers.MAX_BLOCK or len(triples) == headers.MAX_FIELDS:
            self.truncated = True
        root = Part("", 0, start, size)
        root.fields = {name: value for _, name, value in reversed(triples)}
        self._walk(root)
        octets = self._measure()
        return Structure(root, tuple(self.parts), size, octets, self.truncated, header, triples)

    def _walk(self, root: Part) -> None:
        """Pre-order with a stack of our own: (part, depth, member of a digest?, whole message?)."""
        stack = [(root, 0, False, True)]
        while stack:
            part, depth, digest, whole = stack.pop()
            self.parts.append(part)
            self._classify(part, digest)
            room = MAX_PARTS - len(self.parts) - len(stack)
            if part.kind is not Kind.LEAF and (depth >= MAX_DEPTH or room <= 0):
                self._seal(part)
            if part.kind is Kind.MULTIPART:
                prefix = part.section + "." if part.section else ""
                part.children = [
                    self._entity(f"{prefix}{number}", start, end)
                    for number, (start, end) in enumerate(self._split(part, room), 1)
                ]
                if not part.children:
                    self._childless(part)
            if whole and part.kind is not Kind.MULTIPART:
                part.section += ".1" if part.section else "1"
            if part.kind is Kind.MESSAGE:
                part.children = [self._entity(part.section, part.body_start, part.body_end)]
            below = part.kind is Kind.MESSAGE
            digest = part.subtype == b"digest" and not below
            stack.extend([(child, depth + 1, digest, below) for child in reversed(part.children)])

    def _entity(self, section: str, start: int, end: int) -> Part:
        """A part with its header read, as far as the budget for headers goes."""
        body = headers.body_start(self.data, start, end)
        part = Part(section, start, body, end)
        read = min(body - start, headers.MAX_BLOCK)
        if read > self.headers_left:
            self.truncated = True
            part.opaque = True
            return part
        self.headers_left -= read
        if read:
            for _, name, value in reversed(headers.triples(bytes(self.data[start : start + read]))):
                part.fields[name.lower()] = value
        return part

    def _classify(self, part: Part, digest: bool) -> None:
        if part.opaque:
            self._seal(part)
            return
        fields = part.fields
        parsed = parse_type(fields.get(b"content-type"))
        if parsed is not None:
            part.type, part.subtype, part.params = parsed
        elif digest and b"content-type" not in fields:
            part.type, part.subtype = b"message", b"rfc822"
        else:
            part.params = ((b"charset", b"us-ascii"),)
        part.encoding = parse_encoding(fields.get(b"content-transfer-encoding"))
        disposition = fields.get(b"content-disposition")
        if disposition is not None:
            part.disposition = parse_disposition(disposition)
        if part.type == b"multipart":
            part.kind = Kind.MULTIPART
        elif part.type == b"message" and part.subtype in (b"rfc822", b"global"):
            if part.encoding in _CONTAINED:
                part.kind = Kind.MESSAGE
            else:  # forbidden by RFC 2046 5.2.1; its bytes are not those of a message
                self._seal(part)

    def _seal(self, part: Part) -> None:
        self.truncated = self.truncated or part.kind is not Kind.LEAF
        part.kind, part.opaque = Kind.LEAF, True
        part.type, part.subtype, part.params = b"application", b"octet-stream", ()

    def _childless(self, part: Part) -> None:
        """A multipart that has no delimiter is what a person would see in it: text."""
        part.kind, part.type, part.subtype = Kind.LEAF, b"text", b"plain"
        part.params = ((b"charset", b"us-ascii"),)

    def _split(self, part: Part, room: int) -> list[tuple[int, int]]:
        """(start, end) of the entities between the delimiters of a multipart."""
        boundary = (param(part.params, b"boundary") or b"").rstrip()
        if not boundary or len(boundary) > MAX_BOUNDARY or room <= 0:
            return []
        data, end = self.data, part.body_end
        if end - part.body_start > self.search_left:
            self.truncated = True
            return []
        self.search_left -= end - part.body_start
        delimiter = b"\n--" + boundary
        found: list[tuple[int, int]] = []
        opened = -1
        at = data.find(delimiter, part.body_start - 1, end)
        while at >= 0:
            tail = _TAIL.match(data, at + len(delimiter), end)
            if tail is None:
                self.false -= 1
                if self.false <= 0:
                    self.truncated = True
                    break
                at = data.find(delimiter, at + 1, end)
                continue
            if opened >= 0:
                stop = at - 1 if at > opened and data[at - 1] == 13 else at
                found.append((opened, max(opened, stop)))
                if len(found) == room:
                    self.truncated = True
                    return found
            if tail[1]:
                return found
            opened = tail.end()
            at = data.find(delimiter, opened - 1, end)
        if opened >= 0:
            found.append((opened, end))
        return found

    # -- wire sizes

    def _measure(self) -> int:
        """Fill in wire sizes and line counts of all parts from one count over the message; answer its own wire size."""
        data, size, parts = self.data, len(self.data), self.parts
        crlf = data.find(b"\r") >= 0
        if len(parts) == 1:
            root = parts[0]
            _, head_bare = _count(data, 0, root.body_start, crlf)
            lines, bare = _count(data, root.body_start, size, crlf)
            root.header_octets = root.body_start + head_bare
            root.octets, root.lines = size - root.body_start + bare, lines
            return size + head_bare + bare
        offsets = {0, size}
        for part in parts:
            offsets.update((part.header_start, part.body_start, part.body_end))
        before: dict[int, tuple[int, int]] = {}
        lines = bare = last = 0
        for offset in sorted(offsets):
            more, more_bare = _count(data, last, offset, crlf)
            lines, bare, last = lines + more, bare + more_bare, offset
            before[offset] = (lines, bare)
        for part in parts:
            start, body, end = before[part.header_start], before[part.body_start], before[part.body_end]
            part.header_octets = part.body_start - part.header_start + body[1] - start[1]
            part.octets = part.body_end - part.body_start + end[1] - body[1]
            part.lines = end[0] - body[0]
        return size + bare


def _count(data: Searchable, start: int, end: int, crlf: bool) -> tuple[int, int]:
    """(line ends, those of them that are a lone LF) between two offsets, neither of which cuts a CRLF."""
    if isinstance(data, (bytes, bytearray)):
        lines = data.count(b"\n", start, end)
        return lines, lines - data.count(b"\r\n", start, end) if crlf else lines
    lines = pairs = 0
    for at in range(start, end, COUNT_WINDOW):
        stop = min(at + COUNT_WINDOW, end)
        lines += data[at:stop].count(b"\n")
        if crlf:
            pairs += data[at : min(stop + 1, end)].count(b"\r\n")
    return lines, lines - pairs


# ---- IMAP sections


def part_at(structure: Structure, numbers: tuple[int, ...]) -> Part | None:
    """The part with an IMAP number such as (1, 2); the whole message for ()."""
    part = structure.root
    inside: Part | None = part  # what the next number counts in: a multipart, or a message whose body is its part 1
    for number in numbers:
        if inside is None:
            return None
        if inside.kind is Kind.MULTIPART:
            if not 1 <= number <= len(inside.children):
                return None
            part = inside.children[number - 1]
        elif number == 1:
            part = inside
        else:
            return None
        if part.kind is Kind.MESSAGE:
            inside = part.children[0]
        else:
            inside = part if part.kind is Kind.MULTIPART else None
    return part


_SPEC = re.compile(r"(?:(\d{1,5}(?:\.\d{1,5})*)(?:\.(HEADER|TEXT|MIME))?|(HEADER|TEXT)|)", re.I)


def section_slice(structure: Structure, section: str) -> tuple[int, int] | None:
    """Disk (start, end) of an IMAP section: "", "HEADER", "TEXT", "1.2", "1.2.MIME", "2.HEADER", "2.TEXT".

    None where there is no such part, or where HEADER or TEXT is asked of a part that is no message (RFC 9051 6.4.5.1).
    HEADER.FIELDS is a selection from the HEADER slice: see `headers.select`.
    """
    found = _SPEC.fullmatch(section)
    if not found:
        return None
    root = structure.root
    if not found[1]:
        what = (found[3] or "").upper()
        start = root.body_start if what == "TEXT" else 0
        return start, root.body_start if what == "HEADER" else root.body_end
    part = part_at(structure, tuple(map(int, found[1].split("."))))
    if part is None:
        return None
    what = (found[2] or "").upper()
    if not what:
        return part.body_start, part.body_end
    if what == "MIME":
        return part.header_start, part.body_start
    if part.kind is not Kind.MESSAGE:
        return None
    inner = part.children[0]
    return (inner.header_start, inner.body_start) if what == "HEADER" else (inner.body_start, inner.body_end)


def leaves(structure: Structure) -> Iterator[Part]:
    """The parts that have content of their own, in order, those of embedded messages included."""
    return (part for part in structure.parts if part.kind is Kind.LEAF)
