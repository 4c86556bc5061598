"""An IMAP account as a source, on imapclient, with the remote server kept on a short leash.

Promises: only UIDs that were asked for are believed (sec-F08); no CR, LF or NUL is sent in arguments (sec-F07); a reply
line is at most 1 MB, a literal at most the message limit, all replies to one command at most `BUDGET` (sec-F05, F06);
removal is `UID STORE` and `UID EXPUNGE` of exactly the given set, and without UIDPLUS nothing is expunged but what was
ours to delete and only if nobody else marked anything (sec-F09); PREAUTH before TLS ends the session (sec-F01).
"""

import imaplib
import re
import ssl
from collections.abc import Iterator, Sequence
from typing import Any

from imapclient import IMAPClient
from imapclient.exceptions import IMAPClientError, LoginError

from bridge.config.fetch import FetchAccount
from bridge.intake.fetch.source import Broken, Listing, Remote, Trouble, advice, check_fingerprint, tls_context

BATCH_BYTES = 2_000_000  # whole messages of one FETCH command together
BATCH_COUNT = 200
WINDOW = 1_000_000  # larger messages come in pieces of this size
BUDGET = 64_000_000  # all bytes that answer one command
LINE = 1_000_000
MOST = 2_000_000  # messages of a folder that are believed to exist
_UNSAFE = re.compile(r"[\r\n\0]")


class ImapSource:
    """One session. `folders` of the account are opened by `listing`."""

    def __init__(self, account: FetchAccount, message_size: int) -> None:
        self._account, self._message_size = account, message_size
        self._client: Any = None
        self._plus = False

    def open(self) -> None:
        account = self._account
        for text in (account.host, account.user, account.password):
            if _UNSAFE.search(text):
                raise Trouble("host, user and password must not contain line breaks")
        context = tls_context(account)
        implicit = account.tls == "implicit"
        try:
            self._client = IMAPClient(
                account.host,
                port=account.port or (993 if implicit else 143),
                ssl=implicit,
                ssl_context=context if implicit else None,
                timeout=account.timeout,
                use_uid=True,
            )
            _leash(self._client, self._message_size)
            self._secure(context)
            self._login()
        except (OSError, ssl.SSLError) as error:
            raise Trouble(advice(account, error)) from error
        except (IMAPClientError, imaplib.IMAP4.error, ValueError, RecursionError) as error:
            raise Trouble(f"{account.host}: {_short(error)}") from error

    def _secure(self, context: ssl.SSLContext) -> None:
        account = self._account
        if account.tls != "implicit" and self._client._imap.state != "NONAUTH":
            raise Trouble(f"{account.host} claims to know us before TLS (PREAUTH); not trusted")
        if account.tls == "starttls":
            if b"STARTTLS" not in self._client.capabilities():
                raise Trouble(
                    f'{account.host} offers no STARTTLS; nothing was sent. For an old plain server say tls = "none" '
                    "(in a .fetchmailrc: sslproto '')"
                )
            self._client.starttls(context)
            _leash(self._client, self._message_size)
        if account.tls != "none":
            check_fingerprint(account, self._client._imap.sock.getpeercert(binary_form=True))

    def _login(self) -> None:
        account = self._account
        try:
            if account.auth == "cram-md5":
                self._client._imap.login_cram_md5(account.user, account.password)
            else:
                self._client.login(account.user, account.password)
        except (LoginError, imaplib.IMAP4.error) as error:
            raise Trouble(f"{account.host} refuses the login of {account.user}: {_short(error)}", login=True) from error
        self._plus = b"UIDPLUS" in self._client.capabilities()

    def listing(self, folder: str) -> Listing:
        if _UNSAFE.search(folder):
            raise Trouble(f"folder {folder!r} has a line break in its name")
        with _troubles(self._account, folder):
            about = self._client.select_folder(folder, readonly=self._account.keep and not self._account.delete_days)
            found = self._client.search(["ALL"])
        uids = sorted({uid for uid in found if isinstance(uid, int) and 0 < uid < 1 << 32})
        if len(uids) > MOST:
            raise Trouble(f"{self._account.host}: {folder} claims to have {len(uids)} messages")
        return Listing(str(about.get(b"UIDVALIDITY", 0)), tuple(Remote(str(uid), 0) for uid in uids))

    def sizes(self, messages: Sequence[Remote]) -> list[Remote]:
        """The same messages with what the server says of their size; those it doesn't know any more are left out."""
        found: list[Remote] = []
        for part in _parts(messages, 1000):
            asked = {int(one.uid) for one in part}
            rows = self._fetch(asked, ["RFC822.SIZE"])
            for uid in sorted(asked & rows.keys()):
                size = rows[uid].get(b"RFC822.SIZE")
                if isinstance(size, int) and size >= 0:
                    found.append(Remote(str(uid), size))
        return found

    def headers(self, messages: Sequence[Remote]) -> Iterator[tuple[Remote, bytes]]:
        for part in _parts(messages, 100):
            by_uid = {int(one.uid): one for one in part}
            rows = self._fetch(set(by_uid), ["BODY.PEEK[HEADER]"])
            for uid, one in by_uid.items():
                yield one, rows.get(uid, {}).get(b"BODY[HEADER]") or b""

    def read(self, messages: Sequence[Remote]) -> Iterator[tuple[Remote, Iterator[bytes] | Broken]]:
        small: list[Remote] = []
        size = 0
        for one in messages:
            if one.size > WINDOW:
                yield one, self._windows(one)
                continue
            if small and (size + one.size > BATCH_BYTES or len(small) >= BATCH_COUNT):
                yield from self._whole(small)
                small, size = [], 0
            small.append(one)
            size += one.size
        if small:
            yield from self._whole(small)

    def _whole(self, messages: Sequence[Remote]) -> Iterator[tuple[Remote, Iterator[bytes] | Broken]]:
        by_uid = {int(one.uid): one for one in messages}
        rows = self._fetch(set(by_uid), ["BODY.PEEK[]"])
        for uid, one in by_uid.items():
            body = rows.get(uid, {}).get(b"BODY[]")
            yield one, iter((body,)) if isinstance(body, bytes) else Broken(f"{self._account.host} gave no text of it")

    def _windows(self, one: Remote) -> Iterator[bytes]:
        start = 0
        while start <= self._message_size + WINDOW:
            rows = self._fetch({int(one.uid)}, [f"BODY.PEEK[]<{start}.{WINDOW}>"])
            piece = next((v for k, v in rows.get(int(one.uid), {}).items() if k.startswith(b"BODY[]")), None)
            if not isinstance(piece, bytes):
                raise Broken(f"{self._account.host} gave no text of it")
            if len(piece) > WINDOW:
                raise Broken(f"{self._account.host} gave more of it than was asked for")
            if piece:
                yield piece
            if len(piece) < WINDOW:
                return
            start += WINDOW
        raise Broken("it never ends")

    def _fetch(self, uids: set[int], items: list[str]) -> dict[int, dict[bytes, Any]]:
        """FETCH, believing only answers for what was asked, each once."""
        with _troubles(self._account, "FETCH"):
            answer = self._client.fetch(sorted(uids), items)
        strange = answer.keys() - uids
        wanted = items[0].split("<")[0].replace(".PEEK", "").encode()
        if any(any(key.startswith(wanted) for key in answer[uid]) for uid in strange):
            raise Trouble(f"{self._account.host} answers for messages that were not asked for; session ended")
        return {uid: row for uid, row in answer.items() if uid in uids}

    def remove(self, messages: Sequence[Remote]) -> set[str]:
        uids = [int(one.uid) for one in messages]
        with _troubles(self._account, "expunge"):
            if not self._plus and set(self._client.search(["DELETED"])) - set(uids):
                raise Trouble(
                    f"{self._account.host} has no UIDPLUS and somebody else's messages are marked as deleted; "
                    "nothing was removed"
                )
            for part in _parts(uids, 500):
                self._client.add_flags(part, [b"\\Deleted"], silent=True)
                if self._plus:
                    self._client.uid_expunge(part)
            if not self._plus:
                self._client.expunge()
            left = set(self._client.search(["ALL"]))
        return {str(uid) for uid in uids if uid not in left}

    def close(self) -> None:
        if self._client is None:
            return
        try:
            self._client.logout()
        except (OSError, IMAPClientError, imaplib.IMAP4.error, ValueError):
            self._client.shutdown() if hasattr(self._client, "shutdown") else None
        self._client = None


class _troubles:
    """Whatever the library or the server does wrong inside becomes Trouble."""

    def __init__(self, account: FetchAccount, what: str) -> None:
        self._account, self._what = account, what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError | IMAPClientError | imaplib.IMAP4.error | ValueError | RecursionError | KeyError):
            raise Trouble(f"{self._account.host}: {self._what}: {_short(error)}") from error


def _leash(client: Any, message_size: int) -> None:
    """Bound what the library reads: literals, lines, and everything that answers one command."""
    imap = client._imap
    if getattr(imap, "leashed", None) is imap.file:
        return
    file = imap.file
    budget = [0]
    send = imap.send
    read, readline = file.read, file.readline

    def bounded_send(data: bytes) -> None:
        budget[0] = 0
        send(data)

    def spend(count: int) -> None:
        budget[0] += count
        if budget[0] > max(BUDGET, message_size + WINDOW):
            raise imaplib.IMAP4.abort("the server sends far more than was asked for")

    def bounded_read(size: int) -> bytes:
        if size < 0 or size > message_size + WINDOW:
            raise imaplib.IMAP4.abort(f"literal of {size} bytes")
        spend(size)
        parts = []
        while size > 0:
            data = read(min(size, 1 << 20))
            if not data:
                break
            parts.append(data)
            size -= len(data)
        return b"".join(parts)

    def bounded_readline() -> bytes:
        line: bytes = readline(LINE + 1)
        if len(line) > LINE:
            raise imaplib.IMAP4.abort("reply line too long")
        spend(len(line))
        return line

    imap.read, imap.readline, imap.send = bounded_read, bounded_readline, bounded_send
    imap.leashed = file


def _parts(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _short(error: BaseException) -> str:
    text = str(error)
    if text.startswith(("b'", 'b"')):
        text = text[2:-1]
    return re.sub(r"[^\x20-\x7e\u00a0-\uffff]", "?", text)[:300]
