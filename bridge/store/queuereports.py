"""What the queue has to tell senders: failed recipients waiting for their report, messages late enough for a warning.

Promises: failed recipients get the number of their report in a commit before it is written, and go in a commit after it
is safe in the spool; a crash in between writes the same report again under the same key, and the second one is dropped.
"""
from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection

from bridge.store.queuedb import QueueDb, close_finished
from bridge.store.queuetables import FAILED, LEASED, PENDING, ROW_COLUMNS, Row, message, recipient


class Numbered(NamedTuple):
    """Failed recipients of one message that one report tells of."""

    message: str
    report: int
    rows: tuple[Row, ...]


def failures(queue: QueueDb, limit: int = 100) -> list[Numbered]:
    """Messages with failed recipients and none under way, each group numbered (and the number committed)."""
    other = recipient.alias("other")
    busy = sa.exists().where(other.c.message == recipient.c.message, other.c.state == LEASED)
    query = sa.select(recipient.c.message).where(recipient.c.state == FAILED, ~busy)
    query = query.group_by(recipient.c.message).limit(limit)
    with queue.database.read() as connection:
        ids = list(connection.execute(query).scalars())
    if not ids:
        return []
    queue.database.write_now(lambda connection: _number(connection, ids))
    columns = (*ROW_COLUMNS, recipient.c.report)
    numbered = sa.select(*columns).where(
        recipient.c.message.in_(ids), recipient.c.state == FAILED, recipient.c.report > 0
    )
    groups: dict[tuple[str, int], list[Row]] = {}
    with queue.database.read() as connection:
        for found in connection.execute(numbered.order_by(recipient.c.id)):
            row = Row(*found[:-1])
            groups.setdefault((row.message, found[-1]), []).append(row)
    return [Numbered(one, number, tuple(rows)) for (one, number), rows in groups.items()]


def _number(connection: Connection, ids: Sequence[str]) -> None:
    for one in ids:
        new = (recipient.c.message == one) & (recipient.c.state == FAILED) & (recipient.c.report == 0)
        if connection.execute(sa.select(recipient.c.id).where(new).limit(1)).scalar() is None:
            continue
        counted = message.update().where(message.c.id == one).values(reports=message.c.reports + 1)
        number = connection.execute(counted.returning(message.c.reports)).scalar() or 1
        connection.execute(recipient.update().where(new).values(report=number))


def reported(queue: QueueDb, groups: Sequence[Numbered], now: float) -> list[str]:
    """These groups have been told of: their recipients go. The messages that have none left."""

    def unit(connection: Connection) -> list[str]:
        for group in groups:
            mine = (recipient.c.message == group.message) & (recipient.c.report == group.report)
            connection.execute(recipient.delete().where(mine, recipient.c.state == FAILED))
        return close_finished(connection, {group.message for group in groups}, now)

    return queue.database.write_now(unit)


def late(queue: QueueDb, now: float, limit: int = 100) -> dict[str, tuple[Row, ...]]:
    """Messages whose warning is due, with the recipients that were tried and are still waiting."""
    query = (
        sa.select(message.c.id).where(message.c.warn_at.is_not(None), message.c.warn_at <= now)
        .order_by(message.c.warn_at).limit(limit)
    )
    with queue.database.read() as connection:
        ids = list(connection.execute(query).scalars())
        if not ids:
            return {}
        found: dict[str, list[Row]] = {one: [] for one in ids}
        rows = sa.select(*ROW_COLUMNS).where(
            recipient.c.message.in_(ids), recipient.c.state.in_((PENDING, LEASED)), recipient.c.attempts > 0
        )
        for row in connection.execute(rows.order_by(recipient.c.id)):
            found[row.message].append(Row(*row))
    return {one: tuple(some) for one, some in found.items()}


def warned(queue: QueueDb, ids: Sequence[str]) -> None:
    """No further warning for these."""
    statement = message.update().where(message.c.id.in_(list(ids))).values(warn_at=None)
    queue.database.write_now(lambda connection: connection.execute(statement).rowcount)
