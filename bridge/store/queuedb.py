"""queue.db: how far each accepted message got. The spool says what was accepted; all of this can be made again from it.

Promises: adoption is idempotent by id and by key; a unit is all or nothing; leases of another boot are void at `start`;
a database that is gone, damaged or older than the spool remembers is set aside (`.corrupt-<time>`) or begun anew, and
`start` says so: every spool file is then taken as one that may have been delivered (D-1, D-4, sec-Q05, sec-Q06).
Methods that write give a future that resolves after the commit; what is submitted together shares one.
Fails by: StoreError, DiskFull; ConfigError for a database of a newer release.
"""
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from bridge.model.errors import StoreError
from bridge.store import files
from bridge.store.engine import Database
from bridge.store.failpoints import Failpoint
from bridge.store.migrate import migrate
from bridge.store.queuetables import (
    CLOSED_MESSAGE,
    DELETE_RECIPIENT,
    DONE,
    FINISHED,
    INSERT_MESSAGE,
    INSERT_RECIPIENT,
    LEASED,
    OPEN,
    PENDING,
    ROW_COLUMNS,
    UPDATE_RECIPIENT,
    Change,
    New,
    Row,
    Waiting,
    death,
    message,
    meta,
    pause,
    recipient,
    schema,
)
from bridge.store.sqlite import is_damage

_COMMIT = Failpoint("queuedb.commit", "a group of queue rows")
_GENERATION = Failpoint("queuedb.generation", "the generation beside the spool")
_ASIDE = Failpoint("queuedb.aside", "a damaged queue.db is set aside")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Start:
    """What `start` found. `rebuilt`: rows may be missing or older than the truth."""

    boot: str
    rebuilt: bool
    open: frozenset[str]
    blamed: dict[str, int]
    paused: frozenset[str]
    last_recipient: int


class QueueDb:
    """The queue's rows. One mover writes; `bridge.store.queueview` reads and commands."""

    def __init__(self, url: str, generation: Path) -> None:
        self.url = url
        self._generation_file = generation
        self.database = Database(url, point=_COMMIT)
        self._inode = -1
        self.closed = False

    # --- life

    def start(self, boot: str, now: float) -> Start:
        """Open, check, void the leases of others. Blocks."""
        rebuilt = self._set_aside_if_broken(now)
        migrate(self.database, schema)
        with self.database.read() as connection:
            mine = connection.execute(sa.select(meta.c.value).where(meta.c.name == "generation")).scalar() or ""
        noted = self._noted_generation()
        fresh = str(max(int(mine or 0), int(noted or 0)) + 1)

        def unit(connection: Connection) -> Start:
            connection.execute(meta.delete())
            connection.execute(meta.insert(), [{"name": "generation", "value": fresh}])
            others = (recipient.c.state == LEASED) & (recipient.c.lease_boot != boot)
            connection.execute(
                recipient.update().where(others).values(state=PENDING, attempts=recipient.c.attempts + 1)
            )
            return _look(connection, boot, rebuilt or mine != noted)

        found = self.database.write_now(unit)
        try:
            files.replace(self._generation_file, fresh.encode(), _GENERATION)
        except OSError as error:
            raise StoreError(f"{self._generation_file}: {error}") from error
        self._inode = self._current_inode()
        return found

    def replaced(self) -> bool:
        """Has the file gone, or another come in its place, since `start`?"""
        return self._current_inode() != self._inode

    def broken(self) -> bool:
        """Is the file gone, replaced or damaged? Then `close`, make a new object and `start` that."""
        if self.replaced():
            return True
        try:
            return bool(self.database.check())
        except StoreError as error:
            return is_damage(error)

    def close(self) -> None:
        """Commit what waits; from now on everything is a StoreError."""
        self.closed = True
        self.database.close()

    def _set_aside_if_broken(self, now: float) -> bool:
        """True if there was no sound database file; a damaged one has then been moved away."""
        path = self.database.path
        if path is None:
            return False
        if not path.exists():
            _move_aside(path, now)      # a -wal without its database belongs to nothing
            return True
        try:
            found = self.database.check()
        except StoreError as error:
            if not is_damage(error):
                raise
            found = [str(error)]
        if not found:
            return False
        _log.error("queue.db is damaged and is made again from the spool: %s", "; ".join(found)[:300])
        self.database.close()
        _move_aside(path, now)
        self.database = Database(self.url, point=_COMMIT)
        return True

    def _noted_generation(self) -> str:
        try:
            text = self._generation_file.read_text("ascii").strip()
        except (FileNotFoundError, UnicodeDecodeError):
            return ""
        return text if text.isdigit() else ""

    def _current_inode(self) -> int:
        path = self.database.path
        try:
            return os.stat(path).st_ino if path else 0
        except FileNotFoundError:
            return -1

    # --- in

    def known(self, ids: Sequence[str]) -> dict[str, int]:
        """State of those of these ids that have a row."""
        with self.database.read() as connection:
            return _states(connection, ids)

    def adopt(self, new: Sequence[New], boot: str, until: float) -> "Future[dict[str, int]]":
        """Rows for messages. The answer names those that were known already, with their state; where another message
        has the same key, that is DONE: the spool file at hand is the second one and is to be dropped."""

        def unit(connection: Connection) -> dict[str, int]:
            known = _already(connection, new)
            fresh = [one for one in new if one.id not in known]
            INSERT_MESSAGE.run(connection, [one[:-1] for one in fresh])
            INSERT_RECIPIENT.run(connection, [_leased(row, boot, until) for one in fresh for row in one.rows])
            return known

        return self.database.write(unit)

    def finish_new(self, ids: Sequence[str], now: float) -> "Future[None]":
        """Tombstones for messages that were delivered before they had any row."""
        rows = [(one, DONE, now) for one in ids]
        return self.database.write(lambda connection: CLOSED_MESSAGE.run(connection, rows))

    def close_empty(self, ids: Sequence[str], now: float) -> "Future[list[str]]":
        """Close those of these messages that have no recipient; their keys stay known."""
        return self.database.write(lambda connection: close_finished(connection, ids, now))

    # --- out

    def waiting(self, now: float) -> list[Waiting]:
        """What is due, in piles by way. Reads an index only."""
        way = (recipient.c.kind, recipient.c.nexthop)
        query = sa.select(*way, sa.func.count()).where(_due(now)).group_by(*way)
        with self.database.read() as connection:
            return [Waiting(kind, nexthop, number) for kind, nexthop, number in connection.execute(query)]

    def due(self, kind: str, nexthop: str, now: float, limit: int) -> list[Row]:
        """Recipients of one pile: personal before bulk, then by time."""
        query = (
            sa.select(*ROW_COLUMNS)
            .where(_due(now), recipient.c.kind == kind, recipient.c.nexthop == nexthop)
            .order_by(recipient.c.priority, recipient.c.next_try, recipient.c.id)
            .limit(limit)
        )
        with self.database.read() as connection:
            return [Row(*row) for row in connection.execute(query)]

    def next_due(self) -> float | None:
        """When the next recipient is due, or None."""
        with self.database.read() as connection:
            found = connection.execute(sa.select(sa.func.min(recipient.c.next_try)).where(recipient.c.state == PENDING))
            return found.scalar()

    def lease(self, ids: Sequence[int], boot: str, until: float) -> "Future[set[int]]":
        """Take these recipients; the answer has those that were still to be had."""

        def unit(connection: Connection) -> set[int]:
            taken: set[int] = set()
            for some in _slices(ids):
                statement = (
                    recipient.update()
                    .where(recipient.c.state == PENDING, recipient.c.id.in_(some))
                    .values(state=LEASED, lease_boot=boot, lease_until=until)
                    .returning(recipient.c.id)
                )
                taken.update(connection.execute(statement).scalars())
            return taken

        return self.database.write(unit)

    def release(self, ids: Sequence[int]) -> "Future[None]":
        """Give leased recipients back untried."""

        def unit(connection: Connection) -> None:
            for some in _slices(ids):
                mine = (recipient.c.state == LEASED) & recipient.c.id.in_(some)
                connection.execute(recipient.update().where(mine).values(state=PENDING, lease_boot=""))

        return self.database.write(unit)

    def record(self, changes: Sequence[Change], now: float) -> "Future[list[str]]":
        """Results of attempts. The answer names the messages that have no recipient left: done."""

        def unit(connection: Connection) -> list[str]:
            DELETE_RECIPIENT.run(connection, [(one.id,) for one in changes if one.state == FINISHED])
            kept = [(*one[2:], one.id, LEASED) for one in changes if one.state != FINISHED]
            UPDATE_RECIPIENT.run(connection, kept)
            return close_finished(connection, {one.message for one in changes if one.state == FINISHED}, now)

        return self.database.write(unit)

    def reroute(self, old: Sequence[Row], new: Sequence[Row], now: float) -> "Future[list[str]]":
        """Other recipients in the place of these, which were looked up again; names messages that have none left."""

        def unit(connection: Connection) -> list[str]:
            DELETE_RECIPIENT.run(connection, [(row.id,) for row in old])
            INSERT_RECIPIENT.run(connection, [_leased(row, "", 0.0) for row in new])
            return close_finished(connection, {row.message for row in old}, now)

        return self.database.write(unit)

    # --- trouble

    def count_deaths(self, ids: Sequence[str], blame: int) -> "Future[dict[str, int]]":
        """`blame` more for each of these; what all have by now."""

        def unit(connection: Connection) -> dict[str, int]:
            counts = _deaths(connection)
            for one in ids:
                counts[one] = counts.get(one, 0) + blame
            connection.execute(death.delete())
            if counts:
                rows = [{"message": one, "number": number} for one, number in counts.items()]
                connection.execute(death.insert(), rows)
            return counts

        return self.database.write(unit)

    def forget_deaths(self, ids: Sequence[str]) -> "Future[None]":
        statement = death.delete().where(death.c.message.in_(list(ids)))
        return self.database.write(lambda connection: _nothing(connection.execute(statement)))

    def close_as(self, ids: Sequence[str], state: int, now: float) -> "Future[None]":
        """Close messages otherwise than by delivery (quarantined, missing, deleted). Their recipients go."""

        def unit(connection: Connection) -> None:
            for some in _slices(ids):
                connection.execute(recipient.delete().where(recipient.c.message.in_(some)))
                connection.execute(death.delete().where(death.c.message.in_(some)))
            CLOSED_MESSAGE.run(connection, [(one, state, now) for one in ids])

        return self.database.write(unit)

    def shift(self, seconds: float, now: float, longest: float) -> "Future[None]":
        """The wall clock jumped by so much: what was to come is as far ahead as before (D-9, P29)."""

        def unit(connection: Connection) -> None:
            later = {"next_try": recipient.c.next_try + seconds, "expires_at": recipient.c.expires_at + seconds}
            connection.execute(recipient.update().values(later))
            _clamp(connection, now, longest)
            warn_at = message.c.warn_at + seconds
            connection.execute(message.update().where(message.c.warn_at.is_not(None)).values(warn_at=warn_at))

        return self.database.write(unit)

    def clamp(self, now: float, longest: float) -> "Future[None]":
        """Nobody waits longer than the longest wait, whatever the clock was when it was written (D-9)."""
        return self.database.write(lambda connection: _clamp(connection, now, longest))

    def sweep(self, before_id: str) -> "Future[int]":
        """Forget tombstones of messages whose id is older than `before_id`."""
        statement = message.delete().where(message.c.state != OPEN, message.c.id < before_id)
        return self.database.write(lambda connection: connection.execute(statement).rowcount)


def close_finished(connection: Connection, ids: Iterable[str], now: float) -> list[str]:
    """Those of these messages that have no recipient left become tombstones; inside a unit."""
    left = sa.exists().where(recipient.c.message == message.c.id)
    closed: list[str] = []
    for some in _slices(list(ids)):
        statement = (
            message.update()
            .where(message.c.state == OPEN, message.c.id.in_(some), ~left)
            .values(state=DONE, changed_at=now, warn_at=None)
            .returning(message.c.id)
        )
        closed += connection.execute(statement).scalars()
    return closed


def _look(connection: Connection, boot: str, rebuilt: bool) -> Start:
    ids = frozenset(connection.execute(sa.select(message.c.id).where(message.c.state == OPEN)).scalars())
    paused = frozenset(connection.execute(sa.select(pause.c.name)).scalars())
    last = connection.execute(sa.select(sa.func.max(recipient.c.id))).scalar() or 0
    return Start(boot, rebuilt, ids, _deaths(connection), paused, last)


def _deaths(connection: Connection) -> dict[str, int]:
    rows = connection.execute(sa.select(death.c.message, death.c.number))
    return {row.message: row.number for row in rows}


def _states(connection: Connection, ids: Sequence[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for some in _slices(ids):
        query = sa.select(message.c.id, message.c.state).where(message.c.id.in_(some))
        found.update((one, state) for one, state in connection.execute(query))
    return found


def _already(connection: Connection, new: Sequence[New]) -> dict[str, int]:
    """Those of `new` that have a row, or whose key another one has (in the table, or earlier in `new`)."""
    found = _states(connection, [one.id for one in new])
    holder = {one.key: one.id for one in reversed(new) if one.key}
    for some in _slices(list(holder)):
        query = sa.select(message.c.unique_key, message.c.id).where(message.c.unique_key.in_(some))
        holder.update((key, one) for key, one in connection.execute(query))
    found.update((one.id, DONE) for one in new if one.key and holder[one.key] != one.id)
    return found


def _due(now: float) -> sa.ColumnElement[bool]:
    return (recipient.c.state == PENDING) & (recipient.c.next_try <= now)


def _clamp(connection: Connection, now: float, longest: float) -> None:
    far = (recipient.c.state == PENDING) & (recipient.c.next_try > now + longest)
    connection.execute(recipient.update().where(far).values(next_try=now + longest))


def _leased(row: Row, boot: str, until: float) -> tuple[Any, ...]:
    return (*row, boot, until, 0) if row.state == LEASED else (*row, "", 0.0, 0)


def _move_aside(path: Path, now: float) -> None:
    for suffix in ("", "-wal", "-shm"):
        old = path.with_name(path.name + suffix)
        if old.exists():
            files.rename(old, path.with_name(f"{path.name}.corrupt-{int(now)}{suffix}"), _ASIDE)


def _slices(items: Sequence[Any], most: int = 500) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), most):
        yield items[start : start + most]


def _nothing(result: object) -> None:
    """For units whose answer nobody wants."""
