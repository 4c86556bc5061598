"""The body of DATA: dot-stuffing both ways, and the one decision about bare CR, bare LF and NUL.

Promises: only CRLF.CRLF ends a message (S22, sec-S01); what comes out of `Decoder` (unless broken), `Canonical` and
`Encoder` has CR and LF only as CRLF, whatever went in, so that no later hop can read a second command in it (sec-S02).
Fails by: never raising; `Decoder.broken` says that the body had bytes that RFC 5321 2.3.8 forbids.
Speed: whole buffers with bytes methods, no loop per line. RFC 5321 4.5.2.
"""
import re

_BARE = re.compile(rb"(?<!\r)\n|\r(?!\n)")
_NUL = b"\0"


class Canonical:
    """Any line ends in, CRLF out: a bare LF or CR is a line end. Cut the input anywhere."""

    __slots__ = ("_cr", "changed")

    def __init__(self) -> None:
        self._cr = False
        self.changed = False

    def feed(self, data: bytes) -> bytes:
        """The next bytes; a CR at the end waits for what follows it."""
        if self._cr:
            data = b"\r" + data
        self._cr = data.endswith(b"\r")
        if self._cr:
            data = data[:-1]
        lines = data.count(b"\n")
        if lines == data.count(b"\r\n") and lines == data.count(b"\r"):
            return data
        self.changed = True
        return _BARE.sub(b"\r\n", data)

    def end(self) -> bytes:
        """What is still owed: a last bare CR is a line end, too."""
        cr, self._cr = self._cr, False
        self.changed = self.changed or cr
        return b"\r\n" if cr else b""
