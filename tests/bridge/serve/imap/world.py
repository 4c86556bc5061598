"""A running IMAP service over real mailboxes, and a client that reads strictly what it says (sec-I14)."""
import asyncio
import itertools
import re
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import uvloop

from bridge.config.imap import Imap
from bridge.config.login import Login
from bridge.config.store import Store
from bridge.serve.auth import Authenticator
from bridge.serve.imap.service import Service
from bridge.store.mailbox import Mailstore
from bridge.store.notify import Hints, Listener
from bridge.watch.trace import Journal
from tests.bridge.wire.imap import reader

PASSWORD = "clave-de-prueba"
LETTER = (
    b"From: Ana Torres <ana@example.org>\r\nTo: luis@example.org\r\nSubject: Carta %d\r\n"
    b"Date: Sun, 22 Nov 2026 08:00:%02d +0100\r\nMessage-ID: <%d@example.org>\r\n\r\nHola, n\xc3\xbamero %d.\r\n"
)


def letter(number: int) -> bytes:
    return LETTER % (number, number % 60, number, number)


@dataclass(frozen=True)
class Person:
    address: str
    maildir: Path


class World:
    """The service in a thread of its own, with users that all have the same password."""

    def __init__(self, folder: Path, *, settings=None, store=None, tls=None, implicit=False, hints=True, users=(),
                 message_size=50_000_000):
        self.folder, self.tls, self.implicit = folder, tls, implicit
        self.settings = settings or Imap(still_here=0)
        self.run = folder / "run" if hints else None
        if self.run is not None:
            self.run.mkdir(parents=True, exist_ok=True)
        self.store = Mailstore(store or Store(), hints=Hints(self.run))
        names = (*users, "ana", "luis")
        self.people = {name: Person(f"{name}@example.org", folder / name / "Maildir") for name in names}
        self.journal_lines: list[bytes] = []
        self.message_size = message_size
        self.port = 0
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *error):
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)
        assert not self._thread.is_alive()
        self.store.close()
        if self.store.hints._socket is not None:
            self.store.hints._socket.close()

    def mail(self, name="ana"):
        return self.store.open(self.people[name])

    def put(self, number, name="ana", folder="INBOX", flags=(), body=None):
        """What another session in another process would do."""
        account = self.mail(name)
        draft = account.draft()
        draft.write(body or letter(number))
        draft.end()
        return account.append(folder, [(draft, flags, None)]).target[0]

    def _verify(self, login, password, protocol, ip):
        if password != PASSWORD:
            return None
        return self.people.get(login.partition("@")[0])

    def _serve(self):
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._main())

    async def _main(self):
        self.loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        threads = ThreadPoolExecutor(4)
        auth = Authenticator(self._verify, lambda: 0, settings=Login(delay=0))
        self.service = Service(
            check=auth.check, open=self.store.open, threads=threads, settings=self.settings, hostname="mx.example.org",
            message_size=self.message_size, journal=Journal(self.journal_lines.append),
            hints=Listener("mailbox", self.run),
        )
        listening = socket.socket()
        listening.bind(("127.0.0.1", 0))
        self.port = listening.getsockname()[1]
        self.listener = self.service.listener(self.tls, self.implicit)
        await self.listener.start([listening])
        self._ready.set()
        await self._stop.wait()
        await self.listener.stop(5)
        await self.service.close()
        threads.shutdown()
        auth.close()


_LITERAL = re.compile(rb"\{(\d+)\}\r\n\Z")


class Talk:
    """One connection; every answer goes through the strict reader."""

    def __init__(self, world, name="", wait=10):
        self.socket = socket.create_connection(("127.0.0.1", world.port), timeout=wait)
        self.stream = self.socket.makefile("rb")
        self.tags = itertools.count(1)
        self.utf8 = False
        self.raw = b""
        self.greeting = self.response()
        if name:
            self.ok(f'LOGIN {name} "{PASSWORD}"')

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def close(self):
        self.stream.close()
        self.socket.close()

    def line(self) -> bytes:
        """One response as it came, with its literals."""
        out = b""
        while True:
            part = self.stream.readline()
            if not part:
                raise ConnectionError("closed")
            out += part
            literal = _LITERAL.search(part)
            if not literal:
                return out
            out += self.stream.read(int(literal[1]))

    def response(self):
        found, = reader.read(self.line(), self.utf8)
        return found

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def command(self, text) -> tuple[list, "reader.Status"]:
        """(untagged responses, tagged one)"""
        tag = f"t{next(self.tags)}"
        self.send(tag.encode() + b" " + (text if isinstance(text, bytes) else text.encode()) + b"\r\n")
        return self.until(tag)

    def until(self, tag):
        out, self.raw = [], b""
        while True:
            line = self.line()
            found, = reader.read(line, self.utf8)
            if isinstance(found, reader.Status) and found.tag == tag:
                return out, found
            self.raw += line
            out.append(found)

    def ok(self, text) -> list:
        out, end = self.command(text)
        assert end.word == "OK", (text, end)
        self.end = end
        return out

    def no(self, text, word="NO"):
        _, end = self.command(text)
        assert end.word == word, (text, end)
        return end

    def data(self, text) -> list:
        """The values of untagged data."""
        return [one.values for one in self.ok(text) if isinstance(one, reader.Data)]

    def append(self, message: bytes, folder="INBOX", options=b""):
        tag = f"t{next(self.tags)}"
        self.send(b"%s APPEND %s %s{%d}\r\n" % (tag.encode(), folder.encode(), options, len(message)))
        first = self.response()
        if not isinstance(first, reader.Continue):
            return first
        self.send(message + b"\r\n")
        return self.until(tag)[1]


def fetched(values) -> dict:
    """The items of one FETCH response."""
    items = values[2]
    return {str(items[at]): items[at + 1] for at in range(0, len(items), 2)}
