"""The SMTP service of one process: its ports, its connections, and what all of them share.

Promises: connections are counted when they are accepted, also those whose TLS has not begun (sec-R01); a tick a second
ends who is too slow; `stop` lets messages that are on their way in end, then closes (S01: 421). Commits land on the
loop in batches.
Fails by: OSError from a socket that can't listen. Sockets, TLS contexts and callables are passed in.
"""
import asyncio
import ipaddress
import logging
import socket
import ssl
from collections import Counter, deque
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import Any

from bridge.accept import Acceptor
from bridge.config.smtp import Smtp
from bridge.intake.authenticate import Inspector
from bridge.intake.login import Login
from bridge.intake.policy import Tables
from bridge.intake.replies import BUSY, CROWDED, SHUTDOWN
from bridge.intake.session import Account, Service, Visit
from bridge.intake.smtp import Edge, tls_of
from bridge.model.network import Networks
from bridge.model.reply import Reply
from bridge.queue.enter import Door
from bridge.watch.trace import Journal

_WRITERS = 4
_HANDSHAKE = 30.0
_log = logging.getLogger(__name__)


async def no_logins(login: str, password: str, protocol: str, ip: str) -> Account | None:
    """For servers without accounts."""
    return None


class Landing:
    """Brings futures of other threads to the loop, many with one wake-up."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._done: deque[tuple[asyncio.Future[None], Future[Any]]] = deque()
        self._woken = False

    async def wait(self, future: "Future[Any]") -> None:
        """Return, or raise, when `future` has. Nothing happens to `future` if we are cancelled."""
        arrived: asyncio.Future[None] = self._loop.create_future()
        future.add_done_callback(lambda done: self._arrive(arrived, done))
        await arrived

    def _arrive(self, arrived: "asyncio.Future[None]", done: "Future[Any]") -> None:
        self._done.append((arrived, done))
        if not self._woken:
            self._woken = True
            try:
                self._loop.call_soon_threadsafe(self._land)
            except RuntimeError:
                pass  # the loop is closed; the message is safe, and nobody is left to tell

    def _land(self) -> None:
        self._woken = False  # before the loop below: what comes during it wakes us again
        while self._done:
            arrived, done = self._done.popleft()
            if arrived.done():
                continue
            error = done.exception()
            if error is None:
                arrived.set_result(None)
            else:
                arrived.set_exception(error)


class SmtpServer:
    """What the connections of a process share. Make it inside the running loop.

    `login(login, password, "smtp", ip)` answers an account or None; it may raise Refused with the reply to give, or
    StoreError. `tls` may be exchanged at any time; None: no STARTTLS. `domain` completes addresses without one.
    """

    def __init__(
        self,
        settings: Smtp,
        *,
        hostname: str,
        domain: str,
        door: Door,
        tables: Tables,
        journal: Journal,
        login: Login = no_logins,
        tls: ssl.SSLContext | None = None,
        inspector: Inspector | None = None,
        error_delay: float = 1.0,
        rate_after: float = 60.0,
    ) -> None:
        self.settings, self.hostname, self.domain = settings, hostname, domain or hostname
        self.door, self.tables, self.journal, self.login, self.tls = door, tables, journal, login, tls
        self.inspector = inspector
        self.error_delay = error_delay    # seconds that an answer to a client with many errors waits
        self.rate_after = rate_after      # seconds of DATA after which its rate counts
        self.loop = asyncio.get_running_loop()
        self.landing = Landing(self.loop)
        self.threads = ThreadPoolExecutor(_WRITERS, "smtp-write")
        self.edges: set[Edge] = set()
        self.stopping = False
        self._addresses: Counter[str] = Counter()
        self._shaking: Counter[str] = Counter()
        self._large = 0
        self._is_trusted = lru_cache(maxsize=4096)(Networks.of(settings.networks).__contains__)
        self._acceptors: list[Acceptor] = []
        self._handshakes: set[asyncio.Task[None]] = set()
        self._ticking = self.loop.create_task(self._tick())

    # --- ports ---

    async def listen(self, sock: socket.socket, service: Service) -> None:
        """Serve on a bound socket (TCP or unix)."""
        if service == "submissions":
            acceptor = Acceptor(sock, lambda accepted, address: self._take_secure(accepted, address[0], service))
        else:
            words = f"{CROWDED}\r\n".encode()
            acceptor = Acceptor(sock, lambda accepted, _: self._begin(accepted, service, None), refusal=lambda: words)
        self._acceptors.append(acceptor)

    async def stop(self, grace: float = 20.0) -> None:
        """No new connections; 421 to who waits; messages on their way in have `grace` seconds."""
        self.stopping = True
        self._close_ports()
        for task in self._handshakes:
            task.cancel()
        for edge in list(self.edges):
            edge.stop()
        tasks = [edge.task for edge in self.edges if edge.task]
        if tasks:
            await asyncio.wait(tasks, timeout=grace)
        for edge in list(self.edges):
            edge.channel.transport.abort()
        tasks = [edge.task for edge in self.edges if edge.task]
        if tasks:
            await asyncio.wait(tasks, timeout=5)
        self._ticking.cancel()
        await asyncio.gather(self._ticking, *self._handshakes, return_exceptions=True)
        self.threads.shutdown()

    async def drain(self) -> None:
        """No new connections from us (others may hold the same sockets); returns when the last one has ended."""
        self._close_ports()
        while self.edges or self._handshakes:
            await asyncio.sleep(1)

    def _close_ports(self) -> None:
        for acceptor in self._acceptors:
            acceptor.close()

    def _take_secure(self, accepted: socket.socket, client: str, service: Service) -> None:
        """TLS from the first byte: count first, shake hands then."""
        group = _group(client)
        if self.tls is None or not self._room(group, self._is_trusted(client)):
            accepted.close()
            return
        self._shaking[group] += 1
        self._begin(accepted, service, self.tls).add_done_callback(lambda _: _less(self._shaking, group))

    def _begin(self, accepted: socket.socket, service: Service, tls: ssl.SSLContext | None) -> "asyncio.Task[None]":
        """A session on a connection that was just accepted."""
        task = self.loop.create_task(self._connect(accepted, service, tls))
        self._handshakes.add(task)
        task.add_done_callback(self._handshakes.discard)
        return task

    async def _connect(self, accepted: socket.socket, service: Service, tls: ssl.SSLContext | None) -> None:
        try:
            await self.loop.connect_accepted_socket(
                lambda: Edge(self, service, self.loop), accepted, ssl=tls,
                ssl_handshake_timeout=_HANDSHAKE if tls else None,
            )  # fmt: skip
        except (TimeoutError, OSError, ssl.SSLError):
            accepted.close()

    # --- connections ---

    def enter(self, edge: Edge, transport: asyncio.Transport) -> bool:
        """A connection stands: True if it may stay."""
        peer = transport.get_extra_info("peername")
        client = peer[0] if isinstance(peer, tuple) else ""
        trusted = not isinstance(peer, tuple) or self._is_trusted(client)
        group = _group(client)
        if self.stopping or not self._room(group, trusted):
            transport.write(f"{SHUTDOWN if self.stopping else CROWDED}\r\n".encode())
            transport.close()
            return False
        edge.visit = Visit(edge.visit.service, client, trusted, tls=tls_of(transport))
        self._addresses[group] += 1
        self.edges.add(edge)
        return True

    def leave(self, edge: Edge) -> None:
        """It is over."""
        if edge in self.edges:
            self.edges.discard(edge)
            _less(self._addresses, _group(edge.visit.client))

    def begin_large(self) -> Reply | None:
        """A message has grown large: BUSY if there are too many of them. Always followed by `end_large`."""
        self._large += 1
        return BUSY if self._large > self.settings.large_messages else None

    def end_large(self) -> None:
        self._large -= 1

    def _room(self, group: str, trusted: bool) -> bool:
        if len(self.edges) + self._shaking.total() >= self.settings.connections:
            return False
        return trusted or self._addresses[group] + self._shaking[group] < self.settings.connections_per_address

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(1)
            now = self.loop.time()
            for edge in list(self.edges):
                edge.tick(now)


def _group(client: str) -> str:
    """Who counts as one client: an IPv4 address, an IPv6 /64."""
    if ":" not in client:
        return client
    try:
        address = ipaddress.IPv6Address(client.partition("%")[0])
    except ValueError:
        return client
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((address, 64), strict=False))


def _less(counter: "Counter[str]", key: str) -> None:
    counter[key] -= 1
    if counter[key] <= 0:
        del counter[key]
