"""What the lists do once a day: forget what has expired, discard posts that nobody decided about, remind people.

Promises: can be called at any time and as often as one likes; each mail has a key that names its day or month, and what
was done is noted, so nobody is reminded twice. Nobody's password is in any of them: there is none to send.
Fails by: StoreError and what the door raises; the next call goes on.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy import Connection, delete, insert, select

from listmgr import answers, holding, pending, registry, roster, sessions, tables
from listmgr.addresses import Verb
from listmgr.holding import Held
from listmgr.moderation import Decision, decide
from listmgr.notices import Notice
from listmgr.office import Office
from listmgr.registry import MailingList
from listmgr.roster import Member
from listmgr.rules import explain

DAY = 86400
MOST_SHOWN = 50  # held posts named in a summary


def daily(office: Office) -> int:
    """All of it; how many rows and held posts went."""
    now = office.clock.now()

    def unit(connection: Connection) -> int:
        gone = pending.expire(connection, now=now) + answers.expire(connection, now=now)
        return gone + sessions.expire(connection, now=now)

    gone = office.core.write_now(unit) + _old_posts(office, now)
    _once(office, "summaries", time.strftime("%Y-%m-%d", time.gmtime(now)), lambda day: _summaries(office, day))
    _once(office, "reminders", time.strftime("%Y-%m", time.gmtime(now)), lambda month: _remind(office, month))
    return gone


def _old_posts(office: Office, now: float) -> int:
    """Held posts older than their list's `max_days_to_hold` are discarded."""
    gone = 0
    for which, waiting in _waiting(office):
        days = which.options.max_days_to_hold
        for held in waiting:
            if days and held.held_at < now - days * DAY:
                _discard(office, which, held)
                gone += 1
    return gone


def _discard(office: Office, which: MailingList, held: Held) -> None:
    try:
        decide(office, which, held, Decision.DISCARD)
    except LookupError:
        holding.forget(office, which, held)


def _waiting(office: Office) -> list[tuple[MailingList, list[Held]]]:
    with office.core.read() as connection:
        found = [(which, holding.waiting(connection, which)) for which in registry.every(connection)]
    return [(which, waiting) for which, waiting in found if waiting]


def _once(office: Office, name: str, period: str, work: Callable[[str], None]) -> None:
    """Do it unless it was done for this period. The first period that a new site sees only counts from its first
    day."""
    column = tables.chore.c
    with office.core.read() as connection:
        done = connection.execute(select(column.done).where(column.name == name)).scalar()
    if done == period:
        return
    if done is not None or time.gmtime(office.clock.now()).tm_mday == 1 or name == "summaries":
        work(period)

    def unit(connection: Connection) -> None:
        connection.execute(delete(tables.chore).where(column.name == name))
        connection.execute(insert(tables.chore).values(name=name, done=period))

    office.core.write_now(unit)


def _summaries(office: Office, day: str) -> None:
    """What waits for owners and moderators."""
    for which, waiting in _waiting(office):
        people = tuple(dict.fromkeys((*which.options.owner, *which.options.moderator)))
        if not people:
            continue
        language = which.options.preferred_language
        shown = [
            {"author": held.author or "?", "subject": held.subject, "reason": explain(held.reason, language)}
            for held in waiting[:MOST_SHOWN]
        ]
        values = {"count": len(waiting), "posts": shown, "url": office.links.admindb(which)}
        office.notices.send(which, Notice("held_summary", people, language, day, values, sender=Verb.OWNER))


@dataclass(slots=True)
class _Memberships:
    """The lists of one address that want their members reminded."""

    member: Member
    lists: list[MailingList] = field(default_factory=list)


def _remind(office: Office, month: str) -> None:
    """One mail to each address, whatever the number of its lists (L75)."""
    with office.core.read() as connection:
        named = {which.name: which for which in registry.every(connection) if which.options.send_reminders}
        people: dict[str, _Memberships] = {}
        for name, member in roster.memberships(connection):
            if name in named and member.delivery != "bybounce":
                to = registry.reached(connection, named[name], member.address)
                people.setdefault(to, _Memberships(member)).lists.append(named[name])
    for to, found in people.items():
        first = found.lists[0]
        language = found.member.language or first.options.preferred_language
        lists = [
            {
                "title": which.title, "posting": which.posting, "listinfo": office.links.listinfo(which),
                "options": office.links.options(which, found.member.address),
            }
            for which in found.lists
        ]  # fmt: skip
        values = {"address": found.member.address, "lists": lists}
        office.notices.send(
            first, Notice("reminder", (to,), language, f"{month}:{to}", values, sender=Verb.OWNER)
        )
