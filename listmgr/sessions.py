"""Who is logged in on the pages: sessions on the server, of which the browser only has a random name.

Promises: 256 random bits, kept as a hash; a new name at each login (sec-W06); 30 minutes of silence or 12 hours end a
session; the token of its forms is random too, made from no password (sec-L12). What a session may do follows from what
was proven and from the list's options as they are now: who is no longer an owner has no rights left.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest

from sqlalchemy import Connection, delete, insert, select, update

from bridge.model.address import fold
from listmgr import tables
from listmgr.registry import MailingList

IDLE = 30 * 60
LONGEST = 12 * 3600
TOUCH = 60  # seconds between two notes that a session is used
MOST_GRANTS = 50


@dataclass(frozen=True, slots=True)
class Grant:
    """What was proven: the password of a role of one list, or an address (list_id 0, role "address")."""

    list_id: int
    role: str
    key: str = ""


@dataclass(frozen=True, slots=True)
class Session:
    """A login as it stands in the database. `token` belongs into each of its forms."""

    hash: str
    token: str
    grants: frozenset[Grant]

    @property
    def addresses(self) -> frozenset[str]:
        """Folded addresses whose owner this is."""
        return frozenset(one.key for one in self.grants if one.role == "address")

    def administers(self, which: MailingList) -> bool:
        return Grant(which.id, "admin") in self.grants or self._among(which.options.owner)

    def moderates(self, which: MailingList) -> bool:
        mine = Grant(which.id, "moderator") in self.grants or self._among(which.options.moderator)
        return mine or self.administers(which)

    def actor(self, which: MailingList) -> str:
        """For the audit log."""
        people = sorted(self.addresses & set(map(fold, (*which.options.owner, *which.options.moderator))))
        return f"web:{people[0]}" if people else f"web:{which.name}"

    def accepts(self, token: str) -> bool:
        """Does a form come from a page of this session (sec-W05)?"""
        return compare_digest(self.token.encode(), token.encode("utf-8", "replace"))

    def _among(self, people: Iterable[str]) -> bool:
        return not self.addresses.isdisjoint(map(fold, people))


def start(
    connection: Connection, old: Session | None, grants: Iterable[Grant], *, now: float,
    random: Callable[[int], bytes],
) -> str:  # fmt: skip
    """A new session that may also do what the old one might, which ends; the value of its cookie."""
    cookie, token = random(32).hex(), random(32).hex()
    before = sorted(old.grants, key=repr) if old else []
    wanted = list(dict.fromkeys((*grants, *before)))[:MOST_GRANTS]
    if old is not None:
        end(connection, old)
    name = _hash(cookie)
    connection.execute(insert(tables.session).values(hash=name, token=token, created_at=now, used_at=now))
    for one in wanted:
        connection.execute(
            insert(tables.grant).values(session=name, list_id=one.list_id, role=one.role, key=one.key)
        )
    return cookie


def look(connection: Connection, cookie: str, *, now: float) -> tuple[Session, bool] | None:
    """The session of a cookie, and whether it is time to note that it is used."""
    column = tables.session.c
    alive = (column.used_at >= now - IDLE) & (column.created_at >= now - LONGEST)
    query = select(column.hash, column.token, column.used_at).where(column.hash == _hash(cookie), alive)
    row = connection.execute(query).first()
    if row is None:
        return None
    found = select(tables.grant.c.list_id, tables.grant.c.role, tables.grant.c.key)
    grants = connection.execute(found.where(tables.grant.c.session == row.hash))
    return Session(row.hash, row.token, frozenset(Grant(*one) for one in grants)), row.used_at < now - TOUCH


def touch(connection: Connection, session: Session, *, now: float) -> None:
    mine = tables.session.c.hash == session.hash
    connection.execute(update(tables.session).where(mine).values(used_at=now))


def end(connection: Connection, session: Session) -> None:
    connection.execute(delete(tables.grant).where(tables.grant.c.session == session.hash))
    connection.execute(delete(tables.session).where(tables.session.c.hash == session.hash))


def give(connection: Connection, session: Session, grant: Grant) -> None:
    """One more right for a session that goes on."""
    connection.execute(
        insert(tables.grant).values(session=session.hash, list_id=grant.list_id, role=grant.role, key=grant.key)
    )


def expire(connection: Connection, *, now: float) -> int:
    """Forget sessions that have ended; how many."""
    column = tables.session.c
    dead = (column.used_at < now - IDLE) | (column.created_at < now - LONGEST)
    old = select(column.hash).where(dead)
    connection.execute(delete(tables.grant).where(tables.grant.c.session.in_(old)))
    return connection.execute(delete(tables.session).where(dead)).rowcount


def _hash(cookie: str) -> str:
    return sha256(cookie.encode("utf-8", "replace")).hexdigest()
