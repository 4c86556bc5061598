"""The driver for a database: messages of many users in rows of SQLite or PostgreSQL (D03).

Promises: a message is in the database, whole, before anybody is told so, and a delivery happens once however often it
is repeated (its key is unique, in the same transaction); folders, bodies and flags are in the rows, so an account's
index and directories can be lost. A body is in memory one part at a time. A number per folder grows with each change:
that is how readers see that there is something new.
Fails by: StoreError, DiskFull; then nothing has changed. Bound parameters everywhere (sec-A07).
"""
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import BigInteger, Column, Connection, Index, Integer, LargeBinary, MetaData, String, Table, Text
from sqlalchemy.dialects import postgresql, sqlite

from bridge.store import maildir
from bridge.store.body import nameless
from bridge.store.copies import Copy, converted, mark_of, top
from bridge.store.driver import Found, Item, Place, Placed
from bridge.store.engine import Database
from bridge.store.maildir import Dirs
from bridge.store.spool import Spooled
from bridge.wire.lines import WireWriter

if TYPE_CHECKING:
    from bridge.store.home import Home

PART = 256 * 1024       # bytes of a body in one row
AT_ONCE = 500           # names in one statement
REMEMBERED = 40 * 86400     # seconds that the key of a delivery is kept: longer than any queue keeps mail

mail = MetaData()

mail_folder = Table(
    "mail_folder",
    mail,
    Column("account", String(400), primary_key=True),
    Column("name", String(400), primary_key=True),
    Column("version", BigInteger, nullable=False),
)

mail_message = Table(
    "mail_message",
    mail,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("account", String(400), nullable=False),
    Column("folder", String(400), nullable=False),
    Column("stem", String(255), nullable=False),
    Column("info", Text, nullable=False),           # flags as in file names, ":2,FS"
    Column("date", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),     # with LF line ends
    Index("mail_message_name", "account", "folder", "stem", unique=True),
    sqlite_autoincrement=True,
)

mail_part = Table(
    "mail_part",
    mail,
    Column("message", BigInteger, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("data", LargeBinary, nullable=False),
)

mail_delivered = Table(
    "mail_delivered",
    mail,
    Column("account", String(400), primary_key=True),
    Column("key", String(500), primary_key=True),
    Column("at", BigInteger, nullable=False),
    Index("mail_delivered_at", "at"),
)

_message, _part = mail_message.c, mail_part.c


@dataclass(frozen=True, slots=True)
class Rows:
    """The driver of one account."""

    database: Database
    account: str

    @contextmanager
    def shelf(self, home: "Home", name: str, dirs: Dirs) -> Iterator[Place]:
        yield RowShelf(self, home, name, dirs)

    def names(self, home: "Home") -> Sequence[str]:
        query = sa.select(mail_folder.c.name).where(mail_folder.c.account == self.account)
        with self.database.read() as connection:
            return list(connection.execute(query).scalars())

    def renamed(self, home: "Home", names: Mapping[str, str]) -> None:
        def unit(connection: Connection) -> None:
            for old, new in names.items():
                self._forget(connection, new)       # left by a folder that was removed by force
                for table, column in ((mail_message, _message.folder), (mail_folder, mail_folder.c.name)):
                    change = sa.update(table).where(table.c.account == self.account, column == old)
                    connection.execute(change.values({column: new}))

        self.database.write_now(unit)

    def removed(self, home: "Home", name: str) -> None:
        self.database.write_now(lambda connection: self._forget(connection, name))

    def _forget(self, connection: Connection, name: str) -> None:
        mine = sa.and_(_message.account == self.account, _message.folder == name)
        connection.execute(sa.delete(mail_part).where(_part.message.in_(sa.select(_message.id).where(mine))))
        connection.execute(sa.delete(mail_message).where(mine))
        folder = mail_folder.c
        connection.execute(sa.delete(mail_folder).where(folder.account == self.account, folder.name == name))

    def deliver(self, home: "Home", spooled: Spooled, copy: Copy, *, again: bool) -> str:
        where = f"database:{self.account}"
        now = int(home.clock.now())
        key = {"account": self.account, "key": f"{spooled.envelope.id} {copy.address}"}

        def text() -> Iterator[bytes]:
            yield top(copy)
            yield from converted(spooled)

        disk, wire = _measured(text())
        name = f"{int(spooled.envelope.received_at)}.Q{spooled.envelope.id}R{mark_of(copy.address)}.db"
        values = self.row("INBOX", f"{name},S={disk},W={wire}", maildir.MARK, now, disk)

        def unit(connection: Connection) -> None:
            done = mail_delivered.c
            query = sa.select(done.at).where(done.account == key["account"], done.key == key["key"])
            if connection.execute(query).first() is not None:
                return
            connection.execute(sa.insert(mail_delivered), {**key, "at": now})
            connection.execute(sa.delete(mail_delivered).where(done.at < now - REMEMBERED))
            insert(connection, values, text())
            self.bump(connection, "INBOX")

        self.database.write_now(unit)
        return where

    def row(self, folder: str, stem: str, info: str, date: int, size: int) -> dict[str, Any]:
        place = {"account": self.account, "folder": folder}
        return {**place, "stem": stem, "info": info, "date": date, "size": size}

    def bump(self, connection: Connection, folder: str) -> None:
        """Something has changed in this folder."""
        kind: Any = postgresql if connection.dialect.name == "postgresql" else sqlite
        made = kind.insert(mail_folder).values(account=self.account, name=folder, version=1)
        keys = [mail_folder.c.account, mail_folder.c.name]
        connection.execute(made.on_conflict_do_update(index_elements=keys, set_={"version": mail_folder.c.version + 1}))


class RowShelf:
    """One folder in the database."""

    def __init__(self, rows: Rows, home: "Home", name: str, dirs: Dirs) -> None:
        self.folder, self.identity = dirs.folder, dirs.identity
        self._rows, self._home, self._name = rows, home, name
        self._mine = sa.and_(_message.account == rows.account, _message.folder == name)

    def times(self) -> tuple[int, int]:
        folder = mail_folder.c
        query = sa.select(folder.version).where(folder.account == self._rows.account, folder.name == self._name)
        with self._rows.database.read() as connection:
            return int(connection.execute(query).scalar() or 0), 1

    def listing(self) -> set[str]:
        with self._rows.database.read() as connection:
            rows = connection.execute(sa.select(_message.stem, _message.info).where(self._mine))
            return {stem + info for stem, info in rows}

    def inspect(self, added: Sequence[Found]) -> list[tuple[int, str, str | None]]:
        wanted = {stem for stem, _ in added}
        query = sa.select(_message.date, _message.stem, _message.info).where(self._mine).order_by(_message.id)
        with self._rows.database.read() as connection:
            return [(date, stem, info) for date, stem, info in connection.execute(query) if stem in wanted]

    def open(self, name: str, info: str | None) -> int:
        with self._rows.database.read() as connection:
            number, size = self._find(connection, name)
            return nameless(_parts(connection, number), size, self._home.path / "tmp")

    def read(self, name: str, info: str | None) -> bytes:
        with self._rows.database.read() as connection:
            return b"".join(_parts(connection, self._find(connection, name)[0]))

    def _find(self, connection: Connection, name: str) -> tuple[int, int]:
        query = sa.select(_message.id, _message.size).where(self._mine, _message.stem == name)
        found = connection.execute(query).first()
        if found is None:
            raise FileNotFoundError(name)
        return int(found[0]), int(found[1])

    def put(self, items: Sequence[Item]) -> list[Placed]:
        sizes = [_measured(_chunks(item.descriptor)) for item in items]
        placed = [Placed(maildir.sized(*size), item.info, size[1]) for item, size in zip(items, sizes)]

        def unit(connection: Connection) -> None:
            for item, one, (disk, _) in zip(items, placed, sizes):
                values = self._rows.row(self._name, one.stem, one.info, int(item.date), disk)
                insert(connection, values, _chunks(item.descriptor))
            self._rows.bump(connection, self._name)

        self._rows.database.write_now(unit)
        return placed

    def remove(self, doomed: Sequence[Found]) -> None:
        names = [stem for stem, _ in doomed]

        def unit(connection: Connection) -> None:
            for at in range(0, len(names), AT_ONCE):
                mine = sa.and_(self._mine, _message.stem.in_(names[at:at + AT_ONCE]))
                numbers = sa.select(_message.id).where(mine)
                connection.execute(sa.delete(mail_part).where(_part.message.in_(numbers)))
                connection.execute(sa.delete(mail_message).where(mine))
            self._rows.bump(connection, self._name)

        if names:
            self._rows.database.write_now(unit)

    def note(self, infos: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        change = sa.update(mail_message).where(self._mine, _message.stem == sa.bindparam("which"))
        change = change.values(info=sa.bindparam("flags"))
        values = [{"which": stem, "flags": info} for stem, info in infos]

        def unit(connection: Connection) -> None:
            connection.execute(change, values)
            self._rows.bump(connection, self._name)

        self._rows.database.write_now(unit)
        return list(infos)


def insert(connection: Connection, values: Mapping[str, Any], chunks: Iterable[bytes]) -> None:
    """A message with its body."""
    made = connection.execute(sa.insert(mail_message), values).inserted_primary_key
    assert made is not None
    for number, data in enumerate(_in_parts(chunks)):
        connection.execute(sa.insert(mail_part), {"message": made[0], "number": number, "data": data})


def _parts(connection: Connection, message: int) -> Iterator[bytes]:
    number = 0
    query = sa.select(_part.data).where(_part.message == message, _part.number == sa.bindparam("wanted"))
    while (data := connection.execute(query, {"wanted": number}).scalar()) is not None:
        yield bytes(data)
        number += 1


def _in_parts(chunks: Iterable[bytes]) -> Iterator[bytes]:
    held = b""
    for chunk in chunks:
        held += chunk
        while len(held) >= PART:
            yield held[:PART]
            held = held[PART:]
    if held:
        yield held


def _chunks(descriptor: int) -> Iterator[bytes]:
    at = 0
    while piece := os.pread(descriptor, PART, at):
        at += len(piece)
        yield piece


def _measured(chunks: Iterable[bytes]) -> tuple[int, int]:
    """(bytes as they are, bytes with CRLF)."""
    writer, disk, wire = WireWriter(), 0, 0
    for chunk in chunks:
        disk += len(chunk)
        wire += len(writer.feed(chunk))
    return disk, wire

