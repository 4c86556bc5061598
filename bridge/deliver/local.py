"""Mailboxes of this machine: jobs into Maildirs, in batches, or into what else keeps mail, one by one; and a hint to
whoever is looking.

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
from bridge.model.errors import StoreError
from bridge.model.outcome import Delivered, Outcome
from bridge.store.delivery import Copy, Letter, Maildirs
from bridge.store.spool import Damaged, Spooled

Put = Callable[[Spooled, Copy, bool], str]      # a copy (perhaps `again`) into a mailbox: where it is now

_log = logging.getLogger(__name__)


class LocalTransport:
    """`mailbox_of(target)`: the Maildir of an account or what puts mail into its mailbox (None: there is no such
    account any more); `hint(accounts)` is called with the account addresses that have new mail, from any thread."""

    def __init__(
        self,
        maildirs: Maildirs,
        mailbox_of: Callable[[str], str | Put | None],
        hint: Callable[[Sequence[str]], None] = lambda accounts: None,
        *,
        threads: int = 2,
    ) -> None:
        self._maildirs, self._mailbox_of, self._hint = maildirs, mailbox_of, hint
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
        reached: dict[str, None] = {}
        for job in jobs:
            copies = tuple(self._copies(job, outcomes, reached))
            if copies:
                letters.append(Letter(job.spooled, copies, job.again))
                accounts.update((target.id, target.target) for target in job.targets)
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

    def _copies(self, job: Job, outcomes: dict[int, Outcome], reached: dict[str, None]) -> list[Copy]:
        """Those for Maildirs; the others are put here and now."""
        copies: list[Copy] = []
        trust = job.spooled.envelope.trust
        for target in job.targets:
            try:
                mailbox = self._mailbox_of(target.target)
            except Exception as error:
                outcomes[target.id] = judge_error(error).outcome
                continue
            if mailbox is None:
                outcomes[target.id] = judge(Trouble.NO_MAILBOX).outcome
            elif isinstance(mailbox, str):
                copies.append(Copy(target.id, mailbox, target.address, target.original, target.sender, trust))
            else:
                copy = Copy(target.id, "", target.address, target.original, target.sender, trust)
                outcomes[target.id] = found = self._put(mailbox, job, copy, target.target)
                if isinstance(found, Delivered):
                    reached[target.target] = None
        return copies

    def _put(self, put: Put, job: Job, copy: Copy, account: str) -> Outcome:
        try:
            return Delivered(put(job.spooled, copy, job.again))
        except (OSError, StoreError, Damaged) as error:
            _log.warning("delivery to %s: %s", account, error)
            return judge_error(error).outcome
        except Exception as error:
            _log.exception("delivery to %s", account)
            return judge_error(error).outcome

    def _tell(self, accounts: Sequence[str]) -> None:
        try:
            self._hint(accounts)
        except Exception:
            _log.exception("hint for %d mailboxes", len(accounts))
