"""Dot-locks for sessions that may not make files beside their mbox (/var/mail is group mail's on Debian).

A second process, with the user's rights and that group, has one thing to do: take and give back the dot-lock of this
one mailbox when the session says so. So a session that a message gets the better of still can't touch others'
mailboxes. The lock's text, where the length before an append is noted, is the session's to write.
Promises: locks of a session that dies stay, as those of any dead process, and are found and mended by the next who
locks.
Fails by: StoreError in the session.
"""
import itertools
import json
import os
import signal
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from bridge.helper.mail import lock_groups
from bridge.helper.people import Person, become
from bridge.model.errors import StoreError
from bridge.store import mboxfile
from bridge.store.mboxfile import Busy, DotLock, Lock, Locker, Rules, Unsafe

MOST = 8            # locks of one session
_WORD = 64          # bytes of a request
_ANSWER = 256


def begin(person: Person) -> Locker | None:
    """Fork whoever keeps the locks; None: the session can make them itself, or needs none. Call it as root."""
    groups = lock_groups(person.account)
    if not groups:
        return None
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork():
        theirs.close()
        return _Asker(ours).lock
    status = 1
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for name in os.listdir("/proc/self/fd"):
            if int(name) > 2 and int(name) != theirs.fileno():
                _close(int(name))
        become(person, groups)
        _make(person, groups[0])
        _Keeper(theirs, person.account.mbox).run()
        status = 0
    finally:
        os._exit(status)


def _make(person: Person, group: int) -> None:
    """The mbox, where there is none yet: the session couldn't."""
    path = person.account.mbox
    if os.path.lexists(path):
        return
    rules = Rules(patience=0.0, mode=0o660, owners=(person.uid,), group=group)
    with suppress(Busy, Unsafe, OSError), mboxfile.opened(path, path.parent, rules):
        pass


def _close(descriptor: int) -> None:
    try:
        os.close(descriptor)
    except OSError:     # that of the listing itself
        return


@dataclass(slots=True)
class _Keeper:
    """Obeys `take N [stale]`, `keep N` and `drop N` until the session has gone."""

    one: socket.socket
    path: Path
    locks: dict[int, DotLock] = field(default_factory=dict)
    folder: int = -1

    def run(self) -> None:
        self.folder = mboxfile.open_parent(self.path)
        while request := self.one.recv(_WORD):
            word, number, stale = request.split()
            try:
                self._obey(word, int(number), float(stale))
            except OSError as error:
                self._answer(trouble=str(error))

    def _obey(self, word: bytes, number: int, stale: float) -> None:
        lock = self.locks.get(number)
        if word == b"take":
            if lock is None:
                if len(self.locks) >= MOST:
                    raise OSError("too many locks")
                lock = DotLock(self.folder, self.path.name, stale)
                lock.__enter__()
                self.locks[number] = lock
            self._take(lock)
            return
        if lock is not None:
            del self.locks[number]
            if word == b"keep":
                lock.keep()
            lock.__exit__()
        self._answer()

    def _take(self, lock: DotLock) -> None:
        if not lock.take():
            self._answer(held=False)
            return
        data = json.dumps({"held": True, "left": lock.left}).encode()
        socket.send_fds(self.one, [data], [lock.fileno()])

    def _answer(self, **fields: object) -> None:
        self.one.send(json.dumps(fields).encode()[:_ANSWER])


class _Asker:
    """The session's side; for all its threads."""

    def __init__(self, one: socket.socket) -> None:
        self._one, self._lock, self._numbers = one, threading.Lock(), itertools.count(1)

    def lock(self, folder: int, name: str, stale: float) -> Lock:
        return _Asked(self, next(self._numbers), stale)

    def ask(self, word: str, number: int, stale: float) -> tuple[dict[str, object], int]:
        """The answer, and the lock's file where one came along."""
        with self._lock:
            try:
                self._one.send(f"{word} {number} {stale}".encode())
                data, descriptors, _, _ = socket.recv_fds(self._one, _ANSWER, 1, socket.MSG_CMSG_CLOEXEC)
                found: dict[str, object] = json.loads(data)
            except (OSError, ValueError) as error:
                raise StoreError(f"no lock of the mailbox can be had: {error}") from error
        if "trouble" in found:
            raise StoreError(f"no lock of the mailbox can be had: {found['trouble']}")
        return found, descriptors[0] if descriptors else -1


class _Asked:
    """One dot-lock, as `mboxfile.Lock`."""

    def __init__(self, asker: _Asker, number: int, stale: float) -> None:
        self._asker, self._number, self._stale = asker, number, stale
        self._descriptor = -1
        self._kept = False
        self.left: tuple[int, int] | None = None

    def __enter__(self) -> "_Asked":
        return self

    def __exit__(self, *error: object) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._asker.ask("keep" if self._kept else "drop", self._number, self._stale)

    def take(self) -> bool:
        found, self._descriptor = self._asker.ask("take", self._number, self._stale)
        left = found.get("left")
        if isinstance(left, list):
            self.left = int(left[0]), int(left[1])
        return bool(found.get("held"))

    def note(self, inode: int, length: int) -> None:
        mboxfile.note(self._descriptor, inode, length)

    def keep(self) -> None:
        self._kept = True
