"""One account's Maildir, opened: its index, its directories by descriptor, its folders as rows.

Promises: a descriptor lent by `dirs` stays open while it is lent, and leads to the directory that has the name now
(a deleted and newly made Maildir is noticed). A folder's row is made together with the adoption of its mail, so
nobody sees a folder without its messages. UIDs come from blocks that are reserved on disk first.
"""
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from bridge.config.store import Store
from bridge.model.clock import Clock
from bridge.model.errors import StoreError
from bridge.store import files, maildir
from bridge.store.driver import Driver, Place
from bridge.store.index import Index
from bridge.store.mail import Folder, FolderGone, NoSuchFolder
from bridge.store.notify import Hints
from bridge.wire.imap.seqset import ranges_of

UID_BLOCK = 64          # UIDs reserved at once
SPARE_DIRS = 4          # opened folders kept for the next use
MAX_UID = (1 << 32) - 2
FREE = "-"              # among the keywords of a folder: a bit that the next new one may take


@dataclass(slots=True)
class FolderRow:
    """A row of table `folder`, field by field."""

    id: int
    name: str
    uidvalidity: int
    uidnext: int
    reserved: int
    highestmodseq: int
    membership: int
    floor: int
    recent: int
    keywords: str
    flushed: int
    device: int
    inode: int
    new_time: int
    cur_time: int

    @property
    def handle(self) -> Folder:
        return Folder(self.id, self.name, self.uidvalidity)

    @property
    def names(self) -> tuple[str, ...]:
        """The keywords by their bits, FREE where a bit has none."""
        return tuple(self.keywords.split())

    @property
    def words(self) -> tuple[str, ...]:
        """The keywords that there are."""
        return tuple(name for name in self.names if name != FREE)


_UPDATE = """UPDATE folder SET name=?, uidvalidity=?, uidnext=?, reserved=?, highestmodseq=?, membership=?, floor=?,
  recent=?, keywords=?, flushed=?, device=?, inode=?, new_time=?, cur_time=? WHERE id=?"""


@dataclass(slots=True)
class _Lent:
    dirs: maildir.Dirs
    users: int = 0
    stale: bool = False


@dataclass(slots=True, eq=False)
class Home:
    """`path`: the Maildir."""

    address: str
    path: Path
    settings: Store
    hints: Hints
    clock: Clock
    driver: Driver | None = None            # None: all folders are Maildirs
    index: Index = field(init=False)
    recheck: set[str] = field(init=False, default_factory=set)      # folders that we changed ourselves
    # (generation, folder) -> times of new and cur, and of the scan
    scanned: dict[tuple[int, int], tuple[int, int, int]] = field(init=False, default_factory=dict)
    garbage: int = field(init=False, default=0)                     # messages expunged since the last clearing up
    checked: set[tuple[int, int]] = field(init=False, default_factory=set)   # folders whose uidlist was compared
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)
    _root: _Lent | None = field(init=False, default=None)
    _open: dict[str, _Lent] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.index = Index(self.path)

    # -- directories

    @contextmanager
    def root(self) -> Iterator[int]:
        """The descriptor of the Maildir itself; it is made where there is none."""
        with self.dirs(".") as dirs:
            yield dirs.folder

    @contextmanager
    def dirs(self, directory: str) -> Iterator[maildir.Dirs]:
        """An opened folder; FileNotFoundError (OSError if it is a link) where there is none."""
        lent = self._lend(directory)
        try:
            yield lent.dirs
        finally:
            self._return(lent)

    def _return(self, lent: _Lent) -> None:
        with self._lock:
            lent.users -= 1
            if lent.stale and not lent.users:
                lent.dirs.close()

    def _lend(self, directory: str) -> _Lent:
        with self._lock:
            lent = self._open.get(directory)
            if lent is None or not self._current(directory, lent):
                self._drop(directory)
                try:
                    lent = _Lent(self._opened(directory))
                except FileNotFoundError:
                    raise
                except OSError as error:
                    raise StoreError(f"{self.path}, {directory}: {error}") from error
                self._open[directory] = lent
                self._drop_surplus(directory)
            lent.users += 1
            return lent

    def _current(self, directory: str, lent: _Lent) -> bool:
        """Whether the name still leads to what is open."""
        try:
            if directory == ".":
                about = os.stat(self.path, follow_symlinks=False)
            else:
                root = self._open.get(".")
                if root is None or not self._current(".", root):
                    return False
                about = os.stat(directory, dir_fd=root.dirs.folder, follow_symlinks=False)
        except OSError:
            return False
        return (about.st_dev, about.st_ino) == lent.dirs.identity and lent.dirs.alive()

    def _opened(self, directory: str) -> maildir.Dirs:
        if directory != ".":
            root = self._open.get(".")
            if root is None or not self._current(".", root):
                self._drop(".")
                root = self._open["."] = _Lent(self._opened("."))
            return maildir.open_dirs(root.dirs.folder, directory)
        maildir.prepare_root(self.path)
        parent = files.open_folder(self.path.parent)
        try:
            return maildir.open_dirs(parent, self.path.name, make=True)
        finally:
            os.close(parent)

    def _drop(self, directory: str) -> None:
        lent = self._open.pop(directory, None)
        if lent is not None:
            lent.stale = True
            if not lent.users:
                lent.dirs.close()

    def _drop_surplus(self, wanted: str) -> None:
        spare = [name for name, lent in self._open.items() if not lent.users and name not in (".", wanted)]
        for name in spare[: max(0, len(self._open) - SPARE_DIRS)]:
            self._drop(name)

    def release(self) -> None:
        """Close what nobody uses at the moment."""
        with self._lock:
            for name in [name for name, lent in self._open.items() if not lent.users]:
                self._drop(name)

    # -- folders

    def directory(self, name: str) -> str:
        """The directory of a folder that exists; NoSuchFolder."""
        try:
            plain = maildir.directory_of(name)
        except ValueError:
            raise NoSuchFolder(name) from None
        with self.root() as root:
            if plain == "." or maildir.is_folder(root, plain):
                return plain
            try:
                return self.tree(root)[name]
            except KeyError:
                raise NoSuchFolder(name) from None

    def tree(self, root: int) -> dict[str, str]:
        """All folders: name -> directory; made here for those that only the driver knows."""
        there = maildir.directories(root)
        if self.driver is not None:
            for name in self.driver.names(self):
                if name not in there:
                    there[name] = maildir.directory_of(name)
                    maildir.make_folder(root, there[name])
        return there

    @contextmanager
    def folder_dirs(self, name: str) -> Iterator[Place]:
        """The opened folder of this name; NoSuchFolder."""
        try:
            lent = self._lend(maildir.directory_of(name))
        except FileNotFoundError:
            lent = self._lend(self.directory(name))
        try:
            if self.driver is None:
                yield lent.dirs
            else:
                with self.driver.shelf(self, name, lent.dirs) as place:
                    yield place
        finally:
            self._return(lent)

    @contextmanager
    def own_change(self, row: FolderRow, dirs: Place) -> Iterator[None]:
        """Files that we add or remove ourselves, under the lock: no reason for a scan now, only for one later on."""
        quiet = (row.new_time, row.cur_time) == dirs.times()
        yield
        self.recheck.add(row.name)
        if quiet:
            row.new_time, row.cur_time = dirs.times()


def row_of(db: sqlite3.Connection, name: str) -> FolderRow | None:
    found = db.execute("SELECT * FROM folder WHERE name=?", (name,)).fetchone()
    return FolderRow(*found) if found else None


def current(db: sqlite3.Connection, folder: Folder) -> FolderRow:
    """The row of a handle; FolderGone where it is stale."""
    found = db.execute("SELECT * FROM folder WHERE id=?", (folder.id,)).fetchone()
    if found is None or found[2] != folder.uidvalidity:
        raise FolderGone(folder.name)
    return FolderRow(*found)


def save(db: sqlite3.Connection, row: FolderRow) -> None:
    """Write all fields of a row that is there."""
    values = [getattr(row, name) for name in FolderRow.__slots__]
    db.execute(_UPDATE, (*values[1:], row.id))


def take_uids(row: FolderRow, count: int) -> int:
    """The first of `count` new UIDs; the caller saves the row, durably if `reserved` has grown."""
    first = row.uidnext
    if first + count > MAX_UID:
        raise OverflowError(f"no UIDs left in {row.name}")
    row.uidnext = first + count
    if row.uidnext > row.reserved:
        row.reserved = row.uidnext + UID_BLOCK
    return first


def take_contents(db: sqlite3.Connection, count: int) -> int:
    """The first of `count` new content numbers."""
    first = int(db.execute("SELECT value FROM meta WHERE key='content'").fetchone()[0]) + 1
    db.execute("UPDATE meta SET value=? WHERE key='content'", (first + count - 1,))
    return first


def vanish(db: sqlite3.Connection, row: FolderRow, uids: Sequence[int]) -> None:
    """Record that these UIDs (ascending) are gone since `row.highestmodseq`."""
    db.executemany(
        "INSERT INTO vanished VALUES(?,?,?,?)",
        [(row.id, row.highestmodseq, low, high) for low, high in ranges_of(uids)],
    )


def remove_quietly(name: str, folder: int) -> None:
    """Remove a file that is of no use to anybody."""
    with suppress(OSError):
        os.unlink(name, dir_fd=folder)
