"""The fetch ledger: what was collected from where, committed before anything is deleted there (SECURITY D-6, F82).

States of a remote message: `committed` (its spool file is durable) → `delete_sent` → `gone`; `large` (over the
limit, looked at again); `looped` (went out from here and came back); `failed` (`tries` counts how often), then `poison`
(three times, raw copy in quarantine).
Promises: a row is unique by (account, folder, uidvalidity, uid); writing it twice is writing it once; only what was
`committed` may be deleted remotely; a row is durable when the call returns, or its future resolves.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import NamedTuple

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
    Index("fetch_seen_size", "account", "folder", "size"),
    Index("fetch_seen_head", "account", "folder", "head"),
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


class Known(NamedTuple):
    """What the ledger says of a message. `at`: when that was first said."""

    state: str
    at: float
    tries: int
    size: int
    head: str


class Content(NamedTuple):
    """A message that was collected before, maybe under another name."""

    uidvalidity: str
    uid: str
    size: int
    head: str
    sha256: str


MINE = ("committed", "delete_sent", "gone")  # states of what we have


class Ledger:
    """Rows of one database; every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def states(self, place: Place) -> dict[str, Known]:
        """uid → what is known of it, for everything in this folder."""
        columns = (seen.c.uid, seen.c.state, seen.c.at, seen.c.tries, seen.c.size, seen.c.head)
        query = sa.select(*columns).where(*_at(place))
        with self._database.read() as connection:
            return {row[0]: Known(*row[1:]) for row in connection.execute(query)}

    def note(self, place: Place, entries: Iterable[Entry], now: float) -> None:
        """Write rows; what is known gets the new state. Durable when this returns."""
        rows = _rows(place, entries, now)
        if rows:
            self._database.write_now(lambda connection: _upsert(connection, rows))

    def note_soon(self, place: Place, entries: Iterable[Entry], now: float) -> "Future[None]":
        """`note`, durable when the future resolves."""
        rows = _rows(place, entries, now)
        return self._database.write(lambda connection: _upsert(connection, rows))

    def fail(self, place: Place, uid: str, now: float, *, most: int = TRIES) -> int:
        """Count a failure, not beyond `most`; how many there are now."""

        def unit(connection: Connection) -> int:
            where = [*_at(place), seen.c.uid == uid]
            count: int | None = connection.execute(sa.select(seen.c.tries).where(*where)).scalar()
            if count is None:
                values = {"account": place.account, "folder": place.folder, "uidvalidity": place.uidvalidity}
                connection.execute(seen.insert(), {**values, "uid": uid, "state": "failed", "tries": 1, "at": now})
                return 1
            count = max(count, min(count + 1, most))
            connection.execute(seen.update().where(*where).values(tries=count, at=now))
            return count

        return self._database.write_now(unit)

    def moved(self, place: Place, uids: Sequence[str], state: str) -> None:
        """Change the state of known rows: delete_sent, gone."""

        def unit(connection: Connection) -> None:
            for start in range(0, len(uids), 500):
                some = uids[start : start + 500]
                connection.execute(seen.update().where(*_at(place), seen.c.uid.in_(some)).values(state=state))

        if uids:
            self._database.write_now(unit)

    def same_size(self, place: Place, sizes: Iterable[int], since: float) -> list[Content]:
        """What this account's folder gave since then, of one of these sizes, under any UIDVALIDITY."""
        wanted, found = sorted(set(sizes)), []
        query = sa.select(seen.c.uidvalidity, seen.c.uid, seen.c.size, seen.c.head, seen.c.sha256)
        with self._database.read() as connection:
            for start in range(0, len(wanted), 500):
                where = (*_mine(place), seen.c.at >= since, seen.c.size.in_(wanted[start : start + 500]))
                found += [Content(*row) for row in connection.execute(query.where(*where))]
        return found

    def moved_house(self, place: Place, since: float) -> bool:
        """This folder had another UIDVALIDITY since then."""
        where = (*_mine(place), seen.c.at >= since, seen.c.uidvalidity != place.uidvalidity)
        with self._database.read() as connection:
            return connection.execute(sa.select(seen.c.uid).where(*where).limit(1)).first() is not None

    def has_content(self, place: Place, head: str, sha256: str, since: float) -> bool:
        """This very message was collected under another UIDVALIDITY since then."""
        where = (
            *_mine(place), seen.c.head == head, seen.c.sha256 == sha256, seen.c.at >= since,
            seen.c.uidvalidity != place.uidvalidity,
        )  # fmt: skip
        with self._database.read() as connection:
            return connection.execute(sa.select(seen.c.uid).where(*where).limit(1)).first() is not None

    def prune(self, place: Place, before: float) -> None:
        """Forget what is gone there and older than that."""
        where = (*_at(place), seen.c.state == "gone", seen.c.at < before)
        with self._database.read() as connection:
            if connection.execute(sa.select(seen.c.uid).where(*where).limit(1)).first() is None:
                return
        self._database.write_now(lambda connection: connection.execute(seen.delete().where(*where)))

    def retry(self, account: str) -> int:
        """Give failed and poisoned messages of an account a new chance; how many."""
        where = (seen.c.account == account, seen.c.state.in_(("failed", "poison")))
        return self._database.write_now(lambda connection: connection.execute(seen.delete().where(*where)).rowcount)

    def polled(self, account: str, now: float, messages: int, error: str) -> tuple[int, float]:
        """Note how a poll went; how many failures there are in a row, and when it last went well."""

        def unit(connection: Connection) -> tuple[int, float]:
            where = account_state.c.account == account
            row = connection.execute(sa.select(account_state).where(where)).first()
            failures = (row.failures if row else 0) + 1 if error else 0
            good: float = (row.last_good if row else 0.0) if error else now
            values = {
                "last_poll": now, "failures": failures, "error": error[:1000],
                "last_good": good,
                "messages": (row.messages if row else 0) + messages,
            }  # fmt: skip
            if row is None:
                connection.execute(account_state.insert(), {"account": account, **values})
            else:
                connection.execute(account_state.update().where(where).values(**values))
            return failures, good

        return self._database.write_now(unit)

    def accounts(self) -> list[Row[tuple[str, float, float, int, int, str]]]:
        """How each account stands."""
        with self._database.read() as connection:
            return list(connection.execute(sa.select(account_state).order_by(account_state.c.account)))


def _at(place: Place) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        seen.c.account == place.account, seen.c.folder == place.folder, seen.c.uidvalidity == place.uidvalidity,
    )  # fmt: skip


def _mine(place: Place) -> tuple[sa.ColumnElement[bool], ...]:
    return seen.c.account == place.account, seen.c.folder == place.folder, seen.c.head != "", seen.c.state.in_(MINE)


def _rows(place: Place, entries: Iterable[Entry], now: float) -> list[dict[str, object]]:
    return [
        {
            "account": place.account, "folder": place.folder, "uidvalidity": place.uidvalidity, "uid": one.uid,
            "state": one.state, "size": one.size, "head": one.head, "sha256": one.sha256,
            "queue_id": one.queue_id, "at": now,
        }
        for one in entries
    ]  # fmt: skip


def _upsert(connection: Connection, rows: list[dict[str, object]]) -> None:
    from sqlalchemy.dialects import postgresql, sqlite

    make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = make(seen)
    keys = ["account", "folder", "uidvalidity", "uid"]
    changed = {name: statement.excluded[name] for name in ("state", "size", "head", "sha256", "queue_id", "at")}
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed), rows)
