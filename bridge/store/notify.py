"""Hints between processes: datagrams that say "look there", never the truth itself.

Promises: `hint` never waits and never fails; losing every datagram only makes things slower. Each listener is one
socket `<kind>.<pid>-<n>.sock` in the run folder; the sender sends to all that are there, its own process included, and
removes sockets of dead ones. Kinds: "queue" (queue ids), "mailbox" (account address, folder), "reload".
A `Listener` that finds no place answers `fileno` of a socket nobody reaches: its owner polls more slowly.
"""
import itertools
import os
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

MAX_HINT = 4096         # bytes of one datagram
MAX_READ = 256          # datagrams taken at once
_counter = itertools.count(1)


@dataclass(slots=True, eq=False)
class Hints:
    """The sending side. `folder`: data/run, or None: nobody is told (tests, single tools). `end`: of a pair whose other
    end tells the others about mailboxes, for a process that may not go into the folder."""

    folder: Path | None = None
    end: socket.socket | None = None
    _socket: socket.socket | None = field(init=False, default=None)
    _owner: int = field(init=False, default=0)
    _listed: int = field(init=False, default=-1)
    _names: tuple[str, ...] = field(init=False, default=())

    def hint(self, kind: str, payload: str) -> None:
        """Tell all listeners of a kind."""
        data = payload.encode("utf-8", "replace")[:MAX_HINT]
        if self.end is not None and kind == "mailbox":
            with suppress(OSError):
                self.end.send(data)
        if self.folder is None:
            return
        try:
            sender = self._sender()
            for name in self._listeners():
                if name.startswith(kind + "."):
                    self._send(sender, f"{self.folder}/{name}", data)
        except OSError:
            return

    def close(self) -> None:
        """Close the socket; another hint opens it again."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _sender(self) -> socket.socket:
        if self._socket is None or self._owner != os.getpid():
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
            self._owner = os.getpid()
        return self._socket

    def _listeners(self) -> tuple[str, ...]:
        """Names of the sockets; the folder is read again when it has changed."""
        assert self.folder is not None
        changed = os.stat(self.folder).st_mtime_ns
        if changed != self._listed:
            self._names = tuple(name for name in os.listdir(self.folder) if name.endswith(".sock"))
            self._listed = changed
        return self._names

    def _send(self, sender: socket.socket, path: str, data: bytes) -> None:
        try:
            sender.sendto(data, path)
        except ConnectionRefusedError:      # its process is dead
            with suppress(OSError):
                os.unlink(path)
        except OSError:                     # full: it has enough to look at; gone: fine
            return


class Listener:
    """The receiving side: give `fileno()` to the event loop, `receive()` when it is readable. `end`: as of `Hints`."""

    __slots__ = ("_path", "_socket", "kind")

    def __init__(self, kind: str, folder: Path | None, end: socket.socket | None = None) -> None:
        self.kind = kind
        self._socket = end or socket.socket(
            socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        )
        self._path: Path | None = None
        if folder is None:
            return
        path = folder / f"{kind}.{os.getpid()}-{next(_counter)}.sock"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            self._socket.bind(os.fspath(path))
            self._path = path
        except OSError:
            return

    def fileno(self) -> int:
        return self._socket.fileno()

    def receive(self) -> list[str]:
        """What has come, at most MAX_READ of it, without waiting."""
        found: list[str] = []
        while len(found) < MAX_READ:
            try:
                found.append(self._socket.recv(MAX_HINT).decode("utf-8", "replace"))
            except OSError:
                break
        return found

    def close(self) -> None:
        self._socket.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)
