"""Messages appended to a file in mbox form, all of one or nothing of it (P16, S55, D01).

Order: open without following a link, fcntl lock and dot-lock (link method), note the length in the lock, write
`From sender date`, our three fields and the quoted message, fdatasync, unlock. Trouble in between: cut back to the old
length. Promises: readers that keep either kind of lock never see a part; a process that dies between leaves its lock
with the length in it, and whoever of us finds it takes the part away again. Only a regular file with one name, of an
owner who is allowed, is ever written (sec-D05, sec-D06). A body is in memory one chunk at a time.
Fails by: Unsafe (what is wrong with the file), Busy (locked for too long), OSError, DiskFull; the file is as before.
"""
import fcntl
import os
import re
import secrets
import socket
import stat
import struct
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from bridge.model.errors import StoreError
from bridge.store import files
from bridge.store.copies import Copy, converted, top
from bridge.store.failpoints import Failpoint
from bridge.store.spool import Spooled
from bridge.wire.dates import from_line

Quoting = Literal["mboxrd", "mboxo"]

_CREATE = Failpoint("mbox.create", "a new mbox file")
_LOCK = Failpoint("mbox.lock", "the dot-lock of an mbox")
_NOTE = Failpoint("mbox.note", "the old length into the dot-lock")
_WRITE = Failpoint("mbox.write", "bytes of a message to the end of an mbox")
_FDATASYNC = Failpoint("mbox.fdatasync", "an mbox to the disk")
_FSYNC = Failpoint("mbox.fsync", "the name of a new mbox to the disk")
_TRUNCATE = Failpoint("mbox.truncate", "an mbox back to its old length")
_UNLOCK = Failpoint("mbox.unlock", "removal of the dot-lock")

_QUOTED = {"mboxrd": re.compile(rb"^(>*From )", re.M), "mboxo": re.compile(rb"^(From )", re.M)}
_FROM = re.compile(rb"^From ", re.M)
_UNFIT = re.compile(r"[\x00-\x20\x7f]")
_HOLDER = re.compile(rb"(\d{1,10})\n(\S{1,255})\n(?:estafeta append (\d{1,20}) (\d{1,20})\n)?")
_WHOLE_FILE = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
_PAUSE = 0.05           # seconds between two attempts to lock
_LONGEST_HELD = 65536   # of a line whose end has not come yet
_REOPEN = 10            # times that a file may be replaced while we wait for it


class Unsafe(Exception):
    """Not a file that mail may be appended to; the text says why."""


class Busy(Exception):
    """Others have had the file locked all the time."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How to append. `patience`: seconds to wait for locks; `stale`: age at which a dot-lock belongs to nobody;
    `owners`: user numbers that the file may belong to; `group`: whom a new one belongs to, -1: as the folder says;
    `locker`: makes dot-locks by other means, for a process that may not make files beside the mbox."""

    quoting: Quoting = "mboxrd"
    patience: float = 30.0
    stale: float = 300.0
    mode: int = 0o600
    owners: Collection[int] = ()
    group: int = -1
    locker: "Locker | None" = None


class Lock(Protocol):
    """A dot-lock on its way, used as a context: see `DotLock`."""

    left: tuple[int, int] | None

    def __enter__(self) -> "Lock": ...
    def __exit__(self, *error: object) -> None: ...
    def take(self) -> bool: ...
    def note(self, inode: int, length: int) -> None: ...
    def keep(self) -> None: ...


Locker = Callable[[int, str, float], Lock]      # folder, name of the mbox, age of a stale lock


def append(path: Path, below: Path, spooled: Spooled, copy: Copy, now: float, rules: Rules) -> None:
    """One recipient's copy to the end of `path`, which lies below the folder `below`; on the disk at the return."""
    first = separator(copy.sender, now) + top(copy)
    with opened(path, below, rules) as box:
        box.append(entry(first, quoted(converted(spooled), rules.quoting)))


@contextmanager
def opened(path: Path, below: Path, rules: Rules) -> Iterator["Box"]:
    """The file under both locks, made where there is none. Unsafe, Busy, OSError."""
    with _folder_of(path, below) as folder, _locked(folder, path.name, rules) as box:
        yield box


def separator(sender: str, now: float) -> bytes:
    """The line `From sender date` that starts an entry, whatever the sender is called."""
    name = _UNFIT.sub("_", sender) or "MAILER-DAEMON"
    return f"From {name} {from_line(int(now), time.localtime(now).tm_gmtoff // 60)}\n".encode("utf-8", "replace")


def quoted(chunks: Iterable[bytes], quoting: Quoting) -> Iterator[bytes]:
    """The same with a > in front of each line that would look like the start of a message (sec-D11)."""
    pattern, held, fresh = _QUOTED[quoting], b"", True      # fresh: what comes next starts a line
    for chunk in chunks:
        data = held + chunk
        if not fresh:
            end = data.find(b"\n") + 1
            yield data[:end] if end else data
            data, fresh = (data[end:], True) if end else (b"", False)
        cut = data.rfind(b"\n") + 1
        if cut:
            yield pattern.sub(rb">\1", data[:cut])
        held = data[cut:]
        if len(held) > _LONGEST_HELD:
            yield pattern.sub(rb">\1", held)
            held, fresh = b"", False
    if held:
        yield pattern.sub(rb">\1", held) if fresh else held


def entry(first: bytes, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """One entry: its first lines, the message, an empty line."""
    last = first
    for chunk in chunks:
        if first:
            chunk, first = first + chunk, b""
        yield chunk
        last = chunk or last
    if first:
        yield first
    yield b"\n" if last.endswith(b"\n") else b"\n\n"


# --- the way to the file


def open_parent(path: Path) -> int:
    """The folder that the administrator named; it may be a link, as /var/spool/mail is."""
    return os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


@contextmanager
def _folder_of(path: Path, below: Path) -> Iterator[int]:
    """The descriptor of the folder that `path` is in, each step below `below` taken without following a link."""
    if path == below or not path.is_relative_to(below) or ".." in path.parts:
        raise Unsafe(f"{path} is not below {below}")
    folder = open_parent(below / "_")
    try:
        for part in (*path.relative_to(below).parts[:-1], ""):
            mode = os.fstat(folder).st_mode
            if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
                raise Unsafe(f"a folder on the way to {path} can be written by anybody; use chmod o-w on it")
            if part:
                deeper = files.open_folder(part, folder=folder)
                os.close(folder)
                folder = deeper
        yield folder
    finally:
        os.close(folder)


def _open(folder: int, name: str, rules: Rules) -> tuple[int, bool]:
    """The file, opened, and whether it was made."""
    flags = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    made = False
    while True:
        try:
            descriptor = os.open(name, flags, dir_fd=folder)
            break
        except FileNotFoundError:
            with suppress(FileExistsError):
                os.close(files.create(name, _CREATE, folder=folder, mode=rules.mode))
                made = True
    try:
        if made and rules.group >= 0:       # nobody else gets rights before it belongs to that group
            os.fchown(descriptor, -1, rules.group)
            os.fchmod(descriptor, rules.mode)
        _require_safe(os.fstat(descriptor), name, rules)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, made


def _require_safe(found: os.stat_result, name: str, rules: Rules) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise Unsafe(f"{name} is not a regular file")
    if found.st_nlink != 1:
        raise Unsafe(f"{name} has {found.st_nlink} names; mail is appended to files with one name only")
    if found.st_uid not in rules.owners:
        raise Unsafe(f"{name} belongs to user {found.st_uid}; use chown on it")
    if found.st_mode & stat.S_IWOTH:
        raise Unsafe(f"{name} can be written by anybody; use chmod o-w on it")


@contextmanager
def _locked(folder: int, name: str, rules: Rules) -> Iterator["Box"]:
    """The file under both locks; what another process left half done is taken away first."""
    end = time.monotonic() + rules.patience
    for _ in range(_REOPEN):
        descriptor, made = _open(folder, name, rules)
        try:
            with (rules.locker or DotLock)(folder, name, rules.stale) as lock:
                _wait(lambda: _take_both(descriptor, lock), end, name)     # noqa: B023 - called at once
                if not _is(descriptor, folder, name):
                    continue
                box = Box(descriptor, folder, lock, made)
                box.repair()
                yield box
                return
        finally:
            os.close(descriptor)        # which also lets go of the fcntl lock
    raise Busy(f"{name} was replaced again and again")


def _take_both(descriptor: int, lock: Lock) -> bool:
    """Both locks or none, so that two programs that take them in another order can't wait for each other."""
    if not _flock(descriptor, _WHOLE_FILE):
        return False
    if lock.take():
        return True
    _flock(descriptor, struct.pack("hhqqi4x", fcntl.F_UNLCK, os.SEEK_SET, 0, 0, 0))
    return False


def _flock(descriptor: int, what: bytes) -> bool:
    """fcntl lock of the open file: excludes other programs' fcntl locks and our own other threads."""
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, what)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _wait(take: Callable[[], bool], end: float, name: str) -> None:
    while not take():
        if time.monotonic() > end:
            raise Busy(f"{name} is locked by another program")
        time.sleep(_PAUSE)


def _is(descriptor: int, folder: int, name: str) -> bool:
    """Does the name still lead to what is open?"""
    try:
        named = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    held = os.fstat(descriptor)
    return (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino)


# --- the dot-lock


class DotLock:
    """`NAME.lock` beside the file: a unique file is linked to it, which is atomic on NFS, too.

    Its text is our process, our machine and, once the lock is held, inode and length of the file before our append.
    """

    def __init__(self, folder: int, name: str, stale: float) -> None:
        self._folder, self._name, self._stale = folder, f"{name}.lock", stale
        self._draft = f".estafeta.{os.getpid()}.{secrets.token_hex(6)}"
        self._descriptor = -1
        self._held = False
        self.left: tuple[int, int] | None = None       # what a dead process noted: inode, length

    def __enter__(self) -> "DotLock":
        self._descriptor = files.create(self._draft, _LOCK, folder=self._folder, mode=0o644)
        os.write(self._descriptor, f"{os.getpid()}\n{socket.gethostname()}\n".encode())
        return self

    def __exit__(self, *error: object) -> None:
        try:
            if self._held:
                self._release()
        finally:
            os.close(self._descriptor)
            if not self._held:
                with suppress(OSError):
                    os.unlink(self._draft, dir_fd=self._folder)

    def take(self) -> bool:
        """Try once; a lock that belongs to nobody any more is removed."""
        folder = self._folder
        linked = files.link(self._draft, self._name, _LOCK, old_folder=folder, new_folder=folder)
        if linked or os.fstat(self._descriptor).st_nlink == 2:      # the answer of an NFS server may be lost
            self._held = True
            os.unlink(self._draft, dir_fd=folder)
            return True
        with suppress(FileNotFoundError, PermissionError):
            self._remove_stale()
        return False

    def note(self, inode: int, length: int) -> None:
        """What the file is to be cut back to if we die; before the first byte is written."""
        note(self._descriptor, inode, length)

    def fileno(self) -> int:
        """The lock's own file."""
        return self._descriptor

    def keep(self) -> None:
        """Leave the lock in place: the file is not as it should be."""
        self._held = False

    def _release(self) -> None:
        if _is(self._descriptor, self._folder, self._name):
            files.unlink(self._name, _UNLOCK, folder=self._folder)

    def _remove_stale(self) -> None:
        descriptor = files.open_read(self._name, folder=self._folder)
        try:
            about, text = os.fstat(descriptor), os.read(descriptor, 512)
        finally:
            os.close(descriptor)
        os.utime(self._descriptor)
        age = os.fstat(self._descriptor).st_mtime - about.st_mtime
        holder = _HOLDER.match(text)
        here = holder is not None and holder[2] == socket.gethostname().encode()
        if age <= self._stale and not (holder and here and _dead(int(holder[1]))):
            return
        aside = f"{self._draft}.stale"
        files.rename(self._name, aside, _LOCK, old_folder=self._folder, new_folder=self._folder)
        moved = os.stat(aside, dir_fd=self._folder, follow_symlinks=False)
        if (moved.st_dev, moved.st_ino) != (about.st_dev, about.st_ino):     # somebody was faster: it is theirs
            files.link(aside, self._name, _LOCK, old_folder=self._folder, new_folder=self._folder)
        elif holder and holder[3]:
            self.left = int(holder[3]), int(holder[4])
        files.unlink(aside, _LOCK, folder=self._folder)


def note(lock: int, inode: int, length: int) -> None:
    """Into a held dot-lock: what `repair` is to cut the file back to."""
    files.write(lock, f"estafeta append {inode} {length}\n".encode(), _NOTE)
    files.fdatasync(lock, _NOTE)


def _dead(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return False


# --- the file


class Box:
    """The open file while both locks are held."""

    def __init__(self, descriptor: int, folder: int, lock: Lock, made: bool) -> None:
        self.descriptor, self._folder, self._lock, self._made = descriptor, folder, lock, made

    def append(self, chunks: Iterable[bytes]) -> None:
        """All of it, or the file as it was."""
        before = os.fstat(self.descriptor)
        self._lock.note(before.st_ino, before.st_size)
        try:
            gap = self._gap(before.st_size)
            if gap:
                files.write(self.descriptor, gap, _WRITE)
            for chunk in chunks:
                files.write(self.descriptor, chunk, _WRITE)
            files.fdatasync(self.descriptor, _FDATASYNC)
            if self._made:
                files.sync_folder(self._folder, _FSYNC)
        except BaseException:
            self._cut(before.st_size)
            raise

    def repair(self) -> None:
        """Take away what a dead process has left: one entry from the length that it noted to the end, no more."""
        if self._lock.left is None:
            return
        inode, length = self._lock.left
        found = os.fstat(self.descriptor)
        if found.st_ino == inode and found.st_size > length and self._one_entry(length):
            self._cut(length)

    def _cut(self, length: int) -> None:
        try:
            _TRUNCATE.before()
            os.ftruncate(self.descriptor, length)
            files.fdatasync(self.descriptor, _TRUNCATE)
        except OSError as error:
            self._lock.keep()
            raise StoreError(f"a part of a message is left in an mbox: {error}") from error

    def _gap(self, size: int) -> bytes:
        """What is missing between the last entry and ours."""
        tail = os.pread(self.descriptor, 2, max(size - 2, 0)) if size else b"\n\n"
        return b"" if tail == b"\n\n" else b"\n" if tail.endswith(b"\n") else b"\n\n"

    def _one_entry(self, start: int) -> bool:
        """Is what follows `start` one entry or a part of one? Others may have appended since."""
        head = os.pread(self.descriptor, 7, start).lstrip(b"\n")
        if not (head.startswith(b"From ") or b"From ".startswith(head)):
            return False
        count, held, offset = 0, b"", start
        while data := os.pread(self.descriptor, 1 << 16, offset):
            offset += len(data)
            data = held + data
            cut = data.rfind(b"\n") + 1
            count += len(_FROM.findall(data, 0, cut)) if cut else 0
            held = data[cut:] if len(data) - cut < _LONGEST_HELD else b"-"
        return count + len(_FROM.findall(held)) <= 1
