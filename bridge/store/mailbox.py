"""The mailboxes of accounts as IMAP, POP3 and the indexer use them: see README.md beside this file.

Promises: thread-safe; several processes may have the same account open. Reads see what is committed; every change is
committed when the call returns, then others get a hint. Work that can wait (flags into file names, removing expunged
files, describing, checkpoints) is done soon after, see `care`.
Fails by: MailError, FolderGone, MessageGone; StoreError and DiskFull for our own trouble.
"""
import itertools
import threading
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from bridge.config.store import Store
from bridge.model.clock import SYSTEM, Clock
from bridge.model.errors import StoreError
from bridge.store import content, flags, folders, maildir, order, reconcile, tidy, transfer
from bridge.store.body import SMALL, Body, open_file, read_file
from bridge.store.care import Care
from bridge.store.copies import Copy
from bridge.store.driver import Driver, Place
from bridge.store.flock import FileLock
from bridge.store.home import FolderRow, Home, current, row_of, save
from bridge.store.mail import (
    EVERYTHING,
    KEYWORD_SHIFT,
    Changes,
    Column,
    Copied,
    Drop,
    Expunged,
    Fields,
    Folder,
    Listed,
    MessageGone,
    NoSuchFolder,
    Ranges,
    Selected,
    Status,
    Stored,
)
from bridge.store.notify import Hints
from bridge.store.search import Query
from bridge.store.spool import Spooled
from bridge.store.threads import Node
from bridge.store.transfer import Appendable, Draft
from bridge.wire import lines
from bridge.wire.imap.args.searchkey import Key

BODIES = 256 * 1024     # bytes of small messages in one chunk of `bodies`
MAX_VANISHED = 1_000_000
VIEWS = 4               # lists of UIDs remembered per account


class Owner(Protocol):
    """What the store needs to know of an account."""

    @property
    def address(self) -> str: ...

    @property
    def maildir(self) -> Path: ...


class AccountStore:
    """The mailboxes of one account."""

    def __init__(self, home: Home, later: Callable[["AccountStore", str], None]) -> None:
        self.address = home.address
        self.home = home
        self._later = later     # tidy this folder soon
        self._views: dict[tuple[int, int, int], array[int]] = {}

    # -- folders

    def folders(self) -> list[Listed]:
        """All folders and subscribed names, INBOX first."""
        return folders.listed(self.home)

    def create(self, name: str, use: Sequence[str] = ()) -> Folder:
        made = folders.create(self.home, name, use)
        self._changed(made.name)
        return made

    def delete(self, name: str) -> None:
        folders.delete(self.home, _known(name))
        self._changed(name)

    def rename(self, old: str, new: str) -> None:
        folders.rename(self.home, _known(old), new)
        self._changed(old)

    def subscribe(self, name: str, on: bool) -> None:
        folders.subscribe(self.home, name, on)

    def special_use(self, name: str, use: str) -> None:
        folders.special_use(self.home, _known(name), use)

    def folder(self, name: str) -> Folder:
        """The handle of a folder by name."""
        return folders.folder(self.home, _known(name))

    def status(self, name: str) -> Status:
        """All that STATUS can ask, of the folder as it is now."""
        handle = self._adopted(name).handle
        content.measure(self.home, handle)
        with self.home.index.read() as db:
            row = current(db, handle)
            messages, unseen, deleted, size, recent = db.execute(
                "SELECT count(*), coalesce(sum(flags&1=0),0), coalesce(sum(flags&8<>0),0), coalesce(sum(size),0),"
                " coalesce(sum(uid>=?),0) FROM message WHERE folder=?", (row.recent, row.id),
            ).fetchone()
        return Status(
            messages, recent, row.uidnext, row.uidvalidity, unseen, deleted, size, row.highestmodseq,
            handle.mailboxid,
        )

    def _adopted(self, name: str) -> FolderRow:
        """The row of a folder, with all that is new in it."""
        name = _known(name)
        reconcile.refresh(self.home, name)
        with self.home.index.read() as db:
            row = row_of(db, name)
        if row is None:
            raise NoSuchFolder(name)
        return row

    # -- a selected folder

    def select(self, name: str, *, read_only: bool = False) -> Selected:
        """Adopt what is new, and give the view; unless `read_only`, claim what is \\Recent."""
        row = self._adopted(name)
        recent = row.recent
        if not read_only and row.recent < row.uidnext:
            with self.home.index.write() as db:
                row = current(db, row.handle)
                recent = row.recent
                row.recent = row.uidnext
                save(db, row)
            self._later(self, row.name)
        uids = self._uids(row)
        with self.home.index.read() as db:
            unseen = db.execute(
                "SELECT uid FROM message WHERE folder=? AND flags&1=0 ORDER BY uid LIMIT 1", (row.id,)
            ).fetchone()
        return Selected(
            row.handle, uids, row.uidnext, row.highestmodseq, recent, unseen[0] if unseen else 0, row.words,
        )

    def _uids(self, row: FolderRow) -> "array[int]":
        """The members of a folder as of this row; remembered until one comes or goes."""
        key = self.home.index.generation, row.id, row.membership
        held = self._views.get(key)
        if held is None:
            with self.home.index.read() as db:
                now = current(db, row.handle).membership
                held = array("I", [uid for uid, in db.execute(
                    "SELECT uid FROM message WHERE folder=? AND uid<? ORDER BY uid", (row.id, row.uidnext)
                )])
            if now == row.membership:
                while len(self._views) >= VIEWS:
                    self._views.pop(next(iter(self._views)), None)
                self._views[key] = held
        return held[:]

    def refresh(self, folder: Folder) -> bool:
        """Adopt what other programs did; True if there is something to ask `changes` for."""
        changed = reconcile.refresh(self.home, folder.name)
        if changed:
            self._changed(folder.name)
        return changed

    def changes(self, folder: Folder, since: int, uidnext: int) -> Changes | None:
        """What happened after modseq `since`, for a session that knows messages below `uidnext`; None: nothing."""
        with self.home.index.read() as db:
            row = current(db, folder)
            if row.highestmodseq <= since:
                return None
            rows = db.execute(
                "SELECT uid, flags, modseq FROM message WHERE folder=? AND modseq>?", (row.id, since)
            ).fetchall()
            rows.sort()
            appended = [uid for uid, in db.execute(
                "SELECT uid FROM message WHERE folder=? AND uid>=? AND uid<? ORDER BY uid",
                (row.id, uidnext, row.uidnext),
            )]
            gone = _expanded(db.execute(
                "SELECT low, high FROM vanished WHERE folder=? AND modseq>? ORDER BY low", (row.id, since)
            ))
        return Changes(
            row.highestmodseq, row.uidnext, tuple(appended), tuple(one for one in rows if one[0] < uidnext),
            tuple(uid for uid in gone if uid < uidnext), row.words,
        )

    def vanished(self, folder: Folder, since: int, within: Ranges = EVERYTHING) -> tuple[int, ...]:
        """UIDs of `within` (ascending ranges) that were removed after modseq `since`; where that is too long ago, all
        that are not there (RFC 7162 3.2.5)."""
        with self.home.index.read() as db:
            row = current(db, folder)
            if since >= row.floor:
                gone = _expanded(db.execute(
                    "SELECT low, high FROM vanished WHERE folder=? AND modseq>? ORDER BY low", (row.id, since)
                ))
                return tuple(itertools.chain.from_iterable(
                    gone[bisect_left(gone, low) : bisect_right(gone, high)] for low, high in within
                ))
            there = {uid for uid, in db.execute("SELECT uid FROM message WHERE folder=?", (row.id,))}
        return tuple(itertools.islice((
            uid for low, high in within for uid in range(low, min(high, row.uidnext - 1) + 1) if uid not in there
        ), MAX_VANISHED))

    def keywords(self, folder: Folder) -> tuple[str, ...]:
        """The keywords of a folder, for FLAGS and PERMANENTFLAGS."""
        with self.home.index.read() as db:
            return current(db, folder).words

    def flag_text(self, folder: Folder, bits: int, recent: bool = False) -> bytes:
        """Flags as FETCH sends them."""
        if bits >> KEYWORD_SHIFT:
            with self.home.index.read() as db:
                return flags.text_of(bits, current(db, folder).names, recent)
        return flags.text_of(bits, (), recent)

    # -- reading

    def fetch(
        self, folder: Folder, uids: Ranges, columns: Sequence[Column | Fields], *, changed_since: int = 0
    ) -> Iterator[list[tuple[Any, ...]]]:
        """Chunks of rows (uid, value ...) in UID order."""
        return content.fetch(self.home, folder, uids, columns, changed_since)

    def body(self, folder: Folder, uid: int) -> Body:
        """One message, opened."""
        for again in (False, True):
            if again:
                reconcile.refresh(self.home, folder.name, force=True)
            with self.home.index.read() as db:
                current(db, folder)
                found = content.locate(self.home, folder, [uid])
            if not found:
                break
            try:
                with self.home.folder_dirs(folder.name) as dirs:
                    return Body(open_file(dirs, found[0].name, found[0].info), found[0].size)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise StoreError(f"{self.home.path}, {folder.name}: {error}") from error
        raise MessageGone(uid)

    def bodies(self, folder: Folder, uids: Ranges) -> Iterator[list[tuple[int, bytes | Body]]]:
        """Whole messages as wire bytes, a few hundred KB at a time; bigger ones as `Body`, which the caller closes."""
        for low, high in uids:
            at = low
            while at <= high:
                with self.home.index.read() as db:
                    current(db, folder)
                    found = [content.Message(*row) for row in db.execute(
                        "SELECT uid, content, name, info, size FROM message WHERE folder=? AND uid BETWEEN ? AND ?"
                        " ORDER BY uid LIMIT 256", (folder.id, at, high),
                    )]
                at = found[-1].uid + 1 if len(found) == 256 else high + 1
                yield from self._bodies(folder, found)

    def _bodies(
        self, folder: Folder, messages: Sequence[content.Message]
    ) -> Iterator[list[tuple[int, bytes | Body]]]:
        at = 0
        while at < len(messages):
            ready: list[tuple[int, bytes | Body]] = []
            size = 0
            with self.home.folder_dirs(folder.name) as dirs:
                while at < len(messages) and size < BODIES:
                    one = self._whole(folder, dirs, messages[at])
                    if one is not None:
                        ready.append((messages[at].uid, one))
                        size += len(one) if isinstance(one, bytes) else SMALL
                    at += 1
            if ready:
                yield ready

    def _whole(self, folder: Folder, dirs: Place, message: content.Message) -> bytes | Body | None:
        """A message in one piece, or opened where it is big; None where it is gone."""
        try:
            if 0 <= message.size <= SMALL:
                return lines.to_wire(read_file(dirs, message.name, message.info, message.size))
        except FileNotFoundError:
            pass    # moved by another program: look again
        except OSError as error:
            raise StoreError(f"{self.home.path}, {folder.name}: {error}") from error
        try:
            body = self.body(folder, message.uid)
        except MessageGone:
            return None
        if body.size > SMALL:
            return body
        with body:
            return body.read()

    def search(
        self, folder: Folder, key: Key, uids: Sequence[int], *, recent: int = 0, saved: Sequence[int] = (),
        cancelled: Callable[[], bool] = lambda: False,
    ) -> list[int]:
        """UIDs that match, ascending. `uids` is the session's view, `saved` what `$` stands for."""
        return Query(self.home, folder, uids, recent, saved, cancelled).run(key)

    def sort(self, folder: Folder, criteria: Sequence[tuple[str, bool]], uids: Sequence[int]) -> list[int]:
        """These UIDs (the result of `search`) in order."""
        return order.sort(self.home, folder, criteria, uids)

    def thread(
        self, folder: Folder, algorithm: str, uids: Sequence[int], numbers: Mapping[int, int] | None = None
    ) -> list[Node]:
        """These UIDs as threads, for `encode.thread`; `numbers`: sequence numbers for UIDs, where they are wanted."""
        return order.thread(self.home, folder, algorithm, uids, numbers)

    # -- writing

    def store_flags(
        self, folder: Folder, uids: Ranges, mode: str, names: Sequence[str], *, unchanged_since: int | None = None
    ) -> Stored:
        """STORE: `mode` is "" (replace), "+" or "-"."""
        stored = flags.store(self.home, folder, uids, mode, names, unchanged_since)
        self._changed(folder.name)
        return stored

    def draft(self) -> Draft:
        """Where the bytes of an APPEND go while they come in."""
        return Draft(self.home)

    def append(self, name: str, messages: Sequence[Appendable]) -> Copied:
        """Drafts with flags and dates into a folder: all or none, on disk when this returns."""
        name = _known(name)
        copied = transfer.append(self.home, name, messages)
        self._changed(name)
        return copied

    def copy(self, folder: Folder, uids: Ranges, target: str) -> Copied:
        target = _known(target)
        copied = transfer.copy(self.home, folder, uids, target)
        self._changed(target)
        return copied

    def move(self, folder: Folder, uids: Ranges, target: str) -> Copied:
        target = _known(target)
        copied = transfer.move(self.home, folder, uids, target)
        self._changed(folder.name)
        self._changed(target)
        return copied

    def expunge(self, folder: Folder, uids: Ranges = EVERYTHING, *, marked: bool = True) -> Expunged:
        """Remove messages for good; `marked`: only those with \\Deleted."""
        expunged = transfer.expunge(self.home, folder, uids, marked=marked)
        if expunged.uids:
            self._changed(folder.name)
        return expunged

    def deliver(self, spooled: Spooled, copy: Copy, *, again: bool) -> str:
        """One recipient's copy into INBOX, for accounts with a driver (Maildirs: see `delivery`); where it is now."""
        if self.home.driver is None:
            raise TypeError("mail comes into Maildirs by delivery.Maildirs")
        return self.home.driver.deliver(self.home, spooled, copy, again=again)

    # -- POP3

    def maildrop(self, name: str = "INBOX") -> tuple[Folder, list[Drop]]:
        """The messages of a folder for a POP3 session; UIDL as Dovecot makes it, so nobody downloads twice (I52)."""
        name = _known(name)
        reconcile.refresh(self.home, name)
        handle = self.folder(name)
        content.measure(self.home, handle)
        with self.home.index.read() as db:
            rows = db.execute("SELECT uid, size FROM message WHERE folder=? ORDER BY uid", (handle.id,)).fetchall()
        tail = f"{handle.uidvalidity:08x}"
        return handle, [Drop(uid, size, f"{uid:08x}{tail}") for uid, size in rows if size >= 0]

    def lock_maildrop(self, name: str = "INBOX") -> Callable[[], None] | None:
        """The exclusive use of a maildrop; None: another session has it. Call the result to give it back."""
        if self.home.settings.shared_pop3:
            return _nothing
        directory = self.home.directory(_known(name))
        lock = FileLock(self.home.path / directory / "estafeta-pop3.lock")
        try:
            taken = lock.try_acquire()
        except OSError as error:
            raise StoreError(str(error)) from error
        if taken:
            return lock.close
        lock.close()
        return None

    # -- care

    def describe(self, folder: Folder, limit: int = 1000) -> int:
        """Describe messages that are not yet; how many were done."""
        return tidy.describe(self.home, folder, limit)

    def tidy(self, name: str) -> None:
        """What could wait (see `tidy`), describing as well: for tests and repairs."""
        tidy.tidy(self.home, _known(name))
        if not self.home.path.is_dir():
            return
        try:
            handle = self.folder(name)
        except NoSuchFolder:
            return
        while self.describe(handle):
            pass

    def close(self) -> None:
        """Close files; the next call opens them again."""
        self._views.clear()
        self.home.index.close()
        self.home.release()

    def _changed(self, name: str) -> None:
        self.home.hints.hint("mailbox", f"{self.address}\n{name}")
        self._later(self, name)


Drivers = Callable[[Owner], Driver | None]


def _maildirs(owner: Owner) -> Driver | None:
    return None


class Mailstore:
    """The accounts that this process has open. `drivers`: how an account's messages are kept, None: a Maildir;
    `background`: whether what can wait is done soon by itself."""

    def __init__(
        self, settings: Store, *, hints: Hints | None = None, clock: Clock = SYSTEM, background: bool = True,
        drivers: Drivers = _maildirs,
    ) -> None:
        self.settings, self.clock, self._drivers = settings, clock, drivers
        self.hints = hints or Hints()
        self._care = Care(settings, self._close_idle) if background else None
        self._lock = threading.Lock()
        self._open: dict[Path, AccountStore] = {}

    def open(self, owner: Owner) -> AccountStore:
        """The store of an account; cheap."""
        with self._lock:
            found = self._open.get(owner.maildir)
            if found is None or found.address != owner.address:
                home = Home(owner.address, owner.maildir, self.settings, self.hints, self.clock, self._drivers(owner))
                found = self._open[owner.maildir] = AccountStore(home, self._tidy_later)
            return found

    def close(self) -> None:
        """Finish what is due and close everything."""
        if self._care is not None:
            self._care.close()
        for account in self._open.values():
            account.close()

    def _tidy_later(self, account: AccountStore, name: str) -> None:
        if self._care is not None:
            self._care.tidy_later(account.home, name)

    def _close_idle(self) -> None:
        with self._lock:
            everyone = list(self._open.values())
        for account in everyone:
            index = account.home.index
            if index.is_open and index.idle_seconds() > self.settings.idle_close:
                account.close()


def _known(name: str) -> str:
    """A folder name of a client in its one spelling."""
    return maildir.check_name(name)


def _expanded(ranges: Iterable[tuple[int, int]]) -> list[int]:
    return sorted({uid for low, high in ranges for uid in range(low, high + 1)})


def _nothing() -> None:
    return None
