"""What a power cut could take: names made while one looks on whose folder was not synced since.

Watches `os` itself, so it sees also what goes past the wrappers of `bridge.store.files`.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

Place = tuple[int, int]


class Names:
    """`pending`: names as (folder, name), by the folder's identity."""

    def __init__(self) -> None:
        self.pending: set[tuple[Place, str]] = set()

    def made(self, name: object, folder: int | None) -> None:
        path = os.fsdecode(name)  # type: ignore[arg-type]
        about = os.stat(os.path.dirname(path) or ".", dir_fd=folder)
        self.pending.add(((about.st_dev, about.st_ino), os.path.basename(path)))

    def synced(self, descriptor: int) -> None:
        about = os.fstat(descriptor)
        here = (about.st_dev, about.st_ino)
        self.pending = {one for one in self.pending if one[0] != here}

    def below(self, root: Path) -> list[str]:
        """Those that are still there, anywhere below `root`, with their paths."""
        folders = [root, *(path for path in root.rglob("*") if path.is_dir())]
        by_place = {(about.st_dev, about.st_ino): path for path in folders for about in [path.stat()]}
        found = [by_place[place] / name for place, name in self.pending if place in by_place]
        return sorted(str(path.relative_to(root)) for path in found if os.path.lexists(path))


@contextmanager
def watched() -> Iterator[Names]:
    """Everything that this process does to names in the meantime."""
    names = Names()
    real_mkdir, real_rename, real_link, real_sync = os.mkdir, os.rename, os.link, os.fsync

    def mkdir(path: str, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        real_mkdir(path, mode, dir_fd=dir_fd)
        names.made(path, dir_fd)

    def rename(old: str, new: str, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None) -> None:
        real_rename(old, new, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
        names.made(new, dst_dir_fd)

    def link(
        old: str, new: str, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None, **how: bool
    ) -> None:
        real_link(old, new, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd, **how)
        names.made(new, dst_dir_fd)

    def fsync(descriptor: int) -> None:
        real_sync(descriptor)
        names.synced(descriptor)

    with mock.patch.multiple(os, mkdir=mkdir, rename=rename, link=link, fsync=fsync):
        yield names
