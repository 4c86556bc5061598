"""Who is on a list: add, remove, change, find; and whom a post goes to.

Promises: an address is on a list once, however it is written (P35); banned addresses are refused; `recipients` reads
10,000 members in one query without building an object for each. Functions take an open connection.
Fails by: Refusal with the reason for a person, ValueError for what is no address.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, func, insert, or_, select, update

from bridge.model.address import fold
from listmgr import tables
from listmgr.addresses import valid
from listmgr.pattern import Pattern
from listmgr.registry import MailingList


class Why(Enum):
    """Why somebody can't be added."""

    MEMBER = "already a member"
    BANNED = "banned"
    INVALID = "not a valid address"


class Refusal(Exception):
    """An address that can't be added; `why` says the reason."""

    def __init__(self, why: Why, address: str) -> None:
        super().__init__(f"{address}: {why.value}")
        self.why, self.address = why, address


@dataclass(frozen=True, slots=True)
class Member:
    """One member of one list."""

    id: int
    key: str
    address: str
    name: str
    delivery: str
    moderated: bool
    hide: bool
    ack: bool
    notmetoo: bool
    nodupes: bool
    language: str

    @property
    def shown(self) -> str:
        return f"{self.name} <{self.address}>" if self.name else self.address


_COLUMNS = tuple(tables.member.c[name] for name in Member.__slots__)
CHANGEABLE = frozenset(Member.__slots__) - {"id", "key"}


def add(
    connection: Connection,
    which: MailingList,
    address: str,
    *,
    name: str = "",
    language: str = "",
    delivery: str = "enabled",
    now: float,
) -> Member:
    """A new member with the options that the list gives new members."""
    if not valid(address):
        raise Refusal(Why.INVALID, address[:100])
    if banned(connection, which, address):
        raise Refusal(Why.BANNED, address)
    if find(connection, which, address) is not None:
        raise Refusal(Why.MEMBER, address)
    options = which.options
    values: dict[str, Any] = {
        flag: flag in options.new_member_options for flag in ("hide", "ack", "notmetoo", "nodupes")
    }
    values |= {
        "list_id": which.id,
        "key": fold(address),
        "address": address,
        "name": name[:255],
        "delivery": delivery,
        "moderated": options.default_member_moderation,
        "language": language,
        "joined_at": now,
        "changed_at": now,
    }
    connection.execute(insert(tables.member).values(values))
    found = find(connection, which, address)
    assert found is not None
    return found


def remove(connection: Connection, which: MailingList, address: str) -> bool:
    """False if the address was not on the list."""
    mine = (tables.member.c.list_id == which.id) & (tables.member.c.key == fold(address))
    return connection.execute(delete(tables.member).where(mine)).rowcount > 0


def change(connection: Connection, which: MailingList, address: str, *, now: float, **values: Any) -> bool:
    """Set options of a member by name; False if there is no such member."""
    if not set(values) <= CHANGEABLE:
        raise ValueError(f"not an option of a member: {', '.join(set(values) - CHANGEABLE)}")
    mine = (tables.member.c.list_id == which.id) & (tables.member.c.key == fold(address))
    return connection.execute(update(tables.member).where(mine).values(**values, changed_at=now)).rowcount > 0


def move(connection: Connection, which: MailingList, old: str, new: str, *, now: float) -> None:
    """A member gets another address; options and name stay. Refusal; nothing happens to who isn't there."""
    if not valid(new):
        raise Refusal(Why.INVALID, new[:100])
    if banned(connection, which, new):
        raise Refusal(Why.BANNED, new)
    if fold(new) != fold(old) and find(connection, which, new) is not None:
        raise Refusal(Why.MEMBER, new)
    mine = (tables.member.c.list_id == which.id) & (tables.member.c.key == fold(old))
    values = {"address": new, "key": fold(new), "changed_at": now}
    connection.execute(update(tables.member).where(mine).values(values))


def find(connection: Connection, which: MailingList, address: str) -> Member | None:
    mine = (tables.member.c.list_id == which.id) & (tables.member.c.key == fold(address))
    row = connection.execute(select(*_COLUMNS).where(mine)).mappings().first()
    return _member(row) if row else None


def members(connection: Connection, which: MailingList) -> Iterator[Member]:
    """Everybody, by address."""
    query = select(*_COLUMNS).where(tables.member.c.list_id == which.id).order_by(tables.member.c.key)
    return map(_member, connection.execute(query).mappings())


def chunk(connection: Connection, which: MailingList, number: int, *, search: str = "") -> tuple[list[Member], int]:
    """One page of the membership list, and how many members match. `search`: a regular
    expression, found anywhere in address or name. BadPattern."""
    size = max(1, which.options.admin_member_chunksize)
    if not search:
        column = tables.member.c
        total = connection.execute(select(func.count()).select_from(tables.member).where(column.list_id == which.id))
        query = select(*_COLUMNS).where(column.list_id == which.id).order_by(column.key)
        rows = connection.execute(query.limit(size).offset(number * size)).mappings()
        return [_member(row) for row in rows], int(total.scalar_one())
    pattern = Pattern(search)
    found = [one for one in members(connection, which) if _seen(one, pattern)]
    return found[number * size : (number + 1) * size], len(found)


def _seen(member: Member, pattern: Pattern) -> bool:
    return pattern.found(member.address) or (member.name != "" and pattern.found(member.name))


def by_ids(connection: Connection, which: MailingList, ids: Collection[int]) -> list[Member]:
    """Those of the list's own members."""
    mine = (tables.member.c.list_id == which.id) & tables.member.c.id.in_(list(ids)[:1000])
    return [_member(row) for row in connection.execute(select(*_COLUMNS).where(mine)).mappings()]


def moderate_everybody(connection: Connection, which: MailingList, on: bool, *, now: float) -> int:
    """Set the moderation bit of all; how many there are."""
    mine = tables.member.c.list_id == which.id
    return connection.execute(update(tables.member).where(mine).values(moderated=on, changed_at=now)).rowcount


def memberships(connection: Connection) -> Iterator[tuple[str, Member]]:
    """Everybody on every list, as (list name, member)."""
    query = select(tables.mailing_list.c.name.label("list"), *_COLUMNS).join(
        tables.mailing_list, tables.mailing_list.c.id == tables.member.c.list_id
    )
    for row in connection.execute(query.order_by(tables.mailing_list.c.name, tables.member.c.key)).mappings():
        yield row["list"], _member(row)


def recipients(connection: Connection, which: MailingList, *, author: str, explicit: Collection[str]) -> list[str]:
    """Addresses that a post goes to: delivery on, not the author who doesn't want it, not who got it directly."""
    column = tables.member.c
    query = select(column.address).where(column.list_id == which.id, column.delivery == "enabled")
    skipped = [fold(one) for one in explicit]
    if skipped:
        query = query.where(or_(column.nodupes.is_(False), column.key.not_in(skipped)))
    if author:
        query = query.where(or_(column.notmetoo.is_(False), column.key != fold(author)))
    return list(connection.execute(query.order_by(column.key)).scalars())


def direct(connection: Connection, which: MailingList, explicit: Collection[str]) -> frozenset[str]:
    """Which of these (folded) addresses are members who get no second copy of what they got directly."""
    column = tables.member.c
    mine = (column.list_id == which.id) & column.nodupes & (column.delivery == "enabled")
    query = select(column.key).where(mine, column.key.in_([fold(one) for one in explicit]))
    return frozenset(connection.execute(query).scalars()) if explicit else frozenset()


def ban(connection: Connection, list_id: int, pattern: str, *, now: float) -> bool:
    """Keep an address or a glob (`*@example.net`) off one list, or off all (0). False if it was banned already."""
    pattern = fold(pattern.strip())
    if "@" not in pattern or not pattern.isprintable() or len(pattern) > 320:
        raise ValueError(f"not an address or pattern: {pattern[:80]!r}")
    same = (tables.ban.c.list_id == list_id) & (tables.ban.c.pattern == pattern)
    if connection.execute(select(tables.ban.c.id).where(same)).first():
        return False
    connection.execute(insert(tables.ban).values(list_id=list_id, pattern=pattern, since=now))
    return True


def banned(connection: Connection, which: MailingList, address: str) -> bool:
    """Is the address kept off this list or off all lists?"""
    query = select(tables.ban.c.pattern).where(tables.ban.c.list_id.in_((0, which.id)))
    return matches(address, which.options.ban_list) or matches(address, connection.execute(query).scalars())


MAX_STARS = 4


def matches(address: str, patterns: Any) -> bool:
    """Does a folded address equal a pattern, or a glob match it? Globs with many stars are taken literally
    (sec-M15)."""
    key = fold(address)
    for one in patterns:
        pattern = fold(one)
        if pattern == key or ("*" in pattern and pattern.count("*") <= MAX_STARS and fnmatchcase(key, pattern)):
            return True
    return False


def _member(row: RowMapping) -> Member:
    return Member(**{name: row[name] for name in Member.__slots__})
