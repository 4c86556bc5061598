"""The driver for mbox: INBOX is a file like /var/mail/USER, which mail, mutt and procmail share; other folders are
Maildirs.

Promises: what others append or change in the file appears, and nothing of theirs is lost: a message is known by its
hash, wherever in the file it moved (D08). The file is written under dot-lock and fcntl lock only, appended to or, where
messages go, rewritten all or nothing (P16). No fields of ours in it; Status and X-Status, which mail and mutt read,
only if `status` says so, and only where the file is rewritten anyway. Reading takes no lock: the hash tells whether it
was the message. A delivery that is repeated is found by its key or its hash.
Fails by: StoreError (also where the file is locked or unsafe), DiskFull; the file is as before.
"""
import os
import re
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from sqlite3 import Connection
from typing import TYPE_CHECKING

from bridge.model.errors import StoreError
from bridge.store import files, mboxfile, mboxjournal, mboxscan
from bridge.store.body import nameless
from bridge.store.copies import Copy, converted, top
from bridge.store.driver import Found, Item, Place, Placed
from bridge.store.mail import ANSWERED, DELETED, DRAFT, FLAGGED, SEEN
from bridge.store.maildir import MAKE, Dirs
from bridge.store.mboxfile import Box, Busy, Rules, Unsafe
from bridge.store.mboxscan import Entry
from bridge.store.spool import Spooled
from bridge.wire.lines import WireWriter

if TYPE_CHECKING:
    from bridge.store.home import Home

REMEMBERED = 1000       # keys of deliveries kept
READERS_WAIT = 5.0      # seconds that a reader waits for the locks
FINE = 50_000_000       # ns: a file's time older than this can't hide a later change

_OLD_STATUS = re.compile(rb"^(?:X-)?Status:[^\n]*\n", re.M | re.I)
_STATUS = ((SEEN, b"R"),)
_X_STATUS = ((ANSWERED, b"A"), (FLAGGED, b"F"), (DRAFT, b"T"), (DELETED, b"D"))


@dataclass(frozen=True, slots=True)
class Mbox:
    """`path`: the INBOX; `status`: write Status and X-Status."""

    path: Path
    rules: Rules
    status: bool = False
    doubts: set[Path] = field(default_factory=set)      # the file isn't as the index thinks, whatever its time says

    @contextmanager
    def shelf(self, home: "Home", name: str, dirs: Dirs) -> Iterator[Place]:
        if name != "INBOX":
            yield dirs
            return
        inbox = Inbox(self, home, dirs)
        try:
            yield inbox
        finally:
            inbox.close()

    def names(self, home: "Home") -> Sequence[str]:
        return ()

    def renamed(self, home: "Home", names: Mapping[str, str]) -> None:
        return None     # INBOX is never renamed

    def removed(self, home: "Home", name: str) -> None:
        return None

    def deliver(self, home: "Home", spooled: Spooled, copy: Copy, *, again: bool) -> str:
        """One recipient's copy, durable at the return; at most once for one message and recipient, unless the process
        died in between and somebody removed the message before the next attempt."""
        key = f"{spooled.envelope.id} {copy.address}"
        if again and self._delivered(home, key, spooled, copy):
            return str(self.path)
        line = mboxfile.separator(copy.sender, spooled.envelope.received_at)
        text = mboxfile.quoted(_bare(chain((top(copy),), converted(spooled))), self.rules.quoting)
        with self.locked() as box:
            box.append(mboxfile.entry(line, text))
        with home.index.write() as db:
            last = db.execute("SELECT coalesce(max(number),0) FROM delivered").fetchone()[0]
            db.execute("INSERT OR REPLACE INTO delivered VALUES(?,?)", (key, last + 1))
            db.execute("DELETE FROM delivered WHERE number<=?", (last + 1 - REMEMBERED,))
        return str(self.path)

    def _delivered(self, home: "Home", key: str, spooled: Spooled, copy: Copy) -> bool:
        with home.index.read() as db:
            if db.execute("SELECT 1 FROM delivered WHERE key=?", (key,)).fetchone():
                return True
        mark, last = blake2b(digest_size=12), b"\n"
        for chunk in _bare(chain((top(copy),), converted(spooled))):
            mark.update(chunk)
            last = chunk or last
        if not last.endswith(b"\n"):
            mark.update(b"\n")
        with home.index.exclusive(), home.folder_dirs("INBOX") as inbox:
            assert isinstance(inbox, Inbox)
            return any(stem.startswith(mark.hexdigest()) for stem in inbox.listing())

    @contextmanager
    def locked(self, patience: float | None = None) -> Iterator[Box]:
        """The file under its locks, made where there is none."""
        rules = self.rules if patience is None else replace(self.rules, patience=patience)
        try:
            files.make_path(self.path.parent, MAKE, mode=0o700)
            with mboxfile.opened(self.path, self.path.parent, rules) as box:
                yield box
        except (Busy, Unsafe) as error:
            raise StoreError(str(error)) from error


class Inbox:
    """The mbox as the folder INBOX. The table is read on the writing connection where it is written in the same breath:
    the other one doesn't see what is not committed."""

    def __init__(self, mbox: Mbox, home: "Home", dirs: Dirs) -> None:
        self.folder, self.identity = dirs.folder, dirs.identity
        self._mbox, self._home = mbox, home
        self._descriptor = -1

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    # -- what is there

    def times(self) -> tuple[int, int]:
        try:
            about = os.stat(self._mbox.path, follow_symlinks=False)
        except FileNotFoundError:
            return 0, 0
        return about.st_mtime_ns, about.st_size

    def listing(self) -> set[str]:
        if not os.path.lexists(self._mbox.path):     # mutt removes a file without mail
            with self._home.index.write() as db:
                db.execute("DELETE FROM mbox")
                db.execute("DELETE FROM mbox_file")
            return set()
        with self._locked() as box:
            self._scan(box.descriptor)
        with self._home.index.write() as db:
            return {name for name, in db.execute("SELECT stem || info FROM mbox")}

    def inspect(self, added: Sequence[Found]) -> list[tuple[int, str, str | None]]:
        wanted = {stem for stem, _ in added}
        with self._home.index.write() as db:
            rows = db.execute("SELECT date, stem, info FROM mbox ORDER BY start").fetchall()
        now = int(self._home.clock.now())
        return [(date or now, stem, info) for date, stem, info in rows if stem in wanted]

    @contextmanager
    def _locked(self, patience: float | None = READERS_WAIT) -> Iterator[Box]:
        with self._mbox.locked(patience) as box:
            mboxjournal.finish(box.descriptor, self.folder)
            yield box

    def _scan(self, descriptor: int) -> None:
        """Bring the table up to date; under all locks."""
        about, looked = os.fstat(descriptor), time.time_ns()
        with self._home.index.write() as db:
            was = db.execute("SELECT device, inode, size, time FROM mbox_file").fetchone()
            known = db.execute("SELECT start, stem FROM mbox ORDER BY start").fetchall()
        if self._mbox.doubts:
            self._mbox.doubts.clear()
            was = None
        now = about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns
        if was == now:
            return
        offset = time.localtime().tm_gmtoff // 60
        found = self._grown(descriptor, was, now, known, offset)
        with self._home.index.write() as db:
            if found is None:
                found, first = list(mboxscan.entries(descriptor, 0, now[2], offset)), 0
                db.execute("DELETE FROM mbox")
            else:
                first = len(known) - 1
                db.execute("DELETE FROM mbox WHERE start>=?", (known[-1][0],))
            rows = [
                (stem, one.start, one.length, one.info, one.date)
                for stem, one in _named(db, [stem for _, stem in known[first:]], found)
            ]
            db.executemany("INSERT INTO mbox VALUES(?,?,?,?,?)", rows)
            _remember(db, now if looked - now[3] > FINE else (*now[:3], 0))

    def _grown(
        self, descriptor: int, was: tuple[int, ...] | None, now: tuple[int, ...], known: list[tuple[int, str]],
        offset: int,
    ) -> list[Entry] | None:
        """The last known message and what follows, if all before is where it was; None: look at all of it. Where only
        the time was too young to be trusted (0), that is looked at in the same way."""
        if was is None or was[:2] != now[:2] or now[2] < was[2] or not known or (now[2] == was[2] and was[3]):
            return None
        if any(os.pread(descriptor, 5, start) != b"From " for start, _ in known):
            return None
        found = list(mboxscan.entries(descriptor, known[-1][0], now[2], offset))
        same = bool(found) and found[0].start == known[-1][0] and known[-1][1].startswith(found[0].hash)
        return found if same else None

    # -- reading

    def open(self, name: str, info: str | None) -> int:
        start, size = self._where(name)
        return nameless(self._pieces(name, start, size), size, self._home.path / "tmp")

    def read(self, name: str, info: str | None) -> bytes:
        return b"".join(self._pieces(name, *self._where(name)))

    def _pieces(self, name: str, start: int, size: int) -> Iterator[bytes]:
        """The message, and at its end: was it this one? Else the file was changed, and the caller looks again."""
        mark = blake2b(digest_size=12)
        for piece in mboxscan.message(self._file(), start, size):
            mark.update(piece)
            yield piece
        if not name.startswith(mark.hexdigest()):
            self._mbox.doubts.add(self._mbox.path)
            raise FileNotFoundError(name)

    def _where(self, name: str) -> tuple[int, int]:
        with self._home.index.read() as db:
            found = db.execute("SELECT start, length FROM mbox WHERE stem=?", (name,)).fetchone()
        if found is None:
            raise FileNotFoundError(name)
        return int(found[0]), int(found[1])

    def _file(self) -> int:
        if self._descriptor < 0:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
            self._descriptor = os.open(self._mbox.path, flags)
        return self._descriptor

    # -- writing

    def put(self, items: Sequence[Item]) -> list[Placed]:
        with self._locked(None) as box:
            self._scan(box.descriptor)
            before = os.fstat(box.descriptor).st_size
            box.append(chain.from_iterable(self._entry(item) for item in items))
            self._scan(box.descriptor)
            with self._home.index.write() as db:
                rows = db.execute("SELECT stem, info, start, length FROM mbox WHERE start>=? ORDER BY start", (before,))
                return [Placed(stem, info, _wire(box.descriptor, start, size)) for stem, info, start, size in rows]

    def _entry(self, item: Item) -> Iterable[bytes]:
        text = mboxfile.quoted(_bare(_chunks(item.descriptor)), self._mbox.rules.quoting)
        return mboxfile.entry(mboxfile.separator("", item.date), text)

    def remove(self, doomed: Sequence[Found]) -> None:
        names = {stem for stem, _ in doomed}
        if not names or not os.path.lexists(self._mbox.path):
            return
        with self._locked(None) as box:
            self._scan(box.descriptor)
            with self._home.index.write() as db:
                rows = db.execute("SELECT start, length, stem FROM mbox ORDER BY start").fetchall()
                wanted = _status_fields(db) if self._mbox.status else {}
            first = next((at for at, row in enumerate(rows) if row[2] in names), len(rows))
            if first == len(rows):
                return
            kept = [row for row in rows[first:] if row[2] not in names]
            room = sum(row[1] for row in rows[first:]) - sum(row[1] for row in kept)
            tail = _Tail(box.descriptor, kept, wanted, room)
            mboxjournal.rewrite(box.descriptor, self.folder, rows[first][0], tail.pieces())
            self._moved(box.descriptor, rows[first][0], tail)

    def _moved(self, descriptor: int, start: int, tail: "_Tail") -> None:
        """The table as the file is now."""
        with self._home.index.write() as db:
            infos = dict(db.execute("SELECT stem, info || ' ' || date FROM mbox WHERE start>=?", (start,)).fetchall())
            db.execute("DELETE FROM mbox WHERE start>=?", (start,))
            for stem, length in tail.written:
                info, _, date = infos[stem].partition(" ")
                db.execute("INSERT INTO mbox VALUES(?,?,?,?,?)", (stem, start, length, info, int(date)))
                start += length
            about = os.fstat(descriptor)
            _remember(db, (about.st_dev, about.st_ino, about.st_size, 0 if tail.changed else about.st_mtime_ns))

    def note(self, infos: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        return []       # the index has the flags


class _Tail:
    """The messages that stay, to be written anew; with other Status fields as far as there is room."""

    def __init__(
        self, descriptor: int, kept: Sequence[tuple[int, int, str]], wanted: Mapping[str, bytes], room: int
    ) -> None:
        self._descriptor, self._kept, self._wanted, self._room = descriptor, kept, wanted, room
        self.written: list[tuple[str, int]] = []
        self.changed = False

    def pieces(self) -> Iterator[bytes]:
        for start, length, stem in self._kept:
            end, more = start + length, 0
            if stem in self._wanted:
                head = os.pread(self._descriptor, min(length, mboxscan.HEAD), start)
                other = _with_status(head, self._wanted[stem])
                more = len(other) - len(head)
                if other != head and more <= self._room:
                    self.changed = True
                    self._room -= more
                    yield other
                    start += len(head)
                else:
                    more = 0
            self.written.append((stem, length + more))
            while start < end:
                piece = os.pread(self._descriptor, min(mboxscan.CHUNK, end - start), start)
                start += len(piece) or end
                yield piece


def _with_status(head: bytes, fields: bytes) -> bytes:
    """The start of an entry with these fields in the place of those that it has."""
    end = head.find(b"\n\n") + 1
    if not end:
        return head
    return _OLD_STATUS.sub(b"", head[:end]) + fields + head[end:]


def _status_fields(db: Connection) -> dict[str, bytes]:
    """Status and X-Status of each message, as mail and mutt write them: O says that it isn't new."""
    found = {}
    query = "SELECT m.name, m.flags FROM message m JOIN folder f ON f.id=m.folder WHERE f.name='INBOX'"
    for stem, flags in db.execute(query):
        status = b"".join(letter for bit, letter in _STATUS if flags & bit) + b"O"
        more = b"".join(letter for bit, letter in _X_STATUS if flags & bit)
        found[stem] = b"Status: " + status + b"\n" + (b"X-Status: " + more + b"\n" if more else b"")
    return found


def _named(db: Connection, known: Sequence[str], found: Sequence[Entry]) -> Iterator[tuple[str, Entry]]:
    """Messages with their names: those of the same hash keep them in the order in which they stand."""
    waiting: dict[str, deque[str]] = {}
    for stem in known:
        waiting.setdefault(stem.partition(".")[0], deque()).append(stem)
    taken = set(known) | {stem for stem, in db.execute("SELECT stem FROM mbox UNION SELECT name FROM doomed")}
    for one in found:
        alike = waiting.get(one.hash)
        if alike:
            yield alike.popleft(), one
            continue
        number = 0
        while f"{one.hash}.{number}" in taken:
            number += 1
        taken.add(f"{one.hash}.{number}")
        yield f"{one.hash}.{number}", one


def _remember(db: Connection, now: tuple[int, ...]) -> None:
    db.execute("DELETE FROM mbox_file")
    db.execute("INSERT INTO mbox_file VALUES(?,?,?,?)", now)


def _chunks(descriptor: int) -> Iterator[bytes]:
    at = 0
    while piece := os.pread(descriptor, mboxscan.CHUNK, at):
        at += len(piece)
        yield piece


def _bare(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Without fields that would set flags: a sender could mark mail as read or deleted with them."""
    held = b""
    begun = False
    for chunk in chunks:
        if begun:
            yield chunk
            continue
        held += chunk
        if b"\n\n" in held or len(held) >= mboxscan.HEAD:
            begun = True
            yield mboxscan.bare(held)
    if not begun:
        yield mboxscan.bare(held)


def _wire(descriptor: int, start: int, length: int) -> int:
    writer = WireWriter()
    return sum(len(writer.feed(chunk)) for chunk in mboxscan.message(descriptor, start, length))
