"""One lock file that processes share, held with flock.

Promises: exclusive across processes and across two `FileLock` objects of one process; the kernel frees it when the
holder dies, at once and however it dies (P22); waiting ends after `patience` seconds with StoreError. Not recursive; an
object is for one thread at a time. The file itself is never removed: a name that comes and goes can be locked twice.
"""
import fcntl
import os
import time
from pathlib import Path
from types import TracebackType

from bridge.model.errors import StoreError

PATIENCE = 30.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.0002, 0.004


class FileLock:
    """`with FileLock(path): ...`; the file is opened at the first use and stays open until `close`."""

    __slots__ = ("_descriptor", "path", "patience")

    def __init__(self, path: Path, patience: float = PATIENCE) -> None:
        self.path, self.patience = path, patience
        self._descriptor = -1

    def try_acquire(self) -> bool:
        """Take the lock if it is free; False if somebody else holds it."""
        if self._descriptor < 0:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._descriptor = os.open(self.path, flags, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def acquire(self) -> None:
        """Take the lock, waiting for it; StoreError after `patience` seconds."""
        if self.try_acquire():
            return
        end, pause = time.monotonic() + self.patience, _FIRST_PAUSE
        while not self.try_acquire():
            if time.monotonic() > end:
                raise StoreError(f"{self.path} has been locked by another process for {self.patience:g} seconds")
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def release(self) -> None:
        """Let go: explicitly, so that a descriptor inherited by a child process can't keep it locked."""
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def identity(self) -> tuple[int, int]:
        """(device, inode) of the file that is open: a name whose file was removed may lead to another one."""
        about = os.fstat(self._descriptor)
        return about.st_dev, about.st_ino

    def close(self) -> None:
        """Close the file (which also lets go, unless a child process still has the descriptor)."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> "FileLock":
        self.acquire()
        return self

    def __exit__(self, *error: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.release()
