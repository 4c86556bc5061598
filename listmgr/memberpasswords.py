"""Passwords of members: one for an address on all lists, if it wants one; whoever has a mailbox here uses that one's.

Promises: kept as argon2id like those of accounts (sec-A05); an address without one costs as much time (sec-A03); a
changed password ends the address's other sessions (sec-W06).
"""

from collections.abc import Callable

from sqlalchemy import Connection, delete, insert, select

from bridge.model.address import fold
from bridge.store.engine import Database
from bridge.store.passwords import Hasher
from bridge.store.tables import bump, generation_of
from listmgr import tables

_GENERATION = "memberpasswords"


def put(connection: Connection, address: str, stored: str, *, session: str = "") -> None:
    """Store what `Hasher.hash` made, "" takes it away; other sessions than `session` lose the address."""
    key, column = fold(address), tables.member_password.c
    connection.execute(delete(tables.member_password).where(column.key == key))
    if stored:
        connection.execute(insert(tables.member_password).values(key=key, stored=stored))
    grant = tables.grant.c
    mine = (grant.role == "address") & (grant.key == key) & (grant.session != session)
    connection.execute(delete(tables.grant).where(mine))
    bump(connection, _GENERATION)


def known(connection: Connection, address: str) -> bool:
    """Has the address a password?"""
    return _stored(connection, address) is not None


def verifier(core: Database, hasher: Hasher) -> Callable[[str, str, str, str], str | None]:
    """What an authenticator calls: `login` is an address; the answer is the folded address, or None."""

    def verify(login: str, password: str, protocol: str, ip: str) -> str | None:
        with core.read() as connection:
            stored = _stored(connection, login)
        return fold(login) if hasher.check(stored, password) and stored is not None else None

    return verify


def generation(core: Database) -> int:
    """Changes with every password, so that nothing proven before counts after."""
    with core.read() as connection:
        return generation_of(connection, _GENERATION)


def _stored(connection: Connection, address: str) -> str | None:
    query = select(tables.member_password.c.stored).where(tables.member_password.c.key == fold(address))
    stored: str | None = connection.execute(query).scalar()
    return stored
