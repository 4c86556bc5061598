"""Many members at once, by an administrator: add, invite, remove. The one way for pages and commands.

Promises: a wrong address stops nothing, each gets an outcome of its own; changes go in groups, so that 10,000 of them
neither take minutes nor hold up others. Fails by: StoreError; what was done by then stays done.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from sqlalchemy import Connection

from bridge.model.address import fold
from bridge.store.tables import note
from bridge.wire.addresses import lenient
from listmgr import roster, subscriptions
from listmgr.addresses import valid
from listmgr.office import Office
from listmgr.registry import MailingList
from listmgr.roster import Refusal, Why
from listmgr.subscriptions import Result, Wish

GROUP = 500  # members in one transaction


class Outcome(Enum):
    """What became of an address."""

    ADDED = "added"
    INVITED = "invited"
    REMOVED = "removed"
    MEMBER = "member"
    BANNED = "banned"
    INVALID = "invalid"
    RECENT = "recent"  # was asked lately
    STRANGER = "stranger"  # no member
    MOVED = "moved"  # has another address now


@dataclass(frozen=True, slots=True)
class How:
    """`welcome`: tell the member; `notify`: tell the owners; `text` goes into invitations."""

    actor: str
    welcome: bool = True
    notify: bool = False
    nomail: bool = False
    text: str = ""


Person = tuple[str, str]  # address, name
_REFUSED = {Why.MEMBER: Outcome.MEMBER, Why.BANNED: Outcome.BANNED, Why.INVALID: Outcome.INVALID}
_ASKED = {
    Result.ASKED: Outcome.INVITED, Result.MEMBER: Outcome.MEMBER, Result.RECENT: Outcome.RECENT,
    Result.REFUSED: Outcome.BANNED,
}  # fmt: skip


def person(line: str) -> Person:
    """`Name <address>` or an address."""
    found = lenient(line.encode("utf-8", "replace"))
    return (found[0].address, found[0].name) if len(found) == 1 else (line[:320], "")


def add(office: Office, which: MailingList, people: Sequence[Person], how: How) -> Iterator[tuple[str, Outcome]]:
    """Make them members."""
    for first in range(0, len(people), GROUP):
        done = _added(office, which, people[first : first + GROUP], how)
        yield from done
        _tell(office, which, [address for address, outcome in done if outcome is Outcome.ADDED], how, joined=True)


def _added(office: Office, which: MailingList, people: Sequence[Person], how: How) -> list[tuple[str, Outcome]]:
    now, delivery = office.clock.now(), "byadmin" if how.nomail else "enabled"

    def unit(connection: Connection) -> list[tuple[str, Outcome]]:
        done = []
        for address, name in people:
            try:
                roster.add(connection, which, address, name=name, delivery=delivery, now=now)
                done.append((address, Outcome.ADDED))
            except Refusal as refusal:
                done.append((refusal.address, _REFUSED[refusal.why]))
        count = sum(outcome is Outcome.ADDED for _, outcome in done)
        if count:
            note(connection, now, how.actor, "list.members.add", which.posting, str(count))
        return done

    return office.core.write_now(unit)


def invite(office: Office, which: MailingList, people: Sequence[Person], how: How) -> Iterator[tuple[str, Outcome]]:
    """Ask them; who says yes is a member."""
    origin = f"invite:{int(office.clock.now())}"
    for address, name in people:
        wish = Wish(address, origin=origin, name=name, proven=True, invited=True, text=how.text)
        result = subscriptions.ask_to_join(office, which, wish)
        yield address, _ASKED[result]


def remove(office: Office, which: MailingList, people: Sequence[str], how: How) -> Iterator[tuple[str, Outcome]]:
    """Take them off the list."""
    for first in range(0, len(people), GROUP):
        done = _removed(office, which, people[first : first + GROUP], how)
        yield from done
        _tell(office, which, [address for address, outcome in done if outcome is Outcome.REMOVED], how, joined=False)


def _removed(office: Office, which: MailingList, people: Sequence[str], how: How) -> list[tuple[str, Outcome]]:
    now = office.clock.now()

    def unit(connection: Connection) -> list[tuple[str, Outcome]]:
        gone = [roster.remove(connection, which, address) for address in people]
        if any(gone):
            note(connection, now, how.actor, "list.members.remove", which.posting, str(sum(gone)))
        return [
            (address, Outcome.REMOVED if one else Outcome.STRANGER)
            for address, one in zip(people, gone, strict=True)
        ]

    return office.core.write_now(unit)


def moved(office: Office, which: MailingList, old: str, new: str, actor: str) -> Outcome:
    """Another address for a member."""
    now = office.clock.now()

    def unit(connection: Connection) -> Outcome:
        if roster.find(connection, which, old) is None:
            return Outcome.STRANGER
        try:
            roster.move(connection, which, old, new, now=now)
        except Refusal as refusal:
            return _REFUSED[refusal.why]
        note(connection, now, actor, "list.members.move", which.posting, f"{old} -> {new}")
        return Outcome.MOVED

    return office.core.write_now(unit)


@dataclass(frozen=True, slots=True)
class Plan:
    """What makes the members of a list those of another: who comes, who goes, who stays, and what is no address."""

    added: tuple[Person, ...]
    gone: tuple[str, ...]
    kept: int
    wrong: tuple[str, ...]


def plan(connection: Connection, which: MailingList, people: Sequence[Person]) -> Plan:
    """Compare the list with `people`; nothing is changed."""
    wanted = {fold(address): (address, name) for address, name in people}
    present = {one.key: one.address for one in roster.members(connection, which)}
    return Plan(
        tuple(one for key, one in wanted.items() if key not in present and valid(one[0])),
        tuple(address for key, address in present.items() if key not in wanted),
        len(wanted.keys() & present.keys()),
        tuple(address for address, _ in wanted.values() if not valid(address)),
    )


def _tell(office: Office, which: MailingList, changed: Sequence[str], how: How, *, joined: bool) -> None:
    stamp, language = int(office.clock.now()), which.options.preferred_language
    for address in changed:
        cause = f"{'add' if joined else 'remove'}:{fold(address)}:{stamp}"
        if how.welcome:
            subscriptions.tell_member(office, which, address, joined=joined, language=language, cause=cause)
        if how.notify:
            subscriptions.tell_owners(office, which, address, joined=joined, cause=cause)
