"""Messages coming, going and changing places: APPEND, COPY, MOVE, EXPUNGE.

Promises: an appended message is on disk, file and name, before the answer, and several are all there or none; a copy
is a hard link with the index rows, cached bytes included; a move is one rename per message, so a crash leaves each
message in one place; an expunged message stays gone (its name is doomed in the same durable transaction that removes
the row, then the file goes, then the doom: P19).
Fails by: NoSuchFolder, MailError, DiskFull, StoreError; then nothing has changed, at worst a stray file was adopted.
"""
import errno
import os
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import datetime
from sqlite3 import Connection

from bridge.model.errors import StoreError
from bridge.store import files, maildir, reconcile, uidlist
from bridge.store.body import CHUNK, open_file
from bridge.store.driver import Found, Item, Place, Placed, Shelf
from bridge.store.failpoints import Failpoint
from bridge.store.flags import learn
from bridge.store.home import (
    FolderRow,
    Home,
    current,
    remove_quietly,
    row_of,
    save,
    take_contents,
    take_uids,
    vanish,
)
from bridge.store.mail import (
    DELETED,
    KEYWORD_SHIFT,
    SYSTEM_MASK,
    Copied,
    Expunged,
    Folder,
    Ranges,
)
from bridge.wire.lines import DiskWriter

IN_MEMORY = 256 * 1024      # a bigger draft goes to a file while it comes in
AT_ONCE = 64                # messages carried between folders of different kinds at once
NEW_CONTENT = -1            # what is cached of the source doesn't hold for the copy
INLINE = 64                 # expunged files up to this many are removed at once

WRITE = Failpoint("append.write", "writing an appended message")
SYNC = Failpoint("append.sync", "syncing an appended message")
SHOW = Failpoint("append.show", "giving an appended message its name")
FOLDER = Failpoint("append.folder", "syncing the folder of an appended message")
COPY = Failpoint("copy.link", "linking a copied message")
COPY_FOLDER = Failpoint("copy.folder", "syncing the folder of copied messages")
MOVE = Failpoint("move.rename", "moving a message's file to another folder")
REMOVE = Failpoint("expunge.unlink", "removing the file of an expunged message")
REMOVE_FOLDER = Failpoint("expunge.folder", "syncing a folder from which files were removed")


# ---- drafts

@dataclass(slots=True, eq=False)
class Draft:
    """A message that is coming in with CRLF; a sink for APPEND literals. Lone CR and LF become line ends (sec-I13)."""

    home: Home
    disk: int = 0
    newlines: int = 0
    _pieces: list[bytes] = field(default_factory=list)
    _writer: DiskWriter = field(default_factory=DiskWriter)
    _descriptor: int = -1
    _name: str = ""

    @property
    def wire(self) -> int:
        return self.disk + self.newlines

    def write(self, data: bytes | memoryview) -> None:
        piece = self._writer.feed(bytes(data))
        self.disk += len(piece)
        self.newlines += piece.count(b"\n")
        if self._descriptor >= 0:
            files.write(self._descriptor, piece, WRITE)
            return
        self._pieces.append(piece)
        if self.disk > IN_MEMORY:
            self._spill()

    def _spill(self) -> None:
        """Put what there is into a file; from now on everything goes there."""
        name = f"tmp/{maildir.unique()}"
        with self.home.root() as root:
            self._descriptor = files.create(name, WRITE, folder=root)
        self._name = name
        pieces, self._pieces = self._pieces, []
        files.write(self._descriptor, b"".join(pieces), WRITE)

    def end(self) -> None:
        """All bytes have come."""

    def settle(self, date: float) -> str:
        """Make it a durable file below the Maildir's tmp; its name."""
        if self._descriptor < 0:
            self._spill()
        os.utime(self._descriptor, (date, date))
        files.fdatasync(self._descriptor, SYNC)
        os.close(self._descriptor)
        self._descriptor = -1
        return self._name

    def abandon(self) -> None:
        """Forget it; harmless after `append`."""
        self._pieces.clear()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        if self._name:
            with self.home.root() as root:
                remove_quietly(self._name, root)
            self._name = ""


Appendable = tuple[Draft, Sequence[str], datetime | None]


def append(home: Home, name: str, messages: Sequence[Appendable]) -> Copied:
    """All of these into a folder, or none."""
    now = home.clock.now()
    dates = [date.timestamp() if date else now for _, _, date in messages]
    try:
        settled = [draft.settle(date) for (draft, _, _), date in zip(messages, dates)]
        with home.index.exclusive(), home.folder_dirs(name) as dirs, home.root() as root:
            row = _row(home, name)
            return _append(home, row, dirs, root, list(zip(settled, messages, dates)), int(now))
    except OSError as error:
        raise StoreError(f"{home.path}, {name}: {error}") from error
    finally:
        for draft, _, _ in messages:
            draft.abandon()


def _append(
    home: Home, row: FolderRow, dirs: Place, root: int, settled: list[tuple[str, Appendable, float]], now: int
) -> Copied:
    reserved, first = row.reserved, take_uids(row, len(settled))
    uids = tuple(range(first, row.uidnext))
    shown: list[Placed] = []
    try:
        with home.index.write(full=row.reserved != reserved) as db:
            row.highestmodseq = row.membership = row.highestmodseq + 1
            content = take_contents(db, len(settled))
            values: list[tuple[object, ...]] = []
            names: list[str] = []
            bits, used = [], 0
            for _, (_, flags, _), _ in settled:
                bits.append(learn(home, db, row, flags, used))
                used |= bits[-1]
            infos = [maildir.info_of(one, None, len(row.names)) for one in bits]
            with home.own_change(row, dirs):
                for at, one in enumerate(_shown(dirs, root, settled, infos, shown)):
                    names.append(one.stem)
                    place = (one.wire, int(settled[at][2]), now, content + at, one.stem, one.info)
                    values.append((row.id, first + at, bits[at], row.highestmodseq, *place))
            db.executemany("INSERT INTO message VALUES(?,?,?,?,?,?,?,?,?,?)", values)
            list_uids(db, row, dirs, first, names)
            save(db, row)
    except BaseException:
        _take_back(dirs, [(one.stem, one.info) for one in shown])
        raise
    return Copied(row.uidvalidity, (), uids, row.highestmodseq)


def _shown(
    dirs: Place, root: int, settled: list[tuple[str, Appendable, float]], infos: Sequence[str], shown: list[Placed]
) -> list[Placed]:
    """The drafts as messages of the folder, durable; `shown` says how far it got."""
    if isinstance(dirs, maildir.Dirs):
        for (source, (draft, _, _), _), info in zip(settled, infos):
            stem = maildir.sized(draft.disk, draft.wire)
            files.rename(source, stem + info, SHOW, old_folder=root, new_folder=dirs.cur)
            shown.append(Placed(stem, info, draft.wire))
        files.sync_folder(dirs.cur, FOLDER)
        return shown
    with ExitStack() as opened:
        items = []
        for (source, _, date), info in zip(settled, infos):
            descriptor = files.open_read(source, folder=root)
            opened.callback(os.close, descriptor)
            items.append(Item(descriptor, date, info))
        shown.extend(dirs.put(items))
    return shown


def _take_back(dirs: Place, shown: Sequence[Found]) -> None:
    """Remove what has been put already; what stays is adopted as a message."""
    if isinstance(dirs, maildir.Dirs):
        for stem, info in shown:
            remove_quietly(stem + (info or ""), dirs.cur)
    elif shown:
        with suppress(OSError, StoreError):
            dirs.remove(shown)


def _row(home: Home, name: str) -> FolderRow:
    """The row of a folder, which is adopted where it isn't known; under the lock."""
    with home.index.read() as db:
        row = row_of(db, name)
    if row is None or (home.index.generation, row.id) not in home.checked:
        reconcile.refresh(home, name, force=True)
        with home.index.read() as db:
            row = row_of(db, name)
    assert row is not None
    return row


def list_uids(db: Connection, row: FolderRow, dirs: Place, first: int, names: Sequence[str]) -> None:
    """Append new UIDs to the uidlist, or write it anew where it is behind."""
    if uidlist.size(dirs.folder) and uidlist.last_uid(dirs.folder) < (row.uidvalidity, first):
        uidlist.append(dirs.folder, zip(range(first, first + len(names)), names))
    else:
        reconcile.write_list(db, row, dirs.folder)


# ---- copy and move

Source = tuple[int, int, int, int, int, str, str | None]    # uid, flags, size, date, content, name, info


def copy(home: Home, folder: Folder, uids: Ranges, target: str) -> Copied:
    """COPY: hard links and rows."""
    reconcile.refresh(home, folder.name)
    with home.index.exclusive():
        return _transfer(home, folder, uids, target, moving=False)


def move(home: Home, folder: Folder, uids: Ranges, target: str) -> Copied:
    """MOVE: renames; the UIDs of `source` are gone from the folder afterwards."""
    reconcile.refresh(home, folder.name)
    with home.index.exclusive():
        return _transfer(home, folder, uids, target, moving=True)


def _transfer(home: Home, folder: Folder, uids: Ranges, target: str, *, moving: bool) -> Copied:
    with home.folder_dirs(folder.name) as here, home.folder_dirs(target) as there:
        goal = _row(home, target)
        with home.index.read() as db:
            origin = current(db, folder)
            sources = _sources(db, folder, uids)
        if goal.id == origin.id:
            goal = origin
        reserved, first = goal.reserved, take_uids(goal, len(sources))
        done: list[tuple[Source, str, str]] = []
        try:
            doomed = moving and not isinstance(here, maildir.Dirs)
            with home.index.write(full=goal.reserved != reserved or doomed) as db:
                flags = _translated(home, db, origin, goal, sources)
                with home.own_change(goal, there), home.own_change(origin, here):
                    _place(here, there, sources, flags, len(goal.names), moving, done)
                if done and isinstance(there, maildir.Dirs):
                    files.sync_folder(there.cur, COPY_FOLDER)
                goal.uidnext = first + len(done)
                _record(home, db, origin, goal, done, first, flags, moving)
                list_uids(db, goal, there, first, [stem for _, stem, _ in done])
                if moving:
                    _doom(db, here, there, origin, done)
                    save(db, origin)
                save(db, goal)
        except BaseException:
            _undo(here, there, done, moving)
            raise
    if moving and not isinstance(here, maildir.Dirs):
        with suppress(StoreError):
            sweep(home, folder)
    source = tuple(one[0] for one, _, _ in done)
    return Copied(goal.uidvalidity, source, tuple(range(first, first + len(done))), origin.highestmodseq)


def _sources(db: Connection, folder: Folder, uids: Ranges) -> list[Source]:
    found: list[Source] = []
    for low, high in uids:
        found.extend(db.execute(
            "SELECT uid, flags, size, date, content, name, info FROM message WHERE folder=? AND uid BETWEEN ? AND ?"
            " ORDER BY uid", (folder.id, low, high),
        ))
    return found


def _translated(
    home: Home, db: Connection, origin: FolderRow, goal: FolderRow, sources: Sequence[Source]
) -> dict[int, int]:
    """Flags of the source folder -> flags of the target, where keywords may have other numbers."""
    out: dict[int, int] = {}
    names, used = origin.names, 0
    for flags in {one[1] for one in sources}:
        keywords = [name for k, name in enumerate(names) if flags >> KEYWORD_SHIFT + k & 1]
        bits = flags & SYSTEM_MASK
        out[flags] = bits | learn(home, db, goal, keywords, used) if keywords else bits
        used |= out[flags]
    return out


def _place(
    here: Place, there: Place, sources: Sequence[Source], flags: dict[int, int], known: int,
    moving: bool, done: list[tuple[Source, str, str]],
) -> None:
    """Put the messages into the target; those that are gone are left out."""
    if not isinstance(here, maildir.Dirs) or not isinstance(there, maildir.Dirs):
        for start in range(0, len(sources), AT_ONCE):
            _carry(here, there, sources[start:start + AT_ONCE], flags, known, done)
        return
    for one in sources:
        name, info = one[5], one[6]
        stem = maildir.unique() + "".join(maildir.sizes_of(name))
        rest = maildir.info_of(flags[one[1]], None, known)
        old, folder = (name, here.new) if info is None else (name + info, here.cur)
        try:
            if moving:
                files.rename(old, stem + rest, MOVE, old_folder=folder, new_folder=there.cur)
            else:
                _link(old, folder, stem + rest, there)
        except FileNotFoundError:
            continue
        done.append((one, stem, rest))


def _carry(
    here: Place, there: Place, sources: Sequence[Source], flags: dict[int, int], known: int,
    done: list[tuple[Source, str, str]],
) -> None:
    """Copies of some messages, where the two folders are kept in different ways or not in files."""
    with ExitStack() as opened:
        items: list[tuple[Source, Item]] = []
        for one in sources:
            try:
                descriptor = open_file(here, one[5], one[6])
            except FileNotFoundError:
                continue
            opened.callback(os.close, descriptor)
            items.append((one, Item(descriptor, one[3], maildir.info_of(flags[one[1]], None, known))))
        if isinstance(there, maildir.Dirs):
            for one, item in items:
                stem = maildir.sized(os.fstat(item.descriptor).st_size, one[2]) if one[2] >= 0 else maildir.unique()
                _copy_file(item.descriptor, stem + item.info, there, item.date)
                done.append((one, stem, item.info))
            return
        for (one, _), placed in zip(items, there.put([item for _, item in items])):
            content = one[4] if placed.wire == one[2] else NEW_CONTENT
            source = (one[0], one[1], placed.wire, one[3], content, one[5], one[6])
            done.append((source, placed.stem, placed.info))


def _doom(
    db: Connection, here: Place, there: Place, origin: FolderRow, done: Sequence[tuple[Source, str, str]]
) -> None:
    """A moved message that was copied is still in the old place: it is to go (P19)."""
    if isinstance(here, maildir.Dirs) and isinstance(there, maildir.Dirs):
        return
    rows = [(origin.id, one[5], one[6]) for one, _, _ in done]
    db.executemany("INSERT OR REPLACE INTO doomed VALUES(?,?,?)", rows)


def _link(old: str, source: int, new: str, there: maildir.Dirs) -> None:
    """A second name for the file, or a copy of it where the file system has no more links."""
    try:
        files.link(old, new, COPY, old_folder=source, new_folder=there.cur)
        return
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EMLINK, errno.EPERM):
            raise
    reading = files.open_read(old, folder=source)
    try:
        _copy_file(reading, new, there, os.fstat(reading).st_mtime)
    finally:
        os.close(reading)


def _copy_file(reading: int, new: str, there: maildir.Dirs, date: float) -> None:
    """A file of its own with the same content."""
    writing = files.create(new, WRITE, folder=there.tmp)
    try:
        at = 0
        while piece := os.pread(reading, CHUNK, at):
            files.write(writing, piece, WRITE)
            at += len(piece)
        os.utime(writing, (date, date))
        files.fdatasync(writing, SYNC)
    finally:
        os.close(writing)
    files.rename(new, new, COPY, old_folder=there.tmp, new_folder=there.cur)


def _record(
    home: Home, db: Connection, origin: FolderRow, goal: FolderRow, done: Sequence[tuple[Source, str, str]], first: int,
    flags: dict[int, int], moving: bool,
) -> None:
    if not done:
        return
    now = int(home.clock.now())
    if moving:
        origin.highestmodseq = origin.membership = origin.highestmodseq + 1
        db.executemany("DELETE FROM message WHERE folder=? AND uid=?", [(origin.id, one[0]) for one, _, _ in done])
        vanish(db, origin, [one[0] for one, _, _ in done])
    goal.highestmodseq = goal.membership = goal.highestmodseq + 1
    contents = [one[4] if one[4] != NEW_CONTENT else take_contents(db, 1) for one, _, _ in done]
    db.executemany("INSERT INTO message VALUES(?,?,?,?,?,?,?,?,?,?)", [
        (goal.id, first + at, flags[one[1]], goal.highestmodseq, one[2], one[3], now, contents[at], stem, rest)
        for at, (one, stem, rest) in enumerate(done)
    ])


def _undo(here: Place, there: Place, done: Sequence[tuple[Source, str, str]], moving: bool) -> None:
    if not isinstance(here, maildir.Dirs) or not isinstance(there, maildir.Dirs):
        _take_back(there, [(stem, rest) for _, stem, rest in done])
        return
    for one, stem, rest in done:
        if not moving:
            remove_quietly(stem + rest, there.cur)
            continue
        name, info = one[5], one[6]
        try:
            back = here.new if info is None else here.cur
            os.rename(stem + rest, name + (info or ""), src_dir_fd=there.cur, dst_dir_fd=back)
        except OSError:
            continue    # it is adopted where it is now


# ---- expunge

def expunge(home: Home, folder: Folder, uids: Ranges, *, marked: bool) -> Expunged:
    """Remove messages; `marked`: only those with \\Deleted. Few files go at once, many with the next `sweep`."""
    with home.index.exclusive():
        with home.index.read() as db:
            row = current(db, folder)
            mask = DELETED if marked else 0
            gone = [uid for low, high in uids for uid, in db.execute(
                "SELECT uid FROM message WHERE folder=? AND uid BETWEEN ? AND ? AND flags&?=? ORDER BY uid",
                (row.id, low, high, mask, mask),
            )]
        if not gone:
            return Expunged((), row.highestmodseq)
        with home.index.write(full=True) as db:
            row.highestmodseq = row.membership = row.highestmodseq + 1
            for low, high in uids:
                db.execute(
                    "INSERT OR REPLACE INTO doomed SELECT folder, name, info FROM message WHERE folder=?"
                    " AND uid BETWEEN ? AND ? AND flags&?=?", (row.id, low, high, mask, mask),
                )
                db.execute(
                    "DELETE FROM message WHERE folder=? AND uid BETWEEN ? AND ? AND flags&?=?",
                    (row.id, low, high, mask, mask),
                )
            vanish(db, row, gone)
            save(db, row)
    home.garbage += len(gone)
    if len(gone) <= INLINE:
        with suppress(StoreError):      # it is gone all the same; the next sweep removes the file
            sweep(home, folder)
    return Expunged(tuple(gone), row.highestmodseq)


def sweep(home: Home, folder: Folder) -> int:
    """Remove the files of expunged messages; how many."""
    with home.index.read() as db:
        doomed = db.execute("SELECT name, info FROM doomed WHERE folder=?", (folder.id,)).fetchall()
    if not doomed:
        return 0
    try:
        with home.folder_dirs(folder.name) as dirs:
            if not isinstance(dirs, maildir.Dirs):
                return _sweep_shelf(home, folder, dirs)
            missing = {name for name, info in doomed if not _remove(dirs, name, info)}
            if missing:
                _remove_renamed(dirs, missing)
            files.sync_folder(dirs.new, REMOVE_FOLDER)
            files.sync_folder(dirs.cur, REMOVE_FOLDER)
            home.recheck.add(folder.name)
    except OSError as error:
        raise StoreError(f"{home.path}, {folder.name}: {error}") from error
    with home.index.write() as db:
        db.executemany("DELETE FROM doomed WHERE folder=? AND name=?", [(folder.id, name) for name, _ in doomed])
    return len(doomed)


def _sweep_shelf(home: Home, folder: Folder, shelf: Shelf) -> int:
    with home.index.exclusive():
        with home.index.read() as db:
            doomed = db.execute("SELECT name, info FROM doomed WHERE folder=?", (folder.id,)).fetchall()
        shelf.remove(doomed)
        home.recheck.add(folder.name)
        with home.index.write() as db:
            db.executemany("DELETE FROM doomed WHERE folder=? AND name=?", [(folder.id, name) for name, _ in doomed])
    return len(doomed)


def _remove(dirs: maildir.Dirs, name: str, info: str | None) -> bool:
    if info is None:
        return files.unlink(name, REMOVE, folder=dirs.new)
    return files.unlink(name + info, REMOVE, folder=dirs.cur)


def _remove_renamed(dirs: maildir.Dirs, stems: set[str]) -> None:
    """Files that another program renamed or moved to cur meanwhile."""
    for folder in (dirs.new, dirs.cur):
        for filename in os.listdir(folder):
            if maildir.split(filename)[0] in stems:
                files.unlink(filename, REMOVE, folder=folder)
