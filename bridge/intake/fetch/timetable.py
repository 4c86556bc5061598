"""When each external account is polled: an APScheduler job for each, growing waits after failures, a bounded pool.

Promises: an account is never polled twice at once; after a failure the next try comes later and later, up to a day, and
the first success brings the old rhythm back; a missed time is caught up once, not many times. The accounts are read
again every minute: what changed takes effect, and a file that broke costs only its own accounts, and is reported once
(F52). Losing the timetable loses nothing: it is made from the settings at each start (SECURITY D-9).
"""

import logging
import random
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler

from bridge.config.fetch import Fetch, FetchAccount
from bridge.intake.fetch.folder import Result
from bridge.intake.fetch.source import Status

log = logging.getLogger("estafeta.fetch")

READ_AGAIN = 60  # seconds
_FIRST_WITHIN = 10.0  # seconds after the start in which all first polls begin
_LONGEST = 86400
STOP_WITHIN = 10.0
_READ = "read"

Accounts = Callable[[], tuple[Sequence[FetchAccount], Sequence[str]]]


class Timetable:
    """Runs `poll` for each of `accounts()` in threads until `stop`; `halt` ends the polls that run then."""

    def __init__(
        self,
        settings: Fetch,
        accounts: Accounts,
        poll: Callable[[FetchAccount], Result],
        *,
        halt: Callable[[], None] = lambda: None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._settings, self._accounts, self._poll = settings, accounts, poll
        self._halt, self._chance = halt, chance
        self._failures: dict[str, int] = {}
        self._planned: dict[str, FetchAccount] = {}
        self._told: tuple[str, ...] = ()
        self._lock = threading.Condition()
        self._stopping = False
        self._turns: set[str] = set()  # accounts that are being polled
        self._again: set[str] = set()  # those of them to be polled once more
        self._scheduler = BackgroundScheduler(
            executors={"default": ThreadPoolExecutor(settings.threads), "reading": ThreadPoolExecutor(1)},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
            timezone=UTC,
        )

    def start(self) -> None:
        self.read()
        self._scheduler.add_job(self.read, "interval", seconds=READ_AGAIN, id=_READ, executor="reading")
        self._scheduler.start()

    def stop(self) -> None:
        """No more polls; those that run are ended and waited for."""
        with self._lock:
            self._stopping = True
        if self._scheduler.running:
            self._scheduler.pause()
            self._halt()
            with self._lock:
                self._lock.wait_for(lambda: not self._turns, STOP_WITHIN)
            self._scheduler.shutdown(wait=False)  # it would hold the lock that a poll needs to plan its next turn

    def read(self) -> None:
        """Look at the accounts again and plan what is new or different."""
        try:
            accounts, problems = self._accounts()
        except Exception:
            log.exception("the external accounts can't be read; those known go on")
            return
        if tuple(problems) != self._told:
            self._told = tuple(problems)
            for problem in problems:
                log.error("%s", problem)
        now = {one.name: one for one in accounts}
        with self._lock:
            before, self._planned = self._planned, now
        for name in before.keys() - now.keys():
            self._remove(name)
        for name, account in now.items():
            if before.get(name) != account:
                self._failures.pop(name, None)
                self._plan(account, _FIRST_WITHIN * self._chance())

    def wake(self, name: str) -> None:
        """Poll this account now, if it is on the timetable; once more if it is being polled just now."""
        with self._lock:
            account = self._planned.get(name)
            if account is None or self._stopping:
                return
            if name in self._turns:
                self._again.add(name)
                return
        self._plan(account, 0)

    def planned(self) -> list[FetchAccount]:
        """The accounts of this moment."""
        with self._lock:
            return list(self._planned.values())

    def next_times(self) -> dict[str, float]:
        """Account → seconds since 1970 of its next poll."""
        jobs = [job for job in self._scheduler.get_jobs() if job.id != _READ]
        return {job.args[0]: job.next_run_time.timestamp() for job in jobs if job.next_run_time}

    def _plan(self, account: FetchAccount, seconds: float) -> None:
        # each turn plans the next; the interval only keeps the job on the list
        when = datetime.now(UTC) + timedelta(seconds=seconds)
        self._scheduler.add_job(
            self._run, "interval", days=3650, next_run_time=when, args=[account.name], id=_id(account.name),
            replace_existing=True,
        )  # fmt: skip

    def _remove(self, name: str) -> None:
        try:
            self._scheduler.remove_job(_id(name))
        except JobLookupError:
            pass  # it is off the list already

    def _run(self, name: str) -> None:
        with self._lock:
            account = self._planned.get(name)
            if account is None or self._stopping:
                return
            self._turns.add(name)
        try:
            self._turn(name, account)
        finally:
            with self._lock:
                self._turns.discard(name)
                self._lock.notify_all()

    def _turn(self, name: str, account: FetchAccount) -> None:
        failed = True
        try:
            result = self._poll(account)
            failed = bool(result.error) and not result.new and result.status != Status.EXCLUDED
            if result.error:
                log.warning("%s: %s", name, result.error)
        finally:
            count = self._failures[name] = self._failures.get(name, 0) + 1 if failed else 0
            with self._lock:
                now = None if self._stopping else self._planned.get(name)
                again = name in self._again
                self._again.discard(name)
            if now is not None:
                wait = backed_off(now.interval or self._settings.interval, count)
                self._plan(now, 0 if again else jittered(wait, self._chance))


def _id(name: str) -> str:
    return "account:" + name


def jittered(seconds: int, random: Callable[[], float]) -> float:
    """A waiting time, ±10 %, so that accounts don't march in step (F76)."""
    return seconds * (0.9 + 0.2 * random())


def backed_off(seconds: int, failures: int) -> int:
    """The interval after so many failures in a row: doubling up to a day."""
    return int(min(seconds * 2 ** min(failures, 10), max(_LONGEST, seconds)))
