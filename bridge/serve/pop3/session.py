"""A POP3 session: the machine of `wire.pop3` between a connection and a mailbox.

Promises: small messages are read and written at once, also for a hundred pipelined RETRs, big ones are streamed in
chunks (sec-I17); nothing is deleted or marked before QUIT, and what QUIT began is finished even if the peer is gone
(I53, sec-I15); a maildrop has one session at a time unless the store says otherwise (I55).
Fails by: -ERR with [SYS/TEMP] for our own trouble, [IN-USE], [AUTH]; always in order, never with a half answer: a
message that breaks off in the middle closes the connection.
RFC 1939, 2449, 3206.
"""
import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, Protocol

from bridge.config.pop3 import Pop3
from bridge.model.clock import SYSTEM, Clock
from bridge.model.errors import StoreError
from bridge.model.network import Networks
from bridge.serve.auth import Busy
from bridge.serve.listener import Deadlines, End, Limits, Link
from bridge.serve.pop3.apop import challenge
from bridge.serve.relay import Elsewhere, Relay, open_relay
from bridge.store.mail import Drop as Stored
from bridge.store.mail import Folder, MailError, Ranges
from bridge.watch.trace import Journal
from bridge.wire.pop3.drop import Drop
from bridge.wire.pop3.machine import Event, Login, Machine, Quit, Retrieve, Rules, StartTls, State
from bridge.wire.pop3.stuffing import Stuffer, Top, stuffed

SMALL = 64 * 1024         # a message up to here is read in one go
FLUSH = 64 * 1024         # answers that are collected before they are written
AHEAD = 64                # sessions of a process that may hold messages which nobody asked for yet
_log = logging.getLogger(__name__)

Check = Callable[[str, str, str, str], Awaitable[Any]]


class Body(Protocol):
    """One message as bytes of the wire."""

    size: int

    def read(self, start: int = 0, length: int | None = None) -> bytes: ...
    def chunks(self, start: int = 0, length: int | None = None) -> Iterator[bytes]: ...
    def close(self) -> None: ...


class Mailbox(Protocol):
    """What POP3 needs of `store.mailbox.AccountStore`."""

    def maildrop(self, name: str = "INBOX") -> tuple[Folder, list[Stored]]: ...
    def lock_maildrop(self, name: str = "INBOX") -> Callable[[], None] | None: ...
    def body(self, folder: Folder, uid: int) -> Body: ...
    def bodies(self, folder: Folder, uids: Ranges) -> Iterator[list[tuple[int, Any]]]: ...
    def store_flags(self, folder: Folder, uids: Ranges, mode: str, flags: list[str]) -> object: ...
    def expunge(self, folder: Folder, uids: Ranges, *, marked: bool) -> object: ...


@dataclass(slots=True)
class Service:
    """What the POP3 sessions of a process share. `check` is `Authenticator.check`; `open` gives the mailbox of an
    account; `apop`, where somebody has a secret: the `check` of an Authenticator over `apop.verifier`."""

    check: Check
    open: Callable[[Any], Mailbox]
    threads: Executor
    settings: Pop3 = field(default_factory=Pop3)
    hostname: str = "localhost"
    journal: Journal = field(default_factory=Journal.silent)
    apop: Check | None = None
    apop_offered: Callable[[], bool] = lambda: True
    clock: Clock = SYSTEM
    elsewhere: Elsewhere | None = None      # sessions of accounts that we may not open ourselves
    updates: set[asyncio.Task[None]] = field(default_factory=set)
    ahead: set["Pop3Session"] = field(default_factory=set)
    _near: Networks = field(init=False)

    def __post_init__(self) -> None:
        self._near = Networks.of(self.settings.plain_from)

    def session(self, link: Link) -> "Pop3Session":
        """For `Listener`."""
        return Pop3Session(link, self)

    def rules(self, link: Link, challenge: str) -> Rules:
        return Rules(link.secure or not link.peer or link.peer in self._near, link.tls_offered, challenge)


def deadlines(settings: Pop3) -> Deadlines:
    return Deadlines(login=settings.login_seconds, idle=settings.idle_seconds)


def limits(settings: Pop3) -> Limits:
    return Limits(settings.connections, settings.connections_address, settings.connections_user)


CROWDED = b"-ERR [SYS/TEMP] too many connections\r\n"

_FAREWELL = {
    End.IDLE: b"-ERR [SYS/TEMP] idle for too long\r\n",
    End.LOGIN: b"-ERR [SYS/TEMP] no login in time\r\n",
    End.SHUTDOWN: b"-ERR [SYS/TEMP] server is stopping, come back soon\r\n",
    End.BUG: b"-ERR [SYS/TEMP] internal error\r\n",
}


class Pop3Session:
    """See `serve.listener.Session`."""

    __slots__ = ("_ahead", "_challenge", "_folder", "_known", "_last", "_link", "_mailbox", "_reader", "_relay",
                 "_release", "_service", "_size", "_stored", "_user", "machine")

    def __init__(self, link: Link, service: Service, known: Any = None) -> None:
        """`known`: the account of somebody who logged in elsewhere."""
        self._link, self._service, self._known = link, service, known
        self._relay: Relay | None = None    # the session goes on in another process
        self._challenge = ""
        if service.apop is not None and service.apop_offered():
            self._challenge = challenge(service.hostname, service.clock.now())
        self.machine = Machine(service.rules(link, self._challenge))
        self._mailbox: Mailbox | None = None
        self._folder: Folder | None = None
        self._stored: list[Stored] = []
        self._release: Callable[[], None] | None = None
        self._user = ""
        self._size = 0
        self._last = -1                     # the message that was retrieved last
        self._ahead: dict[int, bytes] = {}  # messages read ahead, by UID
        self._reader: Iterator[list[tuple[int, Any]]] | None = None

    # --- serve.listener.Session ---

    def opened(self) -> None:
        if self._known is not None:
            self._link.run(self._enter(self._known))
            return
        self.machine.greet()
        self._flush()

    def received(self, data: bytes) -> None:
        relay = self._relay
        if relay is not None and (relay.begun or not self._link.busy):
            relay.pass_on(self.machine.take_input() + data if not relay.begun else data)
            return
        if data:
            self.machine.feed(data)
        machine, link = self.machine, self._link
        while not link.busy:
            event = machine.next()
            if event is None:
                break
            self._handle(event)
            if self._size > FLUSH:
                self._flush()
                if link.congested and not link.busy:
                    link.run(link.drain())
        self._flush()
        if machine.state is State.CLOSED and not link.busy:
            link.close()

    def secured(self) -> None:
        self.machine.secured(self._service.rules(self._link, self._challenge))

    def farewell(self, why: End) -> bytes:
        return _FAREWELL[why]

    def closed(self) -> None:
        self._stop_reading()
        release, self._release = self._release, None
        if release is not None:
            release()
        if self._relay is not None:
            self._relay.close()

    # --- events ---

    def _flush(self) -> None:
        out = self.machine.out
        if out:
            self._link.writelines(out)
            self.machine.out = []
            self._size = 0

    def _handle(self, event: Event) -> None:
        if type(event) is Retrieve:
            if not self._have_ahead(event):
                body = self._retrieve(event)
                if body is not None:
                    self._link.run(self._stream(body, event))
        elif type(event) is Login:
            self._link.run(self._log_in(event))
        elif type(event) is StartTls:
            self._flush()
            self._link.start_tls(event.reply)
        elif type(event) is Quit:
            self._link.run(self._quit(event))

    def _have_ahead(self, event: Retrieve) -> bool:
        """Who retrieves one message after the other gets them read in groups, in a thread. True: the answer is there,
        or on its way."""
        if event.lines >= 0:
            return False
        stored = self._stored[event.number - 1]
        in_turn, self._last = event.number == self._last + 1, event.number
        message = self._ahead.pop(stored.uid, None)
        if message is not None:
            self._answer(message, -1, stored.size)
            return True
        if not in_turn:
            self._stop_reading()
        elif self._reader is not None or len(self._service.ahead) < AHEAD:
            self._link.run(self._read_ahead(event))
            return True
        return False

    async def _read_ahead(self, event: Retrieve) -> None:
        assert self._mailbox is not None
        assert self._folder is not None
        self._ahead = {}
        if self._reader is None:
            span = (self._stored[event.number - 1].uid, self._stored[-1].uid)
            self._reader = self._mailbox.bodies(self._folder, [span])
            self._service.ahead.add(self)
        loop, threads = asyncio.get_running_loop(), self._service.threads
        try:
            group = await loop.run_in_executor(threads, next, self._reader, None) or []
        except (MailError, StoreError, OSError):
            self._stop_reading()  # the message will be asked for by itself, and has its own answer
        else:
            for uid, message in group:
                if isinstance(message, bytes):
                    self._ahead[uid] = message
                else:
                    message.close()
        stored = self._stored[event.number - 1]
        found = self._ahead.pop(stored.uid, None)
        if found is not None:
            self._answer(found, -1, stored.size)
            return
        body = self._retrieve(event)
        if body is not None:
            await self._stream(body, event)

    def _stop_reading(self) -> None:
        self._ahead, self._reader = {}, None
        self._service.ahead.discard(self)

    def _retrieve(self, event: Retrieve) -> Body | None:
        """One message by itself: at once if it is small, else what is to be streamed."""
        machine, stored = self.machine, self._stored[event.number - 1]
        assert self._mailbox is not None
        assert self._folder is not None
        try:
            body = self._mailbox.body(self._folder, stored.uid)
            if stored.size > SMALL:
                return body
            try:
                message = body.read()
            finally:
                body.close()
        except MailError:
            machine.fail("message is gone, another program removed it")
        except (StoreError, OSError) as error:
            _log.warning("message %d of %s: %s", stored.uid, self._user, error)
            machine.fail("[SYS/TEMP] message can't be read just now")
        else:
            self._answer(message, event.lines, stored.size)
        return None

    def _answer(self, message: bytes, lines: int, size: int) -> None:
        answer = stuffed(Top(lines).feed(message) if lines >= 0 else message)
        self._size += len(answer)
        self.machine.out += (_begun(lines, size), answer)

    async def _stream(self, body: Body, event: Retrieve) -> None:
        try:
            self._flush()
            self._link.write(_begun(event.lines, self._stored[event.number - 1].size))
            stuffer = Stuffer()
            chunks: Iterable[bytes] = body.chunks()
            await self._link.stream(map(stuffer.feed, chunks if event.lines < 0 else _top(chunks, event.lines)))
            self._link.write(stuffer.end())
        except (MailError, StoreError, OSError) as error:
            _log.warning("message of %s broke off: %s", self._user, error)
            self._link.abort()
        finally:
            body.close()

    async def _log_in(self, event: Login) -> None:
        service, link, machine = self._service, self._link, self.machine
        try:
            if event.method == "APOP":
                assert service.apop is not None
                account = await service.apop(event.user, f"{self._challenge} {event.secret}", "pop3", link.peer)
            else:
                account = await service.check(event.user, event.secret, "pop3", link.peer)
            if account is None:
                machine.refuse()
                return
        except Busy as error:
            machine.refuse(f"[SYS/TEMP] {error}, try again later", final=True)
        except StoreError as error:
            _log.warning("login of %s: %s", event.user, error)
            machine.refuse("[SYS/TEMP] passwords can't be checked just now", final=True)
        else:
            await self._enter(account)

    async def _enter(self, account: Any) -> None:
        """The password was right."""
        try:
            if self._service.elsewhere is not None and account.ticket:
                await self._hand_over(account)
            else:
                await self._open(account)
        except (StoreError, MailError, OSError) as error:
            _log.warning("maildrop of %s: %s", account.address, error)
            self.machine.refuse("[SYS/TEMP] mailbox can't be opened just now", final=True)

    async def _hand_over(self, account: Any) -> None:
        """The other process opens the maildrop and answers."""
        service, link = self._service, self._link
        assert service.elsewhere is not None
        if not link.admit(account.address):
            self.machine.refuse("[IN-USE] too many connections", final=True)
            return
        self._relay = await open_relay(link, await service.elsewhere(account, "pop3", link.peer))
        service.journal.record("login", login=account.address, ip=link.peer, protocol="pop3", tls=link.secure)

    async def _open(self, account: Any) -> None:
        service, link, machine = self._service, self._link, self.machine
        mailbox = service.open(account)
        self._release = mailbox.lock_maildrop()
        if self._release is None:
            machine.refuse("[IN-USE] another session has this mailbox open", final=True)
            return
        if not link.admit(account.address):
            machine.refuse("[IN-USE] too many connections", final=True)
            return
        loop = asyncio.get_running_loop()
        self._folder, self._stored = await loop.run_in_executor(service.threads, mailbox.maildrop)
        self._mailbox, self._user = mailbox, account.address
        machine.open(Drop([one.size for one in self._stored], [one.uidl for one in self._stored]))
        service.journal.record(
            "login", login=self._user, ip=link.peer, protocol="pop3", tls=link.secure, messages=len(self._stored))

    async def _quit(self, event: Quit) -> None:
        release, self._release = self._release, None  # the update keeps the lock, however the connection ends
        task = asyncio.get_running_loop().create_task(self._update(event, release))
        self._service.updates.add(task)
        task.add_done_callback(self._service.updates.discard)
        try:
            await asyncio.shield(task)
        except (MailError, StoreError, OSError) as error:
            _log.warning("QUIT of %s: %s", self._user, error)
            self.machine.leave("-ERR [SYS/TEMP] some messages were not removed")
        else:
            self.machine.leave()

    async def _update(self, event: Quit, release: Callable[[], None] | None) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(self._service.threads, self._apply, event)
        finally:
            if release is not None:
                release()

    def _apply(self, event: Quit) -> None:
        """In a thread: what the session marked becomes true."""
        assert self._mailbox is not None
        assert self._folder is not None
        if event.deleted:
            self._mailbox.expunge(self._folder, self._ranges(event.deleted), marked=False)
            self._service.journal.record(
                "expunged", login=self._user, folder=self._folder.name, count=len(event.deleted), protocol="pop3")
        if event.retrieved and self._service.settings.mark_seen:
            self._mailbox.store_flags(self._folder, self._ranges(event.retrieved), "+", ["\\Seen"])

    def _ranges(self, numbers: tuple[int, ...]) -> Ranges:
        """UIDs of messages. A range covers exactly the messages of this session: what came later has other numbers."""
        found: list[tuple[int, int]] = []
        last = 0
        for number in numbers:
            uid = self._stored[number - 1].uid
            if found and number == last + 1:
                found[-1] = (found[-1][0], uid)
            else:
                found.append((uid, uid))
            last = number
        return found


def _begun(lines: int, size: int) -> bytes:
    """The first line of the answer to RETR, which knows the size, or TOP, which doesn't."""
    return b"+OK top of message follows\r\n" if lines >= 0 else b"+OK %d octets\r\n" % size


def _top(chunks: Iterable[bytes], lines: int) -> Iterator[bytes]:
    top = Top(lines)
    for chunk in chunks:
        yield top.feed(chunk)
        if top.done:
            return
