"""What is to be done with one message: its recipients looked up, doubles removed, made into rows or jobs.

Promises: a final address gets one copy, however many ways lead to it (P35); a lookup that fails is looked up again
later, never refused (P12). Pure but for the `resolve` that is passed in.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bridge.config.queue import Queue
from bridge.deliver.base import Job, Target
from bridge.deliver.trouble import Trouble, judge
from bridge.model.envelope import Recipient
from bridge.model.outcome import Deferred, Delivered, Expanded, Outcome
from bridge.model.reply import Reply
from bridge.queue.backoff import Backoff
from bridge.route.resolver import Kind, Route
from bridge.store.queuetables import FAILED, FINISHED, PENDING, UNROUTED, Change, New, Row
from bridge.store.spool import Spooled

Resolve = Callable[[str, str], Sequence[Route]]     # address, sender

_AT_ONCE = frozenset({Kind.MAILBOX, Kind.DISCARD})
_FAST_LIMIT = 200       # recipients of a message that is delivered before it has rows
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Plan:
    """A message and the ends of its recipients, each with the id that it will have as target and row."""

    spooled: Spooled
    ends: list[tuple[int, Recipient, Route]]
    again: bool

    @property
    def id(self) -> str:
        return self.spooled.envelope.id

    @property
    def fast(self) -> bool:
        """May it be delivered first and recorded afterwards, because doing it twice is doing it once?"""
        envelope = self.spooled.envelope
        return (
            envelope.key == envelope.id
            and len(self.ends) <= _FAST_LIMIT
            and all(route.kind in _AT_ONCE for _, _, route in self.ends)
        )

    def targets(self, kind: Kind) -> tuple[Target, ...]:
        sender = self.spooled.envelope.sender
        return tuple(
            Target(number, route.address, recipient.address, route.target, _sender(route, sender))
            for number, recipient, route in self.ends
            if route.kind is kind
        )


@dataclass(frozen=True, slots=True)
class Timing:
    """When rows expire and are tried again."""

    settings: Queue
    backoff: Backoff

    def expires_at(self, spooled: Spooled) -> float:
        envelope = spooled.envelope
        life = self.settings.lifetime if envelope.sender else self.settings.bounce_lifetime
        return envelope.received_at + life

    def warn_at(self, spooled: Spooled) -> float | None:
        envelope = spooled.envelope
        if not self.settings.delay_warning or not envelope.sender or envelope.priority:
            return None
        return envelope.received_at + self.settings.delay_warning


def make(spooled: Spooled, resolve: Resolve, ids: Iterator[int], *, again: bool) -> Plan:
    """Look all recipients up."""
    envelope = spooled.envelope
    ends: list[tuple[int, Recipient, Route]] = []
    seen: set[tuple[Kind, str, str]] = set()
    for recipient in envelope.recipients:
        for route in look_up(resolve, recipient.address, envelope.sender):
            what = (route.kind, route.address, route.target)
            if what not in seen:
                seen.add(what)
                ends.append((next(ids), recipient, route))
    return Plan(spooled, ends, again)


def look_up(resolve: Resolve, address: str, sender: str) -> Sequence[Route]:
    """`resolve`, with a mistake of ours turned into "ask again later"."""
    try:
        return resolve(address, sender)
    except Exception:
        _log.exception("lookup of %r", address)
        return (Route(Kind.DEFER, address, "", reply=judge(Trouble.BUG).outcome.reply),)


def rows(plan: Plan, timing: Timing, now: float) -> tuple[Row, ...]:
    """Rows for all that isn't thrown away."""
    envelope = plan.spooled.envelope
    made = (
        row(number, envelope.id, recipient.address, route, now, sender=envelope.sender, orcpt=recipient.original,
            notify=recipient.notify, priority=envelope.priority, attempts=int(plan.again),
            expires_at=timing.expires_at(plan.spooled), wait=timing.backoff.wait)
        for number, recipient, route in plan.ends
        if route.kind is not Kind.DISCARD
    )
    return tuple(made)


def row(
    number: int,
    message: str,
    original: str,
    route: Route,
    now: float,
    *,
    sender: str,
    orcpt: str,
    notify: str,
    priority: int,
    attempts: int,
    expires_at: float,
    wait: Callable[[int], float],
) -> Row:
    """One end as a row: to be delivered, to be looked up again later, or refused."""
    kind, state, due, reply = route.kind.value, PENDING, now, Reply(0, "", "")
    if route.kind is Kind.DEFER:
        kind, due = UNROUTED, now + wait(attempts + 1)
        reply = route.reply or judge(Trouble.NO_TRANSPORT).outcome.reply
        attempts += 1
    elif route.kind is Kind.REFUSE:
        state, reply = FAILED, route.reply or Reply(550, "5.1.1", "No such address here")
    address = original if kind == UNROUTED else route.address
    return Row(
        number, message, address, original, orcpt, notify, kind, route.target, nexthop(route),
        _sender(route, sender), state, due, attempts, priority, expires_at,
        reply.code, reply.enhanced, reply.text[:500], "",
    )


def _sender(route: Route, sender: str) -> str:
    return sender if route.sender is None else route.sender


def nexthop(route: Route) -> str:
    """What recipients share that may go in one transaction: the remote host or domain; nothing for the rest."""
    if route.kind is not Kind.REMOTE:
        return ""
    return (route.target or route.address.rpartition("@")[2]).lower()


def new(plan: Plan, made: tuple[Row, ...], timing: Timing) -> New:
    envelope = plan.spooled.envelope
    return New(
        envelope.id, envelope.key if envelope.key != envelope.id else None, envelope.sender, plan.spooled.size,
        envelope.received_at, envelope.origin.door, envelope.priority,
        timing.warn_at(plan.spooled), made,
    )


def jobs(found: Sequence[Row], spooled: Mapping[str, Spooled], chunk: int) -> list[Job]:
    """Rows of one way as jobs: one per message and `chunk` of recipients with the same sender."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for one in found:
        groups.setdefault((one.message, one.sender), []).append(one)
    made: list[Job] = []
    for (message, sender), some in groups.items():
        for start in range(0, len(some), chunk):
            part = some[start : start + chunk]
            targets = tuple(Target(one.id, one.address, one.original, one.target, sender) for one in part)
            again = any(one.attempts for one in part)
            made.append(Job(spooled[message], Kind(part[0].kind), part[0].nexthop, targets, again))
    return made


def change(one: Row, outcome: Outcome, now: float, wait: float, *, expired: bool) -> Change:
    """What an outcome makes of a row; a deferral past the message's time is a failure."""
    if isinstance(outcome, Delivered | Expanded):
        return Change(one.id, one.message, FINISHED)
    reply, place = outcome.reply, outcome.where[:255]
    if isinstance(outcome, Deferred) and not expired:
        return Change(one.id, one.message, PENDING, now + wait, reply.code, reply.enhanced, reply.text[:500], place)
    if isinstance(outcome, Deferred):
        final = judge(Trouble.EXPIRED, f"Not delivered in time; last answer: {reply}").outcome.reply
        return Change(one.id, one.message, FAILED, now, final.code, final.enhanced, final.text, place)
    return Change(one.id, one.message, FAILED, now, reply.code, reply.enhanced, reply.text[:500], place)


SILENT: Outcome = judge(Trouble.SILENT).outcome
