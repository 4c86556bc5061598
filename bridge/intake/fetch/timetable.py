"""When each external account is polled: an APScheduler job for each, growing waits after failures, a bounded pool.

Promises: an account is never polled twice at once; after a failure the next try comes later and later, up to a day, and
the first success brings the old rhythm back; a missed time is caught up once, not many times. Losing the timetable
loses nothing: it is made from the settings at each start (SECURITY D-9).
"""

import logging
import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from bridge.config.fetch import Fetch, FetchAccount
from bridge.intake.fetch.accounts import poll_every
from bridge.intake.fetch.poller import Result, backed_off, jittered

log = logging.getLogger("estafeta.fetch")

_FIRST_WITHIN = 10.0  # seconds after the start in which all first polls begin


class Timetable:
    """Runs `poll` for each account in threads until `stop`."""

    def __init__(
        self,
        settings: Fetch,
        accounts: Sequence[FetchAccount],
        poll: Callable[[FetchAccount], Result],
        *,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._settings, self._poll, self._chance = settings, poll, chance
        self._failures: dict[str, int] = {}
        self._scheduler = BackgroundScheduler(
            executors={"default": ThreadPoolExecutor(settings.threads)},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
            timezone=UTC,
        )
        for account in accounts:
            self._plan(account, _FIRST_WITHIN * chance())

    def start(self) -> None:
        self._scheduler.start()

    def stop(self) -> None:
        """No more polls; waits for those that run."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=True)

    def next_times(self) -> dict[str, float]:
        """Account → seconds since 1970 of its next poll."""
        return {job.id: job.next_run_time.timestamp() for job in self._scheduler.get_jobs() if job.next_run_time}

    def _plan(self, account: FetchAccount, seconds: float) -> None:
        when = datetime.now(UTC) + timedelta(seconds=seconds)
        self._scheduler.add_job(
            self._run, "date", run_date=when, args=[account], id=account.name, replace_existing=True
        )

    def _run(self, account: FetchAccount) -> None:
        failed = True
        try:
            result = self._poll(account)
            failed = bool(result.error)
            if result.error:
                log.warning("%s: %s", account.name, result.error)
        finally:
            count = self._failures[account.name] = self._failures.get(account.name, 0) + 1 if failed else 0
            wait = backed_off(poll_every(account, self._settings), count)
            self._plan(account, jittered(wait, self._chance))
