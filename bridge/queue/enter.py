"""The one door: every message, wherever it comes from, becomes a spool file here or is refused.

Promises: the header block is looked at as it passes (hops, size, number of fields), our trace header goes on top, a
message without an end of header gets one, and nothing is said yes to before the spool has it on disk. After each group
the journal hears `accepted` and the queue gets one hint with the ids; both are comfort, neither can fail a message.
Fails by: Refused with the reply to give (too big, too many hops, header too big, no room), StoreError or DiskFull.
Memory: a header block of at most `header_size`, a small message, or one chunk. RFC 5321 4.4, 6.3; SECURITY.md D-2.
"""
import logging
import os
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol

from bridge.model.clock import SYSTEM, Clock, Ids
from bridge.model.envelope import Envelope
from bridge.model.errors import DiskFull, Refused, StoreError
from bridge.model.reply import Reply
from bridge.store.spool import Draft, Spool, Spooled
from bridge.watch.trace import Journal
from bridge.wire import dots
from bridge.wire.dates import rfc5322
from bridge.wire.trace import received

TOO_BIG = Reply(552, "5.3.4", "Message is larger than this server accepts")
HEADER_TOO_BIG = Reply(552, "5.3.4", "Header is larger than this server accepts")
LOOP = Reply(554, "5.4.6", "Too many hops, the message goes round in circles")
NO_ROOM = Reply(452, "4.3.1", "Insufficient system storage, try again later")
DEGRADED = Reply(451, "4.3.0", "Storage trouble, try again later")

_RECEIVED = re.compile(rb"^received[ \t]*:", re.I | re.M)
_FIELD = re.compile(rb"^[^ \t\r\n]", re.M)
_HEADER_LINES = re.compile(rb"(?:[!-9;-~]++[ \t]*+:[^\n]*+\n(?:[ \t][^\n]*+\n)*)*")
_FREE_FOR = 1.0  # seconds that one look at the free space is good for
_log = logging.getLogger(__name__)

Fix = Callable[[bytes, Envelope], bytes]
_SLACK = 2048           # bytes of an envelope's line for what is found when the message is complete


class Look(Protocol):
    """Who is shown a message as it passes: its header block, then its body."""

    def header(self, block: bytes) -> None: ...

    def feed(self, chunk: bytes) -> None: ...


@dataclass(frozen=True, slots=True)
class Limits:
    """What the door lets through."""

    message_size: int = 50_000_000
    header_size: int = 256 * 1024
    header_fields: int = 1000
    hops: int = 50
    free_bytes: int = 0      # 0: twice the message size
    free_inodes: int = 1000

    @property
    def low_water(self) -> int:
        return self.free_bytes or 2 * self.message_size


class Door:
    """Where messages enter. One per process and spool; safe to use from any thread."""

    def __init__(
        self,
        spool: Spool,
        *,
        hostname: str,
        journal: Journal,
        hint: Callable[[Sequence[str]], None] = lambda ids: None,
        limits: Limits | None = None,
        clock: Clock = SYSTEM,
        ids: Ids | None = None,
    ) -> None:
        self.spool, self.hostname, self.journal = spool, hostname, journal
        self.limits = limits or Limits()
        self.ids = ids or Ids(clock, pooled())
        self.clock = clock
        self._hint = hint
        self._room, self._looked = True, float("-inf")
        spool.sealed = self._sealed

    def check_room(self, size: int = 0) -> None:
        """Raise Refused if a message of `size` bytes is too big, or should not be started now (S05, D-10)."""
        if size > self.limits.message_size:
            raise Refused(TOO_BIG)
        if self.spool.degraded:
            raise Refused(DEGRADED)
        now = self.clock.monotonic()
        if now - self._looked >= _FREE_FOR:
            free, inodes = self.spool.free()
            self._room = free >= self.limits.low_water and inodes >= self.limits.free_inodes
            self._looked = now
        if not self._room:
            raise Refused(NO_ROOM)

    def open(self, envelope: Envelope, *, fix: Fix | None = None, look: Look | None = None) -> "Entry":
        """Begin a message. `fix(header block, envelope)` answers the header block to store (submission); `look` is
        shown the message as it came, and `Entry.note` may put what it found into the envelope."""
        return Entry(self, self.spool.begin(envelope, _SLACK if look else 0), fix, look)

    def accept(self, envelope: Envelope, message: bytes | Iterable[bytes], *, fix: Fix | None = None) -> Spooled:
        """The whole message at once; returns when it is safe. Line ends of any kind become CRLF here."""
        self.check_room()
        entry = self.open(envelope, fix=fix)
        try:
            canonical = dots.Canonical()
            for chunk in (message,) if isinstance(message, bytes) else message:
                entry.feed(canonical.feed(chunk))
            entry.feed(canonical.end())
        except BaseException:
            entry.abort()
            raise
        return entry.commit().result()

    def _sealed(self, group: Sequence[Spooled]) -> None:
        for spooled in group:
            self._journal_one(spooled)
        self._hint([spooled.envelope.id for spooled in group])

    def _journal_one(self, spooled: Spooled) -> None:
        envelope, origin = spooled.envelope, spooled.envelope.origin
        extra = {name: value for name, value in (("login", origin.login), ("parent", envelope.parent)) if value}
        if envelope.key != envelope.id:
            extra["key"] = envelope.key
        self.journal.record(
            "accepted",
            envelope.id,
            door=origin.door,
            client=origin.client,
            sender=envelope.sender,
            recipients=len(envelope.recipients),
            first=envelope.recipients[0].address if envelope.recipients else "",
            size=spooled.size,
            **extra,
        )


class Entry:
    """One message on its way through the door. After any exception: `abort()`."""

    __slots__ = ("_door", "_draft", "_fix", "_header", "_last", "_look", "size")

    def __init__(self, door: Door, draft: Draft, fix: Fix | None, look: Look | None = None) -> None:
        self._door, self._draft, self._fix, self._look = door, draft, fix, look
        self._header: bytes | None = b""     # None once the header block has passed
        self._last = b""
        self.size = 0

    @property
    def id(self) -> str:
        return self._draft.envelope.id

    @property
    def large(self) -> bool:
        """True when `feed` writes to the disk: use a thread then."""
        return self._draft.large

    def feed(self, data: bytes) -> None:
        """The next bytes of the message, in canonical CRLF form, cut anywhere."""
        if not data:
            return
        self.size += len(data)
        if self.size > self._door.limits.message_size:
            raise Refused(TOO_BIG)
        self._last = data[-2:] if len(data) > 1 else (self._last + data)[-2:]
        if self._header is None:
            if self._look is not None:
                self._look.feed(data)
            self._draft.write(data)
            return
        seen = len(self._header)
        self._header = self._header + data if seen else data
        end = 0 if self._header.startswith(b"\r\n") else self._header.find(b"\r\n\r\n", max(seen - 3, 0)) + 2
        if end != 1:
            block, rest = self._header[:end], self._header[end:]
            self._pass(block, rest)
        elif len(self._header) > self._door.limits.header_size:
            if self._header.find(b"\n", _header_end(self._header)) < 0:
                raise Refused(HEADER_TOO_BIG)
            self._pass(self._header, b"")  # a line that is no header line has passed: it is the body's

    def finish(self) -> None:
        """The message is complete: `look` has seen all of it. Refused, DiskFull, StoreError."""
        if self._last != b"\r\n" and self.size:
            self.feed(b"\r\n" if not self._last.endswith(b"\r") else b"\n")
        if self._header is not None:
            self._pass(self._header, b"")

    def note(self, trust: str) -> None:
        """What was found, for the envelope; between `finish` and `commit`."""
        self._draft.amend(replace(self._draft.envelope, trust=trust))

    def commit(self) -> "Future[Spooled]":
        """The message is complete: on the disk when the future resolves, or DiskFull, StoreError, Refused."""
        self.finish()
        return self._door.spool.commit(self._draft)

    def abort(self) -> None:
        """Forget it. Never raises."""
        self._header = None
        self._draft.abort()

    def _pass(self, block: bytes, rest: bytes) -> None:
        """The header block ends here (`block` may be no header at all): check it, put ours on top."""
        if block.startswith((b"From ", b">From ")):  # an mbox separator is no header line
            block = block[block.find(b"\n") + 1 :]
        end = _header_end(block)
        if end != len(block):  # a line that is no header line ends the header
            block, rest = block[:end], b"\r\n" + block[end:] + rest
        elif not rest:
            rest = b"\r\n"
        limits = self._door.limits
        if len(block) > limits.header_size or len(_FIELD.findall(block)) > limits.header_fields:
            raise Refused(HEADER_TOO_BIG)
        if len(_RECEIVED.findall(block)) > limits.hops:
            raise Refused(LOOP)
        envelope = self._draft.envelope
        if self._look is not None:
            self._look.header(block)
            self._look.feed(rest[2:])
        if self._fix is not None:
            block = self._fix(block, envelope)
        self._header = None
        self._draft.write(self._trace(envelope) + block + rest)

    def _trace(self, envelope: Envelope) -> bytes:
        origin = envelope.origin
        return received(
            helo=origin.helo,
            client=origin.client,
            hostname=self._door.hostname,
            protocol=origin.protocol or origin.door,
            queue_id=envelope.id,
            recipient=envelope.recipients[0].address if len(envelope.recipients) == 1 else "",
            tls=origin.tls,
            date=date(int(envelope.received_at)),
        )


@lru_cache(maxsize=64)
def date(seconds: int) -> str:
    """A header's date, in the zone of this machine."""
    return rfc5322(seconds, time.localtime(seconds).tm_gmtoff // 60)


def pooled(source: Callable[[int], bytes] = os.urandom) -> Callable[[int], bytes]:
    """Random bytes by the thousand pieces, each given out once, never shared with a forked process: a system call for
    each id would give the interpreter lock away each time."""
    pieces: deque[bytes] = deque()
    owner = 0

    def take(count: int) -> bytes:
        nonlocal owner
        if owner != os.getpid():
            pieces.clear()
            owner = os.getpid()
        try:
            piece = pieces.pop()  # one step, whatever other threads do
        except IndexError:
            block = source(count * 1024)
            pieces.extend(block[at : at + count] for at in range(count, len(block), count))
            piece = block[:count]
        return piece if len(piece) == count else source(count)

    return take


def _header_end(block: bytes) -> int:
    """Where the lines that can be a header end; always matches, if only the empty string."""
    found = _HEADER_LINES.match(block)
    return found.end() if found else 0


__all__ = ["DiskFull", "Door", "Entry", "Fix", "Limits", "Refused", "StoreError", "date", "pooled"]
