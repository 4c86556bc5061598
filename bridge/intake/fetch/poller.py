"""One poll of one account: list, compare with the ledger, read what is new, put it through the door, then tidy there.

Promises (SECURITY D-6, P20, P21): at least once: a message is deleted remotely only after its spool file is durable and
its ledger row is committed; twice never, as long as the server keeps its names: what was accepted but not noted before
a crash has the same key and is dropped by the queue. A message that fails three times goes to quarantine in the raw and
no longer blocks the others. After a changed UIDVALIDITY what is known by header and size is not fetched again.
Fails by: `Result.error`, words for the owner; the poll can be repeated at any time.
"""

import hashlib
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from bridge.config.fetch import FetchAccount
from bridge.intake.fetch.imap import ImapSource
from bridge.intake.fetch.pop3 import Pop3Source
from bridge.intake.fetch.source import Broken, Remote, Source, Trouble
from bridge.model.address import BadAddress, mailbox
from bridge.model.clock import SYSTEM, Clock
from bridge.model.envelope import Envelope, Origin, Recipient
from bridge.model.errors import DiskFull, Refused, StoreError
from bridge.queue.enter import Door, Entry
from bridge.store import files
from bridge.store.failpoints import Failpoint
from bridge.store.flock import FileLock
from bridge.store.ledger import MEMORY_DAYS, TRIES, Ledger, Place
from bridge.store.ledger import Entry as Row
from bridge.store.spool import Spooled
from bridge.watch.trace import Journal
from bridge.wire.dots import Canonical

log = logging.getLogger("estafeta.fetch")

GROUP = 50  # messages whose commits run together
GROUP_BYTES = 4_000_000
_QUARANTINE = Failpoint("fetch.quarantine", "raw copy of a message that can't be collected")
_RETURN_PATH = re.compile(rb"(?:\A|\n)Return-Path:[ \t]*<([^<>\r\n]*)>", re.I)
HEAD = 262_144  # bytes in which the header block is looked for


@dataclass
class Result:
    """How a poll went. `error` is "" or words for the owner of the account."""

    account: str
    new: int = 0
    size: int = 0
    known: int = 0
    removed: int = 0
    skipped: int = 0
    error: str = ""
    login: bool = False


Progress = Callable[[str, int, int], None]  # account, done, of how many


def _quiet(account: str, done: int, of: int) -> None:
    return None


@dataclass
class Poller:
    """Polls accounts; used by several threads at once, one account at a time each (a lock file sees to that)."""

    ledger: Ledger
    door: Door
    journal: Journal
    folder: Path  # data folder: lock files, quarantine
    message_size: int
    clock: Clock = SYSTEM
    source: Callable[[FetchAccount, int], Source] = field(default=lambda a, n: _source(a, n))

    def poll(self, account: FetchAccount, progress: Progress = _quiet) -> Result:
        """Collect what is new. Never raises for what the remote server or our disk does."""
        result = Result(account.name)
        locks = self.folder / "run"
        locks.mkdir(parents=True, exist_ok=True)
        lock = FileLock(locks / f"fetch-{hashlib.sha256(account.name.encode()).hexdigest()[:16]}.lock")
        try:
            if not lock.try_acquire():
                result.error = "is being polled by another process just now"
                return result
            self._poll(account, result, progress)
        except Trouble as error:
            result.error, result.login = str(error), error.login
        except DiskFull:
            result.error = "no room on this machine; nothing was lost, the next poll goes on"
        except StoreError as error:
            result.error = f"storage trouble on this machine: {error}; the next poll goes on"
        finally:
            lock.close()
        failures = self.ledger.polled(account.name, self.clock.now(), result.new, result.error)
        self.journal.record(
            "polled", account=account.name, to=account.to, new=result.new, removed=result.removed,
            skipped=result.skipped, error=result.error, failures=failures,
        )  # fmt: skip
        return result

    def _poll(self, account: FetchAccount, result: Result, progress: Progress) -> None:
        source = self.source(account, self.message_size)
        source.open()
        try:
            for folder in account.folders if account.protocol == "imap" else ("INBOX",):
                self._folder(account, source, folder, result, progress)
        finally:
            source.close()

    def _folder(self, account: FetchAccount, source: Source, folder: str, result: Result, progress: Progress) -> None:
        listing = source.listing(folder)
        place = Place(account.name, folder, listing.uidvalidity)
        states = self.ledger.states(place)
        fresh = [one for one in listing.messages if states.get(one.uid, ("failed", 0.0))[0] == "failed"]
        result.known += len(listing.messages) - len(fresh)
        if fresh:
            fresh = source.sizes(fresh)
            fresh = self._small_enough(account, place, fresh, result)
            if not states:
                fresh = self._strangers(source, place, fresh, result)
            self._collect(account, source, place, fresh, result, progress)
        self._tidy(account, source, place, listing.messages, result)

    def _small_enough(
        self, account: FetchAccount, place: Place, messages: Sequence[Remote], result: Result
    ) -> list[Remote]:
        """Without those over the account's limit (left there, looked at again) or ours (noted, never fetched)."""
        most = min(account.limit or self.message_size, self.message_size)
        large = [one for one in messages if one.size > most]
        result.skipped += len(large)
        never = [one for one in large if one.size > self.message_size]
        self.ledger.note(place, [Row(one.uid, "skipped", one.size) for one in never], self.clock.now())
        for one in never:
            self.journal.record("skipped", account=account.name, uid=one.uid, size=one.size, why="larger than accepted")
        return [one for one in messages if one.size <= most]

    def _strangers(self, source: Source, place: Place, messages: Sequence[Remote], result: Result) -> list[Remote]:
        """After a changed UIDVALIDITY (or at the first poll): without those that the ledger knows by content."""
        known = self.ledger.known_content(place, self.clock.now() - MEMORY_DAYS * 86400)
        if not known:
            return list(messages)
        sizes = {size for _, size in known}
        suspects = [one for one in messages if one.size in sizes]
        same: dict[str, Row] = {}
        for one, head in source.headers(suspects):
            digest = hashlib.sha256(_header(head)).hexdigest()
            if (digest, one.size) in known:
                same[one.uid] = Row(one.uid, "committed", one.size, digest, known[digest, one.size])
        self.ledger.note(place, same.values(), self.clock.now())
        result.known += len(same)
        return [one for one in messages if one.uid not in same]

    def _collect(
        self,
        account: FetchAccount,
        source: Source,
        place: Place,
        messages: Sequence[Remote],
        result: Result,
        progress: Progress,
    ) -> None:
        waiting: list[tuple[Remote, _Taken]] = []
        size = done = 0
        for one, body in source.read(messages):
            taken = self._take(account, place, one, body)
            done += 1
            if taken is not None:
                waiting.append((one, taken))
                size += one.size
            if len(waiting) >= GROUP or size >= GROUP_BYTES:
                self._settle(place, waiting, result)
                waiting, size = [], 0
                progress(account.name, done, len(messages))
        self._settle(place, waiting, result)
        progress(account.name, done, len(messages))

    def _take(
        self, account: FetchAccount, place: Place, one: Remote, body: Iterator[bytes] | Broken
    ) -> "_Taken | None":
        """Put one message through the door; its commit runs on. None: it failed, which is counted."""
        raw = _Raw()
        try:
            if isinstance(body, Broken):
                raise body
            return self._enter(account, place, one, raw.watch(body))
        except Refused as refused:
            if refused.reply.temporary:
                raise StoreError(str(refused.reply)) from refused
            self._failed(account, place, one, raw, str(refused.reply))
        except Broken as broken:
            self._failed(account, place, one, raw, str(broken))
        return None

    def _enter(self, account: FetchAccount, place: Place, one: Remote, body: Iterable[bytes]) -> "_Taken":
        self.door.check_room(one.size)
        canonical, digest = Canonical(), hashlib.sha256()
        chunks = iter(body)
        start = b""
        for chunk in chunks:
            start += canonical.feed(chunk)
            if len(start) >= HEAD or b"\r\n\r\n" in start:
                break
        head = _header(start)
        entry = self.door.open(self._envelope(account, place, one, head))
        try:
            for piece in (start, *_fed(canonical, chunks)):
                digest.update(piece)
                entry.feed(piece)
        except BaseException:
            entry.abort()
            raise
        return _Taken(entry, entry.commit(), hashlib.sha256(head).hexdigest(), digest.hexdigest())

    def _envelope(self, account: FetchAccount, place: Place, one: Remote, head: bytes) -> Envelope:
        ident = self.door.ids.new()
        key = f"fetch:{place.account}:{place.folder}:{place.uidvalidity}:{one.uid}"
        origin = Origin("fetch", client=account.name, helo=account.host, protocol=account.protocol.upper())
        now = self.clock.now()
        return Envelope(ident, key, _sender(head), (Recipient(account.to),), origin, now)

    def _settle(self, place: Place, waiting: "Sequence[tuple[Remote, _Taken]]", result: Result) -> None:
        """Wait for the commits of a group, then note it in the ledger: from here on it may be deleted there."""
        rows = []
        for one, taken in waiting:
            spooled = taken.done.result()
            rows.append(Row(one.uid, "committed", one.size, taken.head, taken.sha256, spooled.envelope.id))
            result.new += 1
            result.size += spooled.size
        self.ledger.note(place, rows, self.clock.now())

    def _failed(self, account: FetchAccount, place: Place, one: Remote, raw: "_Raw", why: str) -> None:
        count = self.ledger.fail(place, one.uid, self.clock.now())
        log.warning("%s: message %s can't be collected (%d of %d): %s", account.name, one.uid, count, TRIES, why)
        self.journal.record("fetch_failed", account=account.name, uid=one.uid, tries=count, why=why)
        if count < TRIES:
            return
        name = hashlib.sha256(f"{place}{one.uid}".encode()).hexdigest()[:24]
        path = self.folder / "quarantine" / f"fetch-{name}.eml"
        files.replace(path, bytes(raw.data), _QUARANTINE)
        self.ledger.note(place, [Row(one.uid, "poison", one.size)], self.clock.now())
        self.journal.record("quarantined", account=account.name, uid=one.uid, file=str(path), why=why)

    def _tidy(
        self, account: FetchAccount, source: Source, place: Place, messages: Sequence[Remote], result: Result
    ) -> None:
        """Delete there what the account says and the ledger allows."""
        if account.keep and not account.delete_days:
            return
        before = self.clock.now() - account.delete_days * 86400 if account.keep else float("inf")
        states = self.ledger.states(place)
        ours = [
            one for one in messages
            if (state := states.get(one.uid)) and state[0] in ("committed", "delete_sent") and state[1] <= before
        ]  # fmt: skip
        if not ours:
            return
        self.ledger.moved(place, [one.uid for one in ours], "delete_sent", self.clock.now())
        gone = source.remove(ours)
        self.ledger.moved(place, sorted(gone), "gone", self.clock.now())
        result.removed += len(gone)


@dataclass(frozen=True)
class _Taken:
    """A message on its way to the disk."""

    entry: Entry
    done: "Future[Spooled]"
    head: str
    sha256: str


class _Raw:
    """Keeps a copy of what comes from the server, as far as it came, for quarantine."""

    LIMIT = 1_000_000

    def __init__(self) -> None:
        self.data = bytearray()

    def watch(self, body: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in body:
            if len(self.data) < self.LIMIT:
                self.data += chunk[: self.LIMIT - len(self.data)]
            yield chunk


def _source(account: FetchAccount, message_size: int) -> Source:
    return ImapSource(account, message_size) if account.protocol == "imap" else Pop3Source(account, message_size)


def _fed(canonical: Canonical, chunks: Iterator[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        yield canonical.feed(chunk)
    yield canonical.end()


def _header(text: bytes) -> bytes:
    """The header block in CRLF form, without the empty line."""
    text = text[:HEAD].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return text.partition(b"\n\n")[0].rstrip(b"\n").replace(b"\n", b"\r\n")


def _sender(head: bytes) -> str:
    """Who the remote server says sent it: Return-Path, or the null sender."""
    found = _RETURN_PATH.search(head)
    if not found or not found[1]:
        return ""
    try:
        return mailbox(found[1])
    except BadAddress:
        return ""


def jittered(seconds: int, random: Callable[[], float]) -> float:
    """A waiting time, ±10 %, so that accounts don't march in step (F76)."""
    return seconds * (0.9 + 0.2 * random())


def backed_off(seconds: int, failures: int) -> int:
    """The interval after so many failures in a row: doubling up to a day."""
    return int(min(seconds * 2 ** min(failures, 10), max(86400, seconds)))
