"""The bytes of one SMTP connection: lines and bodies in, replies out together, one deadline.

Promises: at most about `AHEAD` bytes wait unread, then the peer is not read any more (TCP slows it down); replies are
kept until we would wait, then leave in one write; every wait has a deadline, checked by the server's tick (P26).
Fails by: Gone (the peer left; half-closing counts once everything it sent is read), Expired (a deadline passed),
LineTooLong (that line was read to its end and thrown away), Flood (it has no end).
"""
import asyncio
import ssl

AHEAD = 256 * 1024
FLOOD = 1 << 20         # bytes of one endless command line that we are willing to throw away
HANDSHAKE = 30.0
GOODBYE = 10.0          # seconds that our last words may take


class Gone(Exception):
    """The peer is not there any more."""


class Expired(Exception):
    """The peer took too long."""


class LineTooLong(Exception):
    """A line over the limit; it is gone, the next one may be good."""


class Flood(Exception):
    """A line without end."""


class Channel:
    """One connection's transport with buffers on both sides. Only the event loop touches it."""

    __slots__ = ("_blocked", "_body_from", "_body_since", "_buffer", "_drained", "_idle", "_loop", "_out", "_paused",
                 "_received", "_searched", "_waiter", "busy", "deadline", "eof", "lost", "transport")  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport, idle: float) -> None:
        self._loop, self.transport, self._idle = loop, transport, idle
        self._buffer = bytearray()
        self._searched = 0
        self._out: list[bytes] = []
        self._waiter: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._paused = self._blocked = False
        self.eof = self.lost = False
        self.busy = False       # we work, the peer waits: no deadline for it
        self.deadline = 0.0     # loop time; 0: we are not waiting for the peer
        self._received = 0
        self._body_since = 0.0  # loop time at which a message began, 0 outside
        self._body_from = 0

    # --- from the transport ---

    def feed(self, data: bytes) -> None:
        """The peer sent something."""
        self._buffer += data
        self._received += len(data)
        if len(self._buffer) > AHEAD and not self._paused:
            self._paused = True
            self.transport.pause_reading()
        self._wake()

    def ended(self) -> None:
        """The peer will send nothing more, but may still read."""
        self.eof = True
        self._wake()

    def closed(self) -> None:
        """The connection is gone."""
        self.eof = self.lost = True
        self._wake()
        self.unblock()

    def block(self) -> None:
        """The peer doesn't read our replies."""
        self._blocked = True

    def unblock(self) -> None:
        self._blocked = False
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    def expire(self) -> None:
        """The deadline passed: whoever waits for the peer gets Expired."""
        for waiter in (self._waiter, self._drained):
            if waiter is not None and not waiter.done():
                waiter.set_exception(Expired())

    # --- deadlines ---

    @property
    def in_body(self) -> bool:
        """True between 354 and the final dot."""
        return self._body_since > 0

    def begin_body(self) -> None:
        """From here on the peer has to keep up a rate."""
        self._body_since, self._body_from = self._loop.time(), self._received

    def end_body(self) -> None:
        self._body_since = 0.0

    def overdue(self, now: float, rate: float, after: float) -> bool:
        """Is the peer silent for too long, or below `rate` bytes a second after `after` seconds of a message?"""
        if self.deadline and now > self.deadline:
            return True
        elapsed = now - self._body_since if self._body_since else 0.0
        return elapsed > after and self._received - self._body_from < elapsed * rate

    # --- in ---

    @property
    def pending(self) -> bool:
        """True if the peer has sent more than was read."""
        return bool(self._buffer)

    async def first(self) -> int:
        """The first byte that waits, without taking it."""
        while not self._buffer:
            await self._more()
        return self._buffer[0]

    async def line(self, limit: int) -> bytes:
        """The next line with its line end."""
        skipped = 0
        while True:
            end = self._buffer.find(b"\n", self._searched)
            if end >= 0:
                line = bytes(self._buffer[: end + 1])
                del self._buffer[: end + 1]
                self._searched = 0
                if skipped or len(line) > limit:
                    raise LineTooLong
                return line
            if skipped or len(self._buffer) > limit:
                skipped += len(self._buffer)
                self._buffer.clear()
                if skipped > FLOOD:
                    raise Flood
            self._searched = len(self._buffer)
            await self._more()

    async def data(self) -> bytes:
        """Whatever is there, at least one byte."""
        while not self._buffer:
            await self._more()
        data = bytes(self._buffer)
        self._buffer.clear()
        self._searched = 0
        self._read_on()
        return data

    def put_back(self, rest: bytes) -> None:
        """What was taken too much."""
        if rest:
            self._buffer[:0] = rest

    def _read_on(self) -> None:
        if self._paused and not self.lost:
            self._paused = False
            self.transport.resume_reading()

    async def _more(self) -> None:
        await self.flush()
        if self.eof:
            raise Gone
        self._read_on()
        self._waiter = self._loop.create_future()
        self.deadline = self._loop.time() + self._idle
        try:
            await self._waiter
        finally:
            self.deadline, self._waiter = 0.0, None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # --- out ---

    def write(self, data: bytes) -> None:
        """Keep for the next flush."""
        self._out.append(data)

    async def flush(self) -> None:
        """Send what is kept; waits only if the peer has stopped reading."""
        self.flush_now()
        if self._blocked and not self.lost:
            self._drained = self._loop.create_future()
            self.deadline = self._loop.time() + self._idle
            try:
                await self._drained
            finally:
                self.deadline, self._drained = 0.0, None

    def flush_now(self) -> None:
        """Send what is kept, without waiting."""
        if self._out and not self.lost:
            self.transport.write(self._out[0] if len(self._out) == 1 else b"".join(self._out))
        self._out.clear()

    async def start_tls(self, context: ssl.SSLContext, protocol: asyncio.Protocol) -> None:
        """Go on under TLS. Nothing that was sent in the clear is kept. Gone if the handshake fails."""
        self.flush_now()
        self._buffer.clear()
        try:
            transport = await self._loop.start_tls(
                self.transport, protocol, context, server_side=True, ssl_handshake_timeout=HANDSHAKE
            )
        except (TimeoutError, OSError, ssl.SSLError) as error:
            raise Gone from error
        if transport is None:
            raise Gone
        self.transport = transport

    def close(self) -> None:
        """Send what is kept, then close; a peer that doesn't read is not waited for."""
        if self._blocked:
            self._out.clear()
            self.transport.abort()
            return
        self.flush_now()
        if not self.lost:
            self.transport.close()
            if self.transport.get_write_buffer_size() or self.transport.get_extra_info("cipher"):
                self._loop.call_later(GOODBYE, self.transport.abort)  # it may never read, or never say goodbye
