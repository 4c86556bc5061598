"""The UIDs of a folder in a text file beside its mail, so that they survive the loss of the index (P17, P18, D-11).

Layout as Dovecot's uidlist version 3: `3 V<uidvalidity> N<uidnext> ...`, then `<uid> [fields] :<file name>` ascending.
Promises: lines are appended when UIDs are given out and rewritten (tmp, fsync, rename) now and then; a last line that a
crash cut off is passed over. `read` answers None where there is no list, and raises `Damaged` where it can't be
trusted: then the folder needs a new, larger UIDVALIDITY. The caller holds the account's lock.
"""
import itertools
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass

from bridge.store import files
from bridge.store.failpoints import Failpoint

FILE = "estafeta-uidlist"
FOREIGN = "dovecot-uidlist"
SKIP = 1000             # UIDs left out after the index was lost: lines that never reached the disk may have named them
SYNC_ABOVE = 100        # lines at once that are synced
MAX_SIZE = 1 << 30

APPEND = Failpoint("uidlist.append", "appending new UIDs to a folder's uidlist")
WRITE = Failpoint("uidlist.write", "writing a folder's uidlist anew")
SHOW = Failpoint("uidlist.show", "putting a new uidlist in the place of the old one")

_HEADER = re.compile(r"3 (?:[A-Z][^ \n]* )*V(\d{1,10})(?: [A-Z][^ \n]*)*? N(\d{1,10})(?: [A-Z][^ \n]*)*\n")
_LINE = re.compile(r"^(\d{1,10})(?: [A-Z][^ :\n]*)* :([^\n]+)\n", re.M)


class Damaged(Exception):
    """The list is there but says nothing reliable."""


@dataclass(frozen=True, slots=True)
class Uidlist:
    """`uids`: file name up to ":2," -> UID. `uidnext` is above all of them."""

    uidvalidity: int
    uidnext: int
    uids: dict[str, int]


def read(folder: int) -> Uidlist | None:
    """Our list, else one that Dovecot left."""
    for name in (FILE, FOREIGN):
        try:
            descriptor = files.open_read(name, folder=folder)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise Damaged(str(error)) from error
        with open(descriptor, encoding="utf-8", errors="surrogateescape", newline="\n") as source:
            return _parse(source.read(MAX_SIZE))
    return None


def _parse(text: str) -> Uidlist:
    header = _HEADER.match(text)
    if not header:
        raise Damaged("no header")
    lines = _LINE.findall(text, header.end())
    if len(lines) != text.count("\n") - 1:
        raise Damaged("a line that is none")
    numbers = [int(number) for number, _ in lines]
    if any(after <= before for before, after in itertools.pairwise(numbers)):
        raise Damaged("UIDs don't ascend")
    uids = {name.partition(":2,")[0]: number for (_, name), number in zip(lines, numbers)}
    highest = numbers[-1] if numbers else 0
    uidvalidity, uidnext = int(header[1]), max(int(header[2]), highest + 1)
    if not 0 < uidvalidity < 1 << 32 or not 0 < uidnext < 1 << 32 or 0 in numbers[:1]:
        raise Damaged("numbers out of range")
    return Uidlist(uidvalidity, uidnext, uids)


def last_uid(folder: int) -> tuple[int, int]:
    """(uidvalidity, highest UID that our list names), cheaply; (0, 0) where there is none or it is damaged."""
    try:
        descriptor = files.open_read(FILE, folder=folder)
    except OSError:
        return 0, 0
    try:
        header = _HEADER.match(os.pread(descriptor, 500, 0).decode("utf-8", "surrogateescape"))
        size = os.fstat(descriptor).st_size
        tail = os.pread(descriptor, 1024, max(0, size - 1024)).decode("utf-8", "surrogateescape")
    finally:
        os.close(descriptor)
    if not header:
        return 0, 0
    found = _LINE.findall(tail[tail.find("\n") + 1:])
    return int(header[1]), int(found[-1][0]) if found else int(header[2]) - 1


def append(folder: int, rows: Iterable[tuple[int, str]]) -> None:
    """Add lines for UIDs just given out; a list must be there."""
    lines = [f"{uid} :{name}\n" for uid, name in rows]
    flags = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(FILE, flags, dir_fd=folder)
    try:
        size = os.fstat(descriptor).st_size
        cut_off = size and os.pread(descriptor, 1, size - 1) != b"\n"
        if cut_off:
            os.ftruncate(descriptor, size - len(os.pread(descriptor, 512, max(0, size - 512)).rpartition(b"\n")[2]))
        files.write(descriptor, "".join(lines).encode("utf-8", "surrogateescape"), APPEND)
        if len(lines) > SYNC_ABOVE:
            files.fdatasync(descriptor, APPEND)
    finally:
        os.close(descriptor)


def write(folder: int, uidvalidity: int, uidnext: int, rows: Iterable[tuple[int, str]], *, sync: bool = True) -> None:
    """The whole list anew: the old one or the new one is there at any time."""
    text = f"3 V{uidvalidity} N{uidnext}\n" + "".join([f"{uid} :{name}\n" for uid, name in rows])
    draft = f"{FILE}.new"
    files.unlink(draft, WRITE, folder=folder)
    descriptor = files.create(draft, WRITE, folder=folder)
    try:
        files.write(descriptor, text.encode("utf-8", "surrogateescape"), WRITE)
        if sync:
            files.fdatasync(descriptor, WRITE)
    finally:
        os.close(descriptor)
    files.rename(draft, FILE, SHOW, old_folder=folder, new_folder=folder)
    if sync:
        files.sync_folder(folder, SHOW)


def set_aside(folder: int) -> None:
    """Keep a damaged list under another name for whoever wants to look."""
    for name in (FILE, FOREIGN):
        try:
            files.rename(name, f"{name}.damaged", SHOW, old_folder=folder, new_folder=folder)
        except FileNotFoundError:
            continue
        return


def size(folder: int) -> int:
    """Bytes of our list; 0 where there is none."""
    try:
        return os.stat(FILE, dir_fd=folder, follow_symlinks=False).st_size
    except OSError:
        return 0
