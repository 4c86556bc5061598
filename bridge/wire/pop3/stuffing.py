"""A stored message as the multi-line answer to RETR and TOP.

Promises: the bytes of the message as they are, with a dot before each line that begins with one; `END` closes the
answer, with a line end before it only where the message had none, so that announced sizes are exact (I48).
Never fails. The classes take chunks cut anywhere. RFC 1939 3, 7 (TOP).
"""

import re

END = b".\r\n"
_DOT = re.compile(rb"\n\.")    # twice as fast as `in` on a message without one


def stuffed(message: bytes) -> bytes:
    """A whole message, with the end of the answer."""
    tail = END if message.endswith(b"\r\n") or not message else b"\r\n.\r\n"
    if _DOT.search(message):
        message = message.replace(b"\r\n.", b"\r\n..")
    if message[:1] == b".":
        message = b"." + message
    return message + tail


class Stuffer:
    """The same for a stream."""

    __slots__ = ("_tail",)

    def __init__(self) -> None:
        self._tail = b"\r\n"  # the last bytes that went out, as far as they may end a line

    def feed(self, chunk: bytes) -> bytes:
        """The next bytes."""
        if not chunk:
            return b""
        before, self._tail = self._tail, (self._tail + chunk[-2:])[-2:]
        out = chunk.replace(b"\r\n.", b"\r\n..")
        if before == b"\r\n" and chunk[0] == 46:
            return b"." + out
        if before[-1:] == b"\r" and chunk[:2] == b"\n.":
            return b"\n.." + out[2:]
        return out

    def end(self) -> bytes:
        """The end of the answer."""
        return END if self._tail == b"\r\n" else b"\r\n.\r\n"


class Top:
    """The header, the empty line and the first lines of the body, from a stream; `done` when no more is needed."""

    __slots__ = ("_body", "_held", "_lines", "done")

    def __init__(self, lines: int) -> None:
        self._lines = lines
        self._held = b"\r\n"     # a message may begin with its empty line
        self._body = False
        self.done = False

    def feed(self, chunk: bytes) -> bytes:
        """That part of `chunk` which belongs to the answer."""
        if self.done:
            return b""
        if self._body:
            return chunk[: self._count(chunk, 0)]
        text = self._held + chunk
        end = text.find(b"\r\n\r\n")
        if end < 0:
            skip = len(self._held)
            self._held = text[-3:]
            return text[skip:]
        self._body = True
        return text[len(self._held) : self._count(text, end + 4)]

    def _count(self, text: bytes, position: int) -> int:
        """Where the wanted lines end, looking from `position`."""
        while self._lines:
            found = text.find(b"\n", position)
            if found < 0:
                return len(text)
            position = found + 1
            self._lines -= 1
        self.done = True
        return position
