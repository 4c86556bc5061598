"""The bytes of a session that goes on in another process: a system user's, which runs with that user's rights.

The connection stays here, with its TLS, limits and deadlines; what the client says goes to the other end of a socket
pair, and what comes back goes to the client. Promises: neither side is read faster than the other takes it; when one
end closes, so does the other. Nothing is looked at.
"""
import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, cast

from bridge.serve.listener import Link

Ends = tuple[socket.socket, socket.socket]                          # ours, of the bytes and of the hints
Elsewhere = Callable[[Any, str, str], Awaitable[Ends]]              # account, protocol, ip
_HINT = 4096


class Relay(asyncio.Protocol):
    """One session's other half. `begun`: the client's bytes go there now."""

    __slots__ = ("_hints", "_link", "_told", "_transport", "_waiting", "_writable", "begun")

    def __init__(self, link: Link, hints: socket.socket, told: Callable[[str], None]) -> None:
        self._link, self._hints, self._told = link, hints, told
        self._transport = cast(asyncio.Transport, None)
        self._waiting: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self.begun = False

    def pass_on(self, data: bytes) -> None:
        """From the client."""
        if not self.begun:
            self.begun = True
            self._transport.resume_reading()
        if data:
            self._transport.write(data)

    def hint(self, text: str) -> None:
        """Something happened in a mailbox of this account; where the session is slow to hear, it polls."""
        with suppress(OSError):
            self._hints.send(text.encode("utf-8", "replace")[:_HINT])

    def _hear(self) -> None:
        try:
            data = self._hints.recv(_HINT)
        except OSError:
            return
        self._told(data.decode("utf-8", "replace"))

    def close(self) -> None:
        """The client has gone."""
        if self._waiting is not None:
            self._waiting.cancel()
        self._transport.close()

    # --- asyncio ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        asyncio.get_running_loop().add_reader(self._hints.fileno(), self._hear)
        self._transport.pause_reading()     # our own answer to the login comes first

    def data_received(self, data: bytes) -> None:
        self._link.write(data)
        if self._link.congested and self._waiting is None:
            self._transport.pause_reading()
            self._waiting = asyncio.get_running_loop().create_task(self._until_read())

    async def _until_read(self) -> None:
        try:
            await self._link.drain()
        except ConnectionError:
            return
        self._waiting = None
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def pause_writing(self) -> None:
        self._writable.clear()
        if not self._link.busy and not self._link.closing:
            self._link.run(self._until_writable())      # which stops the client, too

    async def _until_writable(self) -> None:
        await self._writable.wait()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, error: Exception | None) -> None:
        self._writable.set()
        asyncio.get_running_loop().remove_reader(self._hints.fileno())
        self._hints.close()
        if not self._link.closing:
            self._link.close()


async def open_relay(link: Link, ends: Ends, told: Callable[[str], None] = lambda hint: None) -> Relay:
    """A relay between a client's connection and our ends of two socket pairs. `told`: hears the session's hints."""
    for end in ends:
        end.setblocking(False)
    relay = Relay(link, ends[1], told)
    await asyncio.get_running_loop().create_connection(lambda: relay, sock=ends[0])
    return relay
