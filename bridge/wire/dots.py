"""The body of DATA: dot-stuffing both ways, and the one decision about bare CR, bare LF and NUL.

Promises: only CRLF.CRLF ends a message (S22, sec-S01); what comes out of `Decoder`, `Canonical` and `Encoder` has CR
and LF only as CRLF, whatever went in, so that no later hop can read a second command in it (sec-S02).
Fails by: never raising. `Decoder.broken` says that the body had bytes that RFC 5321 2.3.8 forbids: unless it
normalizes, it gives out nothing more and goes on looking for the end.
Speed: whole buffers with bytes methods, no loop per line. RFC 5321 4.5.2.
"""
import re

_BARE = re.compile(rb"(?<!\r)\n|\r(?!\n)")
_END = b"\r\n.\r\n"
LINE_LIMIT = 1 << 20  # longer lines come from no mail program (many real mails break RFC 5321's 998)
_HELD = (b"\r\n.\r", b"\r\n.", b"\r\n", b"\r")  # what may be the beginning of the end, longest first


class Decoder:
    """What follows 354: chunks as the socket gives them in, the message in CRLF form out."""

    __slots__ = ("_canonical", "_first", "_held", "_run", "broken", "endless", "size")

    def __init__(self, *, normalize: bool = False) -> None:
        self._held = b"\r\n"     # as if a line had just ended, so that the first line needs no rule of its own
        self._first = True
        self._canonical = Canonical() if normalize else None
        self._run = 0            # length so far of a line that hasn't ended
        self.broken = False
        self.endless = False     # a line was longer than LINE_LIMIT
        self.size = 0            # bytes read so far, as sent

    def feed(self, data: bytes) -> tuple[bytes, bool, bytes]:
        """(next bytes of the message, whether it ended, what the peer sent after the end)."""
        ended = data.find(b"\n")
        self._run += len(data) if ended < 0 else ended
        if self._run > LINE_LIMIT:
            self.endless = True
        if ended >= 0:
            self._run = len(data) - data.rfind(b"\n") - 1
        buffer = self._held + data
        end = buffer.find(_END)
        if end >= 0:
            body, rest = buffer[: end + 2], buffer[end + 5 :]
            self.size += len(data) - len(rest)
            return self._pass(body, last=True), True, rest
        self.size += len(data)
        keep = next((len(held) for held in _HELD if buffer.endswith(held)), 0)
        self._held = buffer[len(buffer) - keep :]
        return self._pass(buffer[: len(buffer) - keep] if keep else buffer), False, b""

    def _pass(self, body: bytes, *, last: bool = False) -> bytes:
        if not self.broken or self._canonical is not None:
            lines = body.count(b"\r\n")
            if lines != body.count(b"\n") or lines != body.count(b"\r") or 0 in body:
                self.broken = True
        if self.broken and self._canonical is None:
            return b""
        if lines:
            body = body.replace(b"\r\n.", b"\r\n")
        if self._first and body:
            body, self._first = body[2:], False
        if self._canonical is not None:
            body = self._canonical.feed(body.replace(b"\0", b"")) + (self._canonical.end() if last else b"")
        return body


class Canonical:
    """Any line ends in, CRLF out: a bare LF or CR is a line end. Cut the input anywhere."""

    __slots__ = ("_cr",)

    def __init__(self) -> None:
        self._cr = False

    def feed(self, data: bytes) -> bytes:
        """The next bytes; a CR at the end waits for what follows it."""
        if self._cr:
            data = b"\r" + data
        self._cr = data.endswith(b"\r")
        if self._cr:
            data = data[:-1]
        lines = data.count(b"\r\n")
        if lines == data.count(b"\n") and lines == data.count(b"\r"):
            return data
        return _BARE.sub(b"\r\n", data)

    def end(self) -> bytes:
        """What is still owed: a last bare CR is a line end, too."""
        cr, self._cr = self._cr, False
        return b"\r\n" if cr else b""


class Encoder:
    """A message on its way out: canonical, dot-stuffed; `end` adds the missing line end and the final dot."""

    __slots__ = ("_canonical", "_line_start")

    def __init__(self) -> None:
        self._canonical = Canonical()
        self._line_start = True

    def feed(self, data: bytes) -> bytes:
        """The next bytes as they may go out."""
        return self._stuff(self._canonical.feed(data))

    def end(self) -> bytes:
        """The rest and the end of the message."""
        rest = self._stuff(self._canonical.end())
        return rest + (b".\r\n" if self._line_start else b"\r\n.\r\n")

    def _stuff(self, data: bytes) -> bytes:
        if not data:
            return data
        dot = self._line_start and data.startswith(b".")
        self._line_start = data.endswith(b"\r\n")
        data = data.replace(b"\r\n.", b"\r\n..")
        return b"." + data if dot else data


def canonical(data: bytes) -> bytes:
    """`Canonical` for a whole message."""
    one = Canonical()
    return one.feed(data) + one.end()


def encode(message: bytes) -> bytes:
    """`Encoder` for a whole message, with the end."""
    one = Encoder()
    return one.feed(message) + one.end()
