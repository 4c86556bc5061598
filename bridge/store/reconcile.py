"""Adopts what other programs did to a folder: new files, flags in renamed files, files that are gone.

Promises: what mutt, procmail, Dovecot or our own delivery put into `new` or `cur` gets a UID, in order of delivery;
nothing of theirs is renamed without need or lost; a UID once given stays with its file, also when the index was
deleted (uidlist); mail that we expunged does not come back (P19). The check that nothing has changed is two stat calls.
Fails by: NoSuchFolder, StoreError, DiskFull; then nothing was adopted, and the next try starts over.

A directory's time tells whether to look. A time so young that another change could carry the same one isn't trusted:
the row then says 0, look again. Names are compared as sets; only what differs costs work in Python. A file is gone
when two listings in a row don't have it, since a listing may miss a file that is renamed meanwhile.
"""
import errno
import os
import stat as kinds
import time
from contextlib import suppress
from dataclasses import dataclass, field
from sqlite3 import Connection

from bridge.model.errors import StoreError
from bridge.store import files, maildir, uidlist
from bridge.store.driver import Found, Place
from bridge.store.failpoints import Failpoint
from bridge.store.home import FolderRow, Home, remove_quietly, row_of, save, take_contents, take_uids, vanish
from bridge.store.mail import KEYWORD_LIMIT, NoSuchFolder

FINE = 50_000_000               # ns: a directory's time older than this can't hide a later change ...
COARSE = 2_000_000_000          # ... or than this, where the file system counts whole seconds
KEYWORD_FILES = ("estafeta-keywords", "dovecot-keywords")

MOVE = Failpoint("reconcile.move", "giving a foreign file a name that we can keep")
KEYWORDS = Failpoint("reconcile.keywords", "writing the names of keyword letters")


def refresh(home: Home, name: str, *, force: bool = False) -> bool:
    """Adopt what is new in a folder; True if its row in the index changed. `force`: look even if nothing seems new."""
    try:
        with home.folder_dirs(name) as dirs:
            if not force and _unchanged(home, name, dirs):
                return False
        with home.index.exclusive(), home.folder_dirs(name) as dirs:
            if not force and _unchanged(home, name, dirs):
                return True     # somebody else has looked while we waited for the lock
            return _Adoption(home, name, dirs).run()
    except OSError as error:
        raise StoreError(f"{home.path}, {name}: {error}") from error


def _unchanged(home: Home, name: str, dirs: Place) -> bool:
    with home.index.read() as db:
        found = db.execute(
            "SELECT id, device, inode, new_time, cur_time FROM folder WHERE name=?", (name,)
        ).fetchone()
    if found is None or (home.index.generation, found[0]) not in home.checked:
        return False
    if found[1:3] != dirs.identity:
        return False
    times = dirs.times()
    if found[3:] == times:
        return True
    # Too young to be trusted for long, but not to be read again and again.
    scanned = home.scanned.get((home.index.generation, found[0]))
    return scanned is not None and scanned[:2] == times and time.time_ns() - scanned[2] < FINE


def trusted_time(changed: int, looked: int) -> int:
    """The time of a directory as it may be remembered by one who looked at `looked`; 0: look again."""
    window = FINE if changed % 1_000_000 else COARSE
    return changed if looked - changed > window else 0


@dataclass(slots=True)
class _Adoption:
    """One pass over one folder, under the account's lock."""

    home: Home
    name: str
    dirs: Place
    row: FolderRow = field(init=False)
    is_new: bool = field(init=False, default=False)
    known_uids: dict[str, int] = field(init=False, default_factory=dict)
    doomed: set[str] = field(init=False, default_factory=set)
    listed: list[tuple[int, str]] = field(init=False, default_factory=list)     # UIDs given out in this pass

    def run(self) -> bool:
        looked = time.time_ns()
        new_time, cur_time = self.dirs.times()
        before = self._establish()
        self._sweep()
        added, renamed, lost = self._compare()
        fresh = self._inspect(added)
        first_known = self.row.uidnext
        self._reserve(fresh)
        with self.home.index.write(full=self.is_new or before is None or self.row.reserved != before) as db:
            if self.is_new:
                self._insert_row(db)
            changed = self._record(db, fresh, renamed, lost)
            self.row.new_time = trusted_time(new_time, looked)
            self.row.cur_time = trusted_time(cur_time, looked)
            self._list_uids(db, fresh, first_known)
            save(db, self.row)
        self.home.checked.add((self.home.index.generation, self.row.id))
        self.home.scanned[self.home.index.generation, self.row.id] = new_time, cur_time, looked
        return changed or self.is_new

    # -- the folder itself

    def _establish(self) -> int | None:
        """The row, made if need be; how many UIDs it had reserved, None if that is to be written durably anyway."""
        with self.home.index.read() as db:
            row = row_of(db, self.name)
        if row is None:
            row = self._moved_here()
        if row is None:
            self._make_row(None)
            return None
        self.row = row
        if (row.device, row.inode) != self.dirs.identity and self._list_of(row) != row.uidvalidity:
            self._make_row(row)
            return None
        row.device, row.inode = self.dirs.identity
        if (self.home.index.generation, row.id) in self.home.checked:
            return row.reserved
        uidvalidity, last = uidlist.last_uid(self.dirs.folder)
        if uidvalidity == row.uidvalidity and last >= row.uidnext:
            self._take_list(row)        # the index lost what the list kept: a power cut, an old copy
            return None
        return row.reserved

    def _moved_here(self) -> FolderRow | None:
        """The row of a directory that another program (or a rename that a crash cut short) gave this name."""
        with self.home.index.read() as db:
            found = db.execute("SELECT * FROM folder WHERE device=? AND inode=?", self.dirs.identity).fetchone()
        if found is None:
            return None
        row = FolderRow(*found)
        try:
            with self.home.folder_dirs(row.name) as dirs:
                if dirs.identity == self.dirs.identity:
                    return None
        except (NoSuchFolder, OSError):
            pass
        if self._list_of(row) != row.uidvalidity:
            return None     # the number of a directory is used again
        row.name = self.name
        return row

    def _list_of(self, row: FolderRow) -> int:
        try:
            listed = uidlist.read(self.dirs.folder)
        except uidlist.Damaged:
            return 0
        return listed.uidvalidity if listed else 0

    def _take_list(self, row: FolderRow) -> None:
        try:
            listed = uidlist.read(self.dirs.folder)
        except uidlist.Damaged:
            return
        if listed:
            self.known_uids = {name: uid for name, uid in listed.uids.items() if uid >= row.uidnext}
            row.uidnext = listed.uidnext + uidlist.SKIP
            row.reserved = row.uidnext

    def _make_row(self, old: FolderRow | None) -> None:
        """A row for a folder that the index doesn't know, with the UIDs of its uidlist where there is a sound one."""
        listed, least = None, old.uidvalidity if old else 0
        try:
            listed = uidlist.read(self.dirs.folder)
        except uidlist.Damaged:
            least = max(least, uidlist.last_uid(self.dirs.folder)[0])
            uidlist.set_aside(self.dirs.folder)
        now = self.home.clock.now()
        with self.home.index.read() as db:
            used = db.execute("SELECT value FROM meta WHERE key='uidvalidity'").fetchone()[0]
            taken = listed and db.execute(
                "SELECT 1 FROM folder WHERE uidvalidity=? AND name<>?", (listed.uidvalidity, self.name)
            ).fetchone()
        if listed and not taken and listed.uidvalidity != (old.uidvalidity if old else 0):
            self.known_uids = listed.uids
            uidvalidity, recent = listed.uidvalidity, listed.uidnext
            uidnext, modseq = listed.uidnext + uidlist.SKIP, int(now * 1000)
        else:
            uidvalidity, recent, uidnext, modseq = max(used + 1, least + 1, int(now)), 1, 1, 1
        self.is_new = True
        self.row = FolderRow(
            old.id if old else 0, self.name, uidvalidity, uidnext, uidnext, modseq, modseq, modseq, recent,
            " ".join(self._keywords()), modseq, *self.dirs.identity, 0, 0,
        )

    def _keywords(self) -> list[str]:
        """Names of the keyword letters, as we or Dovecot wrote them: `0 $Forwarded`, a line each."""
        names: list[str] = []
        for file in KEYWORD_FILES:
            try:
                descriptor = files.open_read(file, folder=self.dirs.folder)
            except OSError:
                continue
            with open(descriptor, encoding="utf-8", errors="replace") as source:
                for line in source.read(65536).splitlines():
                    number, _, name = line.partition(" ")
                    if number != str(len(names)) or len(names) >= KEYWORD_LIMIT or name.split() != [name]:
                        break
                    names.append(name)
            break
        return names

    def _insert_row(self, db: Connection) -> None:
        row = self.row
        if row.id:
            forget(db, row.id)
        made = db.execute(
            "INSERT INTO folder(name, uidvalidity, uidnext, reserved, highestmodseq, membership, floor, recent,"
            " keywords, flushed, device, inode, new_time, cur_time) VALUES(?,?,0,0,0,0,0,0,'',0,0,0,0,0)",
            (row.name, row.uidvalidity),
        )
        assert made.lastrowid
        row.id = made.lastrowid
        db.execute("UPDATE meta SET value=max(value, ?) WHERE key='uidvalidity'", (row.uidvalidity,))

    # -- what is there

    def _sweep(self) -> None:
        if not self.is_new:
            with self.home.index.read() as db:
                doomed = db.execute("SELECT name, info FROM doomed WHERE folder=?", (self.row.id,)).fetchall()
            self.doomed = {name for name, _ in doomed}
            if isinstance(self.dirs, maildir.Dirs):
                for name, info in doomed:
                    remove_file(self.dirs, name, info)
            elif doomed:
                with suppress(StoreError):      # the next sweep tries again
                    self.dirs.remove(doomed)

    def _compare(self) -> tuple[list[Found], list[tuple[int, int, Found]], list[int]]:
        """(files that are new to us, (uid, flags, new place) of renamed files, UIDs of files that are gone)."""
        known_new, known_cur = self._known()
        new, cur = _listings(self.dirs)
        lost_new, lost_cur = known_new - new, known_cur - cur
        if lost_new or lost_cur:
            new, cur = _listings(self.dirs)
            lost_new, lost_cur = lost_new - new, lost_cur - cur
        appeared: list[Found] = [(name, None) for name in new - known_new]
        appeared.extend(maildir.split(name) for name in cur - known_cur)
        if self.doomed:
            self._finish(appeared)
            appeared = [found for found in appeared if found[0] not in self.doomed]
        if not appeared and not lost_new and not lost_cur:
            return [], [], []
        if not known_new and not known_cur:
            return self._resolve(appeared, set()), [], []
        return self._match(appeared, lost_new, lost_cur)

    def _known(self) -> tuple[set[str], set[str]]:
        if self.is_new:
            return set(), set()
        with self.home.index.read() as db:
            query = "SELECT name FROM message WHERE folder=? AND info IS NULL"
            new = {name for name, in db.execute(query, (self.row.id,))}
            query = "SELECT name || info FROM message WHERE folder=? AND info IS NOT NULL"
            return new, {name for name, in db.execute(query, (self.row.id,))}

    def _match(
        self, appeared: list[Found], lost_new: set[str], lost_cur: set[str]
    ) -> tuple[list[Found], list[tuple[int, int, Found]], list[int]]:
        with self.home.index.read() as db:
            rows = {
                row[0]: row for row in
                db.execute("SELECT name, uid, flags, info FROM message WHERE folder=?", (self.row.id,))
            }
        lost = lost_new | {maildir.split(name)[0] for name in lost_cur}
        if not lost <= rows.keys():
            raise StoreError(f"{self.home.path}: its index was taken away at this moment")     # a whole Maildir was
        added: list[Found] = []
        renamed: list[tuple[int, int, Found]] = []
        for found in sorted(appeared, key=_cur_first):
            if found[0] not in lost:
                added.append(found)
                continue
            lost.discard(found[0])
            _, uid, flags, info = rows[found[0]]
            renamed.append((uid, self._merged(flags, info, found[1]), found))
        taken = set(rows)
        return self._resolve(added, taken), renamed, sorted(rows[stem][1] for stem in lost)

    def _merged(self, flags: int, old: str | None, new: str | None) -> int:
        """Our flags with the difference that another program made in the name."""
        known = len(self.row.names)
        was, now = maildir.bits_of(old or "", known), maildir.bits_of(new or "", known)
        return flags & ~(was & ~now) | now & ~was

    def _resolve(self, added: list[Found], taken: set[str]) -> list[Found]:
        """Files of which the index can take the names; others get a name of ours."""
        if (not taken and _all_sound(added)) or not isinstance(self.dirs, maildir.Dirs):
            return added
        out: list[Found] = []
        for found in sorted(added, key=_cur_first) if len(added) > 1 else added:
            stem, info = found
            if stem in taken or not maildir.is_sound(stem) or (info is None and maildir.MARK in stem):
                place = self._renamed(self.dirs, stem, info, taken)
                if place is None:
                    continue
                stem, info = place
            taken.add(stem)
            out.append((stem, info))
        return out

    def _renamed(self, dirs: maildir.Dirs, stem: str, info: str | None, taken: set[str]) -> Found | None:
        """Move a file with a name that we can't keep (or that exists twice) to `cur` under one that we can."""
        source = dirs.new if info is None else dirs.cur
        plain, rest = maildir.split(stem) if info is None else (stem, info)
        if plain in taken or not maildir.is_sound(plain):
            if plain in taken and self._same_file(dirs, stem, info, plain):
                remove_quietly(stem + (info or ""), source)     # a second name of the same file, left by a crash
                return None
            plain = maildir.unique()
        rest = rest if rest.startswith(maildir.MARK) and rest.isascii() else maildir.MARK
        try:
            files.rename(stem + (info or ""), plain + rest, MOVE, old_folder=source, new_folder=dirs.cur)
        except FileNotFoundError:
            return None
        return plain, rest

    def _same_file(self, dirs: maildir.Dirs, stem: str, info: str | None, plain: str) -> bool:
        with self.home.index.read() as db:
            other = db.execute(
                "SELECT name, info FROM message WHERE folder=? AND name=?", (self.row.id, plain)
            ).fetchone()
        if other is None:
            return False
        try:
            mine = os.stat(stem + (info or ""), dir_fd=dirs.new if info is None else dirs.cur)
            theirs = os.stat(other[0] + (other[1] or ""), dir_fd=dirs.new if other[1] is None else dirs.cur)
        except OSError:
            return False
        return (mine.st_dev, mine.st_ino) == (theirs.st_dev, theirs.st_ino)

    def _inspect(self, added: list[Found]) -> list[tuple[int, int, str, str | None]]:
        """(date, known UID or 0, stem, info) of new messages, in the order in which they get UIDs."""
        out: list[tuple[int, int, str, str | None]] = []
        known = self.known_uids
        if not isinstance(self.dirs, maildir.Dirs):
            return [(date, known.get(stem, 0), stem, info) for date, stem, info in self.dirs.inspect(added)]
        new, cur = self.dirs.new, self.dirs.cur
        is_file, stat = kinds.S_ISREG, os.stat
        for stem, info in added:
            try:
                if info is None:
                    about = stat(stem, dir_fd=new, follow_symlinks=False)
                else:
                    about = stat(stem + info, dir_fd=cur, follow_symlinks=False)
            except OSError:
                continue
            if is_file(about.st_mode):
                out.append((int(about.st_mtime), known.get(stem, 0), stem, info))
        out.sort(key=_by_delivery)
        return out

    # -- into the index

    def _reserve(self, fresh: list[tuple[int, int, str, str | None]]) -> None:
        count = sum(1 for one in fresh if not one[1])
        if count:
            take_uids(self.row, count)

    def _record(
        self, db: Connection, fresh: list[tuple[int, int, str, str | None]],
        renamed: list[tuple[int, int, Found]], lost: list[int],
    ) -> bool:
        row = self.row
        flagged = []
        for uid, flags, (_, info) in renamed:
            before = db.execute("SELECT flags FROM message WHERE folder=? AND uid=?", (row.id, uid)).fetchone()[0]
            if before != flags:
                flagged.append((flags, uid))
            db.execute("UPDATE message SET info=? WHERE folder=? AND uid=?", (info, row.id, uid))
        if not (fresh or flagged or lost):
            return False
        row.highestmodseq += 1
        modseq = row.highestmodseq
        db.executemany(
            "UPDATE message SET flags=?, modseq=? WHERE folder=? AND uid=?",
            [(flags, modseq, row.id, uid) for flags, uid in flagged],
        )
        if lost:
            db.executemany("DELETE FROM message WHERE folder=? AND uid=?", [(row.id, uid) for uid in lost])
            vanish(db, row, lost)
        if fresh:
            self._insert(db, fresh)
        if fresh or lost:
            row.membership = modseq
        return True

    def _insert(self, db: Connection, fresh: list[tuple[int, int, str, str | None]]) -> None:
        row = self.row
        uid = row.uidnext - sum(1 for one in fresh if not one[1])
        content = take_contents(db, len(fresh))
        saved, known, modseq, folder = int(self.home.clock.now()), len(row.names), row.highestmodseq, row.id
        bits_of, wire_size = maildir.bits_of, maildir.wire_size
        values = []
        for date, old, stem, info in fresh:
            values.append((
                folder, old or uid, bits_of(info, known) if info else 0, modseq, wire_size(stem), date, saved, content,
                stem, info,
            ))
            content += 1
            if not old:
                uid += 1
        if self.known_uids:
            values.sort()
        self.listed = [(one[1], one[8]) for one in values]
        db.executemany("INSERT INTO message VALUES(?,?,?,?,?,?,?,?,?,?)", values)

    def _list_uids(self, db: Connection, fresh: list[tuple[int, int, str, str | None]], first: int) -> None:
        """Put new UIDs into the uidlist, before the commit: a line too many does no harm, one too few may."""
        row = self.row
        missing = self.is_new or self.known_uids or not uidlist.size(self.dirs.folder)
        if not missing and not fresh:
            return
        if not missing and uidlist.last_uid(self.dirs.folder) < (row.uidvalidity, first):
            uidlist.append(self.dirs.folder, self.listed)
        elif self.is_new:
            uidlist.write(self.dirs.folder, row.uidvalidity, row.uidnext, self.listed)
        else:
            write_list(db, row, self.dirs.folder)

    def _finish(self, appeared: list[Found]) -> None:
        """Files that we wanted to remove and that somebody has renamed meanwhile."""
        for stem, info in appeared:
            if stem in self.doomed and isinstance(self.dirs, maildir.Dirs):
                remove_file(self.dirs, stem, info)


def forget(db: Connection, folder: int) -> None:
    """Remove a folder from the index."""
    db.execute("DELETE FROM message WHERE folder=?", (folder,))
    db.execute("DELETE FROM vanished WHERE folder=?", (folder,))
    db.execute("DELETE FROM doomed WHERE folder=?", (folder,))
    db.execute("DELETE FROM folder WHERE id=?", (folder,))


def write_list(db: Connection, row: FolderRow, folder: int, *, sync: bool = True) -> None:
    """The uidlist of a folder as the index has it."""
    rows = db.execute("SELECT uid, name FROM message WHERE folder=? ORDER BY uid", (row.id,))
    try:
        uidlist.write(folder, row.uidvalidity, row.uidnext, rows, sync=sync)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise


def remove_file(dirs: maildir.Dirs, stem: str, info: str | None) -> None:
    """Remove a message's file wherever it is by now."""
    remove_quietly(stem, dirs.new) if info is None else remove_quietly(stem + info, dirs.cur)


def _listings(dirs: Place) -> tuple[set[str], set[str]]:
    """File names in new and cur, or what a driver has in their place."""
    if isinstance(dirs, maildir.Dirs):
        return set(_listing(dirs.new)), set(_listing(dirs.cur))
    return set(), dirs.listing()


def _listing(folder: int) -> list[str]:
    """File names of a directory; those with a dot in front are not mail."""
    return [name for name in os.listdir(folder) if name[0] != "."]


def _all_sound(added: list[Found]) -> bool:
    """Whether all names are different and fit to be kept: one look at all of them."""
    stems = [stem for stem, _ in added]
    text = "".join(stems)
    return text.isprintable() and maildir.MARK not in text and len(max(stems, key=len, default="")) < 250 and (
        len(set(stems)) == len(stems)
    )


def _cur_first(found: Found) -> tuple[bool, str]:
    return found[1] is None, found[0]


def _by_delivery(one: tuple[int, int, str, str | None]) -> tuple[int, str]:
    return maildir.seconds(one[2]) or one[0], one[2]
