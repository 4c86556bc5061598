r"""Line ends between disk and wire: stored mail has LF, the protocols have CRLF.

Promise: `to_wire` keeps CRLF and makes CRLF of a lone LF; `to_disk` makes LF of CRLF and of a lone CR, so that no CR
can hide a line from one reader and show it to another (RFC 5321 2.3.8).  The classes do the same for a stream whose
chunks may cut a CRLF in two.  Nothing here can fail.
"""

from __future__ import annotations

import re

_LONE_LF = re.compile(rb"(?<!\r)\n")


def to_wire(data: bytes) -> bytes:
    """Whole text from disk to wire: CRLF stays, lone LF becomes CRLF, lone CR stays."""
    if b"\r" in data:
        return _LONE_LF.sub(b"\r\n", data)
    return data.replace(b"\n", b"\r\n")


def to_disk(data: bytes) -> bytes:
    """Whole text from wire to disk: CRLF and lone CR become LF."""
    if b"\r" not in data:
        return data
    return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


class WireWriter:
    """Disk chunks in, wire chunks out; remembers whether the last byte was a CR."""

    __slots__ = ("_after_cr",)

    def __init__(self) -> None:
        self._after_cr = False

    def feed(self, chunk: bytes) -> bytes:
        if not chunk:
            return b""
        if self._after_cr and chunk[0] == 10:
            out = b"\n" + to_wire(chunk[1:])
        else:
            out = to_wire(chunk)
        self._after_cr = chunk[-1] == 13
        return out


class DiskWriter:
    """Wire chunks in, disk chunks out; a CR at the end of a chunk has become LF, so an LF that follows is dropped."""

    __slots__ = ("_after_cr",)

    def __init__(self) -> None:
        self._after_cr = False

    def feed(self, chunk: bytes) -> bytes:
        if not chunk:
            return b""
        if self._after_cr and chunk[0] == 10:
            chunk = chunk[1:]
            if not chunk:
                self._after_cr = False
                return b""
        self._after_cr = chunk[-1] == 13
        return to_disk(chunk)
