"""The shell around a session that people read mail with: one connection's bytes, deadlines, limits and TLS.

POP3 and IMAP put a `Session` into it and see `received(bytes)`; what they write goes straight to the transport.

    data_received -> Session.received -> (machine.feed -> events -> handlers) -> Link.write
    work that waits or takes long:       Link.run(coroutine); afterwards Session.received(b"") so that it goes on
    big answers:                         await Link.stream(chunks)   or   await Link.drain() between writes

Promises: never more than about 256 KB wait for a slow reader and 64 KB from a fast writer per connection, if sessions
do as above; a peer is cut off that doesn't log in, is silent, doesn't read or never finishes its TLS handshake
(P26, sec-I17); connections are counted from the first packet on (sec-I11); nothing that was sent in the clear lives
on after the upgrade to TLS (sec-I03); an exception in a session ends that session alone. `stop` lets running work end.
Fails by: closing the connection, with the session's last words where they can still be read.
Not here: binding ports (sockets are passed in), certificates, what the bytes mean.
"""
import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, cast

from bridge.accept import Acceptor
from bridge.model.clock import SYSTEM, Clock
from bridge.serve.crowd import Crowd, Limits
from bridge.serve.crowd import group as group_of

__all__ = ["Crowd", "Deadlines", "End", "Limits", "Link", "Listener", "Session"]

HIGH_WATER = 256 * 1024   # output that may wait for the peer
AHEAD = 64 * 1024         # input that may arrive while a command is under way
_log = logging.getLogger(__name__)


class End(Enum):
    """Why we end a connection: what `Session.farewell` gets to choose its words by."""

    IDLE = "idle for too long"
    LOGIN = "no login in time"
    SHUTDOWN = "server is stopping"
    BUG = "internal error"


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds: until logged in, between commands, until a waiting output moves, for a TLS handshake."""

    login: float = 60
    idle: float = 600
    stall: float = 120
    handshake: float = 30


class Session(Protocol):
    """What a protocol brings. All calls come from the event loop."""

    def opened(self) -> None:
        """The connection stands (after TLS where it is implicit): greet."""

    def received(self, data: bytes) -> None:
        """Bytes from the peer, or b"" when `Link.run` has ended. Must not work on while `link.busy`; just keep them."""

    def secured(self) -> None:
        """TLS began by `start_tls`: forget all that was said before."""

    def farewell(self, why: End) -> bytes:
        """Last words before we close."""

    def closed(self) -> None:
        """The connection is gone; also called after a `farewell`."""


class Link(asyncio.Protocol):
    """One connection, as its session sees it. `peer`: IP address; `secure`: TLS is on; `busy`: `run` is under way."""

    __slots__ = ("_busy_bytes", "_drained", "_early", "_eof", "_group", "_heard", "_hold", "_listener", "_session",
                 "_shaking", "_started", "_stuck", "_task", "_transport", "_user", "busy", "closing", "congested",
                 "peer", "secure")

    def __init__(self, listener: "Listener") -> None:
        self._listener = listener
        self._transport = cast(asyncio.Transport, None)
        self._session: Session | None = None
        self._task: asyncio.Task[None] | None = None
        self._shaking: asyncio.Task[None] | None = None   # TLS handshake before the session begins
        self._drained: asyncio.Future[None] | None = None
        self._started = self._heard = listener.monotonic()
        self._stuck = 0.0       # since when the peer doesn't read, 0: it does
        self._busy_bytes = 0
        self._early: bytearray | None = None
        self._hold = self._eof = False
        self._group = self._user = self.peer = ""
        self.busy = self.secure = self.congested = self.closing = False

    # --- for the session ---

    @property
    def tls_offered(self) -> bool:
        """Whether `start_tls` is possible."""
        return self._listener.tls is not None and not self.secure

    def write(self, data: bytes) -> None:
        """Send; silently nothing once the connection is closing."""
        if data and not self.closing:
            self._transport.write(data)

    def writelines(self, parts: Iterable[bytes]) -> None:
        """Send several pieces without joining them."""
        if not self.closing:
            self._transport.writelines(parts)

    async def drain(self) -> None:
        """Wait until the peer has read enough; at once where it has. ConnectionResetError when it is gone."""
        if self.closing:
            raise ConnectionResetError
        if self.congested:
            if self._drained is None:
                self._drained = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._drained)

    async def stream(self, chunks: Iterable[bytes]) -> None:
        """Write all chunks, as fast as the peer reads. Other sessions get their turn after each chunk."""
        for chunk in chunks:
            self.write(chunk)
            await self.drain()
            await asyncio.sleep(0)

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` as this connection's one task; `busy` until it ends, then `Session.received(b"")`. It is
        cancelled when the connection is lost: shield what must be finished."""
        if self.busy:
            raise RuntimeError("one task at a time")
        self.busy = True
        self._task = asyncio.get_running_loop().create_task(self._work(work))

    def admit(self, user: str) -> bool:
        """Note who logged in and end the login deadline; False if that user has too many connections from here."""
        if self._user:
            self._listener.crowd.log_out(self._group, self._user)
            self._user = ""
        if not self._listener.crowd.admit(user, self._group):
            return False
        self._user = user
        return True

    def start_tls(self, reply: bytes) -> None:
        """Send `reply`, then TLS, then `Session.secured()`. Only for a session without unread bytes: who has some
        was sent a command too early, by the client or by somebody else, and closes instead."""
        self._pause()
        self._transport.write(reply)
        self.run(self._upgrade())

    def close(self, last: bytes = b"") -> None:
        """Send `last` and what waits, then close."""
        if self.closing:
            return
        if self._shaking is not None:
            self.abort()
            return
        self.write(last)
        self.closing = True
        self._stuck = self._stuck or self._listener.monotonic()
        self._transport.close()

    def abort(self) -> None:
        """Close now; what waits is lost."""
        self.closing = True
        if self._shaking is not None:
            self._shaking.cancel()
        else:
            self._transport.abort()

    # --- asyncio ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(HIGH_WATER)
        if self._shaking is not None:
            self.secure, self._shaking = True, None
        elif not self._enter(transport.get_extra_info("peername")):
            self._transport.write(self._listener.crowded)
            self.closing = True
            self._transport.close()
            return
        self._guard(self._open)

    def data_received(self, data: bytes) -> None:
        if self._early is not None:
            self._early += data
            if len(self._early) > AHEAD:
                self.abort()
            return
        if self.closing or self._session is None:
            return
        self._heard = self._listener.monotonic()
        if self.busy:
            self._busy_bytes += len(data)
            if self._busy_bytes > AHEAD:
                self._pause()
        try:
            self._session.received(data)
        except Exception:
            self._bug()

    def eof_received(self) -> bool:
        self._eof = True
        return self.busy and not self.secure  # a peer that has said all it had to say may wait for the answer

    def pause_writing(self) -> None:
        self.congested = True
        self._stuck = self._listener.monotonic()

    def resume_writing(self) -> None:
        self.congested = False
        self._stuck = 0.0
        if self._drained is not None:
            self._drained.set_result(None)
            self._drained = None

    def connection_lost(self, error: BaseException | None) -> None:
        self.closing = True
        if not self._leave():
            return
        if self._drained is not None:
            self._drained.set_exception(ConnectionResetError())
            self._drained = None
        if self._task is not None:
            self._task.cancel()
        if self._session is not None:
            self._guard(self._session.closed)

    # --- for the listener ---

    def shake_hands(self, accepted: socket.socket, name: Any) -> None:
        """Begin with TLS on a connection that was just accepted; it counts from now on."""
        if not self._enter(name):
            accepted.close()
            return
        self._shaking = asyncio.get_running_loop().create_task(self._shake(accepted))

    def tick(self, now: float) -> None:
        """Once a second: is any deadline over?"""
        deadlines = self._listener.deadlines
        if self._stuck:
            if now - self._stuck > deadlines.stall:
                self.abort()
        elif not self._user and now - self._started > deadlines.login:
            self._end(End.LOGIN)
        elif not self.busy and now - self._heard > deadlines.idle:
            self._end(End.IDLE)

    def stop(self) -> None:
        """Say goodbye as soon as nothing is under way."""
        if not self.busy:
            self._end(End.SHUTDOWN)

    # --- inside ---

    def _enter(self, name: Any) -> bool:
        self.peer = name[0] if isinstance(name, tuple) else ""
        group = group_of(self.peer)
        if self._listener.stopping or not self._listener.crowd.enter(group):
            return False
        self._group = group
        self._listener.links.add(self)
        return True

    def _leave(self) -> bool:
        """Whether we were in at all."""
        if self not in self._listener.links:
            return False
        self._listener.links.discard(self)
        self._listener.crowd.leave(self._group, self._user)
        self._listener.gone()
        return True

    async def _shake(self, accepted: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(
                lambda: self, accepted, ssl=self._listener.tls,
                ssl_handshake_timeout=self._listener.deadlines.handshake)
        except OSError as error:  # SSLError, a lost connection, a handshake that took too long
            _log.debug("TLS handshake with %s: %s", self.peer, error)
        finally:
            self._shaking = None
            if self._session is None:
                self._leave()

    def _open(self) -> None:
        self._session = self._listener.session(self)
        self._session.opened()

    async def _upgrade(self) -> None:
        tls = self._listener.tls
        assert tls is not None
        loop = asyncio.get_running_loop()
        self._early = bytearray()  # the first bytes inside TLS may come before we know that the handshake is done
        transport = await loop.start_tls(
            self._transport, self, tls, server_side=True, ssl_handshake_timeout=self._listener.deadlines.handshake)
        if transport is None:
            raise ConnectionResetError
        self._transport = transport
        transport.set_write_buffer_limits(HIGH_WATER)
        self._hold, self.secure = False, True
        early, self._early = bytes(self._early), None
        if self._session is not None:
            self._session.secured()
        if early:
            self.data_received(early)

    async def _work(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except (ConnectionError, ssl.SSLError, TimeoutError):
            self.abort()
        except Exception:
            self.busy = False
            self._bug()
        finally:
            self.busy = False
            self._task = None
        self._go_on()

    def _go_on(self) -> None:
        """After a task: look at what arrived in the meantime."""
        if self.closing:
            return
        self._heard = self._listener.monotonic()
        self._busy_bytes = 0
        if self._session is not None:
            self._guard(lambda: cast(Session, self._session).received(b""))
        if self.busy or self.closing:
            return
        if self._hold:
            self._hold = False
            self._transport.resume_reading()
        if self._eof:
            self.close()
        elif self._listener.stopping:
            self._end(End.SHUTDOWN)

    def _pause(self) -> None:
        if not self._hold:
            self._hold = True
            self._transport.pause_reading()

    def _guard(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception:
            self._bug()

    def _bug(self) -> None:
        _log.exception("session with %s ended by an error of ours", self.peer)
        self._end(End.BUG)

    def _end(self, why: End) -> None:
        last = b""
        if self._session is not None:
            try:
                last = self._session.farewell(why)
            except Exception:
                _log.exception("no last words for %s", self.peer)
        self.close(last)


class Listener:
    """Accepts connections on sockets that are listening already, and makes a session for each."""

    def __init__(
        self, session: Callable[[Link], Session], *, tls: ssl.SSLContext | None = None, implicit: bool = False,
        crowd: Crowd | None = None, crowded: bytes = b"", deadlines: Deadlines | None = None, clock: Clock = SYSTEM,
        tick: float = 1.0,
    ) -> None:
        if implicit and tls is None:
            raise ValueError("implicit TLS needs a context")
        self.session, self.tls, self.implicit, self.crowded = session, tls, implicit, crowded
        self.crowd = crowd or Crowd()
        self.deadlines = deadlines or Deadlines()
        self.monotonic = clock.monotonic
        self.links: set[Link] = set()
        self.stopping = False
        self._every = tick
        self._acceptors: list[Acceptor] = []
        self._ticker: asyncio.Task[None] | None = None
        self._greeting: set[asyncio.Task[None]] = set()
        self._empty = asyncio.Event()

    async def start(self, sockets: Iterable[socket.socket]) -> None:
        """Begin to accept."""
        for one in sockets:
            if self.implicit:
                acceptor = Acceptor(one, lambda accepted, name: Link(self).shake_hands(accepted, name))
            else:
                acceptor = Acceptor(one, self._greet, refusal=lambda: self.crowded)
            self._acceptors.append(acceptor)
        self._ticker = asyncio.get_running_loop().create_task(self._tick())

    async def stop(self, grace: float = 20.0) -> None:
        """Accept no more, say goodbye to everyone who waits, let running commands end, abort after `grace` seconds."""
        self.stopping = True
        self._close_ports()
        for link in list(self.links):
            link.stop()
        if self.links:
            self._empty.clear()
            try:
                await asyncio.wait_for(self._empty.wait(), grace)
            except TimeoutError:
                for link in list(self.links):
                    link.abort()
                await asyncio.sleep(0)
        if self._ticker is not None:
            self._ticker.cancel()

    async def drain(self) -> None:
        """Accept no more (others may hold the same sockets); returns when the last session has ended by itself."""
        self._close_ports()
        while self.links:
            await asyncio.sleep(1)

    def _close_ports(self) -> None:
        for acceptor in self._acceptors:
            acceptor.close()

    def gone(self) -> None:
        """A link is closed."""
        if not self.links:
            self._empty.set()

    def _greet(self, accepted: socket.socket, name: Any) -> None:
        """A session on a connection that was just accepted."""
        task = asyncio.get_running_loop().create_task(self._connect(accepted))
        self._greeting.add(task)
        task.add_done_callback(self._greeting.discard)

    async def _connect(self, accepted: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: Link(self), accepted)
        except OSError:
            accepted.close()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            now = self.monotonic()
            for link in list(self.links):
                link.tick(now)
