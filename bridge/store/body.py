"""One stored message as a stream with CRLF, and many small ones at once.

Promises: memory is bounded (64 KB at a time) however big the message is; what was opened stays readable, also when the
message is expunged meanwhile, and is closed when nobody holds it any more. Offsets are wire offsets: with CRLF, as
IMAP counts. Reading on from where the last read ended is cheap; going back starts over.
Fails by: `MessageGone`, StoreError.
"""
import mmap
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType

from bridge.store import files, maildir
from bridge.store.driver import Place
from bridge.wire import lines

CHUNK = 64 * 1024
SMALL = 1 << 20         # messages up to this size are read at once


class Body:
    """An opened message file; a context manager. `size`: bytes on the wire."""

    __slots__ = ("_at", "_descriptor", "_disk", "_rest", "_verbatim", "_writer", "disk_size", "size")

    def __init__(self, descriptor: int, size: int = -1) -> None:
        self._descriptor = descriptor
        self.disk_size = os.fstat(descriptor).st_size
        self.size = size if size >= 0 else _measure(descriptor)
        self._verbatim = self.size == self.disk_size
        self._rewind()

    def _rewind(self) -> None:
        self._at = 0                # wire offset of the first byte of _rest
        self._disk = 0
        self._rest = b""
        self._writer = lines.WireWriter()

    def chunks(self, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The wire bytes from `start` on, about 64 KB at a time."""
        stop = self.size if length is None else min(self.size, start + length)
        if self._verbatim:
            yield from self._plain(start, stop)
            return
        if start < self._at:
            self._rewind()
        while start < stop:
            if not self._rest:
                raw = os.pread(self._descriptor, CHUNK, self._disk)
                if not raw:
                    return
                self._disk += len(raw)
                self._rest = self._writer.feed(raw)
                continue
            before = min(start - self._at, len(self._rest))
            piece = self._rest[before : stop - self._at]
            self._at += before + len(piece)
            self._rest = self._rest[before + len(piece) :]
            start += len(piece)
            if piece:
                yield piece

    def _plain(self, start: int, stop: int) -> Iterator[bytes]:
        while start < stop:
            piece = os.pread(self._descriptor, min(CHUNK, stop - start), start)
            if not piece:
                return
            start += len(piece)
            yield piece

    def read(self, start: int = 0, length: int | None = None) -> bytes:
        """The wire bytes from `start` on, `length` of them at most."""
        if start == 0 and length is None and self.disk_size <= SMALL:
            data = os.pread(self._descriptor, self.disk_size, 0)
            return data if self._verbatim else lines.to_wire(data)
        return b"".join(self.chunks(start, length))

    def disk(self) -> bytes:
        """The message as it is on disk, for the parser."""
        return os.pread(self._descriptor, self.disk_size, 0)

    def mapped(self) -> mmap.mmap:
        """The message as it is on disk without reading it all; the caller closes it. Not for an empty one."""
        return mmap.mmap(self._descriptor, 0, access=mmap.ACCESS_READ)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:
        self.close()    # of one that was opened in a thread for a client that has gone nobody else knows

    def __enter__(self) -> "Body":
        return self

    def __exit__(self, *error: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()


def _measure(descriptor: int) -> int:
    """The wire size of a file, read in chunks."""
    at = total = 0
    writer = lines.WireWriter()
    while True:
        raw = os.pread(descriptor, CHUNK, at)
        if not raw:
            return total
        at += len(raw)
        total += len(writer.feed(raw))


def wire_size(data: bytes) -> int:
    """The wire size of a whole message in memory."""
    return len(data) + data.count(b"\n") - (data.count(b"\r\n") if b"\r" in data else 0)


def nameless(pieces: Iterable[bytes], size: int, folder: Path) -> int:
    """A file without a name that holds these bytes, about `size` of them: in memory, or in `folder` where they are
    many. What the pieces raise, this raises, too."""
    if size <= SMALL:
        made = os.memfd_create("message", os.MFD_CLOEXEC)
    else:
        made, path = tempfile.mkstemp(dir=folder)
        os.unlink(path)
    try:
        for piece in pieces:
            rest = memoryview(piece)
            while rest:
                rest = rest[os.write(made, rest) :]
        os.lseek(made, 0, os.SEEK_SET)
    except BaseException:
        os.close(made)
        raise
    return made


def open_file(dirs: Place, name: str, info: str | None) -> int:
    """The file of a message; FileNotFoundError where another program has moved it."""
    if not isinstance(dirs, maildir.Dirs):
        return dirs.open(name, info)
    if info is None:
        return files.open_read(name, folder=dirs.new)
    return files.open_read(name + info, folder=dirs.cur)


def read_file(dirs: Place, name: str, info: str | None, guess: int) -> bytes:
    """A whole message as it is on disk. `guess`: its size or more, -1: unknown."""
    if not isinstance(dirs, maildir.Dirs):
        return dirs.read(name, info)
    descriptor = open_file(dirs, name, info)
    try:
        if guess < 0:
            guess = os.fstat(descriptor).st_size
        data = os.read(descriptor, guess + 1)       # not more: a big buffer costs more than the reading
        return data if len(data) <= guess else data + _rest(descriptor)
    finally:
        os.close(descriptor)


def read_head(dirs: Place, name: str, info: str | None, least: int = 8192) -> bytes:
    """The start of a message, at least its header block (as far as that is not absurdly long)."""
    descriptor = open_file(dirs, name, info)
    try:
        data = os.read(descriptor, least)
        while len(data) >= least and b"\n\n" not in data and b"\n\r\n" not in data and least < SMALL:
            more = os.read(descriptor, least)
            if not more:
                break
            data += more
            least = len(data)
        return data
    finally:
        os.close(descriptor)


def _rest(descriptor: int) -> bytes:
    pieces = []
    while piece := os.read(descriptor, SMALL):
        pieces.append(piece)
    return b"".join(pieces)

