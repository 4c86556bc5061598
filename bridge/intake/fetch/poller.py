"""Polls of external accounts: one at a time for each account, with what the owner is told afterwards.

Promises: `poll` never raises for what the remote server, our disk or a bug does: `Result.error` has words for the
owner, nothing is lost, and the poll can be repeated at any time. No poll is longer than `poll_seconds`; `stop` ends
those that run within moments. What one folder's poll promises is in `folder`.
"""

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bridge.config.fetch import FetchAccount
from bridge.intake.fetch import notice
from bridge.intake.fetch.folder import FolderPoll, Progress, Result
from bridge.intake.fetch.imap import ImapSource
from bridge.intake.fetch.pop3 import Pop3Source
from bridge.intake.fetch.source import Limits, Source, Status, Trouble
from bridge.model.clock import SYSTEM, Clock
from bridge.model.envelope import Envelope, Origin, Recipient
from bridge.model.errors import DiskFull, Refused, StoreError
from bridge.queue.enter import Door
from bridge.store.flock import FileLock
from bridge.store.ledger import Ledger
from bridge.watch.trace import Journal

log = logging.getLogger("estafeta.fetch")

TELL_AFTER = 5  # failures in a row
TELL_LOGIN_AFTER = 2  # a refused login won't heal by itself


def _quiet(account: str, done: int, of: int) -> None:
    return None


def source_of(account: FetchAccount, limits: Limits) -> Source:
    """A session in the account's protocol, not yet open."""
    return Pop3Source(account, limits) if account.protocol == "pop3" else ImapSource(account, limits)


@dataclass
class Poller:
    """Polls accounts; used by several threads at once, one account at a time each (a lock file sees to that).

    `owner` is who hears about trouble with an account."""

    ledger: Ledger
    door: Door
    journal: Journal
    folder: Path  # data folder: lock files, quarantine
    message_size: int
    clock: Clock = SYSTEM
    poll_seconds: float = 3600
    owner: Callable[[FetchAccount], str] = lambda account: account.to
    source: Callable[[FetchAccount, Limits], Source] = source_of
    _running: dict[int, Source] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stopping: bool = False

    def poll(self, account: FetchAccount, progress: Progress = _quiet) -> Result:
        """Collect what is new. Never raises for what the remote server or our disk does."""
        result = Result(account.name)
        try:
            with self._alone(account) as alone:
                if not alone:
                    result.error, result.status = "is being polled by another process just now", Status.EXCLUDED
                    return result
                self._guarded(account, result, progress)
                self._record(account, result)
        except (StoreError, OSError) as error:
            self._local(result, error)
        return result

    def stop(self) -> None:
        """End the polls that run, and begin no more."""
        self._stopping = True
        with self._lock:
            running = list(self._running.values())
        for source in running:
            source.abort()

    @contextmanager
    def _alone(self, account: FetchAccount) -> Iterator[bool]:
        locks = self.folder / "run"
        locks.mkdir(parents=True, exist_ok=True)
        lock = FileLock(locks / f"fetch-{hashlib.sha256(account.name.encode()).hexdigest()[:16]}.lock")
        try:
            yield lock.try_acquire()
        finally:
            lock.close()

    def _guarded(self, account: FetchAccount, result: Result, progress: Progress) -> None:
        try:
            self._poll(account, result, progress)
        except Trouble as error:
            result.error, result.status = str(error), error.status
        except (StoreError, OSError) as error:
            self._local(result, error)
        except Exception as error:
            log.exception("%s: a bug in the collector", account.name)
            result.error = f"internal error ({type(error).__name__}), see the log; nothing was lost"
            result.status = Status.INTERNAL
        if self._stopping and result.error:
            result.error, result.status = "", Status.NO_MAIL  # we ended it
        if result.new and result.status == Status.NO_MAIL:
            result.status = Status.MAIL

    def _local(self, result: Result, error: Exception) -> None:
        result.status = Status.LOCAL
        if isinstance(error, DiskFull):
            result.error = "no room on this machine; nothing was lost, the next poll goes on"
        else:
            result.error = f"storage trouble on this machine: {error}; nothing was lost, the next poll goes on"

    def _poll(self, account: FetchAccount, result: Result, progress: Progress) -> None:
        deadline = time.monotonic() + self.poll_seconds
        with self._session(account, Limits(self.message_size, deadline)) as source:
            for folder in source.folders(account.folders):
                one = FolderPoll(
                    account, source, folder, result, progress, self.ledger, self.door, self.journal,
                    self.folder / "quarantine", self.message_size, self.clock,
                    blameless=lambda: self._stopping or time.monotonic() >= deadline,
                )  # fmt: skip
                try:
                    one.run()
                except Trouble as error:
                    if error.status != Status.SERVER:
                        raise
                    result.error, result.status = str(error), error.status  # this folder; the others may do

    @contextmanager
    def _session(self, account: FetchAccount, limits: Limits) -> Iterator[Source]:
        """An open source that `stop` can reach."""
        source = self.source(account, limits)
        ident = threading.get_ident()
        try:
            with self._lock:
                self._running[ident] = source
            if self._stopping:
                raise Trouble("stopped", Status.NO_MAIL)
            try:
                source.open()
            except Trouble as error:
                if account.protocol != "auto" or error.status != Status.CONNECTION:
                    raise
                source.close()
                source = self._running[ident] = Pop3Source(account, limits)
                source.open()
            yield source
        finally:
            with self._lock:
                self._running.pop(ident, None)
            source.close()

    # -- what the owner hears

    def _record(self, account: FetchAccount, result: Result) -> None:
        failures, since = self.ledger.polled(account.name, self.clock.now(), result.new, result.error)
        self.journal.record(
            "polled", account=account.name, to=account.to, new=result.new, removed=result.removed,
            skipped=result.skipped, error=result.error, failures=failures,
        )  # fmt: skip
        if result.large:
            limit = min(account.limit or self.message_size, self.message_size)
            names = ",".join(name for name, _ in result.large)
            self._tell(account, f"large:{names}", *notice.large(account.name, limit, result.large))
        if result.poisoned:
            files = ",".join(path for path, _ in result.poisoned)
            self._tell(account, f"poison:{files}", *notice.given_up(account.name, result.poisoned))
        after = TELL_LOGIN_AFTER if result.status == Status.LOGIN else TELL_AFTER
        if result.error and failures == after:
            self._tell(account, f"failing:{since}", *notice.failing(account.name, failures, result.error))

    def _tell(self, account: FetchAccount, what: str, subject: str, text: str) -> None:
        """A mail to the owner, once for each `what`; if that fails the log has it anyway."""
        ident, now, to = self.door.ids.new(), self.clock.now(), self.owner(account)
        key = f"fetch-notice:{account.name}:{hashlib.sha256(what.encode()).hexdigest()[:32]}"
        envelope = Envelope(ident, key, "", (Recipient(to),), Origin("fetch", client=account.name), now)
        written = notice.mail(host=self.door.hostname, to=to, ident=ident, when=now, subject=subject, text=text)
        try:
            self.door.accept(envelope, written)
        except (Refused, StoreError) as error:
            log.warning("%s: the owner could not be told: %s", account.name, error)


__all__ = ["Poller", "Progress", "Result", "source_of"]
