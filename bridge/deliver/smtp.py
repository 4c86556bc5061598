"""Mail to other servers: jobs into transactions, transactions over pooled connections, replies into outcomes.

Promises: a recipient is Delivered only on a positive reply to the message itself, each on its own (sec-O10); the
outcome of a transaction is handed to `settled` as soon as it is known, before the same connection is used again, so
that a crash repeats what was under way and no more (D-4, P08); a transaction has one sender and at most `chunk`
recipients; the body is read from the spool while it is sent, never held. A connection that turns out to be stale
before anything was answered is replaced once; after the final dot nothing is ever sent twice (sec-O09).
Fails by: Deferred or Failed per recipient, as `trouble` says.
"""
import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

from bridge.deliver.base import Job, Target
from bridge.deliver.connection import Connection, Lost, Unusable, stage_of
from bridge.deliver.pool import Pool
from bridge.deliver.trouble import Trouble, Verdict, judge, judge_error, judge_reply
from bridge.model.errors import StoreError
from bridge.model.outcome import Delivered, Outcome
from bridge.store.spool import Damaged, Spooled
from bridge.wire.smtp.dialogue import Mail, Result, Step, needs_utf8

Settled = Callable[[Mapping[int, Outcome]], None]
Sign = Callable[[Spooled], Awaitable[bytes]]
_log = logging.getLogger(__name__)


class Bodies(Protocol):
    """Where messages are: the spool. Its trouble is a StoreError, never an OSError: that means the network here."""

    def chunks(self, spooled: Spooled) -> Iterable[bytes]: ...


@dataclass(frozen=True, slots=True)
class _Transaction:
    """One MAIL: `targets` share the sender."""

    job: Job
    sender: str
    targets: tuple[Target, ...]

    def mail(self, signature: bytes) -> Mail:
        envelope = self.job.spooled.envelope
        return Mail(
            self.sender, tuple(target.address for target in self.targets), self.job.spooled.size + len(signature),
            envelope.body == "8BITMIME", envelope.smtputf8)


class SmtpTransport:
    """The transport of `Kind.REMOTE`. `sign(message)` answers header fields that go before it."""

    def __init__(self, pool: Pool, bodies: Bodies, *, chunk: int = 50, sign: Sign | None = None) -> None:
        self._pool, self._bodies, self._chunk, self._sign = pool, bodies, chunk, sign

    async def deliver(self, jobs: Sequence[Job], settled: Settled = lambda outcomes: None) -> Mapping[int, Outcome]:
        """All jobs at the same time, as far as the pool allows."""
        outcomes: dict[int, Outcome] = {}

        def tell(found: Mapping[int, Outcome]) -> None:
            outcomes.update(found)
            settled(found)

        transactions = [self._transact(one, tell) for job in jobs for one in self._transactions(job)]
        if len(transactions) == 1:
            await transactions[0]
        else:
            await asyncio.gather(*transactions)
        return outcomes

    def hurry(self) -> None:
        self._pool.forget()

    def close(self) -> None:
        self._pool.close()

    def _transactions(self, job: Job) -> Iterator[_Transaction]:
        by_sender: dict[str, list[Target]] = {}
        for target in job.targets:
            by_sender.setdefault(target.sender, []).append(target)
        for sender, targets in by_sender.items():
            for start in range(0, len(targets), self._chunk):
                yield _Transaction(job, sender, tuple(targets[start : start + self._chunk]))

    async def _transact(self, transaction: _Transaction, tell: Settled) -> None:
        nexthop = transaction.job.nexthop
        async with self._pool.slot(nexthop):
            try:
                signature = await self._sign(transaction.job.spooled) if self._sign is not None else b""
                if await self._attempt(transaction, nexthop, signature, tell, fresh=False):
                    return
                if await self._attempt(transaction, nexthop, signature, tell, fresh=True):
                    return
                verdict = judge(Trouble.LOST, where=nexthop)
            except Unusable as error:
                verdict = _unusable(error, nexthop)
            except Damaged as error:
                verdict = judge(Trouble.SPOOL, str(error), nexthop)
            except (StoreError, OSError) as error:
                verdict = judge_error(error, nexthop)
            except Exception as error:
                _log.exception("message %s to %s", transaction.job.spooled.envelope.id, nexthop)
                verdict = judge_error(error, nexthop)
            tell({target.id: verdict.outcome for target in transaction.targets})

    async def _attempt(
        self, transaction: _Transaction, nexthop: str, signature: bytes, tell: Settled, *, fresh: bool
    ) -> bool:
        """One transaction; False where a connection of before was stale and nothing has happened."""
        connection, used = await self._pool.take(nexthop, fresh=fresh)
        stale = used and not fresh
        refused = _refused(transaction, connection)
        if refused is not None:
            tell({target.id: refused.outcome for target in transaction.targets})
            await self._pool.give(nexthop, connection)
            return True
        try:
            results = await connection.send(
                transaction.mail(signature),
                lambda: chain((signature,) if signature else (), self._bodies.chunks(transaction.job.spooled)))
        except Lost as lost:
            if stale and lost.silent:
                return False
            rest = judge(lost.trouble, str(lost), connection.where)
            tell(_outcomes(transaction, lost.results, connection.where, rest))
            return True
        if stale and all(result.step is Step.MAIL and result.reply.code == 421 for result in results):
            connection.close()
            return False
        rest = judge(Trouble.SILENT, where=connection.where)
        tell(_outcomes(transaction, results, connection.where, rest))
        await self._pool.give(nexthop, connection)
        return True


def _refused(transaction: _Transaction, connection: Connection) -> Verdict | None:
    """What this server can't take, by what it says of itself."""
    offer = connection.machine.offer
    size = transaction.job.spooled.size
    if offer.size and size > offer.size:
        return judge(Trouble.TOO_BIG, f"message of {size} bytes, the server takes {offer.size}", connection.where)
    if not offer.utf8 and needs_utf8(transaction.sender, tuple(target.address for target in transaction.targets)):
        return judge(Trouble.NO_SMTPUTF8, where=connection.where)
    return None


def _outcomes(
    transaction: _Transaction, results: Sequence[Result | None], where: str, rest: Verdict
) -> dict[int, Outcome]:
    found: dict[int, Outcome] = {}
    for target, result in zip(transaction.targets, results, strict=False):
        if result is None:
            found[target.id] = rest.outcome
        elif result.delivered:
            found[target.id] = Delivered(where, result.reply)
        else:
            found[target.id] = judge_reply(stage_of(result.step), result.reply, where).outcome
    for target in transaction.targets:
        found.setdefault(target.id, rest.outcome)
    return found


def _unusable(error: Unusable, where: str) -> Verdict:
    if error.stage is not None and error.reply is not None:
        return judge_reply(error.stage, error.reply, where)
    return judge(error.trouble, error.text, where)
