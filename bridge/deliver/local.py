"""Mailboxes of this machine: jobs into Maildirs, in batches, or into what else keeps mail, one by one for each mailbox;
and a hint to whoever is looking.

Promises: Delivered only when message and name are on disk; the same job twice is one message (P08); disk trouble is
temporary (D07). The hint is comfort: losing it only means that a reader sees the message at its next look.
Fails by: Deferred per recipient, as `trouble` says.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from bridge.deliver.base import Job, Target
from bridge.deliver.trouble import Trouble, judge, judge_error
from bridge.model.errors import StoreError
from bridge.model.outcome import Delivered, Outcome
from bridge.store.copies import Copy, Letter
from bridge.store.delivery import Maildirs
from bridge.store.spool import Damaged, Spooled

_AT_ONCE = 6            # mailboxes that are not Maildirs of ours, filled at the same time
Put = Callable[[Spooled, Copy, bool], str]      # a copy (perhaps `again`) into a mailbox: where it is now

_log = logging.getLogger(__name__)


class _Single(NamedTuple):
    """A copy for a mailbox that takes them one by one."""

    put: Put
    job: Job
    target: Target


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
        single: dict[str, list[_Single]] = {}
        for job in jobs:
            copies = tuple(self._copies(job, outcomes, single))
            if copies:
                letters.append(Letter(job.spooled, copies, job.again))
                accounts.update((target.id, target.target) for target in job.targets)
        for target, outcome in self._put_single(list(single.values())):
            outcomes[target.id] = outcome
            if isinstance(outcome, Delivered):
                reached[target.target] = None
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

    def _copies(self, job: Job, outcomes: dict[int, Outcome], single: dict[str, list["_Single"]]) -> list[Copy]:
        """Those for Maildirs; the others are noted by account."""
        copies: list[Copy] = []
        for target in job.targets:
            try:
                mailbox = self._mailbox_of(target.target)
            except Exception as error:
                outcomes[target.id] = judge_error(error).outcome
                continue
            if mailbox is None:
                outcomes[target.id] = judge(Trouble.NO_MAILBOX).outcome
            elif isinstance(mailbox, str):
                copies.append(Copy(target.id, mailbox, target.address, target.original, target.sender))
            else:
                single.setdefault(target.target, []).append(_Single(mailbox, job, target))
        return copies

    def _put_single(self, accounts: Sequence[Sequence["_Single"]]) -> list[tuple[Target, Outcome]]:
        """One by one into each mailbox, several mailboxes at a time: each waits for its own disk, lock or process."""
        if len(accounts) < 2:
            return [pair for some in accounts for pair in self._put_some(some)]
        with ThreadPoolExecutor(min(_AT_ONCE, len(accounts)), "single") as pool:
            return [pair for some in pool.map(self._put_some, accounts) for pair in some]

    def _put_some(self, some: Sequence["_Single"]) -> list[tuple[Target, Outcome]]:
        """In order."""
        found = []
        for one in some:
            target = one.target
            copy = Copy(target.id, "", target.address, target.original, target.sender)
            found.append((target, self._put(one.put, one.job, copy, target.target)))
        return found

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
