"""One connection to another mail server: the machine of `wire.smtp.client` on a socket.

Promises: one deadline per answer, which a trickle of bytes doesn't move (P26); the body goes out as fast as the other
side reads, a piece at a time; after STARTTLS no byte read before the handshake counts (sec-O02).
Fails by: Unusable (no session came about, or it ended between messages), Lost (in the middle of a message, with what
is known of each recipient). Whatever happens, the socket is closed.
"""
import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Iterable
from typing import cast

from bridge.deliver.trouble import Stage, Trouble
from bridge.model.errors import PeerError
from bridge.model.reply import Reply
from bridge.watch import tcp
from bridge.wire.dots import Encoder
from bridge.wire.smtp.client import Client
from bridge.wire.smtp.dialogue import Broken, Done, Event, Mail, Ready, Result, SendBody, StartTls, Step

_STAGES = {Step.HELO: Stage.HELLO, Step.RSET: Stage.HELLO, Step.QUIT: Stage.HELLO}


class Unusable(Exception):
    """No message can be sent over this connection. `reply`: what the server said, at `stage`; else `trouble`."""

    def __init__(self, trouble: Trouble, text: str, stage: Stage | None = None, reply: Reply | None = None) -> None:
        super().__init__(text)
        self.trouble, self.text, self.stage, self.reply = trouble, text, stage, reply


class Lost(Exception):
    """The connection ended within a transaction. `results`: None where nothing is known; `dot`: the message had been
    sent to its end, so it may have arrived; `silent`: no answer had come to anything of this transaction."""

    def __init__(self, trouble: Trouble, text: str, results: tuple[Result | None, ...], silent: bool) -> None:
        super().__init__(text)
        self.trouble, self.text, self.results, self.silent = trouble, text, results, silent


def stage_of(step: Step) -> Stage:
    """The stage of failure policy that a step belongs to."""
    return _STAGES.get(step) or Stage(step.value)


class Connection(asyncio.Protocol):
    """Use: `open`, any number of `send`, `quit` or `close`. One task at a time."""

    def __init__(self, machine: Client, where: str, *, patience: float = 1.0) -> None:
        self.machine, self.where = machine, where
        self._patience = patience      # factor on all deadlines, for tests
        self._transport = cast(asyncio.Transport, None)
        self._events: deque[Event] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._error: Exception | None = None
        self._heard = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self.idle_since = 0.0

    # --- the pool's side ---

    async def open(self, tls: ssl.SSLContext | None, name: str) -> None:
        """Wait until a message may be sent. The socket stands already; `tls`: the context for STARTTLS."""
        try:
            while True:
                event = await self._next()
                if type(event) is Ready:
                    return
                if type(event) is StartTls:
                    if tls is None:
                        raise Unusable(Trouble.TLS, "no TLS here")
                    await self._start_tls(tls, name)
                elif type(event) is Broken:
                    raise _unusable(event, self.where)
        except PeerError as error:
            raise Unusable(Trouble.PEER, str(error)) from None
        except TimeoutError:
            raise Unusable(Trouble.TIMEOUT, f"timed out while {self.machine.phrase}") from None
        except OSError as error:
            raise Unusable(Trouble.LOST, f"{error or 'connection lost'} while {self.machine.phrase}") from None
        finally:
            if not self.machine.ready:
                self.close()

    async def send(self, mail: Mail, body: Callable[[], Iterable[bytes]]) -> tuple[Result, ...]:
        """One transaction, a result per recipient. `body` is opened when the server wants it. Raises Lost; whatever
        `body` raises; ValueError for addresses that can't be sent."""
        self.machine.begin(mail)
        try:
            self._flush()
            while True:
                event = await self._next()
                if type(event) is SendBody:
                    await self._send_body(body())
                elif type(event) is Done:
                    return event.results
        except (PeerError, OSError) as error:
            raise self._lost(error) from None
        except BaseException:
            self.close()
            raise

    async def settle(self) -> bool:
        """After a transaction: wait until the next one may begin; False if none may."""
        try:
            while not self.machine.ready:
                if type(await self._next()) is Broken:
                    break
        except (PeerError, OSError):
            pass
        if not self.usable:
            self.close()
        return self.usable

    @property
    def usable(self) -> bool:
        """Whether the next message may be sent, as far as is known without asking."""
        return self._error is None and self.machine.ready and not self._transport.is_closing()

    @property
    def loops(self) -> bool:
        """Whether the other end has our own address."""
        ours, theirs = (self._transport.get_extra_info(name) for name in ("sockname", "peername"))
        return bool(ours and theirs and ours[0] == theirs[0])

    def quit(self) -> None:
        """Say goodbye and don't wait for the answer."""
        if self.usable:
            self.machine.quit()
            self._transport.write(self.machine.take())
        self.close()

    def close(self) -> None:
        self._stop_timer()
        self._transport.close()
        self._loop.call_later(5, self._transport.abort)

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if (ours := transport.get_extra_info("socket")) is not None:
            tcp.watch_over(ours)
        self._heard = self._loop.time()

    def data_received(self, data: bytes) -> None:
        if self._error is not None:
            return
        step, count = self.machine.step, self.machine.outstanding
        try:
            events = self.machine.feed(data)
        except PeerError as error:
            self._fail(error)
            return
        if events and type(events[-1]) is StartTls:
            self._transport.pause_reading()  # what comes now is for the handshake, or for nobody
        if self.machine.step is not step or self.machine.outstanding != count:
            self._heard = self._loop.time()
        self._flush()
        self._events += events
        if events:
            self._wake()
            if self._drained is not None:
                self._resume()

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(error if isinstance(error, OSError) else ConnectionResetError("connection closed"))

    def pause_writing(self) -> None:
        self._drained = self._loop.create_future()

    def resume_writing(self) -> None:
        self._resume()

    # --- inside ---

    def _flush(self) -> None:
        out = self.machine.take()
        if out:
            self._transport.write(out)

    async def _next(self) -> Event:
        """The next event. TimeoutError, OSError, PeerError."""
        if not self._events:
            if self._error is not None:
                raise self._error
            self._flush()
            self._waiter = self._loop.create_future()
            self._heard = self._loop.time()
            self._start_timer()
            try:
                await self._waiter
            finally:
                self._waiter = None
                self._stop_timer()
        if self._events:
            return self._events.popleft()
        raise self._error or ConnectionResetError("connection closed")

    async def _send_body(self, chunks: Iterable[bytes]) -> None:
        """The message, until it is done or the server has said something before it is."""
        encoder = Encoder()
        held = b""
        for chunk in chunks:
            if held:
                self._transport.write(held)
                await self._drain()
            if self._events or self._error is not None:
                return
            held = encoder.feed(chunk)
        self._transport.write(held + encoder.end())
        self.machine.dotted()
        await self._drain()

    async def _drain(self) -> None:
        if self._drained is None:
            return
        self._heard = self._loop.time()
        self._start_timer()
        try:
            await self._drained
        finally:
            self._stop_timer()
        if self._error is not None and not self._events:
            raise self._error

    async def _start_tls(self, tls: ssl.SSLContext, name: str) -> None:
        try:
            transport = await self._loop.start_tls(
                self._transport, self, tls, server_hostname=name, ssl_handshake_timeout=60 * self._patience)
        except (OSError, ValueError) as error:
            raise Unusable(Trouble.TLS, f"TLS handshake: {error}") from None
        if transport is None:
            raise Unusable(Trouble.TLS, "TLS handshake: connection lost")
        self._transport = transport
        self.machine.secured()

    def _lost(self, error: Exception) -> Lost:
        silent = self.machine.unanswered
        dotted = self.machine.step is Step.DOT
        phrase = self.machine.phrase
        self.close()
        if isinstance(error, TimeoutError):
            trouble, text = Trouble.TIMEOUT, "timed out"
        elif isinstance(error, PeerError):
            trouble, text = Trouble.PEER, str(error)
        else:
            trouble, text = Trouble.LOST, str(error) or "connection lost"
        if dotted:
            trouble = Trouble.LOST_AFTER_DOT
        return Lost(trouble, f"{text} while {phrase}", self.machine.abandon(), silent)

    def _fail(self, error: Exception) -> None:
        if self._error is None:
            self._error = error
        self._wake()
        self._resume()
        self._stop_timer()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _resume(self) -> None:
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)

    # --- the deadline ---

    def _start_timer(self) -> None:
        self._stop_timer()
        self._timer = self._loop.call_later(self.machine.seconds * self._patience, self._expire)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        left = self._heard + self.machine.seconds * self._patience - self._loop.time()
        if left > 0.001:
            self._timer = self._loop.call_later(left, self._expire)
        else:
            self._fail(TimeoutError("no answer in time"))


def _unusable(event: Broken, where: str) -> Unusable:
    stage = stage_of(event.step)
    if event.reply is not None:
        return Unusable(Trouble.CONNECT, str(event.reply), stage, event.reply)
    if stage is Stage.AUTH:
        return Unusable(Trouble.TLS, f"{where} offers no way to log in that we know")
    return Unusable(Trouble.TLS, f"{where} offers no TLS")
