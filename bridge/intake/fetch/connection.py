"""A TCP or TLS connection to a remote mail server that can't keep us for ever.

Promises: each wait ends after `timeout` seconds, all waits of one command after the patience of `begin`, everything
together at `deadline`, whatever the server trickles (sec-F04); one command's answers have a budget of bytes and lines
(sec-F06); `abort` from any thread ends it at once. TLS begins only when nothing was read beyond the line before it.
Fails by: OSError (TimeoutError among them) and `Flood`.
"""

import socket
import ssl
import threading
import time
from collections.abc import Callable

from bridge.intake.fetch.reach import dial

CHUNK = 262_144
LINE = 16_000_000  # a SEARCH of two million messages is one line
LINES = 100_000  # answers to one command
TEXT = 4_000_000  # bytes of answers to a command that doesn't ask for mail


class Flood(Exception):
    """The server sends far more than was asked for."""


class Connection:
    """One connection, buffered. `deadline` is on the monotonic clock."""

    def __init__(
        self, host: str, port: int, timeout: float, deadline: float, clock: Callable[[], float] = time.monotonic,
        *, dial: Callable[[str, int, float], socket.socket] = dial,
    ) -> None:  # fmt: skip
        self.host, self.port = host, port
        self._timeout, self._deadline, self._clock = timeout, deadline, clock
        self._command_deadline = deadline
        self._buffer, self._at = b"", 0
        self._budget, self._lines = TEXT, LINES
        self._closing = threading.Lock()
        self._aborted = False
        self.socket: socket.socket = dial(host, port, self._left())
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def start_tls(self, context: ssl.SSLContext, name: str) -> None:
        """TLS from here on; Flood if the server has said something that nobody asked for (sec-F01)."""
        if self._at < len(self._buffer):
            raise Flood("it sent something before TLS began")
        self.socket.settimeout(self._left())
        self.socket = context.wrap_socket(self.socket, server_hostname=name)

    def certificate(self) -> bytes:
        """The peer's, DER."""
        assert isinstance(self.socket, ssl.SSLSocket)
        return self.socket.getpeercert(binary_form=True) or b""

    def begin(self, budget: int = TEXT, patience: float = 0, lines: int = LINES) -> None:
        """A command starts: so many bytes and lines may answer it, and so many seconds may pass until its end."""
        self._budget, self._lines = budget, lines
        self._command_deadline = min(self._deadline, self._clock() + patience) if patience else self._deadline

    def send(self, data: bytes) -> None:
        self.socket.settimeout(self._left())
        self.socket.sendall(data)

    def readline(self, limit: int = LINE) -> bytes:
        """A line with its end; what came of it if the server closes first."""
        self._lines -= 1
        if self._lines < 0:
            raise Flood("it answers with lines without end")
        parts: list[bytes] = []
        size = 0
        while (end := self._buffer.find(b"\n", self._at)) < 0:
            size += len(self._buffer) - self._at
            if size > limit:
                raise Flood("a line of its answer has no end")
            parts.append(self.taken())
            if not self._fill():
                return b"".join(parts)
        line = self._buffer[self._at : end + 1]
        self._at = end + 1
        if size + len(line) > limit:
            raise Flood("a line of its answer has no end")
        return b"".join((*parts, line)) if parts else line

    def read(self, size: int, keep: int) -> bytes:
        """`size` bytes are taken, at most the first `keep` of them kept; fewer if the server closes first."""
        parts: list[bytes] = []
        kept = 0
        while size > 0 and (self._at < len(self._buffer) or self._fill()):
            data = self._buffer[self._at : self._at + size]
            self._at += len(data)
            size -= len(data)
            if kept < keep:
                parts.append(data[: keep - kept] if len(data) > keep - kept else data)
                kept += len(parts[-1])
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def take(self) -> bytes:
        """Whatever comes next, at least a byte; b"" if the server has closed."""
        if self._at == len(self._buffer):
            self._fill()
        return self.taken()

    def taken(self) -> bytes:
        """What has come and nobody has read, without waiting."""
        data = self._buffer[self._at :] if self._at else self._buffer
        self._buffer, self._at = b"", 0
        return data

    def give_back(self, data: bytes) -> None:
        """What `take` gave too much of."""
        self._buffer, self._at = data + self.taken(), 0

    @property
    def buffered(self) -> bool:
        """Something has come that nobody has read: in our buffer, or inside TLS."""
        return self._at < len(self._buffer) or (isinstance(self.socket, ssl.SSLSocket) and self.socket.pending() > 0)

    def _fill(self) -> bool:
        self.socket.settimeout(self._left())
        data = self.socket.recv(CHUNK)
        if self._aborted:
            raise ConnectionAbortedError("stopped")
        self._budget -= len(data)
        if self._budget < 0:
            raise Flood("it sends far more than was asked for")
        self._buffer, self._at = (self.taken() + data if self._at < len(self._buffer) else data), 0
        return bool(data)

    def _left(self) -> float:
        now = self._clock()
        left = min(self._timeout, self._command_deadline - now)
        if left <= 0:
            raise TimeoutError("took too long")
        return left

    def abort(self) -> None:
        """End it from another thread; who waits gets an OSError. Never raises."""
        self._aborted = True
        with self._closing:
            try:
                self.socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it was closed already

    def close(self) -> None:
        with self._closing:
            self.socket.close()
