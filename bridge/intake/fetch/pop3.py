"""A POP3 account as a source: our own small client, because the standard one gives up on long lines (SECURITY 0.14).

Promises: only CRLF.CRLF ends a message, whatever else is in it; lines and listings are bounded; a missing, strange or
repeated UIDL is replaced by a hash of the header and the size (sec-F11); removal is believed only after the server's
+OK to QUIT, which is why `remove` ends the session; APOP and CRAM-MD5 only where the account says so (sec-F03).
RFC 1939, 2449 (CAPA, PIPELINING), 2595 (STLS).
"""

import hashlib
import hmac
import re
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Iterator, Sequence

from bridge.config.fetch import FetchAccount
from bridge.intake.fetch.connection import CHUNK, TEXT, Connection, Flood
from bridge.intake.fetch.source import (
    Broken,
    Limits,
    Listing,
    Remote,
    Status,
    Trouble,
    cleaned,
    connect,
    refused,
    secure,
    tls_context,
    trouble,
    unprotected,
)
from bridge.model.language import tr
from bridge.wire.dots import Decoder

LINE = 65_536
MOST = 1_000_000  # messages of a mailbox that are believed to exist
LIST_BYTES = 100_000_000
HEADER = 1_000_000
AHEAD = 50  # commands that may be under way where the server says PIPELINING
_NUMBERED = re.compile(rb"(\d{1,9})[ \t]+([^\r\n]*)")
_SIZE = re.compile(rb"\d{1,15}")
_NAME = re.compile(r"[\x21-\x7e]{1,150}")
_STAMP = re.compile(r"<[\x21-\x3b\x3d\x3f-\x7e]+@[\x21-\x3b\x3d\x3f-\x7e]+>")
HASHED = "hash:"


class Pop3Source:
    """One session; POP3 has one folder, whatever its name."""

    def __init__(self, account: FetchAccount, limits: Limits) -> None:
        self._account, self._limits = account, limits
        self._connection: Connection | None = None
        self._aborted = False
        self._capabilities: frozenset[str] = frozenset()

    @property
    def connection(self) -> Connection:
        if self._connection is None:
            raise Trouble("the session has ended", Status.CONNECTION)
        return self._connection

    def open(self) -> None:
        account = self._account
        port = account.port or (995 if account.tls == "implicit" else 110)
        self._connection = connect(account, port, self._limits)
        if self._aborted:
            raise Trouble("stopped", Status.CONNECTION)
        self._begin()
        greeting = self._line().decode("latin-1")
        if not greeting.startswith("+OK"):
            raise Trouble(f"{account.host}: {cleaned(account, greeting)}", Status.SERVER)
        if account.tls == "starttls":
            self._upgrade()
        self._login(greeting)
        self._capabilities = self._capa()

    def _capa(self) -> frozenset[str]:
        ok, _ = self._ask(b"CAPA")
        lines = self._lines(200, TEXT) if ok else ()
        return frozenset(line.decode("latin-1").split(" ")[0].upper() for line in lines)

    def _upgrade(self) -> None:
        ok, text = self._ask(b"STLS")
        if not ok:
            raise unprotected(self._account, "STLS", text)
        try:
            secure(self._account, self.connection, tls_context(self._account))
        except Flood as error:
            raise Trouble(f"{self._account.host}: {error}; session ended") from error

    def _login(self, greeting: str) -> None:
        account = self._account
        if account.auth == "apop":
            ok, text = self._apop(greeting)
        elif account.auth == "cram-md5":
            ok, text = self._cram()
        else:
            ok, text = self._ask(b"USER " + account.user.encode())
            if ok:
                ok, text = self._ask(b"PASS " + account.password.encode())
        if not ok:
            raise refused(account, text)

    def _apop(self, greeting: str) -> tuple[bool, str]:
        stamp = _STAMP.search(greeting)
        if not stamp:
            return False, "it offers no APOP"
        digest = hashlib.md5((stamp[0] + self._account.password).encode(), usedforsecurity=False).hexdigest()
        return self._ask(f"APOP {self._account.user} {digest}".encode())

    def _cram(self) -> tuple[bool, str]:
        self._send(b"AUTH CRAM-MD5")
        line = self._line()
        if not line.startswith(b"+ "):
            return False, cleaned(self._account, line.decode("latin-1"))
        account = self._account
        try:
            challenge = b64decode(line[2:])
        except ValueError:
            return False, "its challenge is no base64"
        digest = hmac.new(account.password.encode(), challenge, "md5").hexdigest()
        return self._ask(b64encode(f"{account.user} {digest}".encode()))

    def folders(self, wanted: Sequence[str]) -> list[str]:
        return ["INBOX"]

    def listing(self, folder: str) -> Listing:
        sizes = self._numbers(b"LIST")
        uids = {number: text.split(b" ")[0].decode("latin-1") for number, text in self._numbers(b"UIDL").items()}
        often = Counter(uids.values())
        found, nameless = [], []
        for number, text in sorted(sizes.items()):
            said = _SIZE.match(text)
            size, uid = int(said[0]) if said else 0, uids.get(number, "")
            if often[uid] == 1 and _NAME.fullmatch(uid) and not uid.startswith(HASHED):
                found.append(Remote(uid, size, number))
            else:
                nameless.append(Remote("", size, number))
        found += self._named_by_content(nameless)
        return Listing("0", tuple(found), renames=True)

    def _named_by_content(self, messages: Sequence[Remote]) -> Iterator[Remote]:
        """Names for what the server doesn't name well; equal messages are counted, so none hides behind another."""
        times: Counter[str] = Counter()
        for one, head in self.headers(messages):
            digest = hashlib.sha256(head) if head else self._content(one)
            name = f"{HASHED}{digest.hexdigest()[:40]}:{one.size}"
            times[name] += 1
            yield Remote(name if times[name] == 1 else f"{name}:{times[name]}", one.size, one.number)

    def _content(self, one: Remote) -> "hashlib._Hash":
        """The hash of a whole message, for servers that don't know TOP either."""
        digest = hashlib.sha256()
        for _, body in self.read([one]):
            if isinstance(body, Broken):
                digest.update(b"%d" % one.number)
            else:
                for piece in body:
                    digest.update(piece)
        return digest

    def _numbers(self, command: bytes) -> dict[int, bytes]:
        self.connection.begin(LIST_BYTES, self._limits.message_seconds, MOST + 2)
        ok, text = self._ask(command)
        if not ok:
            if command == b"UIDL":
                return {}
            raise Trouble(f"{self._account.host}: {command.decode()}: {text}", Status.SERVER)
        found: dict[int, bytes] = {}
        for line in self._lines(MOST, LIST_BYTES):
            numbered = _NUMBERED.match(line)
            if numbered and 0 < int(numbered[1]) <= MOST:
                found[int(numbered[1])] = numbered[2].rstrip()
        return found

    def sizes(self, messages: Sequence[Remote]) -> list[Remote]:
        return list(messages)

    def headers(self, messages: Sequence[Remote]) -> Iterator[tuple[Remote, bytes]]:
        for some in self._windows(messages):
            self._begin(len(some) * HEADER)
            self._send(b"\r\n".join(b"TOP %d 0" % one.number for one in some))
            for one in some:
                ok, _ = self._reply()
                yield one, self._header(one) if ok else b""

    def _header(self, one: Remote) -> bytes:
        """The answer to TOP up to the empty line: some servers send the whole message all the same."""
        head = b""
        for piece in self._body(one):
            if len(head) < HEADER and b"\r\n\r\n" not in head:
                head += piece
        return head.partition(b"\r\n\r\n")[0]

    def read(self, messages: Sequence[Remote]) -> Iterator[tuple[Remote, Iterator[bytes] | Broken]]:
        windows = list(self._windows(messages))
        ahead = int(self._pipelining)  # the server works on one window while we read the one before
        for number in range(len(windows) + ahead):
            if number < len(windows):
                size = sum(one.size for some in windows[max(number - 1, 0) : number + 1] for one in some)
                self._begin(2 * size + 2 * self._limits.message_size + TEXT)
                self._send(b"\r\n".join(b"RETR %d" % one.number for one in windows[number]))
            if number >= ahead:
                yield from self._retrieved(windows[number - ahead])

    def _retrieved(self, messages: Sequence[Remote]) -> Iterator[tuple[Remote, Iterator[bytes] | Broken]]:
        for one in messages:
            ok, text = self._replied(one)
            if not ok:
                yield one, Broken(f"{self._account.host}: {text}")
                continue
            body = self._body(one)
            yield one, body
            for _ in body:  # what the taker left unread
                pass

    @property
    def _pipelining(self) -> bool:
        return "PIPELINING" in self._capabilities

    def _replied(self, one: Remote) -> tuple[bool, str]:
        try:
            return self._reply()
        except Trouble as error:
            error.suspects = (one,)
            raise

    def _windows(self, messages: Sequence[Remote]) -> Iterator[Sequence[Remote]]:
        """Messages that may be asked for at once: many small ones where the server takes commands ahead."""
        ahead = AHEAD if self._pipelining else 1
        some: list[Remote] = []
        size = 0
        for one in messages:
            if some and (len(some) >= ahead or size + one.size > 4 * TEXT):
                yield some
                some, size = [], 0
            some.append(one)
            size += one.size
        if some:
            yield some

    def _body(self, one: Remote) -> Iterator[bytes]:
        """The text of a multi-line reply in pieces, dots unstuffed, up to but without the final dot."""
        decoder = Decoder(normalize=True)
        ended = False
        while not ended:
            try:
                piece, ended, rest = decoder.feed(self._take())
            except Trouble as error:
                error.suspects = (one,)
                raise
            if ended:
                self.connection.give_back(rest)
            if decoder.size > self._limits.message_size + CHUNK:
                raise Trouble(f"{self._account.host} sends a message without end", suspects=(one,))
            if piece:
                yield piece

    def remove(self, messages: Sequence[Remote]) -> set[str]:
        marked = set()
        for some in self._windows([Remote(one.uid, 0, one.number) for one in messages]):
            self._begin()
            self._send(b"\r\n".join(b"DELE %d" % one.number for one in some))
            for one in some:
                ok, _ = self._reply()
                if ok:
                    marked.add(one.uid)
        self._begin()
        ok, text = self._ask(b"QUIT")
        self._drop()
        if not ok:
            raise Trouble(
                f"{self._account.host}: QUIT: {text}; what was to be deleted may still be there", Status.SERVER
            )
        return marked

    def close(self) -> None:
        if self._connection is not None:
            try:
                self.connection.begin(patience=5)
                self._ask(b"QUIT")
            except Trouble:
                pass  # the session is over one way or the other
            self._drop()

    def abort(self) -> None:
        self._aborted = True
        if (connection := self._connection) is not None:
            connection.abort()

    # -- lines

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _begin(self, budget: int = TEXT) -> None:
        self.connection.begin(budget, self._limits.message_seconds)

    def _send(self, command: bytes) -> None:
        try:
            self.connection.send(command + b"\r\n")
        except OSError as error:
            raise trouble(self._account, error) from error

    def _ask(self, command: bytes) -> tuple[bool, str]:
        self._send(command)
        return self._reply()

    def _reply(self) -> tuple[bool, str]:
        line = self._line().decode("latin-1")
        return line.startswith("+OK"), cleaned(self._account, line.removeprefix("-ERR").strip())

    def _take(self) -> bytes:
        try:
            data = self.connection.take()
        except OSError as error:
            raise trouble(self._account, error) from error
        except Flood as error:
            raise Trouble(f"{self._account.host}: {error}") from error
        if not data:
            raise self._closed()
        return data

    def _line(self) -> bytes:
        try:
            line = self.connection.readline(LINE)
        except OSError as error:
            raise trouble(self._account, error) from error
        except Flood as error:
            raise Trouble(f"{self._account.host}: {error}") from error
        if not line.endswith(b"\n"):
            raise self._closed()
        return line.rstrip(b"\r\n")

    def _closed(self) -> Trouble:
        host = self._account.host
        said = tr(f"{host} closed the connection", f"{host} ha cerrado la conexión")
        return Trouble(said, Status.CONNECTION)

    def _lines(self, most: int, budget: int) -> Iterator[bytes]:
        """Lines of a multi-line reply."""
        for _ in range(most):
            line = self._line()
            if line == b".":
                return
            budget -= len(line)
            if budget < 0:
                break
            yield line[1:] if line.startswith(b".") else line
        raise Trouble(f"{self._account.host} sends a list without end")
