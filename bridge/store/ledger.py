"""The fetch ledger: what was collected from where, committed before anything is deleted there (SECURITY D-6, F82).

States of a remote message: `committed` (its spool file is durable) → `delete_sent` → `gone`; `skipped` (too large,
refused); `poison` (failed three times, raw copy in quarantine). `tries` counts failures of what isn't committed yet.
Promises: a row is unique by (account, folder, uidvalidity, uid); writing it twice is writing it once; only `committed`
rows may be deleted remotely.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Column, Connection, Float, Index, Integer, String, Table
from sqlalchemy.engine import Row

from bridge.store.engine import Database
from bridge.store.tables import core

TRIES = 3
MEMORY_DAYS = 90  # how far back a changed UIDVALIDITY is matched by content

seen = Table(
    "fetch_seen",
    core,
    Column("account", String(200), primary_key=True),
    Column("folder", String(400), primary_key=True),
    Column("uidvalidity", String(40), primary_key=True),
    Column("uid", String(200), primary_key=True),
    Column("state", String(12), nullable=False),
    Column("size", sa.BigInteger, nullable=False, default=0),
    Column("head", String(64), nullable=False, default=""),  # SHA-256 of the header block, CRLF form
    Column("sha256", String(64), nullable=False, default=""),  # of the whole message as collected
    Column("queue_id", String(32), nullable=False, default=""),
    Column("tries", Integer, nullable=False, default=0),
    Column("at", Float, nullable=False),
    Index("fetch_seen_content", "account", "folder", "head", "size"),
)

account_state = Table(
    "fetch_account",
    core,
    Column("account", String(200), primary_key=True),
    Column("last_poll", Float, nullable=False, default=0.0),
    Column("last_good", Float, nullable=False, default=0.0),
    Column("messages", Integer, nullable=False, default=0),
    Column("failures", Integer, nullable=False, default=0),
    Column("error", String(1000), nullable=False, default=""),
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One row to note."""

    uid: str
    state: str
    size: int = 0
    head: str = ""
    sha256: str = ""
    queue_id: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """A remote folder at one UIDVALIDITY."""

    account: str
    folder: str
    uidvalidity: str


class Ledger:
    """Rows of one database; every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def states(self, place: Place) -> dict[str, tuple[str, float]]:
        """uid → (state, when) of everything known of this folder."""
        query = sa.select(seen.c.uid, seen.c.state, seen.c.at).where(*_at(place))
        with self._database.read() as connection:
            return {row.uid: (row.state, row.at) for row in connection.execute(query)}

    def tries(self, place: Place) -> dict[str, int]:
        """uid → how often it failed, of those that did and aren't decided."""
        query = sa.select(seen.c.uid, seen.c.tries).where(*_at(place), seen.c.state == "failed")
        with self._database.read() as connection:
            return {row.uid: row.tries for row in connection.execute(query)}

    def note(self, place: Place, entries: Iterable[Entry], now: float) -> None:
        """Write rows; what is known gets the new state. Durable when this returns."""
        rows = [
            {
                "account": place.account, "folder": place.folder, "uidvalidity": place.uidvalidity, "uid": one.uid,
                "state": one.state, "size": one.size, "head": one.head, "sha256": one.sha256,
                "queue_id": one.queue_id, "at": now,
            }
            for one in entries
        ]  # fmt: skip
        if rows:
            self._database.write_now(lambda connection: _upsert(connection, rows))

    def fail(self, place: Place, uid: str, now: float) -> int:
        """Count a failure; how many there are now."""

        def unit(connection: Connection) -> int:
            where = [*_at(place), seen.c.uid == uid]
            count: int | None = connection.execute(sa.select(seen.c.tries).where(*where)).scalar()
            if count is None:
                values = {"account": place.account, "folder": place.folder, "uidvalidity": place.uidvalidity}
                connection.execute(seen.insert(), {**values, "uid": uid, "state": "failed", "tries": 1, "at": now})
                return 1
            connection.execute(seen.update().where(*where).values(tries=count + 1, at=now))
            return count + 1

        return self._database.write_now(unit)

    def moved(self, place: Place, uids: Sequence[str], state: str, now: float) -> None:
        """Change the state of known rows: delete_sent, gone."""

        def unit(connection: Connection) -> None:
            for start in range(0, len(uids), 500):
                some = uids[start : start + 500]
                connection.execute(seen.update().where(*_at(place), seen.c.uid.in_(some)).values(state=state, at=now))

        if uids:
            self._database.write_now(unit)

    def known_content(self, place: Place, since: float) -> dict[tuple[str, int], str]:
        """(header hash, size) → sha256 of what this account's folder gave since then, under any UIDVALIDITY."""
        query = sa.select(seen.c.head, seen.c.size, seen.c.sha256).where(
            seen.c.account == place.account, seen.c.folder == place.folder, seen.c.at >= since, seen.c.head != "",
            seen.c.state.in_(("committed", "delete_sent", "gone")),
        )  # fmt: skip
        with self._database.read() as connection:
            return {(row.head, row.size): row.sha256 for row in connection.execute(query)}

    def polled(self, account: str, now: float, messages: int, error: str) -> int:
        """Note how a poll went; how many failures there are in a row."""

        def unit(connection: Connection) -> int:
            where = account_state.c.account == account
            row = connection.execute(sa.select(account_state).where(where)).first()
            failures = (row.failures if row else 0) + 1 if error else 0
            values = {
                "last_poll": now, "failures": failures, "error": error[:1000],
                "last_good": (row.last_good if row else 0.0) if error else now,
                "messages": (row.messages if row else 0) + messages,
            }  # fmt: skip
            if row is None:
                connection.execute(account_state.insert(), {"account": account, **values})
            else:
                connection.execute(account_state.update().where(where).values(**values))
            return failures

        return self._database.write_now(unit)

    def accounts(self) -> list[Row[tuple[str, float, float, int, int, str]]]:
        """How each account stands."""
        with self._database.read() as connection:
            return list(connection.execute(sa.select(account_state).order_by(account_state.c.account)))


def _at(place: Place) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        seen.c.account == place.account, seen.c.folder == place.folder, seen.c.uidvalidity == place.uidvalidity,
    )  # fmt: skip


def _upsert(connection: Connection, rows: list[dict[str, object]]) -> None:
    from sqlalchemy.dialects import postgresql, sqlite

    make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = make(seen)
    keys = ["account", "folder", "uidvalidity", "uid"]
    changed = {name: statement.excluded[name] for name in ("state", "size", "head", "sha256", "queue_id", "at")}
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed), rows)
