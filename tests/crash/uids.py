"""What UIDs were ever said to stand for, and clients that change a mailbox and look at it while it is killed (P17).

`Book` forgets nothing: not what a UID's content was, not what was expunged, not the highest UIDNEXT.
"""

import contextlib
import hashlib
import imaplib
import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from tests.crash.ledger import message
from tests.lab import DOMAIN, PASSWORD, Lab

Key = tuple[str, int, int]      # folder, UIDVALIDITY, UID
FOLDERS = ("INBOX", "Copias", "Movidos")
_COPYUID = re.compile(rb"(\d+) ([\d:,]+) ([\d:,]+)")
_APPENDUID = re.compile(rb"\[APPENDUID (\d+) (\d+)\]")
_UID = re.compile(rb"UID (\d+)")


class Book:
    """`content`: what each UID stands for; `gone`: what was expunged, and since when; `wrong`: what broke."""

    def __init__(self) -> None:
        self.content: dict[Key, str] = {}
        self.gone: dict[Key, float] = {}
        self.given: set[Key] = set()        # said to be there
        self.handled: set[Key] = set()      # somebody moved or expunged it, or tried to, perhaps before we heard of it
        self.wrong: list[str] = []
        self.looks = 0
        self.seen: set[Key] = set()        # by the observer
        self._next: dict[str, tuple[int, int]] = {}
        self._lock = threading.Lock()

    def told(self, key: Key, content: str) -> None:
        """A UID was given out in the answer to APPEND, COPY or MOVE."""
        with self._lock:
            self._is(key, content)
            self.given.add(key)

    def touched(self, keys: set[Key]) -> None:
        """Somebody is about to move or expunge these: from here on they may be there or not."""
        with self._lock:
            self.handled |= keys

    def expunged(self, keys: set[Key]) -> None:
        """EXPUNGE or MOVE said OK."""
        with self._lock:
            for key in keys:
                self.gone.setdefault(key, time.monotonic())

    def looked(self, name: str, validity: int, uidnext: int, since: float, there: dict[int, str | None]) -> None:
        """A folder as the one observer saw it, from `since` on: UID -> content, None where it didn't look inside."""
        with self._lock:
            self.looks += 1
            known_validity, floor = self._next.get(name, (validity, 0))
            if validity != known_validity:
                self.wrong.append(f"{name}: UIDVALIDITY was {known_validity}, is {validity}")
            if uidnext < floor:
                self.wrong.append(f"{name}: UIDNEXT went from {floor} down to {uidnext}")
            for uid, content in there.items():
                self._found((name, validity, uid), content, floor, since)
            now = {(name, validity, uid) for uid in there}
            for key in {key for key in self.seen if key[:2] == (name, validity)} - now:
                self.gone.setdefault(key, since)
            self.seen |= now
            self._next[name] = (validity, max(uidnext, floor))

    def _found(self, key: Key, content: str | None, floor: int, since: float) -> None:
        if key not in self.seen and key[2] < floor and key not in self.content:
            self.wrong.append(f"{key}: new, though UIDNEXT was {floor} before")
        if self.gone.get(key, since) < since:
            self.wrong.append(f"{key}: expunged, and back")
        if content is not None:
            self._is(key, content)

    def _is(self, key: Key, content: str) -> None:
        if self.content.setdefault(key, content) != content:
            self.wrong.append(f"{key}: another message than before")

    def lost(self) -> set[Key]:
        """What should be there at the end and was not seen."""
        return {key for key in self.given - self.handled if key not in self.seen or key in self.gone}


def digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


class Client(threading.Thread):
    """Repeats `work(client)` on a fresh login after each trouble, until the end. Answers of NO and lost connections are
    the crash's; BAD is not."""

    def __init__(self, lab: Lab, user: str, book: Book) -> None:
        super().__init__(daemon=True)
        self._lab, self._user, self.book = lab, user, book
        self._over = threading.Event()

    def end(self) -> None:
        self._over.set()
        self.join(30)

    def work(self, client: imaplib.IMAP4) -> None:
        raise AssertionError

    def begin(self, client: imaplib.IMAP4) -> None:
        """After each login."""

    def run(self) -> None:
        while not self._over.is_set():
            try:
                with self._client() as client:
                    self.begin(client)
                    while not self._over.is_set():
                        self.work(client)
            except (imaplib.IMAP4.error, OSError, _No) as error:
                if "BAD" in str(error):
                    self.book.wrong.append(f"IMAP: {error}")
                self._over.wait(0.03)

    @contextlib.contextmanager
    def _client(self) -> Iterator[imaplib.IMAP4]:
        client = imaplib.IMAP4("127.0.0.1", self._lab.ports["imap"], timeout=20)
        try:
            client.login(f"{self._user}@{DOMAIN}", PASSWORD)
            yield client
        finally:
            with contextlib.suppress(OSError):
                client.shutdown()


class _No(Exception):
    """The server said no; begin anew."""


def _ok(answer: tuple[str, list[bytes]]) -> list[bytes]:
    if answer[0] != "OK":
        raise _No(answer)
    return answer[1]


def _state(client: imaplib.IMAP4, name: str) -> tuple[int, int]:
    """Select; UIDVALIDITY and UIDNEXT as they are told."""
    _ok(client.select(name))  # type: ignore[arg-type]
    found = []
    for code in ("UIDVALIDITY", "UIDNEXT"):
        told = client.response(code)[1]
        if not told or told[0] is None:
            raise _No(code)
        found.append(int(told[0]))
    return found[0], found[1]


def _uids(client: imaplib.IMAP4) -> list[int]:
    told = _ok(client.uid("SEARCH", "ALL"))
    return [int(one) for one in (told[0] or b"").split()]


def _spread(text: bytes) -> list[int]:
    """`1:3,7` -> 1 2 3 7"""
    found: list[int] = []
    for part in text.split(b","):
        low, _, high = part.partition(b":")
        found.extend(range(int(low), int(high or low) + 1))
    return found


class Changer(Client):
    """Appends, copies, moves, expunges; what it is told goes into the book."""

    def __init__(self, lab: Lab, user: str, book: Book, number: int) -> None:
        super().__init__(lab, user, book)
        self._number, self._count = number, 0
        self._rng = random.Random(number)

    def begin(self, client: imaplib.IMAP4) -> None:
        for name in FOLDERS[1:]:
            client.create(name)

    def work(self, client: imaplib.IMAP4) -> None:
        deed: Callable[[imaplib.IMAP4], None] = self._rng.choice(
            (self._append, self._append, self._append, self._copy, self._move, self._expunge)
        )
        deed(client)

    def _append(self, client: imaplib.IMAP4) -> None:
        self._count += 1
        name = self._rng.choice(FOLDERS)
        text = message(f"uid-{self._number}-{self._count}", self._user, self._rng, self._rng.choice((300, 3000)))
        told = _APPENDUID.search(_ok(client.append(name, "", "", text))[0])  # type: ignore[arg-type]
        assert told
        self.book.told((name, int(told[1]), int(told[2])), digest(text))

    def _chosen(self, client: imaplib.IMAP4) -> tuple[str, int, list[int]]:
        """Up to three messages of a folder; more where there are many, so that it stays small."""
        name = self._rng.choice(FOLDERS)
        validity, _ = _state(client, name)
        there = _uids(client)
        if not there:
            raise _No("empty")
        return name, validity, self._rng.sample(there, min(len(there), 3 if len(there) < 60 else 30))

    def _copy(self, client: imaplib.IMAP4) -> None:
        name, validity, uids = self._chosen(client)
        target = self._rng.choice([one for one in FOLDERS if one != name])
        _ok(client.uid("COPY", _set(uids), target))
        self._copied((name, validity), target, client.response("COPYUID")[1])

    def _move(self, client: imaplib.IMAP4) -> None:
        name, validity, uids = self._chosen(client)
        target = self._rng.choice([one for one in FOLDERS if one != name])
        self.book.touched({(name, validity, uid) for uid in uids})
        _ok(client.uid("MOVE", _set(uids), target))
        moved = self._copied((name, validity), target, client.response("COPYUID")[1])
        self.book.expunged({(name, validity, uid) for uid in moved})

    def _copied(self, source: tuple[str, int], target: str, answer: list[Any]) -> list[int]:
        """COPYUID: each new UID stands for what the old one does."""
        told = _COPYUID.fullmatch(answer[-1] or b"") if answer else None
        if not told:
            return []       # others had expunged them
        olds, news = _spread(told[2]), _spread(told[3])
        if len(olds) != len(news):
            self.book.wrong.append(f"{answer!r}")
        for old, new in zip(olds, news, strict=False):
            content = self.book.content.get((*source, old))
            if content is not None:
                self.book.told((target, int(told[1]), new), content)
        return olds

    def _expunge(self, client: imaplib.IMAP4) -> None:
        name, validity, uids = self._chosen(client)
        keys = {(name, validity, uid) for uid in uids}
        self.book.touched(keys)
        _ok(client.uid("STORE", _set(uids), "+FLAGS.SILENT", r"(\Deleted)"))
        _ok(client.uid("EXPUNGE", _set(uids)))
        self.book.expunged(keys)


def _set(uids: list[int]) -> str:
    return ",".join(str(one) for one in sorted(uids))


class Observer(Client):
    """Looks at every folder, again and again; after each login at all contents, else at those that are new."""

    def __init__(self, lab: Lab, user: str, book: Book) -> None:
        super().__init__(lab, user, book)
        self._known: set[Key] = set()

    def begin(self, client: imaplib.IMAP4) -> None:
        self._known.clear()

    def work(self, client: imaplib.IMAP4) -> None:
        for name in FOLDERS:
            self.look(client, name)
            self._over.wait(0.01)

    def look(self, client: imaplib.IMAP4, name: str) -> None:
        since = time.monotonic()
        validity, uidnext = _state(client, name)
        there: dict[int, str | None] = dict.fromkeys(_uids(client))
        new = [uid for uid in there if (name, validity, uid) not in self._known]
        if new:
            there.update(self._contents(client, new))
        self.book.looked(name, validity, uidnext, since, there)
        self._known |= {(name, validity, uid) for uid, content in there.items() if content is not None}

    def _contents(self, client: imaplib.IMAP4, uids: list[int]) -> dict[int, str | None]:
        found: dict[int, str | None] = {}
        for row in _ok(client.uid("FETCH", _set(uids), "(UID BODY.PEEK[])")):
            if isinstance(row, tuple):
                told = _UID.search(row[0])
                assert told
                found[int(told[1])] = digest(row[1])
        return found

    def look_once(self) -> None:
        """From outside, when nobody changes anything any more."""
        with self._client() as client:
            self._known.clear()
            for name in FOLDERS:
                self.look(client, name)
