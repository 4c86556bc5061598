"""The drop folder: where every user of this machine may leave mail for us, also while nothing of ours runs (S78).

Mode 3733: anybody may create files in it, nobody but us may list it, and nobody may touch those of others; files get
our group, so that we can read them. A file is one line of JSON (what `sendmail` was told), then the message to its end.
It has its name only when it is whole and on the disk: written as `<32 hex digits>.part`, synced, renamed.
Promises: `opened` gives a regular file with one name that was no link, and the user number of its owner (sec-Q11).
Fails by: NotOurs for what must not be taken; OSError or DiskFull.
"""
import json
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from bridge.store import files
from bridge.store.failpoints import Failpoint

MODE = 0o3733
_CHUNK = 1 << 16
_RECORD_LIMIT = 1 << 20         # of the line of JSON
_PART_LIFE = 86400.0            # seconds after which nobody writes a part any more
_NAME = re.compile(r"[0-9a-f]{32}\Z")
_PART = re.compile(r"[0-9a-f]{32}\.part\Z")

_CREATE = Failpoint("drop.create", "a new file in the drop folder")
_WRITE = Failpoint("drop.write", "a message into the drop folder")
_FDATASYNC = Failpoint("drop.fdatasync", "a dropped message to the disk")
_RENAME = Failpoint("drop.rename", "a dropped message gets its name")
_FSYNC = Failpoint("drop.fsync", "the name of a dropped message to the disk")
_UNLINK = Failpoint("drop.unlink", "a dropped message was taken")


class NotOurs(Exception):
    """Something in the folder that is not taken; the text says why."""


class Handed(NamedTuple):
    """A message that somebody left. `record`: what its first line says, unchecked; `uid`: whose file it is."""

    name: str
    uid: int
    record: Mapping[str, Any]
    message: Iterator[bytes]


def prepare(folder: Path) -> None:
    """Make the folder, or make its mode right. It belongs to who calls."""
    with suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    about = os.lstat(folder)
    if not stat.S_ISDIR(about.st_mode):
        raise NotADirectoryError(20, "is no folder", str(folder))
    if about.st_uid == os.geteuid() and stat.S_IMODE(about.st_mode) != MODE:
        os.chmod(folder, MODE)


def put(folder: str, record: Mapping[str, Any], message: Iterable[bytes]) -> str:
    """Leave a message; it is safe at the return. Gives its name."""
    name = secrets.token_hex(16)
    part = f"{name}.part"
    place = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        descriptor = files.create(part, _CREATE, folder=place)
        try:
            files.write(descriptor, json.dumps(record).encode() + b"\n", _WRITE)
            for chunk in message:
                files.write(descriptor, chunk, _WRITE)
            os.fchmod(descriptor, 0o640)        # whatever the umask is: our group reads it
            files.fdatasync(descriptor, _FDATASYNC)
            files.rename(part, name, _RENAME, old_folder=place, new_folder=place)
            files.sync_folder(descriptor, _FSYNC)   # of the file, which takes its name along: only we open the folder
        except BaseException:
            for one in (part, name):
                with suppress(OSError):
                    os.unlink(one, dir_fd=place)
            raise
        finally:
            os.close(descriptor)
    finally:
        os.close(place)
    return name


def waiting(folder: Path) -> list[str]:
    """Names of whole messages, oldest first; parts that nobody writes any more are removed."""
    found: list[tuple[float, str]] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                touched = entry.stat(follow_symlinks=False).st_mtime
                if _NAME.match(entry.name):
                    found.append((touched, entry.name))
                elif _PART.match(entry.name) and touched < _now(folder) - _PART_LIFE:
                    remove(folder, entry.name)
    return [name for _, name in sorted(found)]


@contextmanager
def opened(folder: Path, name: str) -> Iterator[Handed]:
    """One message, checked; NotOurs, FileNotFoundError."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        descriptor = os.open(folder / name, flags)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise NotOurs(f"can't be opened: {error.strerror}") from error
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise NotOurs("is not a regular file")
        if about.st_nlink != 1:
            raise NotOurs(f"has {about.st_nlink} names")
        record, rest = _record(descriptor)
        yield Handed(name, about.st_uid, record, _message(descriptor, rest))
    finally:
        os.close(descriptor)


def remove(folder: Path, name: str) -> None:
    """Taken, or refused: gone. A folder of that name stays where it is."""
    with suppress(IsADirectoryError, PermissionError):
        files.unlink(folder / name, _UNLINK)


def _record(descriptor: int) -> tuple[Mapping[str, Any], bytes]:
    data = b""
    while b"\n" not in data:
        more = os.read(descriptor, _CHUNK)
        if not more or len(data) > _RECORD_LIMIT:
            raise NotOurs("has no first line that says whom it is for")
        data += more
    line, _, rest = data.partition(b"\n")
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        raise NotOurs("has no first line that says whom it is for")
    return record, rest


def _message(descriptor: int, first: bytes) -> Iterator[bytes]:
    if first:
        yield first
    while data := os.read(descriptor, _CHUNK):
        yield data


def _now(folder: Path) -> float:
    """The time by the clock of the folder's disk, or a little before: nothing younger is ever old."""
    return os.stat(folder).st_mtime
