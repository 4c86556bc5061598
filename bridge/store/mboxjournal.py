"""An mbox file written anew from some place on, all or nothing, without another file in its place.

In place with a journal rather than by a rename: owner, mode and inode of /var/mail/USER stay, and a program that has
the file open and waits for its lock doesn't append to a file that has lost its name. Order: the whole new end to the
journal (beside our index), fdatasync, over the old end in the file, fdatasync, cut, fdatasync, journal away. A journal
that is found is of somebody who died meanwhile: it is carried out first; mail that others appended since is kept.
The caller holds the locks of the file. Fails by OSError, DiskFull: before the file is touched, or the journal stays.
"""
import errno
import json
import os
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from itertools import chain

from bridge.model.errors import StoreError
from bridge.store import files
from bridge.store.failpoints import Failpoint

FILE = "estafeta-mbox-journal"
CHUNK = 1 << 20
HEAD = 512              # bytes that say what the journal is for

JOURNAL = Failpoint("mboxjournal.write", "the journal of a rewritten mbox")
REWRITE = Failpoint("mboxjournal.rewrite", "the new end of an mbox over the old one")
SHORTEN = Failpoint("mboxjournal.shorten", "a rewritten mbox to its new length")
DONE = Failpoint("mboxjournal.done", "removal of the journal of a rewritten mbox")

_END = b"\nestafeta end\n"


def rewrite(mbox: int, folder: int, start: int, tail: Iterable[bytes]) -> None:
    """`tail` in the place of all that follows `start`; it must not be longer than that."""
    size = os.fstat(mbox).st_size
    _write(mbox, folder, start, size, tail)
    _carry_out(mbox, folder)


def finish(mbox: int, folder: int) -> bool:
    """Carry out what a dead process has begun; whether there was something."""
    try:
        journal = files.open_read(FILE, folder=folder)
    except FileNotFoundError:
        return False
    try:
        found = _read(journal)
        if found is None or not _begun(mbox, found):
            files.unlink(FILE, DONE, folder=folder)
            return False
        size = os.fstat(mbox).st_size
        if size > found["size"]:
            kept = _pieces(journal, HEAD, HEAD + found["length"])
            _write(mbox, folder, found["start"], size, chain(kept, _pieces(mbox, found["size"], size)))
    finally:
        os.close(journal)
    _carry_out(mbox, folder)
    return True


def _write(mbox: int, folder: int, start: int, size: int, tail: Iterable[bytes]) -> None:
    draft = f"{FILE}.new"
    files.unlink(draft, JOURNAL, folder=folder)
    writing = files.create(draft, JOURNAL, folder=folder)
    try:
        length = 0
        files.write(writing, b" " * HEAD, JOURNAL)
        for piece in tail:
            length += len(piece)
            files.write(writing, piece, JOURNAL)
        files.write(writing, _END, JOURNAL)
        if start + length > size:
            raise ValueError("the new end of an mbox is longer than the old one")
        about = {"inode": os.fstat(mbox).st_ino, "start": start, "size": size, "length": length,
                 "rest": _hash(mbox, start + length, size)}
        os.pwrite(writing, json.dumps(about).encode().ljust(HEAD), 0)
        files.fdatasync(writing, JOURNAL)
    except BaseException:
        files.unlink(draft, JOURNAL, folder=folder)
        raise
    finally:
        os.close(writing)
    files.rename(draft, FILE, JOURNAL, old_folder=folder, new_folder=folder)
    files.sync_folder(folder, JOURNAL)


def _carry_out(mbox: int, folder: int) -> None:
    journal = files.open_read(FILE, folder=folder)
    writing = os.open(f"/proc/self/fd/{mbox}", os.O_WRONLY | os.O_CLOEXEC)     # ours is open for appending only
    try:
        found = _read(journal)
        if found is None:
            raise StoreError("the journal of an mbox can't be read back")
        os.lseek(writing, found["start"], os.SEEK_SET)
        for piece in _pieces(journal, HEAD, HEAD + found["length"]):
            files.write(writing, piece, REWRITE)
        files.fdatasync(writing, REWRITE)
        SHORTEN.before()
        os.ftruncate(writing, found["start"] + found["length"])
        SHORTEN.after()
        files.fdatasync(writing, SHORTEN)
    finally:
        os.close(writing)
        os.close(journal)
    files.unlink(FILE, DONE, folder=folder)
    files.sync_folder(folder, DONE)


def _read(journal: int) -> dict[str, int] | None:
    """What a journal says of itself, None where it was not finished."""
    try:
        about = json.loads(os.pread(journal, HEAD, 0))
        if os.pread(journal, len(_END) + 1, HEAD + about["length"]) != _END:
            return None
    except (ValueError, TypeError, KeyError):
        return None
    return dict(about)


def _begun(mbox: int, found: dict[str, int]) -> bool:
    """Is the file as it was when the journal was written, but for what was written over and appended since?"""
    about = os.fstat(mbox)
    if about.st_ino != found["inode"] or about.st_size < found["size"]:
        return False        # another file, or the work was done up to the cut
    return _hash(mbox, found["start"] + found["length"], found["size"]) == found["rest"]


def _pieces(descriptor: int, start: int, end: int) -> Iterator[bytes]:
    while start < end:
        piece = os.pread(descriptor, min(CHUNK, end - start), start)
        if not piece:
            raise OSError(errno.EIO, "a file is shorter than it was")
        start += len(piece)
        yield piece


def _hash(descriptor: int, start: int, end: int) -> int:
    mark = blake2b(digest_size=8)
    for piece in _pieces(descriptor, start, end):
        mark.update(piece)
    return int.from_bytes(mark.digest(), "big")
