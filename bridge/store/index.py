"""The index of one account: a SQLite file next to the mail, written by several processes.

Promises: one writer at a time, processes included (flock on `estafeta.lock` around each write and each checkpoint,
which also keeps clear of the WAL-reset race of SQLite before 3.51.3, sec-Q07); readers never wait for a writer; the
file may be deleted at any moment, also with the whole Maildir: the next use makes a new one and `generation` grows. A
damaged file is moved aside, never deleted (sec-Q05). `write(full=True)` is on disk when it returns; else the last
transactions may be lost in a power cut, though not by a crash of ours.
Fails by: StoreError, DiskFull. Nothing is open before the first use.

Plain sqlite3, not SQLAlchemy Core: thousands of these files are opened and closed, and a fetch is a join of ready
bytes. Tables: see SCHEMA. `message` is small, so that scans of flags stay cheap; what is cached of the content is
apart, by `content`, which copies of a message share.
"""
import errno
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bridge.model.errors import DiskFull, StoreError
from bridge.store import maildir
from bridge.store.failpoints import Failpoint
from bridge.store.flock import FileLock

FILE = "estafeta.index"
LOCK = "estafeta.lock"
VERSION = 4
LARGE_WAL = 8 << 20     # a checkpoint is due at the next write
BUSY_SECONDS = 10.0

COMMIT = Failpoint("index.commit", "committing a change of an account's index")
OPEN = Failpoint("index.open", "opening an account's index")

SCHEMA = """
CREATE TABLE folder(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE,
  uidvalidity INTEGER NOT NULL,
  uidnext INTEGER NOT NULL,
  reserved INTEGER NOT NULL,        -- UIDs below are on disk as used, also after a power cut
  highestmodseq INTEGER NOT NULL,
  membership INTEGER NOT NULL,      -- modseq of the last arrival or removal
  floor INTEGER NOT NULL,           -- removals up to this modseq are forgotten
  recent INTEGER NOT NULL,          -- UIDs from here on were not \\Recent for anybody yet
  keywords TEXT NOT NULL,           -- names, by bit, separated by blanks
  flushed INTEGER NOT NULL,         -- file names say the flags of all messages up to this modseq
  device INTEGER NOT NULL, inode INTEGER NOT NULL,
  new_time INTEGER NOT NULL, cur_time INTEGER NOT NULL   -- directories as of the last scan, 0: scan again
);
CREATE TABLE message(
  folder INTEGER NOT NULL, uid INTEGER NOT NULL, flags INTEGER NOT NULL, modseq INTEGER NOT NULL,
  size INTEGER NOT NULL,            -- on the wire, -1: not known yet
  date INTEGER NOT NULL, saved INTEGER NOT NULL, content INTEGER NOT NULL,
  name TEXT NOT NULL,               -- file name up to ":2,"
  info TEXT,                        -- the rest of the file name in cur (":2,S"), NULL: the file is in new
  PRIMARY KEY(folder, uid)
) WITHOUT ROWID;
CREATE INDEX message_modseq ON message(folder, modseq);
CREATE TABLE vanished(folder INTEGER NOT NULL, modseq INTEGER NOT NULL, low INTEGER NOT NULL, high INTEGER NOT NULL,
  PRIMARY KEY(folder, modseq, low)) WITHOUT ROWID;
CREATE TABLE doomed(folder INTEGER NOT NULL, name TEXT NOT NULL, info TEXT, PRIMARY KEY(folder, name)) WITHOUT ROWID;
CREATE TABLE mbox(                  -- messages of an mbox file (driver mbox), as of the last scan
  stem TEXT PRIMARY KEY,            -- hash, and a number for those that are alike
  start INTEGER NOT NULL, length INTEGER NOT NULL,                        -- with its From line and the empty line
  info TEXT NOT NULL, date INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX mbox_start ON mbox(start);
CREATE TABLE mbox_file(device INTEGER NOT NULL, inode INTEGER NOT NULL, size INTEGER NOT NULL, time INTEGER NOT NULL);
CREATE TABLE delivered(key TEXT PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID;   -- put into the mbox before
CREATE TABLE envelope(content INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE structure(content INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE body(content INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE preview(content INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE header(content INTEGER PRIMARY KEY, data BLOB NOT NULL);   -- empty: too big, see the file
CREATE TABLE fields(kind INTEGER NOT NULL, content INTEGER NOT NULL, data BLOB NOT NULL,
  PRIMARY KEY(kind, content)) WITHOUT ROWID;
CREATE TABLE kind(id INTEGER PRIMARY KEY, names TEXT NOT NULL UNIQUE, used INTEGER NOT NULL);
CREATE TABLE words(content INTEGER PRIMARY KEY, subject TEXT NOT NULL, sender TEXT NOT NULL, receiver TEXT NOT NULL,
  cc TEXT NOT NULL, bcc TEXT NOT NULL);                                 -- folded for search
CREATE TABLE sorting(content INTEGER PRIMARY KEY, sent INTEGER, zone INTEGER NOT NULL, base TEXT NOT NULL,
  reply INTEGER NOT NULL, sender TEXT NOT NULL, receiver TEXT NOT NULL, cc TEXT NOT NULL, display TEXT NOT NULL,
  display_to TEXT NOT NULL);
CREATE TABLE threading(content INTEGER PRIMARY KEY, thread INTEGER NOT NULL, id TEXT NOT NULL, reply_to TEXT NOT NULL,
  refs TEXT NOT NULL);
CREATE TABLE plain(content INTEGER PRIMARY KEY, whole INTEGER NOT NULL, head TEXT NOT NULL, body TEXT NOT NULL);
                                    -- all headers and all text, folded for search; whole=0: cut, see the file
CREATE TABLE meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES('content', 0), ('uidvalidity', 0);
"""
CONTENT_TABLES = ("envelope", "structure", "body", "preview", "header", "words", "sorting", "threading", "plain")
_PRAGMAS = ("mmap_size=0", "wal_autocheckpoint=0", "trusted_schema=OFF", "temp_store=MEMORY")
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_TROUBLE = {
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_PERM, sqlite3.SQLITE_INTERRUPT,
}


class Index:
    """`with index.read() as db`, `with index.write() as db`: one thread at a time in each."""

    def __init__(self, maildir: Path) -> None:
        self.path = maildir / FILE
        self.generation = 0             # grows when another file takes the place of the one that was open
        self._lock = FileLock(maildir / LOCK)
        self._reading = threading.RLock()   # never wait for _writing while holding this one
        self._writing = threading.RLock()
        self._reader_thread = 0
        self._reader: sqlite3.Connection | None = None
        self._writer: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._held = self._full = False
        self._depth = 0
        self._used = time.monotonic()
        self.uses = 0                   # how often it was read or written

    # -- reading and writing

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A connection for SELECTs, each its own snapshot. Keep it for milliseconds only; it may be nested."""
        if self._reader_thread == threading.get_ident():
            assert self._reader is not None
            yield self._reader
            return
        self.fresh()
        with self._reading:
            try:
                if self._reader is None:
                    self._reader = self._connect(query_only=True)
                self._used = time.monotonic()
                self.uses += 1
                self._reader_thread = threading.get_ident()
                yield self._reader
            except (sqlite3.Error, OSError) as error:
                raise self._trouble(error) from error
            finally:
                self._reader_thread = 0

    @contextmanager
    def write(self, *, full: bool = False) -> Iterator[sqlite3.Connection]:
        """One transaction under the account's lock; nested uses join the outer one."""
        with self.exclusive():
            if not self._depth:
                with self._transaction(full) as db:
                    yield db
                return
            if full and not self._full:
                raise RuntimeError("a durable change inside of one that is not")
            assert self._writer is not None
            yield self._writer

    @contextmanager
    def _transaction(self, full: bool) -> Iterator[sqlite3.Connection]:
        try:
            db = self._writer
            if db is None:
                db = self._writer = self._connect(query_only=False)
            self._used = time.monotonic()
            self.uses += 1
            db.execute("PRAGMA synchronous=FULL" if full else "PRAGMA synchronous=NORMAL")
            db.execute("BEGIN IMMEDIATE")
            self._depth, self._full = 1, full
            try:
                yield db
                COMMIT.before()
                db.execute("COMMIT")
                COMMIT.after()
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
            finally:
                self._depth = 0
        except (sqlite3.Error, OSError) as error:
            raise self._trouble(error) from error

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """The account's lock: no other process writes its index or moves its files meanwhile. Reentrant in a thread."""
        with self._writing:
            if self._held:
                yield
                return
            self._lock_current()
            self._held = True
            try:
                self.fresh()
                yield
            except OSError as error:
                raise self._trouble(error) from error
            finally:
                self._held = False
                self._lock.release()

    def _lock_current(self) -> None:
        """Lock the file that has the name now: the one that we have open may be of a Maildir that was deleted."""
        while True:
            try:
                self._lock.acquire()
                about = os.stat(self._lock.path, follow_symlinks=False)
                if (about.st_dev, about.st_ino) == self._lock.identity():
                    return
                self._lock.close()
            except FileNotFoundError:
                self._lock.close()
                maildir.prepare_root(self.path.parent)
            except OSError as error:
                raise self._trouble(error) from error

    # -- opening

    def fresh(self) -> None:
        """Make sure that what is open is the file which has the name; make it where there is none."""
        try:
            about = os.stat(self.path, follow_symlinks=False)
            if (about.st_dev, about.st_ino) == self._identity:
                return
        except FileNotFoundError:
            about = None
        except OSError as error:
            raise self._trouble(error) from error
        with self._writing:
            if not self._held:
                with self.exclusive():      # comes back here
                    return
            if self._depth:
                raise StoreError(f"{self.path} was removed while it was being written")
            try:
                self._reopen(about)
            except (sqlite3.Error, OSError) as error:
                raise self._trouble(error) from error

    def _reopen(self, about: os.stat_result | None) -> None:
        with self._reading:
            self._forget()
            OPEN.before()
            if about is None or about.st_size == 0:
                self._make()
            else:
                self._check_version()
            now = os.stat(self.path, follow_symlinks=False)
            self._identity = (now.st_dev, now.st_ino)
            self.generation += 1
            OPEN.after()

    def _make(self) -> None:
        """A new index. Left-overs of an old one must go first: SQLite would play an old -wal into the new file."""
        for suffix in ("-wal", "-shm", ""):
            Path(f"{self.path}{suffix}").unlink(missing_ok=True)
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        db = self._connect(query_only=False)
        try:
            db.execute("PRAGMA journal_mode=WAL")
            db.executescript(f"BEGIN;{SCHEMA};PRAGMA user_version={VERSION};COMMIT;")
        finally:
            db.close()

    def _check_version(self) -> None:
        """An index of another version is only a cache of another form: it is made anew."""
        db = self._connect(query_only=False)
        try:
            version = db.execute("PRAGMA user_version").fetchone()[0]
        except sqlite3.DatabaseError as error:
            if (getattr(error, "sqlite_errorcode", 0) & 0xFF) not in _DAMAGED:
                raise
            version = -1
        finally:
            db.close()
        if version != VERSION:
            self._move_aside()
            self._make()

    def _move_aside(self) -> None:
        """Keep a damaged file for whoever wants to look, unless another process has put a sound one in its place."""
        if self._identity is not None:
            try:
                about = os.stat(self.path, follow_symlinks=False)
            except OSError:
                return
            if (about.st_dev, about.st_ino) != self._identity:
                return
        stamp = time.strftime("%Y%m%dT%H%M%S")
        for suffix in ("-wal", "-shm", ""):
            try:
                os.rename(f"{self.path}{suffix}", f"{self.path}.corrupt-{stamp}{suffix}")
            except FileNotFoundError:
                pass

    def _connect(self, *, query_only: bool) -> sqlite3.Connection:
        db = sqlite3.connect(
            self.path, isolation_level=None, check_same_thread=False, timeout=BUSY_SECONDS, cached_statements=128
        )
        for pragma in _PRAGMAS:
            db.execute(f"PRAGMA {pragma}")
        if query_only:
            db.execute("PRAGMA query_only=ON")
        return db

    def _forget(self) -> None:
        for db in (self._reader, self._writer):
            if db is not None:
                db.close()
        self._reader = self._writer = None
        self._identity = None

    def _trouble(self, error: BaseException) -> BaseException:
        """Trouble of disk or file as StoreError; a damaged file is moved aside: the next use makes a new one."""
        if isinstance(error, OSError):
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            return (DiskFull if full else StoreError)(f"{self.path}: {error}")
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            return DiskFull(f"{self.path}: {error}")
        if code in _DAMAGED:
            self._move_aside()      # the next use sees that the name leads elsewhere
            return StoreError(f"{self.path} was damaged and is being rebuilt: {error}")
        return StoreError(f"{self.path}: {error}") if code in _TROUBLE else error

    # -- care

    def checkpoint(self, *, idle: bool = True) -> None:
        """Move the WAL into the file; when `idle`, always, else only if it is large."""
        try:
            size = os.stat(f"{self.path}-wal").st_size
        except OSError:
            return
        if size == 0 or not (idle or size > LARGE_WAL):
            return
        with self.exclusive():
            try:
                if self._writer is None:
                    self._writer = self._connect(query_only=False)
                mode = "TRUNCATE" if idle or size > 4 * LARGE_WAL else "PASSIVE"
                self._writer.execute("PRAGMA busy_timeout=100")
                self._writer.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()
                self._writer.execute(f"PRAGMA busy_timeout={int(BUSY_SECONDS * 1000)}")
            except (sqlite3.Error, OSError) as error:
                raise self._trouble(error) from error

    @property
    def is_open(self) -> bool:
        return self._identity is not None

    def idle_seconds(self) -> float:
        """How long nobody has used this."""
        return time.monotonic() - self._used

    def close(self) -> None:
        """Close the file; under the lock, since the last one to close makes a checkpoint."""
        with self._writing, self._reading:
            if self._identity is not None and self.path.parent.exists():
                with self.exclusive():
                    self._forget()
            else:
                self._forget()
            self._lock.close()
