"""An IMAP account as a source, on imapclient, with the remote server kept on a short leash.

Promises: only UIDs that were asked for are believed, each once (sec-F08); no CR, LF or NUL is sent in arguments
(sec-F07); lines, literals and answers are bounded (sec-F05, F06); removal is `UID STORE` and `UID EXPUNGE` of exactly
the given set, and without UIDPLUS nothing is expunged unless the account says that the folder is ours alone (sec-F09);
a server that knows us before we logged in is not trusted (sec-F01). While one batch is being stored the next one is
already on its way. RFC 3501, 4315 (UIDPLUS), 2177 (IDLE).
"""

import fnmatch
import imaplib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from imapclient import IMAPClient
from imapclient.exceptions import IMAPClientError, LoginError

from bridge.config.fetch import FetchAccount
from bridge.intake.fetch.answers import BadAnswer, Piece, Row, rows
from bridge.intake.fetch.connection import TEXT, Connection, Flood
from bridge.intake.fetch.source import (
    Broken,
    Limits,
    Listing,
    Remote,
    Status,
    Trouble,
    check_arguments,
    cleaned,
    connect,
    refused,
    safe,
    secure,
    tls_context,
    trouble,
    unprotected,
)

BATCH_BYTES = 2_000_000  # whole messages of one FETCH command together
BATCH_COUNT = 100
WINDOW = 1_000_000  # larger messages come in pieces of this size
KEEP = 4 * WINDOW  # of a literal; more than that is a lie about the size
MOST = 2_000_000  # messages of a folder that are believed to exist
SEARCH_BYTES = 24_000_000
UIDS = 500  # named in one command
FOLDERS = 1000
NEWS = 1000  # lines that are read at once while IDLE
_WRONG = (OSError, IMAPClientError, imaplib.IMAP4.error, Flood, BadAnswer, ValueError, LookupError, TypeError,
          AttributeError, AssertionError, RecursionError)  # fmt: skip
_REFUSED = (LoginError, imaplib.IMAP4.error)
_CLOSED = frozenset([b"\\Noselect", b"\\NonExistent"])
_GLOB = re.compile(r"[*?%]")
_GUILTY = re.compile(rb"[( ]UID (\d{1,10}) ", re.I)
T = TypeVar("T")


class Imap4(imaplib.IMAP4):
    """imaplib over a connection of ours, which bounds what it reads."""

    def __init__(self, connection: Connection, message_size: int) -> None:
        self.connection, self._literal_most = connection, message_size + WINDOW
        self.last_line = b""
        super().__init__(connection.host, 0)

    def open(self, host: str = "", port: int = 0, timeout: float | None = None) -> None:
        self.host, self.port = host, port
        self.sock = self.connection.socket

    def read(self, size: int) -> bytes:
        if size > self._literal_most:
            raise Flood(f"it announces {size} bytes at once")
        return self.connection.read(size, KEEP)

    def readline(self) -> bytes:
        self.last_line = self.connection.readline()
        return self.last_line

    def send(self, data: Any) -> None:
        self.connection.send(bytes(data))

    def shutdown(self) -> None:
        self.connection.close()

    def forget(self) -> None:
        """Untagged answers of the past: nobody waits for them."""
        self.untagged_responses.clear()


class _Client(IMAPClient):  # type: ignore[misc]
    """imapclient on our kind of imaplib."""

    def __init__(self, connection: Connection, message_size: int) -> None:
        self._made = Imap4(connection, message_size)
        super().__init__(connection.host, ssl=False, use_uid=True)
        self._made.debug = 0  # imapclient asks for every line to be logged

    def _create_IMAP4(self) -> Imap4:
        return self._made


class ImapSource:
    """One session. A folder is opened by `listing`."""

    def __init__(self, account: FetchAccount, limits: Limits) -> None:
        self._account, self._limits = account, limits
        self._connection: Connection | None = None
        self._aborted = False
        self._client: Any = None
        self._plus = False
        self._asked: set[int] = set()  # UIDs of FETCH commands that are under way
        self._early: dict[int, Row] = {}  # answers to them that have come
        self._idle_tag = b""

    @property
    def connection(self) -> Connection:
        assert self._connection is not None
        return self._connection

    @property
    def client(self) -> Any:
        """The imapclient of this session."""
        return self._client

    def open(self) -> None:
        account = self._account
        port = account.port or (993 if account.tls == "implicit" else 143)
        self._connection = connect(account, port, self._limits)
        if self._aborted:
            raise Trouble("stopped", Status.CONNECTION)
        self._client = self._guarded(lambda: _Client(self.connection, self._limits.message_size))
        if self._client._imap.state != "NONAUTH":
            raise Trouble(f"{account.host} claims to know us before any login (PREAUTH); not trusted")
        if account.tls == "starttls":
            self._start_tls()
        self._login()
        self._plus = self._guarded(lambda: self._client.has_capability("UIDPLUS"))

    def _start_tls(self) -> None:
        account, imap = self._account, self._client._imap
        if "STARTTLS" not in imap.capabilities:
            raise unprotected(account, "STARTTLS")
        context = tls_context(account)
        kind, data = self._guarded(lambda: imap._simple_command("STARTTLS"))
        if kind != "OK":
            raise Trouble(f"{account.host} refuses STARTTLS: {cleaned(account, data)}", Status.CONNECTION)
        self._guarded(lambda: secure(account, self.connection, context))
        imap.sock = self.connection.socket
        imap.forget()  # what was said in the clear doesn't count
        self._client._cached_capabilities = None
        self._guarded(imap._get_capabilities)

    def _login(self) -> None:
        account, client = self._account, self._client
        try:
            if account.auth == "cram-md5":
                self._guarded(lambda: client._imap.login_cram_md5(account.user, account.password), pass_on=_REFUSED)
            elif account.user.isascii() and account.password.isascii():
                self._guarded(lambda: client.login(account.user, account.password), pass_on=_REFUSED)
            else:
                self._guarded(lambda: client.plain_login(account.user, account.password), pass_on=_REFUSED)
        except _REFUSED as error:
            said = cleaned(account, _plain(error))
            if isinstance(error, imaplib.IMAP4.abort) or "socket error" in said:
                raise Trouble(f"{account.host}: {said}", Status.CONNECTION) from error
            raise refused(account, said) from error
        client._cached_capabilities = None

    def folders(self, wanted: Sequence[str]) -> list[str]:
        """The folders that the account names, patterns filled in (F28)."""
        if not any(_GLOB.search(one) for one in wanted):
            return list(dict.fromkeys(wanted))
        known = [
            name
            for flags, _, name in self._guarded(lambda: self._client.list_folders())[:FOLDERS]
            if isinstance(name, str) and safe(name) and len(name) <= 200 and not _CLOSED & {*flags}
        ]
        found: list[str] = []
        for one in wanted:
            plain = not _GLOB.search(one)
            found += [one] if plain else [name for name in known if fnmatch.fnmatchcase(name, one.replace("%", "*"))]
        return list(dict.fromkeys(found))

    def listing(self, folder: str) -> Listing:
        check_arguments(folder)
        readonly = self._account.keep and not self._account.delete_days
        about = self._select(folder, readonly)
        if isinstance(exists := about.get(b"EXISTS"), int) and exists > MOST:
            raise Trouble(f"{self._account.host}: {folder} claims to have {exists} messages")
        uids = self._search("ALL")
        if len(uids) > MOST:
            raise Trouble(f"{self._account.host}: {folder} claims to have {len(uids)} messages")
        validity = about.get(b"UIDVALIDITY", 0)
        if not isinstance(validity, int):
            raise Trouble(f"{self._account.host}: {folder} has no usable UIDVALIDITY")
        return Listing(str(validity % (1 << 64)), tuple(Remote(str(uid), 0) for uid in sorted(uids)))

    def _select(self, folder: str, readonly: bool) -> dict[bytes, Any]:
        try:
            about: dict[bytes, Any] = self._guarded(
                lambda: self._client.select_folder(folder, readonly=readonly), pass_on=(IMAPClientError,)
            )
        except IMAPClientError as error:
            said = cleaned(self._account, _plain(error))
            dropped = isinstance(error, imaplib.IMAP4.abort)
            raise Trouble(
                f"{self._account.host}: {folder}: {said}", Status.CONNECTION if dropped else Status.SERVER
            ) from error
        return about

    def _search(self, what: str) -> set[int]:
        found = self._guarded(lambda: self._client.search([what]), budget=SEARCH_BYTES)
        return {uid for uid in found if isinstance(uid, int) and 0 < uid < 1 << 32}

    def sizes(self, messages: Sequence[Remote]) -> list[Remote]:
        """The same messages with what the server says of their size; those it doesn't know any more are left out."""
        found: list[Remote] = []
        for part in _parts(messages, UIDS):
            answered = self._fetch(part, "RFC822.SIZE", TEXT)
            found += [
                Remote(one.uid, row.size)
                for one in part
                if (row := answered.get(int(one.uid))) is not None and row.size is not None
            ]
        return found

    def headers(self, messages: Sequence[Remote]) -> Iterator[tuple[Remote, bytes]]:
        for part in _parts(messages, BATCH_COUNT):
            answered = self._fetch(part, "BODY.PEEK[HEADER]", 8 * KEEP)
            for one in part:
                row = answered.get(int(one.uid))
                yield one, (row.text if row else None) or b""

    def read(self, messages: Sequence[Remote]) -> Iterator[tuple[Remote, Iterator[bytes] | Broken]]:
        sent: tuple[Sequence[Remote], str] | None = None
        for batch in _batches(messages):
            if batch[0].size > WINDOW:
                if sent:
                    yield from self._whole(*sent)
                    sent = None
                yield batch[0], self._windows(batch[0])
                continue
            tag = self._send(batch, "BODY.PEEK[]", _budget(batch) * 2)  # two batches are under way
            if sent:
                yield from self._whole(*sent)
            sent = batch, tag
        if sent:
            yield from self._whole(*sent)

    def _whole(self, messages: Sequence[Remote], tag: str) -> Iterator[tuple[Remote, Iterator[bytes] | Broken]]:
        answered = self._answers(messages, tag)
        for one in messages:
            row = answered.get(int(one.uid))
            if row is None or row.text is None:
                told = Broken(f"{self._account.host} gave no text of it")
                yield one, told if one.size else iter(())  # NIL is what some servers have for an empty message
            elif len(row.text) != row.declared:
                yield one, Broken(f"it has {row.declared} bytes, though the server said {one.size}")
            else:
                yield one, iter((row.text,))

    def _windows(self, one: Remote) -> Iterator[bytes]:
        start = 0
        while start <= self._limits.message_size + WINDOW:
            row = self._fetch([one], f"BODY.PEEK[]<{start}.{WINDOW}>", TEXT).get(int(one.uid))
            if row is None or row.text is None:
                raise Broken(f"{self._account.host} gave no text of it")
            if row.declared > WINDOW:
                raise Broken(f"{self._account.host} gave more of it than was asked for")
            if row.text:
                yield row.text
            if len(row.text) < WINDOW:
                return
            start += WINDOW
        raise Broken("it never ends")

    def _fetch(self, messages: Sequence[Remote], item: str, budget: int) -> dict[int, Row]:
        return self._answers(messages, self._send(messages, item, budget))

    def _send(self, messages: Sequence[Remote], item: str, budget: int) -> str:
        uids = ",".join(one.uid for one in messages)
        imap: Imap4 = self._client._imap
        self._asked.update(int(one.uid) for one in messages)
        return self._guarded(
            lambda: str(imap._command("UID", "FETCH", uids, f"(UID {item})"), "ascii"), budget=budget, suspects=messages
        )

    def _answers(self, messages: Sequence[Remote], tag: str) -> dict[int, Row]:
        """What answers the FETCH of this tag: for each message that was asked for at most one row."""

        def complete() -> dict[int, Row]:
            imap = self._client._imap
            kind, data = imap._command_complete("FETCH", tag.encode())
            pieces: list[Piece] = imap.untagged_responses.pop("FETCH", [])
            imap.forget()
            if kind != "OK":
                raise imaplib.IMAP4.error(f"FETCH: {data}")
            self._believe(pieces)
            uids = [int(one.uid) for one in messages]
            self._asked.difference_update(uids)
            return {uid: self._early.pop(uid) for uid in uids if uid in self._early}

        return self._guarded(complete, budget=0, suspects=messages)

    def _believe(self, pieces: list[Piece]) -> None:
        """Keep the answers. Those to a later command may come before the end of an earlier one: Dovecot does that."""
        for row in rows(pieces):
            if row.text is None and row.size is None:
                continue  # flags that somebody changed
            if row.uid not in self._asked or row.uid in self._early:
                raise Trouble(
                    f"{self._account.host} answers for messages that were not asked for, or twice; session ended"
                )
            self._early[row.uid] = row

    def remove(self, messages: Sequence[Remote]) -> set[str]:
        uids = [int(one.uid) for one in messages]
        client = self._client
        for part in _parts(uids, UIDS):
            self._guarded(lambda part=part: client.add_flags(part, [b"\\Deleted"], silent=True))  # type: ignore[misc]
            if self._plus:
                self._guarded(lambda part=part: client.uid_expunge(part))  # type: ignore[misc]
        if not self._plus:
            if not self._account.expunge_all:
                return set()
            self._guarded(client.expunge)
        left = self._search("ALL")
        return {str(uid) for uid in uids if uid not in left}

    # -- IDLE

    def watch(self, folder: str) -> None:
        """Open a folder and ask the server to tell what happens there. Raises Trouble (SETTINGS: it can't)."""
        check_arguments(folder)
        if not self._guarded(lambda: self._client.has_capability("IDLE")):
            raise Trouble(f"{self._account.host} has no IDLE", Status.SETTINGS)
        self._select(folder, readonly=True)
        self._guarded(self._idle)

    def _idle(self) -> None:
        imap = self._client._imap
        self._idle_tag = imap._command("IDLE")
        while imap._get_response() is not None:  # what it says before it says that it listens
            if imap.tagged_commands[self._idle_tag]:
                raise imaplib.IMAP4.error("IDLE refused")

    def news(self) -> bool:
        """Read what has come, without waiting for more; True if the folder has grown."""
        imap = self._client._imap

        def read() -> bool:
            for _ in range(NEWS):
                imap._get_response()
                if "BYE" in imap.untagged_responses or imap.tagged_commands[self._idle_tag]:
                    raise imaplib.IMAP4.abort("the server ended IDLE")
                if not self.connection.buffered:
                    break
            grown = "EXISTS" in imap.untagged_responses or "RECENT" in imap.untagged_responses
            imap.forget()
            return grown

        return self._guarded(read)

    def renew(self) -> None:
        """End IDLE and begin it again, before the server or a firewall loses patience (RFC 2177: 29 minutes)."""
        imap = self._client._imap

        def again() -> None:
            imap.send(b"DONE\r\n")
            imap._command_complete("IDLE", self._idle_tag)
            self._idle()

        self._guarded(again)

    def close(self) -> None:
        if self._client is not None:
            try:
                self.connection.begin(patience=5)
                self._client.logout()
            except _WRONG:
                pass  # the session is over one way or the other
        if self._connection is not None:
            self._connection.close()
        self._client = self._connection = None

    def abort(self) -> None:
        self._aborted = True
        if (connection := self._connection) is not None:
            connection.abort()

    def _guarded(
        self,
        act: Callable[[], T],
        *,
        budget: int = TEXT,
        suspects: Sequence[Remote] = (),
        pass_on: tuple[type[BaseException], ...] = (),
    ) -> T:
        """Do one command; whatever the library or the server does wrong is Trouble. budget 0: as it was."""
        if budget:
            self.connection.begin(budget, self._limits.message_seconds)
        try:
            return act()
        except pass_on:
            raise
        except _WRONG as error:
            if isinstance(error, OSError):
                told = trouble(self._account, error)
            else:
                dropped = isinstance(error, imaplib.IMAP4.abort) and "EOF" in str(error)
                status = Status.CONNECTION if dropped else Status.PROTOCOL
                told = Trouble(f"{self._account.host}: {cleaned(self._account, _plain(error))}", status)
            told.suspects = self._narrowed(suspects, error)
            raise told from error
        except Trouble as error:
            error.suspects = error.suspects or tuple(suspects)
            raise

    def _narrowed(self, suspects: Sequence[Remote], error: BaseException) -> tuple[Remote, ...]:
        """The message that was being announced when a flood began, if the server had said which."""
        named = _GUILTY.search(self._client._imap.last_line) if isinstance(error, Flood) and self._client else None
        return tuple(one for one in suspects if named and int(one.uid) == int(named[1])) or tuple(suspects)


def _plain(error: BaseException) -> str:
    """An exception's text without the marks of a bytes object."""
    if isinstance(error, RecursionError):
        return "its answer is nested without end"
    return re.sub(r"\bb(['\"])(.*?)\1", r"\2", str(error)) or type(error).__name__


def _batches(messages: Sequence[Remote]) -> Iterator[list[Remote]]:
    """Messages that one command asks for; a large one alone."""
    batch: list[Remote] = []
    size = 0
    for one in messages:
        large = one.size > WINDOW
        if batch and (large or size + one.size > BATCH_BYTES or len(batch) >= BATCH_COUNT):
            yield batch
            batch, size = [], 0
        if large:
            yield [one]
            continue
        batch.append(one)
        size += one.size
    if batch:
        yield batch


def _budget(batch: Sequence[Remote]) -> int:
    return 4 * BATCH_BYTES + 2 * sum(one.size for one in batch) + 2 * KEEP


def _parts(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
