"""The passwords of a list: of its administrators and its moderators, as Mailman has them.

Promises: kept as argon2id like those of accounts (sec-A05); who checks one always pays for both roles, so the time says
nothing; a changed password ends every session that it opened (sec-W06).
"""

from collections.abc import Callable

from sqlalchemy import Connection, delete, insert, select

from bridge.store.engine import Database
from bridge.store.passwords import Hasher
from bridge.store.tables import bump, generation_of
from listmgr import registry, tables
from listmgr.registry import MailingList

ROLES = ("admin", "moderator")
_GENERATION = "listpasswords"


def put(connection: Connection, which: MailingList, role: str, stored: str) -> None:
    """Store what `Hasher.hash` made; sessions that the old one opened lose what it gave them."""
    column = tables.password.c
    connection.execute(delete(tables.password).where(column.list_id == which.id, column.role == role))
    connection.execute(insert(tables.password).values(list_id=which.id, role=role, stored=stored))
    grant = tables.grant.c
    connection.execute(delete(tables.grant).where(grant.list_id == which.id, grant.role == role))
    bump(connection, _GENERATION)


def known(connection: Connection, which: MailingList, role: str) -> bool:
    """Has the list such a password?"""
    return _stored(connection, which.id, role) is not None


def verifier(core: Database, hasher: Hasher) -> Callable[[str, str, str, str], str | None]:
    """What an authenticator calls: `login` is the list's name; the answer is the role, or None."""

    def verify(login: str, password: str, protocol: str, ip: str) -> str | None:
        with core.read() as connection:
            which = registry.find(connection, login)
            found = [_stored(connection, which.id, role) if which else None for role in ROLES]
        proven = [hasher.check(stored, password) for stored in found]
        return next((role for role, good in zip(ROLES, proven, strict=True) if good), None)

    return verify


def generation(core: Database) -> int:
    """Changes with every password, so that nothing proven before counts after."""
    with core.read() as connection:
        return generation_of(connection, _GENERATION)


def _stored(connection: Connection, list_id: int, role: str) -> str | None:
    column = tables.password.c
    query = select(column.stored).where(column.list_id == list_id, column.role == role)
    stored: str | None = connection.execute(query).scalar()
    return stored
