"""DKIM's forms of header fields and bodies; "relaxed" is what survives the small changes that servers make on the way.

Promises: a body may come in chunks of any size, cut anywhere, and costs time in proportion to its length and a constant
amount of memory, whatever is in it. Never fails. RFC 6376 3.4.2, 3.4.4.
"""

import hashlib
import re

_WHITE = b" \t\r\n"
_RUN = re.compile(rb"[ \t]+(\r\n)?")
_FOLD = re.compile(rb"\r?\n")
_SPACES = re.compile(rb"[ \t]+")
_ENDS = b"\r\n" * 32768


def relaxed_field(field: bytes) -> bytes:
    """One header field with its line end, unfolded, its white space squeezed, its name in small letters."""
    name, _, value = field.partition(b":")
    value = _SPACES.sub(b" ", _FOLD.sub(b"", value)).strip(b" ")
    return name.rstrip(b" \t").lower() + b":" + value + b"\r\n"


class RelaxedBody:
    """The SHA-256 of a body in relaxed form: `feed` its CRLF bytes, then `digest` once."""

    __slots__ = ("_any", "_carry", "_hash", "_lines", "_space")

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._any = False
        self._carry = b""       # a CR whose LF may be the next chunk's first byte
        self._lines = 0         # line ends that count only if something follows
        self._space = False     # the same for white space after them

    def feed(self, chunk: bytes) -> None:
        data = self._carry + chunk if self._carry else chunk
        self._carry = b"\r" if data.endswith(b"\r") else b""
        if self._carry:
            data = data[:-1]
        head = data.rstrip(_WHITE)
        if not head:
            self._pass(data)
            return
        core = head.lstrip(_WHITE)
        self._pass(head[: len(head) - len(core)])
        while self._lines:
            count = min(self._lines, len(_ENDS) // 2)
            self._hash.update(_ENDS[: 2 * count])
            self._lines -= count
        if self._space:
            self._hash.update(b" ")
        if b"  " in core or b"\t" in core or b" \r\n" in core:
            core = _RUN.sub(_squeezed, core)
        self._hash.update(core)
        self._any, self._space = True, False
        self._pass(data[len(head) :])

    def digest(self) -> bytes:
        """What `bh=` says; a body of nothing but white space is an empty one."""
        if self._any:
            self._hash.update(b"\r\n")
        return self._hash.digest()

    def _pass(self, white: bytes) -> None:
        """White space alone: it counts when something follows."""
        count = white.count(b"\n")
        if count:
            self._lines += count
            self._space = not white.endswith(b"\n")
        elif white:
            self._space = True


class SimpleBody:
    """The SHA-256 of a body as it is, but for empty lines at its end (RFC 6376 3.4.3)."""

    __slots__ = ("_hash", "_tail")

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._tail = 0          # bytes of CR LF CR LF ... that count only if something follows

    def feed(self, chunk: bytes) -> None:
        head = chunk.rstrip(b"\r\n")
        if head:
            self._flush()
            self._hash.update(head)
        self._tail += len(chunk) - len(head)

    def digest(self) -> bytes:
        """What `bh=` says; a body always ends with one CRLF."""
        self._hash.update(b"\r\n")
        return self._hash.digest()

    def _flush(self) -> None:
        while self._tail:
            size = min(self._tail, len(_ENDS))
            self._hash.update(_ENDS[:size])
            self._tail -= size


def _squeezed(found: re.Match[bytes]) -> bytes:
    return b"\r\n" if found[1] else b" "
