"""A consistent copy of everything while the server runs, its check, and the way back (P31).

Promises: every message that was accepted before `backup` began is in the copy: what a message leaves is copied before
where it goes to (spool, queue, then databases, mail, archives), so one that moves during the copy is found in the next
place, and what the queue calls done is done; each folder is read again until a pass finds nothing new, a file that
changed meanwhile is copied again, and a mailbox's index is copied last, together with what is new, under the lock of
the account. Databases are copied by SQLite itself. A backup has its name only when it is whole; `SHA256SUMS` lets
anybody check it (`sha256sum -c`). What a restored server repeats is what D-7 permits: mail that went out after the
backup may go out again.
Not copied: sockets, locks, half-written files (`tmp`), copies made by migrations.
Fails by: BackupError for what the administrator can mend, DiskFull, StoreError; OSError where the source can't be read.
"""

import errno
import hashlib
import json
import os
import sqlite3
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from bridge.model.clock import SYSTEM, Clock
from bridge.model.errors import DiskFull, StoreError
from bridge.store import files
from bridge.store.failpoints import Failpoint
from bridge.store.flock import FileLock
from bridge.store.index import FILE as INDEX
from bridge.store.index import LOCK
from bridge.store.queuetables import OPEN

SUMS, MANIFEST, QUEUE = "SHA256SUMS", "MANIFEST.json", "queue.db"
PASSES = 10                 # over one source, while things move about in it
JUMP = 1_000_000            # UIDs left out after a restore
_CHUNK = 1 << 20
_PATIENCE = 10.0            # seconds for the lock of an account
_SQLITE = b"SQLite format 3\0"
_DATABASES = (".db", ".index")
_SIDE = ("-wal", "-shm", "-journal")
_NOT_SOURCES = ("lock", "run")
_COPY = Failpoint("backup.copy", "one file of a backup")
_FINISH = Failpoint("backup.finish", "a backup gets its name")

Progress = Callable[[str, int, int], None]      # source, files so far, bytes so far


class BackupError(Exception):
    """The backup can't be made, or must not be used; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Source:
    """A folder or file and its name in the backup. The order of sources is the order of copying; `only` names the part
    that is copied at this point, the rest comes with a later source of the same name."""

    name: str
    path: Path
    only: str = ""


@dataclass(slots=True)
class Report:
    """What a backup has; also its MANIFEST.json."""

    version: str
    began_at: float
    ended_at: float = 0.0
    files: int = 0
    bytes: int = 0
    sources: list[str] = field(default_factory=list)


def sources(data: Path, *, spool: Path, databases: Path, mail: Path, archives: Path) -> tuple[Source, ...]:
    """Everything that belongs to an installation, in the order that loses nothing: where mail comes from before where
    it goes to, then whatever else the data folder has."""
    first = [
        Source("spool", spool),
        Source("db", databases, QUEUE),        # before all that it may call done
        Source("archives", archives, "incoming"),   # before archive.db, which knows what left it for the mbox
        Source("db", databases),
        Source("mail", mail),
        Source("archives", archives),
    ]
    paths = {one.path for one in first}
    names = {one.name for one in first} | set(_NOT_SOURCES)
    rest = [
        Source(name, data / name) for name in sorted(os.listdir(data)) if name not in names and data / name not in paths
    ]
    return (*(one for one in first if one.path.exists()), *rest)


def backup(
    parts: Sequence[Source], target: Path, version: str, *, clock: Clock = SYSTEM,
    progress: Progress = lambda name, count, size: None,
) -> Report:
    """Copy `parts` to the new folder `target`. May run beside a working server; needs to read all its files."""
    if target.exists():
        raise BackupError(f"{target} exists already; name a folder that doesn't")
    for part in parts:
        if target.resolve().is_relative_to(part.path.resolve()):
            raise BackupError(f"{target} lies inside {part.path}, which is to be copied; choose a place outside")
    draft = target.with_name(target.name + ".part")
    try:
        draft.mkdir(parents=True, mode=0o700)
    except FileExistsError:
        raise BackupError(f"{draft} is left from a backup that did not finish; remove it first") from None
    report = Report(version, clock.now(), sources=list(dict.fromkeys(part.name for part in parts)))
    done: dict[str, set[tuple[str, str]]] = {part.name: set() for part in parts}
    try:
        with open(draft / SUMS, "w", encoding="utf-8", errors="surrogateescape", opener=_private) as sums:
            for part in parts:
                _Copy(part, draft, sums.write, report, progress, done).run()
        report.ended_at = clock.now()
        files.replace(draft / MANIFEST, json.dumps(asdict(report), indent=1).encode() + b"\n", _FINISH)
        os.sync()
        files.rename(draft, target, _FINISH)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"{draft}: {error}; the unfinished backup can be removed") from error
        raise
    except sqlite3.Error as error:
        raise StoreError(f"{draft}: {error}; the unfinished backup can be removed") from error
    return report


class _Copy:
    """One source on its way into the backup."""

    def __init__(
        self, part: Source, root: Path, note: Callable[[str], object], report: Report, progress: Progress,
        done: dict[str, set[tuple[str, str]]],
    ) -> None:
        self._part, self._root, self._note, self._report, self._progress = part, root, note, report, progress
        self._done, self._all = done[part.name], done
        self._mailboxes: set[str] = set()

    def run(self) -> None:
        """Passes over the whole source until one finds nothing new: what is renamed or moved meanwhile is caught."""
        if not self._part.path.is_dir():
            self._file(self._part.path, self._root / self._part.name)
            return
        for _ in range(PASSES):
            if not self._pass(self._part):
                break
        for folder in sorted(self._mailboxes):
            self._mailbox(folder)

    def _pass(self, part: Source) -> int:
        """Copy what is new; how much that was."""
        fresh = 0
        for folder, name in _walk(part):
            if name == INDEX:
                self._mailboxes.add(folder)
            else:
                fresh += self._new(folder, name)
        return fresh

    def _new(self, folder: str, name: str) -> bool:
        key = _identity(folder, name)
        if key in self._done:
            return False
        inside = Path(folder, name)
        if self._file(self._part.path / inside, self._root / self._part.name / inside):
            self._done.add(key)
        return True

    def _mailbox(self, folder: str) -> None:
        """The index of a mailbox, and what it knows that the passes have not seen, while nobody changes either."""
        with _held(self._part.path / folder / LOCK):
            self._new(folder, INDEX)
            self._pass(Source(self._part.name, self._part.path, folder))

    def _file(self, source: Path, target: Path) -> bool:
        """False if it went away before it could be copied."""
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _COPY.before()
        try:
            if _is_database(source):
                digest, size = _copy_database(source, target, self._tidied)
            else:
                digest, size = _copy_file(source, target)
        except FileNotFoundError:
            return False
        except sqlite3.DatabaseError:
            if source.suffix != ".index":
                raise
            target.unlink()     # damaged, and made anew from the mail
            return True
        _COPY.after()
        name = str(target.relative_to(self._root))
        escaped = "\\" if "\\" in name or "\n" in name else ""
        name = name.replace("\\", "\\\\").replace("\n", "\\n")
        self._note(f"{escaped}{digest}  {name}\n")
        self._report.files += 1
        self._report.bytes += size
        self._progress(self._part.name, self._report.files, self._report.bytes)
        return True

    def _tidied(self, copy: Path) -> None:
        """What a copied database says of what was copied before it, and is not so there."""
        if copy.name == INDEX:          # the mbox file is older than the index; what is in it is found by its hash
            statements = ["DELETE FROM delivered"]
        elif copy.name == QUEUE and "spool" in self._all:   # messages that came after the spool had been copied
            statements = [
                "CREATE TEMP TABLE copied(id TEXT PRIMARY KEY)",
                f"CREATE TEMP TABLE late AS SELECT id FROM message WHERE state={OPEN} AND id NOT IN copied",  # noqa: S608
                "DELETE FROM recipient WHERE message IN late",
                "DELETE FROM message WHERE id IN late",
            ]
        else:
            return
        ids = [(name,) for _, name in self._all.get("spool", ())]
        with closing(sqlite3.connect(copy)) as connection, suppress(sqlite3.OperationalError):
            for statement in statements:
                connection.execute(statement)
                if " copied(" in statement:
                    connection.executemany("INSERT OR IGNORE INTO copied VALUES(?)", ids)
            connection.commit()


def _identity(folder: str, name: str) -> tuple[str, str]:
    """The same for a message of a Maildir wherever a reader puts it and whatever flags it gets."""
    above, last = os.path.split(folder)
    return os.path.join(above, "cur") if last == "new" else folder, name.partition(":2,")[0]


def _walk(part: Source) -> Iterator[tuple[str, str]]:
    """Folder (relative) and name of each regular file, `new` before `cur` as mail moves."""
    if part.only and (part.path / part.only).is_file():
        yield "", part.only
        return
    waiting = [part.only]
    while waiting:
        folder = waiting.pop()
        try:
            entries = list(os.scandir(part.path / folder))
        except (FileNotFoundError, NotADirectoryError):
            continue
        maildir = any(entry.name == "cur" for entry in entries)
        for entry in entries:
            if (not folder and (part.name, entry.name) in (("spool", "tmp"), ("db", "copies"))) or _by_the_way(entry):
                continue
            if maildir and entry.name == "tmp":
                continue
            if entry.is_dir(follow_symlinks=False):
                waiting.append(os.path.join(folder, entry.name))
            elif entry.is_file(follow_symlinks=False):
                yield folder, entry.name
        waiting.sort(key=lambda name: (name.endswith("/new"), name))


def _by_the_way(entry: os.DirEntry[str]) -> bool:
    """Locks, and what belongs to an open database: means nothing without the process that made it."""
    for side in _SIDE:
        if entry.name.endswith(side) and entry.name.removesuffix(side).endswith(_DATABASES):
            return True
    try:
        return entry.name.endswith(".lock") and entry.is_file(follow_symlinks=False) and not entry.stat().st_size
    except FileNotFoundError:
        return True


def _is_database(path: Path) -> bool:
    """Only where others write to it: a message that looks like a database is just a file."""
    if path.suffix not in _DATABASES:
        return False
    try:
        with open(path, "rb") as file:
            return file.read(len(_SQLITE)) == _SQLITE
    except OSError:
        return False


def _copy_file(source: Path, target: Path) -> tuple[str, int]:
    """As it was at one moment: one that grows meanwhile is copied again, so that it doesn't end within a message."""
    descriptor = files.open_read(source)
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise FileNotFoundError(errno.ENOENT, "not a file any more", str(source))
        with open(target, "xb", opener=_private) as out:
            for _ in range(PASSES):
                before, found = about, _bytes(descriptor, out)
                about = os.fstat(descriptor)
                if (before.st_size, before.st_mtime_ns) == (about.st_size, about.st_mtime_ns):
                    break
        os.utime(target, ns=(about.st_atime_ns, about.st_mtime_ns))
    finally:
        os.close(descriptor)
    return found


def _bytes(descriptor: int, out: BinaryIO) -> tuple[str, int]:
    """Everything, from the beginning; its hash and size."""
    digest, size = hashlib.sha256(), 0
    out.seek(0)
    out.truncate()
    while chunk := os.pread(descriptor, _CHUNK, size):
        digest.update(chunk)
        out.write(chunk)
        size += len(chunk)
    return digest.hexdigest(), size


@contextmanager
def _held(lock: Path) -> Iterator[None]:
    """The account's lock, if there is one that we may take and get; a copy without it is made anew where it must."""
    held = FileLock(lock, _PATIENCE)
    try:
        with suppress(StoreError, OSError):
            if lock.exists():
                held.acquire()
        yield
    finally:
        held.close()


def _copy_database(source: Path, target: Path, tidied: Callable[[Path], None]) -> tuple[str, int]:
    """A snapshot of a database that is in use. VACUUM INTO wants the target absent or empty."""
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    address = f"file:{quote(str(source))}?mode=rw"
    with closing(sqlite3.connect(address, uri=True, isolation_level=None, timeout=10)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("VACUUM INTO ?", (str(target),))
    tidied(target)
    return _digest(target), target.stat().st_size


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def verify(target: Path) -> list[str]:
    """What is wrong with a backup; empty if nothing. Reads all of it."""
    if not (target / MANIFEST).exists():
        return [f"{target}: not a whole backup, it has no {MANIFEST}"]
    problems = []
    listed = set()
    for digest, name in _listed(target):
        listed.add(name)
        path = target / name
        try:
            if _digest(path) != digest:
                problems.append(f"{name}: changed since the backup was made")
            elif _is_database(path):
                problems += [f"{name}: {text}" for text in _check_database(path)]
        except OSError as error:
            problems.append(f"{name}: {error.strerror}")
    count = json.loads((target / MANIFEST).read_bytes())["files"]
    if count != len(listed):
        problems.append(f"{SUMS}: lists {len(listed)} files, {MANIFEST} says {count}")
    return problems


def _listed(target: Path) -> Iterator[tuple[str, str]]:
    """Sum and name of each file, as sha256sum writes them."""
    with open(target / SUMS, encoding="utf-8", errors="surrogateescape", newline="\n") as lines:
        for line in lines:
            escaped = line.startswith("\\")
            digest, _, name = line.removeprefix("\\").rstrip("\n").partition("  ")
            if escaped:
                name = name.replace("\\\\", "\0").replace("\\n", "\n").replace("\0", "\\")
            yield digest, name


def _check_database(path: Path) -> list[str]:
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro&immutable=1", uri=True)) as connection:
            found = [str(row[0]) for row in connection.execute("PRAGMA quick_check(5)")]
    except sqlite3.Error as error:
        return [str(error)]
    return [] if found == ["ok"] else found


def restore(target: Path, parts: Sequence[Source], *, clock: Clock = SYSTEM) -> int:
    """Put a backup into place; how many files. Nothing may be there yet: what is must be moved away by hand first.
    Mailboxes go on with UIDs that were never given out, also not after the backup, and clients look at all flags."""
    problems = verify(target)
    if problems:
        raise BackupError("\n".join([f"{target} must not be used:", *problems[:20]]))
    places = {part.name: part.path for part in parts}
    for path in places.values():
        if path.is_file() or (path.is_dir() and os.listdir(path)):
            raise BackupError(f"{path} is not empty; stop the server and move it away first")
    unknown = set(json.loads((target / MANIFEST).read_bytes())["sources"]) - set(places)
    if unknown:
        raise BackupError(f"{target} has {', '.join(sorted(unknown))}, for which no place was given")
    count = 0
    maildirs: set[Path] = set()
    for digest, name in _listed(target):
        top, _, inside = name.partition("/")
        place = places[top] / inside if inside else places[top]
        if ".." in Path(inside).parts:
            raise BackupError(f"{target}: {name!r} leads out of the backup")
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if _copy_file(target / name, place)[0] != digest:
            raise StoreError(f"{place}: was not copied as it is in the backup")
        if place.name == INDEX:
            _renew(place, int(clock.now() * 1000))
        if place.name == "maildirfolder":
            maildirs.add(place.parent)
        elif place.parent.name in ("new", "cur"):
            maildirs.add(place.parent.parent)
        count += 1
    for maildir in maildirs:        # a backup has files only, and a mailbox without mail is one, too
        for sub in ("new", "cur", "tmp"):
            (maildir / sub).mkdir(exist_ok=True, mode=0o700)
    os.sync()
    return count


def _renew(index: Path, modseq: int) -> None:
    """A client may know what came after the backup: no UID and no change that it has heard of may mean something else
    now (P17). Times in ms are what mod-sequences begin with; nothing makes so many changes in a second."""
    with closing(sqlite3.connect(index)) as connection, suppress(sqlite3.DatabaseError):    # damaged: it is made anew
        connection.execute(
            "UPDATE folder SET uidnext=min(uidnext+?, 4294967000), reserved=min(uidnext+?, 4294967000),"
            " highestmodseq=max(?, highestmodseq+1), membership=max(?, highestmodseq+1), floor=max(?, highestmodseq+1)",
            (JUMP, JUMP, modseq, modseq, modseq),
        )
        connection.execute("UPDATE message SET modseq=(SELECT highestmodseq FROM folder WHERE id=message.folder)")
        connection.execute("DELETE FROM vanished")
        connection.commit()


def places(
    target: Path, data: Path, *, spool: Path, databases: Path, mail: Path, archives: Path
) -> tuple[Source, ...]:
    """Where the parts of a backup go back to."""
    known = {"spool": spool, "db": databases, "mail": mail, "archives": archives}
    names = json.loads((target / MANIFEST).read_bytes())["sources"]
    return tuple(Source(name, known.get(name, data / name)) for name in names)
