"""Which messages are in the mover's hands right now, so that a death can be blamed on them (P14, sec-R12).

A file of slots, mapped into memory: taking up and letting go are plain stores that cost no call. The first slot names
the family of the process that wrote it, i.e. its supervisor: who finds a note of its own family knows that only that
process died; where the whole family is gone, somebody killed it, or the machine did.
Promises: survives the death of the process; not a power cut, which is nobody's fault. Never raises after it was opened:
a message that finds no slot is not noted, and gets one more attempt if it is poison.
"""
import mmap
import os
import threading
from collections.abc import Iterable
from pathlib import Path

_SLOTS = 16384
_WIDTH = 16
_EMPTY = bytes(_WIDTH)
_PLACES = range(_WIDTH, (_SLOTS + 1) * _WIDTH, _WIDTH)   # behind the family
_SIZE = _PLACES.stop


class Inflight:
    """The note at `path`. `left_behind` reads what the previous process had in hand; then `add` and `discard`."""

    def __init__(self, path: Path, family: bytes = b"") -> None:
        """`family`: up to 16 bytes, the same for all that one supervisor starts; empty: there is none."""
        self._path = path
        self._family = family[:_WIDTH].ljust(_WIDTH, b"\0")
        self._map: mmap.mmap | None = None
        self._places: dict[str, int] = {}
        self._free: list[int] = []
        self._lock = threading.Lock()

    def left_behind(self) -> list[str]:
        """The messages noted now; at the first call what the last process had in hand when it died. Opens the note."""
        with self._lock:
            found = self._open()
            words = (found[at : at + _WIDTH] for at in _PLACES)
            return sorted({word.decode() for word in words if word != _EMPTY and word.isascii() and word.isalnum()})

    def by_our_family(self) -> bool:
        """The last process died alone: its supervisor is ours. False where there was none. Before `begin`."""
        with self._lock:
            return self._family != _EMPTY and self._open()[:_WIDTH] == self._family

    def begin(self) -> None:
        """What was left behind is dealt with: from here on only what is added now."""
        with self._lock:
            found = self._open()
            ours = set(self._places.values())
            for at in _PLACES:
                if at not in ours:
                    found[at : at + _WIDTH] = _EMPTY
            found[:_WIDTH] = self._family

    def add(self, ids: Iterable[str]) -> None:
        with self._lock:
            if self._map is None:
                return
            for one in ids:
                if one not in self._places and self._free and len(one) == _WIDTH and one.isascii():
                    at = self._places[one] = self._free.pop()
                    self._map[at : at + _WIDTH] = one.encode()

    def discard(self, ids: Iterable[str]) -> None:
        with self._lock:
            if self._map is None:
                return
            for one in ids:
                at = self._places.pop(one, -1)
                if at >= 0:
                    self._map[at : at + _WIDTH] = _EMPTY
                    self._free.append(at)

    def close(self) -> None:
        """A proper stop: nothing is in hand any more."""
        with self._lock:
            if self._map is not None:
                self._map[:] = bytes(len(self._map))
                self._map.close()
                self._map = None
            self._places.clear()

    def _open(self) -> mmap.mmap:
        if self._map is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor = os.open(self._path, flags, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, _SIZE)
                self._map = mmap.mmap(descriptor, _SIZE)
            finally:
                os.close(descriptor)
            self._free = list(reversed(_PLACES))
        return self._map
