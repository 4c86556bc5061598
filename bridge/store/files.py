"""The one door to the disk: create, write, sync, rename, link, unlink, each with a failpoint.

Promises: names are opened relative to a folder descriptor where one is given and never through a link (O_NOFOLLOW);
new files are 0600 and never replace an existing one unless `replace` says so; ENOSPC and EDQUOT come out as DiskFull,
every other OSError as it is. A failed fsync is never retried (P05): the caller abandons the file.
"""
import errno
import os
from collections.abc import Callable
from pathlib import Path

from bridge.model.errors import DiskFull
from bridge.store.failpoints import Failpoint

_FULL = (errno.ENOSPC, errno.EDQUOT)
Name = str | os.PathLike[str]


class _at:
    """Around one operation: its failpoint before and after, and "no room" as DiskFull. A class, because it is hot."""

    __slots__ = ("_point",)

    def __init__(self, point: Failpoint) -> None:
        self._point = point

    def __enter__(self) -> None:
        if self._point.armed:
            _acted(self._point.before)

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            if self._point.armed:
                _acted(self._point.after)
        elif isinstance(error, OSError) and error.errno in _FULL:
            raise DiskFull(str(error)) from error


def _acted(act: Callable[[], None]) -> None:
    try:
        act()
    except OSError as error:
        if error.errno in _FULL:
            raise DiskFull(str(error)) from error
        raise


def create(name: Name, point: Failpoint, *, folder: int | None = None, mode: int = 0o600) -> int:
    """A new file, opened for writing; FileExistsError if the name is taken."""
    with _at(point):
        return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=folder)


def open_append(name: Name, point: Failpoint, *, folder: int | None = None, mode: int = 0o600) -> int:
    """An existing or new file, opened for appending (each write is atomic against other appenders of one line)."""
    with _at(point):
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(name, flags, mode, dir_fd=folder)


def open_read(name: Name, *, folder: int | None = None) -> int:
    """For reading; a named pipe in its place can't make us wait."""
    return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=folder)


def open_folder(name: Name, *, folder: int | None = None) -> int:
    """A folder descriptor; NotADirectoryError or ELOOP (OSError) if it is a link or no folder."""
    return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)


def names_in(folder: int) -> list[str]:
    """Every name in the folder. Opened anew: listings of one descriptor, in other threads or after a fork, share their
    position, and each would see only a part."""
    own = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
    try:
        return os.listdir(own)
    finally:
        os.close(own)


def write(descriptor: int, data: bytes | memoryview, point: Failpoint) -> None:
    """All of `data`, or an error."""
    with _at(point):
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view):]


def overwrite(descriptor: int, data: bytes, offset: int, point: Failpoint) -> None:
    """All of `data` over what is there already."""
    with _at(point):
        done = 0
        while done < len(data):
            done += os.pwrite(descriptor, data[done:], offset + done)


def fdatasync(descriptor: int, point: Failpoint) -> None:
    with _at(point):
        os.fdatasync(descriptor)


def sync_folder(folder: int, point: Failpoint) -> None:
    """Make names in this folder survive a power cut."""
    with _at(point):
        os.fsync(folder)


def rename(
    old: Name, new: Name, point: Failpoint, *, old_folder: int | None = None, new_folder: int | None = None
) -> None:
    """Atomic, replaces `new`."""
    with _at(point):
        os.rename(old, new, src_dir_fd=old_folder, dst_dir_fd=new_folder)


def link(
    old: Name, new: Name, point: Failpoint, *, old_folder: int | None = None, new_folder: int | None = None
) -> bool:
    """A second name; False if `new` exists already (which, for derived names, means: done before)."""
    with _at(point):
        try:
            os.link(old, new, src_dir_fd=old_folder, dst_dir_fd=new_folder, follow_symlinks=False)
        except FileExistsError:
            return False
        return True


def unlink(name: Name, point: Failpoint, *, folder: int | None = None) -> bool:
    """Remove a name; False if it was gone already."""
    with _at(point):
        try:
            os.unlink(name, dir_fd=folder)
        except FileNotFoundError:
            return False
        return True


def make_folder(name: Name, point: Failpoint, *, folder: int | None = None, mode: int = 0o700) -> bool:
    """A new folder; False if it exists."""
    with _at(point):
        try:
            os.mkdir(name, mode, dir_fd=folder)
        except FileExistsError:
            return False
        return True


def make_path(path: Path, point: Failpoint, *, mode: int = 0o777) -> bool:
    """The folder and those above it that are missing, each name on the disk at the return; False if it was there.
    What is there already may be a link. `mode` is that of the last one."""
    missing: list[Path] = []
    above = path
    while not above.is_dir():
        if os.path.lexists(above):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(above))
        missing.append(above)
        above = above.parent
    for one in reversed(missing):
        place = os.open(one.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            make_folder(one.name, point, folder=place, mode=mode if one == path else 0o777)
            sync_folder(place, point)   # also where somebody else was faster: he may not have come so far
        finally:
            os.close(place)
    return bool(missing)


def replace(path: Path, data: bytes, point: Failpoint, *, mode: int = 0o600) -> None:
    """Put `data` under `path` so that a reader or a power cut sees the old or the new content, never a mixture."""
    make_path(path.parent, point)
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    draft.unlink(missing_ok=True)
    descriptor = create(draft, point, mode=mode)
    try:
        write(descriptor, data, point)
        fdatasync(descriptor, point)
    finally:
        os.close(descriptor)
    rename(draft, path, point)
    folder = open_folder(path.parent)
    try:
        sync_folder(folder, point)
    finally:
        os.close(folder)
