"""Mailboxes of this machine: jobs into Maildirs, in batches, and a hint to whoever is looking.

Promises: Delivered only when message and name are on disk; the same job twice is one message (P08); disk trouble is
temporary (D07). The hint is comfort: losing it only means that a reader sees the message at its next look.
Fails by: Deferred per recipient, as `trouble` says.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from bridge.deliver.base import Job
from bridge.deliver.trouble import Trouble, judge, judge_error
from bridge.model.outcome import Delivered, Outcome
from bridge.store.delivery import Copy, Letter, Maildirs

_log = logging.getLogger(__name__)


class LocalTransport:
    """`maildir_of(target)`: the Maildir of an account (None: there is no such account any more); `hint(accounts)` is
    called with the account addresses that have new mail, from any thread."""

    def __init__(
        self,
        maildirs: Maildirs,
        maildir_of: Callable[[str], str | None],
        hint: Callable[[Sequence[str]], None] = lambda accounts: None,
        *,
        threads: int = 2,
    ) -> None:
        self._maildirs, self._maildir_of, self._hint = maildirs, maildir_of, hint
        self._threads = threads
        self._pool: ThreadPoolExecutor | None = None

    async def deliver(self, jobs: Sequence[Job]) -> Mapping[int, Outcome]:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, "local")
        return await asyncio.get_running_loop().run_in_executor(self._pool, self.deliver_now, jobs)

    def deliver_now(self, jobs: Sequence[Job]) -> dict[int, Outcome]:
        """The same, blocking."""
        outcomes: dict[int, Outcome] = {}
        letters: list[Letter] = []
        accounts: dict[int, str] = {}
        for job in jobs:
            copies = tuple(self._copies(job, outcomes))
            if copies:
                letters.append(Letter(job.spooled, copies, job.again))
                accounts.update((target.id, target.target) for target in job.targets)
        reached: dict[str, None] = {}
        done: dict[str, Outcome] = {}
        for key, result in self._maildirs.put(letters).items():
            if isinstance(result, str):
                outcomes[key] = done.get(result) or done.setdefault(result, Delivered(result))
                reached[accounts[key]] = None
            else:
                outcomes[key] = judge_error(result).outcome
                _log.warning("delivery to %s: %s", accounts[key], result)
        if reached:
            self._tell(list(reached))
        return outcomes

    def close(self) -> None:
        """Let threads and folders go."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
        self._maildirs.close()

    def _copies(self, job: Job, outcomes: dict[int, Outcome]) -> list[Copy]:
        copies: list[Copy] = []
        for target in job.targets:
            try:
                maildir = self._maildir_of(target.target)
            except Exception as error:
                outcomes[target.id] = judge_error(error).outcome
                continue
            if maildir is None:
                outcomes[target.id] = judge(Trouble.NO_MAILBOX).outcome
            else:
                copies.append(Copy(target.id, maildir, target.address, target.original, target.sender))
        return copies

    def _tell(self, accounts: Sequence[str]) -> None:
        try:
            self._hint(accounts)
        except Exception:
            _log.exception("hint for %d mailboxes", len(accounts))
