"""One folder of one account, once: compare with the ledger, collect what is new, tidy there.

Promises (SECURITY D-6, P20, P21): at least once: a message is deleted remotely only after its spool file is durable and
its ledger row is committed, and only if it is still the message that was collected; twice never, as long as the server
keeps its names: what was accepted but not noted before a crash has the same key and is dropped by the queue. What fails
three times, alone, goes to quarantine in the raw and no longer blocks the others; what may have ended a session is
tried last. After a changed UIDVALIDITY, or a POP3 server's new names, what is known by header and size is not
collected again. Reading goes on while earlier messages are being committed.
"""

import hashlib
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path

from bridge.config.fetch import FetchAccount
from bridge.intake.fetch.source import Broken, Listing, Remote, Source, Status, Trouble
from bridge.intake.fetch.taking import Looped, Raw, Taken, head_digest, sender_of, take, token_of
from bridge.model.clock import Clock
from bridge.model.envelope import Envelope, Origin, Recipient
from bridge.model.errors import Refused, StoreError
from bridge.queue.enter import Door
from bridge.store import files
from bridge.store.failpoints import Failpoint
from bridge.store.ledger import MEMORY_DAYS, MINE, TRIES, Known, Ledger, Place
from bridge.store.ledger import Entry as Row
from bridge.watch.trace import Journal

log = logging.getLogger("estafeta.fetch")

GROUP = 64  # messages that are noted in the ledger together
HOLD = 256  # messages and
HOLD_BYTES = 32_000_000  # bytes that may wait for the disk
_QUARANTINE = Failpoint("fetch.quarantine", "raw copy of a message that can't be collected")


@dataclass
class Result:
    """How a poll went. `error` is "" or words for the owner of the account; `status` as fetchmail's (F51)."""

    account: str
    new: int = 0
    size: int = 0
    known: int = 0
    removed: int = 0
    skipped: int = 0
    error: str = ""
    status: int = Status.NO_MAIL
    large: list[tuple[str, int]] = field(default_factory=list)  # newly seen over the limit: name, bytes
    poisoned: list[tuple[str, str]] = field(default_factory=list)  # newly given up: file, why


Progress = Callable[[str, int, int], None]  # account, done, of how many


@dataclass
class FolderPoll:
    """Everything that one look at one folder needs."""

    account: FetchAccount
    source: Source
    folder: str
    result: Result
    progress: Progress
    ledger: Ledger
    door: Door
    journal: Journal
    quarantine: Path
    message_size: int
    clock: Clock
    blameless: Callable[[], bool] = lambda: False  # the session is being ended by us

    _place: Place = field(init=False)
    _listing: Listing = field(init=False)
    _states: dict[str, Known] = field(init=False)
    _moved: bool = False
    _reused: dict[str, str] = field(default_factory=dict)  # uid → what tells it from its predecessor
    _waiting: deque[Taken] = field(default_factory=deque)
    _held: int = 0
    _notes: "list[tuple[Future[None], int, int]]" = field(default_factory=list)
    _collected: set[str] = field(default_factory=set)
    _done: int = 0

    def run(self) -> None:
        self._listing = self.source.listing(self.folder)
        self._place = Place(self.account.name, self.folder, self._listing.uidvalidity)
        self._states = self.ledger.states(self._place)
        fresh = [one for one in self._listing.messages if self._is_fresh(one)] + self._other_messages()
        self.result.known += len(self._listing.messages) - len(fresh)
        if fresh:
            fresh = self._unknown(self._small_enough(self.source.sizes(fresh)))
            if self.account.most and len(fresh) > self.account.most - self.result.new:
                fresh = fresh[: max(self.account.most - self.result.new, 0)]
                self.result.status = Status.LIMIT
            self._collect(fresh)
        self._tidy()

    def _is_fresh(self, one: Remote) -> bool:
        known = self._states.get(one.uid)
        return known is None or known.state in ("failed", "large")

    # -- what to collect

    def _other_messages(self) -> list[Remote]:
        """Those under a name that is `gone`, and not the message that had it: a server that uses names again."""
        back = [one for one in self._listing.messages if one.uid in self._states and self._gone(one)]
        if not back:
            return []
        sized = {one.uid: one for one in self.source.sizes(back)}
        other = [one for one in sized.values() if one.size != self._states[one.uid].size]
        for one, head in self.source.headers([one for one in sized.values() if one not in other]):
            if head and head_digest(head) != self._states[one.uid].head:
                other.append(one)
        for one in other:
            self._reused[one.uid] = "again"
        return other

    def _gone(self, one: Remote) -> bool:
        known = self._states[one.uid]
        return known.state == "gone" and bool(known.head)

    def _small_enough(self, messages: Sequence[Remote]) -> list[Remote]:
        """Without those over the account's limit or ours; they are looked at again each time."""
        most = min(self.account.limit or self.message_size, self.message_size)
        rows = []
        for one in messages:
            if one.size > most:
                self.result.skipped += 1
                if one.uid not in self._states:
                    rows.append(Row(one.uid, "large", one.size))
                    self.result.large.append((one.uid, one.size))
                    self.journal.record("skipped", account=self.account.name, uid=one.uid, size=one.size, why="large")
        self.ledger.note(self._place, rows, self.clock.now())
        return [one for one in messages if one.size <= most]

    def _unknown(self, messages: Sequence[Remote]) -> list[Remote]:
        """Without those that the ledger knows by content under another name."""
        since = self.clock.now() - MEMORY_DAYS * 86400
        self._moved = self.ledger.moved_house(self._place, since)
        if not messages or not (self._moved or (self._listing.renames and self._states)):
            return list(messages)
        here = {one.uid for one in self._listing.messages}
        known = {
            (one.size, one.head): one.sha256
            for one in self.ledger.same_size(self._place, (one.size for one in messages), since)
            if one.uidvalidity != self._place.uidvalidity or (self._listing.renames and one.uid not in here)
        }
        sizes = {size for size, _ in known}
        same: dict[str, Row] = {}
        for one, head in self.source.headers([one for one in messages if one.size in sizes]):
            digest = head_digest(head)
            if head and (one.size, digest) in known:
                same[one.uid] = Row(one.uid, "committed", one.size, digest, known[one.size, digest])
        self.ledger.note(self._place, same.values(), self.clock.now())
        self.result.known += len(same)
        return [one for one in messages if one.uid not in same]

    # -- collecting

    def _collect(self, messages: Sequence[Remote]) -> None:
        suspects = [one for one in messages if one.uid in self._states and self._states[one.uid].tries]
        calm = [one for one in messages if one not in suspects] if suspects else list(messages)
        of = len(messages)
        try:
            self._read(calm, of)
            for one in suspects:
                self._read([one], of, alone=True)
        finally:
            self._settle_all()

    def _read(self, messages: Sequence[Remote], of: int, *, alone: bool = False) -> None:
        try:
            for one, body in self.source.read(messages):
                self._take(one, body)
                self._done += 1
                if len(self._waiting) >= HOLD or self._held > HOLD_BYTES:
                    self._settle(GROUP)
                if self._done % 50 == 0 or self._done == of:
                    self.progress(self.account.name, self._done, of)
        except Trouble as error:
            if not self.blameless():
                for one in error.suspects:
                    self._accuse(one, str(error), alone=alone)
            raise

    def _accuse(self, one: Remote, why: str, *, alone: bool) -> None:
        """The session ended at this message; it is to blame for sure only if nothing else was asked for."""
        if one.uid in self._collected or any(one.uid == taken.remote.uid for taken in self._waiting):
            return
        if alone:
            self._failed(one, Raw(), why)
        else:
            self.ledger.fail(self._place, one.uid, self.clock.now(), most=1)

    def _take(self, one: Remote, body: Iterator[bytes] | Broken) -> None:
        """Put one message through the door; its commit runs on while the next is read."""
        raw = Raw()
        try:
            if isinstance(body, Broken):
                raise body
            taken = take(
                self.door, one, raw.watch(body), token=token_of(self.account.name, self.door.hostname),
                envelope=lambda block, head: self._envelope(one, block, head),
                known=lambda head, sha256: self._known(one, head, sha256),
            )  # fmt: skip
        except Refused as refused:
            if refused.reply.temporary:
                raise StoreError(str(refused.reply)) from refused
            self._failed(one, raw, str(refused.reply))
        except Broken as broken:
            self._failed(one, raw, str(broken))
        except Looped:
            self.ledger.note(self._place, [Row(one.uid, "looped", one.size)], self.clock.now())
            self.journal.record("skipped", account=self.account.name, uid=one.uid, size=one.size, why="loop")
        else:
            if taken is not None:
                self._waiting.append(taken)
                self._held += one.size

    def _known(self, one: Remote, head: str, sha256: str) -> bool:
        """This very message was collected before the folder's UIDVALIDITY changed; it is noted under its new name."""
        now = self.clock.now()
        if not (self._moved and self.ledger.has_content(self._place, head, sha256, now - MEMORY_DAYS * 86400)):
            return False
        self.ledger.note(self._place, [Row(one.uid, "committed", one.size, head, sha256)], now)
        self.result.known += 1
        return True

    def _envelope(self, one: Remote, header: bytes, head: str) -> Envelope:
        place = self._place
        key = f"fetch:{place.account}:{place.folder}:{place.uidvalidity}:{one.uid}"
        if one.uid in self._reused:
            key += f":{head[:16]}"
        account = self.account
        origin = Origin("fetch", client=account.name, helo=account.host, protocol=account.protocol.upper())
        ident, now = self.door.ids.new(), self.clock.now()
        return Envelope(ident, key, sender_of(header), (Recipient(account.to),), origin, now)

    def _settle_all(self) -> None:
        try:
            while self._waiting:
                self._settle(GROUP)
        finally:
            for noted, count, size in self._notes:
                noted.result()
                self.result.new += count
                self.result.size += size
            self._notes.clear()

    def _settle(self, count: int) -> None:
        """Wait for the oldest commits, then note them in the ledger: once that is durable they may be deleted there."""
        rows, size, trouble = [], 0, None
        for _ in range(min(count, len(self._waiting))):
            taken = self._waiting.popleft()
            self._held -= taken.remote.size
            try:
                spooled = taken.done.result()
            except Exception as error:
                trouble = error
                continue
            one = taken.remote
            rows.append(Row(one.uid, "committed", one.size, taken.head, taken.sha256, spooled.envelope.id))
            self._collected.add(one.uid)
            size += spooled.size
        if rows:
            self._notes.append((self.ledger.note_soon(self._place, rows, self.clock.now()), len(rows), size))
        if isinstance(trouble, StoreError):
            raise trouble
        if trouble is not None:
            raise StoreError(str(trouble)) from trouble

    def _failed(self, one: Remote, raw: Raw, why: str) -> None:
        count = self.ledger.fail(self._place, one.uid, self.clock.now())
        name = self.account.name
        log.warning("%s: message %s can't be collected (%d of %d): %s", name, one.uid, count, TRIES, why)
        self.journal.record("fetch_failed", account=name, uid=one.uid, tries=count, why=why)
        if count < TRIES:
            return
        digest = hashlib.sha256(f"{self._place}{one.uid}".encode()).hexdigest()[:24]
        path = self.quarantine / f"fetch-{digest}.eml"
        files.replace(path, bytes(raw.data), _QUARANTINE)
        self.ledger.note(self._place, [Row(one.uid, "poison", one.size)], self.clock.now())
        self.journal.record("quarantined", account=name, uid=one.uid, file=str(path), why=why)
        self.result.poisoned.append((str(path), why))

    # -- tidying

    def _tidy(self) -> None:
        """Delete there what the account says and the ledger allows."""
        account = self.account
        here = {one.uid for one in self._listing.messages}
        lost = [uid for uid, known in self._states.items() if known.state == "delete_sent" and uid not in here]
        self.ledger.moved(self._place, lost, "gone")
        self.ledger.prune(self._place, self.clock.now() - MEMORY_DAYS * 86400)
        if account.keep and not account.delete_days:
            return
        before = self.clock.now() - account.delete_days * 86400 if account.keep else float("inf")
        states = self.ledger.states(self._place)
        ours = [
            one for one in self._listing.messages
            if (known := states.get(one.uid)) and known.state in MINE
            and (known.at <= before or known.state != "committed")
        ]  # fmt: skip
        ours = self._proved(ours, states)
        if not ours:
            return
        self.ledger.moved(self._place, [one.uid for one in ours], "delete_sent")
        gone = self.source.remove(ours)
        self.ledger.moved(self._place, sorted(gone), "gone")
        self.result.removed += len(gone)

    def _proved(self, messages: Sequence[Remote], states: dict[str, Known]) -> list[Remote]:
        """Those that still are what was collected: the size that the server gives is that of the ledger."""
        earlier = [one for one in messages if one.uid not in self._collected]
        sizes = {one.uid: one.size for one in self.source.sizes(earlier)} if earlier else {}
        found = []
        for one in messages:
            if one.uid in self._collected or sizes.get(one.uid) == states[one.uid].size:
                found.append(replace(one, size=states[one.uid].size))
            elif one.uid in sizes:
                log.warning("%s: message %s has changed since it was collected; not deleted there",
                            self.account.name, one.uid)  # fmt: skip
        return found
