"""The queue as its administrator sees and commands it: list, count; flush, hold, release, delete, requeue, return.

Promises: commands change only what nobody is delivering at this moment; each is one transaction and answers with the
ids of the messages that it touched; listings are one snapshot each, bounded. Works with and without a mover: rows are
the truth, the mover is only told afterwards. FEATURES S75, S76, S84 to S87.
"""
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from bridge.store.queuedb import QueueDb, close_finished
from bridge.store.queuelook import MOST, WORDS, shown_message, shown_recipient
from bridge.store.queuetables import (
    DELETED,
    FAILED,
    HELD,
    LEASED,
    OPEN,
    PENDING,
    QUARANTINED,
    UNROUTED,
    message,
    pause,
    recipient,
)

_Unit = Callable[[Connection, list[str]], None]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which messages. What is empty doesn't restrict; all empty: every message. `domain`: of a recipient; `sender`,
    `recipient`: addresses, case doesn't matter; `before`: accepted earlier than that."""

    ids: tuple[str, ...] = ()
    sender: str | None = None
    recipient: str = ""
    domain: str = ""
    before: float = 0.0
    held: bool = False
    limit: int = field(default=MOST)


def listing(queue: QueueDb, chosen: Selection) -> list[dict[str, Any]]:
    """Messages that are still in the queue, oldest first, each with the recipients it still has."""
    with queue.database.read() as connection:
        ids = _chosen(connection, chosen)
        found: dict[str, dict[str, Any]] = {}
        for some in _slices(ids):
            rows = connection.execute(sa.select(message).where(message.c.id.in_(some)).order_by(message.c.id))
            found.update((row.id, shown_message(row)) for row in rows)
            for row in connection.execute(
                sa.select(recipient).where(recipient.c.message.in_(some)).order_by(recipient.c.id)
            ):
                found[row.message]["recipients"].append(shown_recipient(row))
    return list(found.values())


def counters(queue: QueueDb) -> dict[str, Any]:
    """Numbers for `status` and the metrics."""
    with queue.database.read() as connection:
        size_sum, first = sa.func.coalesce(sa.func.sum(message.c.size), 0), sa.func.min(message.c.received_at)
        totals = sa.select(sa.func.count(), size_sum, first).where(message.c.state == OPEN)
        number, size, oldest = connection.execute(totals).one()
        by_state = sa.select(recipient.c.state, sa.func.count()).group_by(recipient.c.state)
        states = {row[0]: row[1] for row in connection.execute(by_state)}
        aside = connection.execute(
            sa.select(sa.func.count()).select_from(message).where(message.c.state == QUARANTINED)
        ).scalar()
        halted = sorted(connection.execute(sa.select(pause.c.name)).scalars())
    return {
        "messages": number,
        "bytes": int(size),
        "oldest": oldest,
        **{word: states.get(state, 0) for state, word in WORDS.items()},
        "quarantined": aside or 0,
        "halted": halted,
    }


def flush(queue: QueueDb, chosen: Selection, now: float) -> list[str]:
    """Try these now."""
    return _command(queue, chosen, _set((PENDING,), {"next_try": now}))


def hold(queue: QueueDb, chosen: Selection) -> list[str]:
    """Keep these until they are released."""
    return _command(queue, chosen, _set((PENDING,), {"state": HELD}))


def release(queue: QueueDb, chosen: Selection, now: float) -> list[str]:
    """Let held ones go on."""
    return _command(queue, chosen, _set((HELD,), {"state": PENDING, "next_try": now}))


def requeue(queue: QueueDb, chosen: Selection, now: float) -> list[str]:
    """Look the addresses up anew, for instance after aliases were mended, and try now."""
    changes = {"kind": UNROUTED, "nexthop": "", "state": PENDING, "next_try": now}
    return _command(queue, chosen, _set((PENDING, HELD), changes))


def give_back(queue: QueueDb, chosen: Selection, now: float) -> list[str]:
    """Return these to their senders."""
    said = {"code": 550, "enhanced": "5.4.7", "reply": "Returned by the administrator", "place": ""}
    return _command(queue, chosen, _set((PENDING, HELD), {"state": FAILED, "next_try": now, **said}))


def delete(queue: QueueDb, chosen: Selection, now: float) -> list[str]:
    """Forget these without telling anybody. The messages that are gone; their spool files may be removed now, and are
    at the next start of the mover."""

    def unit(connection: Connection) -> list[str]:
        ids = _chosen(connection, chosen)
        gone: list[str] = []
        for some in _slices(ids):
            idle = recipient.c.message.in_(some) & (recipient.c.state != LEASED)
            connection.execute(recipient.delete().where(idle))
            closed = close_finished(connection, some, now)
            connection.execute(message.update().where(message.c.id.in_(closed)).values(state=DELETED))
            gone += closed
        return gone

    return queue.database.write_now(unit)


def halt(queue: QueueDb, names: Sequence[str], now: float) -> list[str]:
    """Stop classes ("local", "outgoing", "lists", "all") or destinations; all that are halted now."""

    def unit(connection: Connection) -> list[str]:
        there = set(connection.execute(sa.select(pause.c.name)).scalars())
        new = [{"name": name.lower(), "since": now} for name in dict.fromkeys(names) if name.lower() not in there]
        if new:
            connection.execute(pause.insert(), new)
        return sorted(connection.execute(sa.select(pause.c.name)).scalars())

    return queue.database.write_now(unit)


def resume(queue: QueueDb, names: Sequence[str]) -> list[str]:
    """Let them go on; without names: everything. All that are still halted."""

    def unit(connection: Connection) -> list[str]:
        statement = pause.delete()
        if names:
            statement = statement.where(pause.c.name.in_([name.lower() for name in names]))
        connection.execute(statement)
        return sorted(connection.execute(sa.select(pause.c.name)).scalars())

    return queue.database.write_now(unit)


def _command(queue: QueueDb, chosen: Selection, change: _Unit) -> list[str]:
    def unit(connection: Connection) -> list[str]:
        ids = _chosen(connection, chosen)
        for some in _slices(ids):
            change(connection, list(some))
        return ids

    return queue.database.write_now(unit)


def _set(states: tuple[int, ...], values: dict[str, Any]) -> _Unit:
    def change(connection: Connection, ids: list[str]) -> None:
        mine = recipient.c.message.in_(ids) & recipient.c.state.in_(states)
        connection.execute(recipient.update().where(mine).values(values))

    return change


def _chosen(connection: Connection, chosen: Selection) -> list[str]:
    query = sa.select(message.c.id).where(message.c.state == OPEN)
    if chosen.ids:
        query = query.where(message.c.id.in_(chosen.ids))
    if chosen.sender is not None:
        query = query.where(sa.func.lower(message.c.sender) == chosen.sender.lower())
    if chosen.before:
        query = query.where(message.c.received_at < chosen.before)
    has = [recipient.c.message == message.c.id]
    if chosen.recipient:
        wanted = chosen.recipient.lower()
        has.append((sa.func.lower(recipient.c.address) == wanted) | (sa.func.lower(recipient.c.original) == wanted))
    if chosen.domain:
        has.append(sa.func.lower(recipient.c.address).endswith("@" + chosen.domain.lower(), autoescape=True))
    if chosen.held:
        has.append(recipient.c.state == HELD)
    if len(has) > 1:
        query = query.where(sa.exists().where(*has))
    return list(connection.execute(query.order_by(message.c.id).limit(chosen.limit)).scalars())


def _slices(items: Sequence[str], most: int = 500) -> list[Sequence[str]]:
    return [items[start : start + most] for start in range(0, len(items), most)]
