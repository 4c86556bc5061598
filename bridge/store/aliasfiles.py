"""Reads alias files and the files that they include, with an eye on who could have written them (sec-D04, sec-D01).

Promises: an included file is regular, belongs to root or to us, nobody else may write to it or to its folders on the
way up to the allowed one, and no part of its path is a link; it is read once, up to a limit. An alias file is read in
any case, and `trusted` says whether only root or we could have written it.
Fails by: Unsafe, whose text says which rule is broken and how to mend it; OSError as it is.
"""

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

MOST_BYTES = 16 << 20
INCLUDE_BYTES = 4 << 20

Stamp = tuple[int, int, int, int]


class Unsafe(Exception):
    """The file could have been written by somebody else, or is no file."""


@dataclass(frozen=True, slots=True)
class AliasFile:
    """One file as it was read. `stamp` changes when the file does."""

    text: str
    stamp: Stamp
    trusted: bool


def stamp(path: Path) -> Stamp | None:
    """What tells one version of a file from the next; None if there is no such file."""
    try:
        return _stamp(path.stat())
    except OSError:
        return None


def read(path: Path) -> AliasFile:
    """An alias file. Links are followed: the administrator named the file in the configuration."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise Unsafe(f"{path} is not a regular file")
        text = _content(descriptor, path, MOST_BYTES)
    finally:
        os.close(descriptor)
    return AliasFile(text, _stamp(found), not _writable_by_others(found))


def read_include(path: Path, below: Sequence[Path]) -> AliasFile:
    """A file that an alias file includes; it must lie in one of the folders `below`."""
    base = next((folder for folder in below if path != folder and path.is_relative_to(folder)), None)
    if base is None:
        folders = ", ".join(str(folder) for folder in below)
        raise Unsafe(f"{path} is not below {folders}; move it there or add its folder to mail.include_folders")
    descriptor = os.open(base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    parts = path.relative_to(base).parts
    try:
        for depth, part in enumerate(parts):
            _require_ours(os.fstat(descriptor), Path(base, *parts[:depth]))
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
            flags |= os.O_DIRECTORY if depth < len(parts) - 1 else 0
            deeper = _open(part, flags, descriptor, path)
            os.close(descriptor)
            descriptor = deeper
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise Unsafe(f"{path} is not a regular file")
        _require_ours(found, path)
        return AliasFile(_content(descriptor, path, INCLUDE_BYTES), _stamp(found), True)
    finally:
        os.close(descriptor)


def _open(part: str, flags: int, folder: int, path: Path) -> int:
    try:
        return os.open(part, flags, dir_fd=folder)
    except OSError as error:
        if os.path.islink(path) or any(parent.is_symlink() for parent in path.parents):
            raise Unsafe(f"{path} leads through a link; write the real path") from error
        raise


def _require_ours(found: os.stat_result, path: Path) -> None:
    if _writable_by_others(found):
        raise Unsafe(
            f"{path} can be changed by others than root and this server; use chown and chmod go-w on it"
        )


def _writable_by_others(found: os.stat_result) -> bool:
    return found.st_uid not in (0, os.geteuid()) or bool(found.st_mode & (stat.S_IWGRP | stat.S_IWOTH))


def _content(descriptor: int, path: Path, limit: int) -> str:
    """UTF-8; what isn't stays recognisable as wrong, so that the parser complains about its line."""
    parts, size = [], 0
    while chunk := os.read(descriptor, 1 << 18):
        size += len(chunk)
        if size > limit:
            raise Unsafe(f"{path} is larger than {limit >> 20} MB")
        parts.append(chunk)
    return b"".join(parts).decode("utf-8", "surrogateescape")


def _stamp(found: os.stat_result) -> Stamp:
    """With the time of change instead of modification: a chmod may make a file good or bad."""
    return found.st_dev, found.st_ino, found.st_ctime_ns, found.st_size
