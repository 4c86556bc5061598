"""Pieces of one message: sections, partial ranges, decoded content.

Promises: the message is mapped, not read, where it is big, and its structure is found once per message and command;
a piece in memory is at most `SMALL` bytes, what is bigger comes in chunks; sizes are sizes on the wire, with CRLF.
A part that isn't there is NIL, as RFC 9051 section 6.4.5.1 wants it.
RFC: 3501 and 9051 section 6.4.5, 3516 (BINARY).
"""
from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType

from bridge.serve.imap.trouble import Refusal
from bridge.store.body import Body
from bridge.wire import headers, lines, mime, text
from bridge.wire.imap import encode
from bridge.wire.imap.args.message import Item, Section

SMALL = 1 << 20             # a bigger piece is streamed, a bigger message mapped
WINDOW = 64 * 1024
_ENCODINGS = frozenset((
    b"", b"7bit", b"8bit", b"binary", b"quoted-printable", b"base64", b"x-uuencode", b"uuencode", b"x-uue", b"uue",
))  # fmt: skip


@dataclass(slots=True)
class Piece:
    """An answer's value: `head` is what stands before its bytes, `data` None where they come as `chunks`."""

    head: bytes
    data: bytes | None = b""
    size: int = 0
    chunks: Iterator[bytes] = field(default_factory=lambda: iter(()))


def is_known_part(section: Section) -> bool:
    """Whether the numbers can be those of a part."""
    return all(0 < number <= mime.MAX_PARTS for number in section.part)


class Reader:
    """One message; a context manager."""

    __slots__ = ("_body", "_data", "_map", "_structure")

    def __init__(self, body: Body) -> None:
        self._body = body
        self._data: bytes | mmap.mmap | None = None
        self._map: mmap.mmap | None = None
        self._structure: mime.Structure | None = None

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *error: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._map is not None:
            self._data = self._structure = None
            self._map.close()
        self._body.close()

    # -- pieces

    def piece(self, item: Item) -> Piece:
        """What is asked, NIL where there is no such thing."""
        section = item.section
        assert section is not None
        if item.name != "BODY[]":
            return self._binary(item, section)
        if not section.part and not section.kind:
            return self._whole(item)
        if section.kind.startswith("HEADER.FIELDS"):
            return self._fields(item, section)
        return self._slice(item, self._place(section))

    def _whole(self, item: Item) -> Piece:
        body = self._body
        start, size = _range(item, body.size)
        if size <= SMALL:
            return _literal(body.read(start, size) if item.partial else body.read())
        return Piece(encode.literal_header(size), None, size, body.chunks(start, size))

    def _fields(self, item: Item, section: Section) -> Piece:
        place = self._place(Section(section.part, "HEADER"))
        if place is None:
            return Piece(encode.NIL)
        names = [name.encode("ascii") for name in section.fields]
        block = lines.to_wire(self._bytes(*place))
        if section.kind.endswith("NOT"):
            block = block.removesuffix(b"\r\n") if block.endswith(b"\r\n\r\n") or block == b"\r\n" else block
            found = headers.select(block, names, exclude=True) + b"\r\n"
        else:
            found = headers.select(block, names) + b"\r\n"
        return _cut(item, found)

    def _slice(self, item: Item, place: tuple[int, int] | None) -> Piece:
        if place is None:
            return Piece(encode.NIL)
        first, last = place
        if last - first <= SMALL:
            return _cut(item, lines.to_wire(self._bytes(first, last)))
        total = sum(map(len, self._wire(first, last)))
        start, size = _range(item, total)
        if size <= SMALL:
            return _literal(b"".join(_window(self._wire(first, last), start, size)))
        return Piece(encode.literal_header(size), None, size, _window(self._wire(first, last), start, size))

    def _binary(self, item: Item, section: Section) -> Piece:
        part = mime.part_at(self._scanned(), section.part)
        if part is None:
            return Piece(encode.NIL if item.name == "BINARY[]" else b"0")
        if section.part and part.kind is mime.Kind.LEAF and part.encoding not in _ENCODINGS:
            raise Refusal("The encoding of this part is unknown", "UNKNOWN-CTE")
        if not section.part:
            content = lines.to_wire(self._bytes(0, len(self._source())))
        elif part.kind is not mime.Kind.LEAF or part.encoding in (b"", b"7bit", b"8bit", b"binary"):
            content = lines.to_wire(self._bytes(part.body_start, part.body_end))
        else:
            content = text.transfer_decode(self._bytes(part.body_start, part.body_end), part.encoding)
            if part.encoding == b"quoted-printable":
                content = lines.to_wire(content)
        if item.name == "BINARY.SIZE[]":
            return Piece(b"%d" % len(content))
        start, size = _range(item, len(content))
        content = content[start : start + size]
        return Piece(encode.literal_header(len(content), b"\0" in content), content)

    # -- the message

    def _source(self) -> bytes | mmap.mmap:
        if self._data is None:
            if self._body.disk_size <= SMALL:
                self._data = self._body.disk()
            else:
                self._data = self._map = self._body.mapped()
        return self._data

    def _scanned(self) -> mime.Structure:
        if self._structure is None:
            self._structure = mime.scan(self._source())
        return self._structure

    def _place(self, section: Section) -> tuple[int, int] | None:
        if not section.part and section.kind in ("HEADER", "TEXT"):
            source = self._source()
            start = headers.body_start(source)
            return (0, start) if section.kind == "HEADER" else (start, len(source))
        numbers = ".".join(map(str, section.part))
        return mime.section_slice(self._scanned(), f"{numbers}.{section.kind}" if section.kind else numbers)

    def _bytes(self, start: int, stop: int) -> bytes:
        return bytes(self._source()[start:stop])

    def _wire(self, start: int, stop: int) -> Iterator[bytes]:
        """A stretch of the file with CRLF."""
        writer = lines.WireWriter()
        source = self._source()
        while start < stop:
            end = min(stop, start + WINDOW)
            yield writer.feed(bytes(source[start:end]))
            start = end


def _range(item: Item, total: int) -> tuple[int, int]:
    """(start, size) of what is asked of so many bytes."""
    if item.partial is None:
        return 0, total
    start, length = item.partial
    start = min(start, total)
    return start, min(length, total - start)


def _cut(item: Item, data: bytes) -> Piece:
    if item.partial is None:
        return _literal(data)
    start, size = _range(item, len(data))
    return _literal(data[start : start + size])


def _literal(data: bytes) -> Piece:
    if b"\0" in data:
        data = data.replace(b"\0", b"\x80")
    return Piece(encode.literal_header(len(data)), data)


def _window(chunks: Iterator[bytes], start: int, size: int) -> Iterator[bytes]:
    """`size` bytes from `start` on."""
    for chunk in chunks:
        if start >= len(chunk):
            start -= len(chunk)
            continue
        chunk = chunk[start : start + size]
        start = 0
        size -= len(chunk)
        yield chunk
        if not size:
            return
