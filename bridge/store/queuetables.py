"""The tables of queue.db, their rows as values, and the hot statements ready made.

`message` is open until its last recipient is finished, then a tombstone that keeps id and key from being taken up
again; `recipient` lives from adoption until its end (delivered, expanded, reported as failed); `death` counts how often
the process died while a message was in its hands; `pause` names what is halted; `meta` has the generation.
Promises: the columns of `Row`, `New` and `Change` are those of the statements that take them, in this order.
"""
from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import BigInteger, Column, Connection, Float, Index, Integer, MetaData, SmallInteger, String, Text
from sqlalchemy.dialects import postgresql, sqlite

from bridge.store.migrate import Schema
from bridge.store.queuelook import DELETED as DELETED
from bridge.store.queuelook import DONE as DONE
from bridge.store.queuelook import FAILED as FAILED
from bridge.store.queuelook import HELD as HELD
from bridge.store.queuelook import LEASED as LEASED
from bridge.store.queuelook import MISSING as MISSING
from bridge.store.queuelook import OPEN as OPEN
from bridge.store.queuelook import PENDING as PENDING
from bridge.store.queuelook import QUARANTINED as QUARANTINED

FINISHED = -1                                                 # Change.state: the row goes
UNROUTED = ""                                                 # recipient.kind: to be looked up (again) when due

tables = MetaData()
schema = Schema("queue", tables)

meta = sa.Table(
    "meta", tables, Column("name", String(32), primary_key=True), Column("value", Text, nullable=False)
)
message = sa.Table(
    "message",
    tables,
    Column("id", String(16), primary_key=True),
    Column("unique_key", Text),                          # NULL: the id is the key
    Column("sender", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("received_at", Float, nullable=False),
    Column("door", String(16), nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("changed_at", Float, nullable=False),
    Column("warn_at", Float),                            # NULL: no delay warning, or it went out
    Column("reports", Integer, nullable=False),          # failure reports begun
    sqlite_with_rowid=False,
)
Index(
    "message_key",
    message.c.unique_key,
    unique=True,
    sqlite_where=message.c.unique_key.is_not(None),
    postgresql_where=message.c.unique_key.is_not(None),
)
Index("message_open", message.c.id, sqlite_where=sa.text("state = 0"), postgresql_where=sa.text("state = 0"))
Index("message_warn", message.c.warn_at, sqlite_where=message.c.warn_at.is_not(None))
recipient = sa.Table(
    "recipient",
    tables,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("message", String(16), nullable=False),
    Column("address", Text, nullable=False),
    Column("original", Text, nullable=False),            # the envelope's recipient
    Column("orcpt", Text, nullable=False),
    Column("notify", Text, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("target", Text, nullable=False),
    Column("nexthop", Text, nullable=False),
    Column("sender", Text, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("next_try", Float, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("code", Integer, nullable=False),             # last reply
    Column("enhanced", String(16), nullable=False),
    Column("reply", Text, nullable=False),
    Column("place", Text, nullable=False),               # who said it
    Column("lease_boot", String(32), nullable=False),
    Column("lease_until", Float, nullable=False),
    Column("report", Integer, nullable=False),           # which failure report tells of it; 0: none yet
    Index("recipient_message", "message"),
    Index("recipient_due", "state", "kind", "nexthop", "next_try"),
)
death = sa.Table(
    "death", tables, Column("message", String(16), primary_key=True), Column("number", Integer, nullable=False)
)
pause = sa.Table("pause", tables, Column("name", String(255), primary_key=True), Column("since", Float, nullable=False))


class Row(NamedTuple):
    """A recipient as stored, without its lease."""

    id: int
    message: str
    address: str
    original: str
    orcpt: str
    notify: str
    kind: str
    target: str
    nexthop: str
    sender: str
    state: int
    next_try: float
    attempts: int
    priority: int
    expires_at: float
    code: int = 0
    enhanced: str = ""
    reply: str = ""
    place: str = ""


class New(NamedTuple):
    """A message at its adoption; `key` is None where the id is the key."""

    id: str
    key: str | None
    sender: str
    size: int
    received_at: float
    door: str
    priority: int
    warn_at: float | None
    rows: tuple[Row, ...]


class Waiting(NamedTuple):
    """A pile of due recipients that go the same way."""

    kind: str
    nexthop: str
    number: int


class Change(NamedTuple):
    """What one attempt made of a recipient: PENDING (again at `next_try`), FAILED, or FINISHED."""

    id: int
    message: str
    state: int
    next_try: float = 0.0
    code: int = 0
    enhanced: str = ""
    reply: str = ""
    place: str = ""


class Hot:
    """A statement for many rows of values, given as tuples in the order of `names`; on SQLite below Core.
    `other`: what PostgreSQL gets instead."""

    def __init__(self, statement: sa.UpdateBase, *names: str, other: sa.UpdateBase | None = None) -> None:
        self._statement, self._names = statement if other is None else other, names
        compiled = statement.compile(dialect=sqlite.dialect(paramstyle="qmark"))
        if compiled.positiontup != list(names):
            raise ValueError(f"parameters {compiled.positiontup} of {compiled} are not {names}")
        self._text = str(compiled)

    def run(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        if not rows:
            return
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql(self._text, list(rows))
        else:
            connection.execute(self._statement, [dict(zip(self._names, row, strict=True)) for row in rows])


ROW_COLUMNS = [recipient.c[name] for name in Row._fields]
_LEASE = ("lease_boot", "lease_until", "report")
_NEW = ("id", "unique_key", "sender", "size", "received_at", "door", "priority", "warn_at")
_CLOSED = {
    "sender": sa.text("''"), "size": sa.text("0"), "received_at": sa.text("0"), "door": sa.text("''"),
    "priority": sa.text("0"), "reports": sa.text("0"),
}


def _upsert_closed(insert: sqlite.Insert | postgresql.Insert) -> sa.UpdateBase:
    values: dict[str, Any] = {name: sa.bindparam(name) for name in ("id", "state", "changed_at")}
    insert = insert.values(**values, **_CLOSED)
    changes = {"state": insert.excluded.state, "changed_at": insert.excluded.changed_at, "warn_at": sa.null()}
    return insert.on_conflict_do_update(index_elements=["id"], set_=changes)


INSERT_RECIPIENT = Hot(
    recipient.insert().values({name: sa.bindparam(name) for name in (*Row._fields, *_LEASE)}), *Row._fields, *_LEASE
)
INSERT_MESSAGE = Hot(
    message.insert().values(
        {name: sa.bindparam(name) for name in _NEW}
        | {"state": sa.text("0"), "changed_at": sa.text("0"), "reports": sa.text("0")}
    ),
    *_NEW,
)
DELETE_RECIPIENT = Hot(recipient.delete().where(recipient.c.id == sa.bindparam("b_id")), "b_id")
UPDATE_RECIPIENT = Hot(
    recipient.update()
    .where(recipient.c.id == sa.bindparam("b_id"), recipient.c.state == sa.bindparam("b_old"))
    .values(
        state=sa.bindparam("b_state"),
        next_try=sa.bindparam("b_next_try"),
        attempts=recipient.c.attempts + sa.text("1"),
        code=sa.bindparam("b_code"),
        enhanced=sa.bindparam("b_enhanced"),
        reply=sa.bindparam("b_reply"),
        place=sa.bindparam("b_place"),
        lease_boot=sa.text("''"),
    ),
    "b_state", "b_next_try", "b_code", "b_enhanced", "b_reply", "b_place", "b_id", "b_old",
)
CLOSED_MESSAGE = Hot(
    _upsert_closed(sqlite.insert(message)), "id", "state", "changed_at",
    other=_upsert_closed(postgresql.insert(message)),
)  # fmt: skip
