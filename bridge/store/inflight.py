"""Which messages are in the mover's hands right now, so that a death can be blamed on them (P14, sec-R12).

Promises: cheap (one small write when something is taken up or let go); survives the death of the process, not a power
cut, which is nobody's fault. Never raises after it was opened: a lost note is one more attempt for a poison message.
"""
import os
import threading
from collections.abc import Iterable
from pathlib import Path

_LIMIT = 1 << 20


class Inflight:
    """The note at `path`. `left_behind` reads what the previous process had in hand; then `add` and `discard`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ids: set[str] = set()
        self._lock = threading.Lock()
        self._descriptor = -1

    def left_behind(self) -> list[str]:
        """The messages that were in hand when the last process died; empty after a proper stop. Opens the note anew."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if self._descriptor < 0:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._descriptor = os.open(self._path, flags, 0o600)
        text = os.pread(self._descriptor, _LIMIT, 0).decode("ascii", "replace")
        return sorted({word for word in text.split() if len(word) == 16 and word.isalnum()})

    def add(self, ids: Iterable[str]) -> None:
        with self._lock:
            self._ids.update(ids)
            self._note()

    def discard(self, ids: Iterable[str]) -> None:
        with self._lock:
            self._ids.difference_update(ids)
            self._note()

    def close(self) -> None:
        """A proper stop: nothing is in hand any more."""
        with self._lock:
            self._ids.clear()
            self._note()
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1

    def _note(self) -> None:
        if self._descriptor < 0:
            return
        data = " ".join(self._ids).encode()
        try:
            os.pwrite(self._descriptor, data + b"\n", 0)
            os.ftruncate(self._descriptor, len(data) + 1)
        except OSError:
            return
