"""A POP3 account as a source: our own small client, because the standard one gives up on long lines (SECURITY 0.14).

Promises: a line is at most `LINE` bytes of which longer ones are passed on in pieces, a listing at most `MOST` lines;
a missing, empty or repeated UIDL is replaced by a hash of the header and size (sec-F11); removal is believed only
after the server's +OK to QUIT, which is why `remove` ends the session.
RFC 1939, 2449 (CAPA), 2595 (STLS).
"""

import hashlib
import hmac
import re
import socket
import ssl
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Iterator, Sequence

from bridge.config.fetch import FetchAccount
from bridge.intake.fetch.source import Broken, Listing, Remote, Trouble, advice, check_fingerprint, tls_context

LINE = 65_536
MOST = 1_000_000
AHEAD = 20  # commands that may be under way where the server says PIPELINING
_UNSAFE = re.compile(r"[\r\n\0]")
_CHUNK = 65_536


class Pop3Source:
    """One session; POP3 has one folder, whatever its name."""

    def __init__(self, account: FetchAccount, message_size: int) -> None:
        self._account, self._message_size = account, message_size
        self._socket: socket.socket | None = None
        self._buffer = b""
        self._capabilities: frozenset[str] = frozenset()

    def open(self) -> None:
        account = self._account
        if any(_UNSAFE.search(text) for text in (account.host, account.user, account.password)):
            raise Trouble("host, user and password must not contain line breaks")
        context = tls_context(account)
        implicit = account.tls == "implicit"
        try:
            address = (account.host, account.port or (995 if implicit else 110))
            plain = socket.create_connection(address, account.timeout)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket = context.wrap_socket(plain, server_hostname=account.host) if implicit else plain
            greeting = self._line().decode("latin-1")
            if not greeting.startswith("+OK"):
                raise Trouble(f"{account.host}: {greeting[:200]}")
            self._capabilities = self._capa()
            if account.tls == "starttls":
                self._upgrade(context)
            if account.tls != "none":
                check_fingerprint(account, self._tls_certificate())
            self._login(greeting)
            self._capabilities = self._capa()
        except (OSError, ssl.SSLError) as error:
            raise Trouble(advice(account, error)) from error

    def _tls_certificate(self) -> bytes | None:
        assert isinstance(self._socket, ssl.SSLSocket)
        return self._socket.getpeercert(binary_form=True)

    def _capa(self) -> frozenset[str]:
        ok, _ = self._ask(b"CAPA")
        return (
            frozenset(line.decode("latin-1").split(" ")[0].upper() for line in self._lines(200)) if ok else frozenset()
        )

    def _upgrade(self, context: ssl.SSLContext) -> None:
        ok, text = self._ask(b"STLS")
        if not ok:
            raise Trouble(
                f"{self._account.host} offers no STLS ({text}); nothing was sent. For an old plain server say "
                "tls = \"none\" (in a .fetchmailrc: sslproto '')"
            )
        if self._buffer:
            raise Trouble(f"{self._account.host} sent something before TLS began; session ended")
        assert self._socket is not None
        self._socket = context.wrap_socket(self._socket, server_hostname=self._account.host)

    def _login(self, greeting: str) -> None:
        account = self._account
        if account.auth == "apop":
            stamp = re.search(r"<[\x21-\x3b\x3d\x3f-\x7e]+@[\x21-\x3b\x3d\x3f-\x7e]+>", greeting)
            if not stamp:
                raise Trouble(f"{account.host} offers no APOP", login=True)
            digest = hashlib.md5((stamp[0] + account.password).encode(), usedforsecurity=False).hexdigest()
            ok, text = self._ask(f"APOP {account.user} {digest}".encode())
        elif account.auth == "cram-md5":
            ok, text = self._cram()
        else:
            ok, text = self._ask(b"USER " + account.user.encode())
            if ok:
                ok, text = self._ask(b"PASS " + account.password.encode())
        if not ok:
            raise Trouble(f"{account.host} refuses the login of {account.user}: {text}", login=True)

    def _cram(self) -> tuple[bool, str]:
        self._send(b"AUTH CRAM-MD5")
        line = self._line()
        if not line.startswith(b"+ "):
            return False, line.decode("latin-1")[:200]
        account = self._account
        digest = hmac.new(account.password.encode(), b64decode(line[2:]), "md5").hexdigest()
        return self._ask(b64encode(f"{account.user} {digest}".encode()))

    def listing(self, folder: str) -> Listing:
        sizes = self._numbers(b"LIST")
        names = self._numbers(b"UIDL")
        uids = {number: text.split(" ")[0] for number, text in names.items()}
        often = Counter(uids.values())
        found, nameless = [], []
        for number, text in sorted(sizes.items()):
            size = int(text.split(" ")[0]) if text.split(" ")[0].isdigit() else 0
            uid = uids.get(number, "")
            if uid and often[uid] == 1 and len(uid) <= 150:
                found.append(Remote(uid, size, number))
            else:
                nameless.append(Remote("", size, number))
        for one, head in self.headers(nameless):
            digest = hashlib.sha256(head).hexdigest()[:40]
            found.append(Remote(f"hash:{digest}:{one.size}", one.size, one.number))
        return Listing("0", tuple(found))

    def _numbers(self, command: bytes) -> dict[int, str]:
        ok, text = self._ask(command)
        if not ok:
            if command == b"UIDL":
                return {}
            raise Trouble(f"{self._account.host}: {command.decode()}: {text}")
        found: dict[int, str] = {}
        for line in self._lines(MOST):
            number, _, rest = line.decode("latin-1").strip().partition(" ")
            if number.isdigit() and 0 < int(number) <= MOST:
                found[int(number)] = rest.strip()
        return found

    def sizes(self, messages: Sequence[Remote]) -> list[Remote]:
        return list(messages)

    def headers(self, messages: Sequence[Remote]) -> Iterator[tuple[Remote, bytes]]:
        for one in messages:
            ok, _ = self._ask(b"TOP %d 0" % one.number)
            head = b"\r\n".join(self._lines(MOST, budget=1_000_000)) if ok else b""
            yield one, head + b"\r\n" if head else b""

    def read(self, messages: Sequence[Remote]) -> Iterator[tuple[Remote, Iterator[bytes] | Broken]]:
        ahead = AHEAD if "PIPELINING" in self._capabilities else 1
        for start in range(0, len(messages), ahead):
            some = messages[start : start + ahead]
            self._send(b"\r\n".join(b"RETR %d" % one.number for one in some))
            for one in some:
                ok, text = self._reply()
                if not ok:
                    yield one, Broken(f"{self._account.host}: {text}")
                    continue
                body = self._body()
                yield one, body
                for _ in body:  # what the taker left unread
                    pass

    def _body(self) -> Iterator[bytes]:
        """The text of a multi-line reply in pieces, dots unstuffed, up to but without the final dot."""
        total, fresh = 0, True
        while True:
            end = self._buffer.find(b"\n")
            if end < 0 and len(self._buffer) < LINE:
                self._fill()
                continue
            if end < 0 or end >= LINE:
                line, self._buffer = self._buffer[:LINE], self._buffer[LINE:]
                whole = False
            elif fresh and self._buffer[:1] != b"." and (block := self._block()):
                total += len(block)
                yield self._counted(block, total)
                continue
            else:
                line, self._buffer = self._buffer[: end + 1], self._buffer[end + 1 :]
                whole = True
            if fresh and line in (b".\r\n", b".\n"):
                return
            if fresh and line.startswith(b"."):
                line = line[1:]
            fresh = whole
            total += len(line)
            yield self._counted(line, total)

    def _block(self) -> bytes:
        """As many whole lines as are here and can't hold a dot line: taken in one go."""
        end = self._buffer.rfind(b"\n")
        dot = self._buffer.find(b"\n.", 0, end)
        end = dot if dot >= 0 else end
        block, self._buffer = self._buffer[: end + 1], self._buffer[end + 1 :]
        return block

    def _counted(self, data: bytes, total: int) -> bytes:
        if total > self._message_size + _CHUNK:
            raise Trouble(f"{self._account.host} sends a message without end")
        return data

    def remove(self, messages: Sequence[Remote]) -> set[str]:
        marked = set()
        for one in messages:
            ok, _ = self._ask(b"DELE %d" % one.number)
            if ok:
                marked.add(one.uid)
        ok, text = self._ask(b"QUIT")
        self._drop()
        if not ok:
            raise Trouble(f"{self._account.host}: QUIT: {text}; what was to be deleted may still be there")
        return marked

    def close(self) -> None:
        if self._socket is not None:
            try:
                self._ask(b"QUIT")
            except (OSError, Trouble):
                pass
            self._drop()

    # -- lines

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, command: bytes) -> None:
        if self._socket is None:
            raise Trouble("the session has ended")
        try:
            self._socket.sendall(command + b"\r\n")
        except OSError as error:
            raise Trouble(f"{self._account.host}: {error}") from error

    def _ask(self, command: bytes) -> tuple[bool, str]:
        self._send(command)
        return self._reply()

    def _reply(self) -> tuple[bool, str]:
        line = self._line().decode("latin-1")
        return line.startswith("+OK"), re.sub(r"[^\x20-\x7e\xa0-\xff]", "?", line[:300]).removeprefix("-ERR").strip()

    def _fill(self) -> None:
        assert self._socket is not None
        try:
            data = self._socket.recv(_CHUNK)
        except TimeoutError as error:
            raise Trouble(f"{self._account.host}: no answer within {self._account.timeout} seconds") from error
        except OSError as error:
            raise Trouble(f"{self._account.host}: {error}") from error
        if not data:
            raise Trouble(f"{self._account.host} closed the connection")
        self._buffer += data

    def _line(self) -> bytes:
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > LINE:
                raise Trouble(f"{self._account.host}: reply line too long")
            self._fill()
        line, self._buffer = self._buffer[:end], self._buffer[end + 1 :]
        return line.rstrip(b"\r")

    def _lines(self, most: int, budget: int = 100_000_000) -> Iterator[bytes]:
        """Lines of a multi-line reply; all of it is read even if the taker stops."""
        for _ in range(most):
            line = self._line()
            if line == b".":
                return
            budget -= len(line)
            if budget < 0:
                break
            yield line[1:] if line.startswith(b".") else line
        raise Trouble(f"{self._account.host} sends a list without end")
