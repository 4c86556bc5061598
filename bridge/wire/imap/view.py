"""The client's numbered picture of the selected mailbox, and the lines that bring it up to date.

`uids` is what the client was told: message number n is `uids[n - 1]`. What the server learns goes in by
`appended`, `expunged` and `flags`, at any time, in the order in which it happened, and waits; `flush` tells it and
makes it part of the picture. Numbers in a command therefore always mean what the client thinks they mean.

Promises: a client that applies the flushed lines in order has the list of `uids`, and after `flush(expunge=True)` that
is the server's list; a message that came and went between two flushes is never mentioned; no EXPUNGE or VANISHED
comes out of `flush(expunge=False)`. Flags of a message are told once, as they were last, and after its EXISTS.
Fails by: nothing; UIDs that are not in the mailbox are ignored.
RFC: 3501 and 9051 section 7.4 (order and timing), 7162 (MODSEQ, VANISHED), 9586 (UIDONLY).
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from bridge.wire.imap import encode

_LONG = 16  # expunges from which on the list is rebuilt rather than cut


@dataclass(frozen=True, slots=True)
class Dialect:
    """How this client wants to be told."""

    vanished: bool = False  # QRESYNC: VANISHED instead of EXPUNGE
    modseq: bool = False  # CONDSTORE: MODSEQ in every FETCH
    with_uid: bool = False  # UID in every FETCH (after a UID command; always with QRESYNC)
    uidonly: bool = False  # UIDFETCH and VANISHED, no numbers at all
    recent: bool = True  # IMAP4rev1: RECENT


REV1: Final = Dialect()


class View:
    """One session's picture of one mailbox."""

    __slots__ = ("_appended", "_expunged", "_flags", "_recent", "uids")

    def __init__(self, uids: Iterable[int] = (), recent: Iterable[int] = ()) -> None:
        self.uids: array[int] = array("I", uids)
        self._recent: set[int] = set(recent)
        self._appended: set[int] = set()
        self._expunged: set[int] = set()
        self._flags: dict[int, tuple[bytes, int]] = {}

    # -- looking -----------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.uids)

    def number(self, uid: int) -> int:
        """The sequence number of a UID; 0 where the client doesn't know it."""
        at = bisect_left(self.uids, uid)
        return at + 1 if at < len(self.uids) and self.uids[at] == uid else 0

    def uid(self, number: int) -> int:
        """The UID at a sequence number from 1 on; 0 where there is none."""
        return self.uids[number - 1] if 1 <= number <= len(self.uids) else 0

    def recent(self, uid: int) -> bool:
        r"""Whether this session shows the message as \Recent."""
        return uid in self._recent

    @property
    def recent_count(self) -> int:
        r"""Messages shown as \Recent."""
        return len(self._recent)

    def gone(self, uid: int) -> bool:
        """Whether a message that the client still numbers is expunged already."""
        return uid in self._expunged

    @property
    def pending(self) -> bool:
        """Whether there is something to tell."""
        return bool(self._appended or self._expunged or self._flags)

    # -- learning ----------------------------------------------------------------------------------------------

    def appended(self, uids: Iterable[int], recent: bool = False) -> None:
        """Messages came; UIDs that are not above all the client knows are old news."""
        last = self.uids[-1] if self.uids else 0
        fresh = [uid for uid in uids if uid > last]
        self._appended.update(fresh)
        if recent:
            self._recent.update(fresh)

    def expunged(self, uids: Iterable[int]) -> None:
        """Messages went."""
        for uid in uids:
            if uid in self._appended:
                self._appended.discard(uid)
            elif self.number(uid):
                self._expunged.add(uid)
            else:
                continue
            self._recent.discard(uid)
            self._flags.pop(uid, None)

    def flags(self, uid: int, flags: bytes, modseq: int = 0) -> None:
        r"""Flags changed; `flags` is the ready list, `(\Seen)`, without \Recent. The highest modseq wins."""
        if uid in self._expunged:
            return
        known = self._flags.get(uid)
        if known is None or modseq >= known[1]:
            self._flags[uid] = (flags, modseq)

    def forget_flags(self, uids: Iterable[int]) -> None:
        """The client knows these flags: it has just been told them in another way (STORE .SILENT, FETCH FLAGS)."""
        for uid in uids:
            self._flags.pop(uid, None)

    # -- telling -----------------------------------------------------------------------------------------------

    def flush(self, expunge: bool = True, dialect: Dialect = REV1) -> bytes:
        """The untagged lines that are allowed now; empty where there is nothing to tell."""
        if not self.pending:
            return b""
        out: list[bytes] = []
        if expunge and self._expunged:
            out.append(self._tell_expunged(dialect))
        if self._appended:
            out.append(self._tell_appended(dialect))
        if self._flags:
            out.append(self._tell_flags(dialect))
        return b"".join(out)

    def _tell_expunged(self, dialect: Dialect) -> bytes:
        gone = sorted(self._expunged)
        self._expunged.clear()
        places = [bisect_left(self.uids, uid) for uid in gone]
        if len(places) < _LONG:
            for place in reversed(places):
                del self.uids[place]
        else:
            self.uids = _without(self.uids, places)
        if dialect.vanished or dialect.uidonly:
            return encode.vanished(gone)
        # From the last to the first, so that no number shifts under a later line.
        return b"".join([b"* %d EXPUNGE\r\n" % (place + 1) for place in reversed(places)])

    def _tell_appended(self, dialect: Dialect) -> bytes:
        self.uids.extend(sorted(self._appended))
        self._appended.clear()
        line = encode.exists(len(self.uids))
        return line + encode.recent(len(self._recent)) if dialect.recent else line

    def _tell_flags(self, dialect: Dialect) -> bytes:
        out: list[bytes] = []
        for uid in sorted(self._flags):
            number = self.number(uid)
            if not number:
                continue
            flags, modseq = self._flags[uid]
            out.append(self.fetch_flags(number, uid, flags, modseq, dialect))
        self._flags.clear()
        return b"".join(out)

    def fetch_flags(self, number: int, uid: int, flags: bytes, modseq: int, dialect: Dialect) -> bytes:
        """One FETCH line with flags, as `flush` and STORE tell it."""
        if dialect.recent and uid in self._recent:
            flags = flags[:-1] + (b" \\Recent)" if len(flags) > 2 else b"\\Recent)")
        items = [b"FLAGS " + flags]
        if (dialect.with_uid or dialect.vanished) and not dialect.uidonly:
            items.insert(0, b"UID %d" % uid)
        if dialect.modseq:
            items.append(b"MODSEQ (%d)" % modseq)
        return encode.fetch(uid if dialect.uidonly else number, items, dialect.uidonly)


def _without(uids: array[int], places: list[int]) -> array[int]:
    """The array without these ascending places, copied in stretches."""
    left: array[int] = array("I")
    start = 0
    for place in places:
        left += uids[start:place]
        start = place + 1
    left += uids[start:]
    return left
