"""fetchmail for who may not write in the mail system's folders: collected mail goes to it by SMTP, as to a neighbour.

Promises: the person is asked for at the server before anything is collected, so nothing is fetched that nobody gets;
mail is deleted there only after our server's 250 to DATA. Ledger, locks and what can't be delivered are in the caller's
own state folder. Only a crash between the 250 and the ledger's note can deliver a message twice, as with fetchmail.
Fails by: StoreError where the server can't be reached or says no for now; the poll ends and loses nothing.
"""

import logging
import os
import re
import smtplib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, cast

from sqlalchemy import Connection

from bridge.intake.fetch.poller import Poller
from bridge.model.clock import SYSTEM, Ids
from bridge.model.envelope import Envelope
from bridge.model.errors import Refused, StoreError
from bridge.model.reply import Reply
from bridge.queue.enter import Door
from bridge.store.engine import Database
from bridge.store.failpoints import Failpoint
from bridge.store.ledger import Ledger, account_state, seen
from bridge.store.spool import Spooled
from bridge.watch.trace import Journal

HOST, SECONDS = "127.0.0.1", 300.0
COMMIT = Failpoint("fetchmail.own.commit", "the ledger in a user's own state folder")
_NAME = re.compile(rb"[A-Za-z0-9][A-Za-z0-9.-]{0,250}")
_TOO_BIG = Reply(552, "5.3.4", "Message too big")
_log = logging.getLogger("estafeta.fetch")

Fix = Callable[[bytes, Envelope], bytes]


class Server:
    """Our own server as an SMTP client sees it: one connection, one message at a time, in the place of a door.
    `hostname` is what it calls itself, once it was spoken to."""

    def __init__(self, port: int, message_size: int) -> None:
        self.ids = Ids()
        self._port, self._size = port, message_size
        self._lock = threading.Lock()
        self._session: smtplib.SMTP | None = None
        self.hostname = "localhost"

    def known(self, address: str) -> bool:
        """Does the server take mail for it? StoreError where it can't say."""
        with self._lock, self._talking() as session:
            _good(session.mail(""))
            code, _ = session.rcpt(address)
            session.rset()
            return code // 100 != 5

    def check_room(self, size: int = 0) -> None:
        if size > self._size:
            raise Refused(_TOO_BIG)

    def open(self, envelope: Envelope, *, fix: Fix | None = None) -> "Entry":
        return Entry(self, envelope, fix, self._size)

    def accept(self, envelope: Envelope, message: bytes) -> Spooled:
        """A whole message at once, line ends of any kind."""
        entry = self.open(envelope)
        entry.feed(message.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
        return entry.commit().result()

    def send(self, envelope: Envelope, message: bytes) -> None:
        """Returns when the server has it. Refused for ever, StoreError for now."""
        to = envelope.recipients[0].address
        with self._lock, self._talking() as session:
            _good(session.mail(envelope.sender, self._options(session, envelope)))
            code, text = session.rcpt(to)
            if code // 100 != 2:
                session.rset()
                raise StoreError(f"the mail server of this machine refuses {to}: {code} {_words(text)}")
            code, text = session.data(message)
            if code // 100 == 5:
                raise Refused(Reply(code, "", _words(text)))
            _good((code, text))

    def _options(self, session: smtplib.SMTP, envelope: Envelope) -> list[str]:
        options = ["BODY=8BITMIME"] if session.has_extn("8bitmime") else []
        if not envelope.sender.isascii() and session.has_extn("smtputf8"):
            session.command_encoding = "utf-8"
            options.append("SMTPUTF8")
        else:
            session.command_encoding = "ascii"
        return options

    @contextmanager
    def _talking(self) -> Iterator[smtplib.SMTP]:
        try:
            if self._session is None:
                self._session = smtplib.SMTP(HOST, self._port, local_hostname="localhost", timeout=SECONDS)
                self._session.ehlo_or_helo_if_needed()
                name = _NAME.match(self._session.ehlo_resp or self._session.helo_resp or b"")
                self.hostname = name[0].decode() if name else self.hostname
            yield self._session
        except StoreError:
            raise
        except Refused:
            raise
        except (OSError, smtplib.SMTPException, UnicodeError) as error:
            self.close()
            raise StoreError(f"the mail server of this machine ({HOST} port {self._port}): {error}") from error

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None


class Entry:
    """One message on its way to the server."""

    def __init__(self, server: Server, envelope: Envelope, fix: Fix | None, size: int) -> None:
        self._server, self._envelope, self._fix, self._most = server, envelope, fix, size
        self._data = bytearray()

    def feed(self, data: bytes) -> None:
        if len(self._data) + len(data) > self._most:
            raise Refused(_TOO_BIG)
        self._data += data

    def commit(self) -> "Future[Spooled]":
        """The server has it, or Refused, StoreError."""
        message = bytes(self._data)
        if self._fix is not None:
            end = 0 if message.startswith(b"\r\n") else message.find(b"\r\n\r\n") + 2
            end = len(message) if end == 1 else end
            message = self._fix(message[:end], self._envelope) + message[end:]
        self._server.send(self._envelope, message)
        done: Future[Spooled] = Future()
        done.set_result(Spooled(self._envelope, Path(), 0, len(message)))
        return done

    def abort(self) -> None:
        self._data.clear()


def _good(answer: tuple[int, bytes]) -> None:
    code, text = answer
    if code // 100 != 2:
        _sorry(code, text)


def _sorry(code: int, text: bytes) -> NoReturn:
    raise StoreError(f"the mail server of this machine says {code} {_words(text)}")


def _words(text: bytes) -> str:
    return text.decode("utf-8", "replace").replace("\n", " ")[:200]


def state_folder(home: Path, *, moved: bool) -> Path:
    """Where the caller's ledger is."""
    if moved:
        return home / "estafeta"
    state = os.environ.get("XDG_STATE_HOME", "")
    return Path(state if state.startswith("/") else home / ".local" / "state") / "estafeta"


@contextmanager
def collector(folder: Path, server: Server, message_size: int, poll_seconds: float) -> Iterator[Poller]:
    """A collector of the caller's own. StoreError, OSError."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    database = Database(f"sqlite:///{folder}/fetched.db", point=COMMIT, lock=folder / "fetched.lock")

    def tables(connection: Connection) -> None:
        for table in (seen, account_state):
            table.create(connection, checkfirst=True)

    try:
        database.write_now(tables)
        journal = Journal(lambda line: _log.debug("%s", line), "fetchmail", SYSTEM)
        door = cast(Door, cast(Any, server))  # all that a poll asks of a door
        yield Poller(Ledger(database), door, journal, folder, message_size, poll_seconds=poll_seconds)
    finally:
        server.close()
        database.close()
