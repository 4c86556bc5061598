"""From any older schema to today's: numbered steps, each one transaction, after a copy (SECURITY D-15, P30, O17).

Promises: an interrupted migration goes on where it stopped; running it twice does nothing; before the first step a
SQLite file is copied beside it (`copies/<name>-v<n>-<time>.db`, whole or not there), and nothing happens if there is no
room for that; a file from a newer version is left alone. A new database is made in one transaction in its latest form.
Tables that were added to the MetaData and need no step come by themselves.
Fails by: ConfigError (newer schema; text says what to do), DiskFull (no room for the copy), StoreError.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import Connection, MetaData

from bridge.model.clock import SYSTEM, Clock
from bridge.model.errors import ConfigError, DiskFull
from bridge.model.language import tr
from bridge.store import files
from bridge.store.engine import Database
from bridge.store.failpoints import Failpoint

_STEP = Failpoint("migrate.step", "one step of a schema migration, inside its transaction")
_COPY = Failpoint("migrate.copy", "the copy of a database before its migration gets its name")
_SPARE = 16 << 20       # bytes that must stay free beside the copy and the migrated file

_versions = sa.Table(
    "schema_version",
    MetaData(),
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Step:
    """What turns schema `version - 1` into `version`. `apply` runs inside one write transaction and, once released,
    never changes: it must not use tables of a MetaData that go on changing."""

    version: int
    about: str
    apply: Callable[[Connection], None]


@dataclass(frozen=True, slots=True)
class Schema:
    """The tables of one database and how older ones become them. Version 1 has no step."""

    name: str               # core, queue, archive
    tables: MetaData
    steps: Sequence[Step] = ()

    @property
    def version(self) -> int:
        return self.steps[-1].version if self.steps else 1


@dataclass(frozen=True, slots=True)
class Migrated:
    """What was done: `before` is 0 for a new database; `copy` is the file to go back to."""

    before: int
    after: int
    copy: Path | None = None


def migrate(database: Database, schema: Schema, *, clock: Clock = SYSTEM) -> Migrated:
    """Bring `database` to `schema`. Call it with the instance lock held, before anything else uses the database."""
    numbers = [step.version for step in schema.steps]
    if numbers != list(range(2, len(numbers) + 2)):
        raise ValueError(f"steps of {schema.name} must be numbered 2, 3, 4 ...: {numbers}")
    before = schema_version(database, schema.name)
    if before > schema.version:
        raise ConfigError([_newer(database, schema, before)])
    if before in (0, schema.version):
        if before == 0 or _missing(database, schema):
            database.write_now(lambda connection: _create(connection, schema))
        return Migrated(before, schema.version)
    copy = _copy(database, schema, before, clock)
    for step in schema.steps:
        if step.version > before:
            database.write_now(partial(_apply, schema, step))
    if _missing(database, schema):
        database.write_now(lambda connection: _create(connection, schema))
    return Migrated(before, schema.version, copy)


def schema_version(database: Database, name: str) -> int:
    """The version that a database is at; 0 for one without any tables of ours."""
    with database.read() as connection:
        if not sa.inspect(connection).has_table(_versions.name):
            return 0
        return _version(connection, name)


def _version(connection: Connection, name: str) -> int:
    query = sa.select(_versions.c.version).where(_versions.c.name == name)
    return connection.execute(query).scalar() or 0


def _missing(database: Database, schema: Schema) -> bool:
    with database.read() as connection:
        return not set(schema.tables.tables) <= set(sa.inspect(connection).get_table_names())


def _create(connection: Connection, schema: Schema) -> None:
    """Whatever is not there yet. The version of an existing database stays."""
    schema.tables.create_all(connection)
    _versions.create(connection, checkfirst=True)
    if not _version(connection, schema.name):
        connection.execute(_versions.insert(), {"name": schema.name, "version": schema.version})


def _apply(schema: Schema, step: Step, connection: Connection) -> None:
    if _version(connection, schema.name) != step.version - 1:
        return      # done before
    _STEP.before()
    step.apply(connection)
    connection.execute(
        sa.update(_versions).where(_versions.c.name == schema.name).values(version=step.version)
    )
    _STEP.after()


def _copy(database: Database, schema: Schema, version: int, clock: Clock) -> Path | None:
    """The copy to go back to; None on PostgreSQL, where backups are the server's affair."""
    if database.path is None:
        return None
    folder = database.path.parent / "copies"
    files.make_path(folder, _COPY, mode=0o700)
    _require_room(database, database.path)
    stamp = datetime.fromtimestamp(clock.now(), UTC).strftime("%Y%m%dT%H%M%SZ")
    target = folder / f"{schema.name}-v{version}-{stamp}.db"
    draft = target.with_suffix(".part")
    for left in folder.glob(f"{schema.name}-v*.part"):
        left.unlink()
    database.copy_to(draft)
    files.rename(draft, target, _COPY)
    descriptor = files.open_folder(folder)
    try:
        files.sync_folder(descriptor, _COPY)
    finally:
        os.close(descriptor)
    return target


def _require_room(database: Database, path: Path) -> None:
    """A copy and, at worst, a rewritten file and a log of the same size must fit."""
    size = path.stat().st_size + database.wal_size()
    need = 3 * size + _SPARE
    stat = os.statvfs(path.parent)
    free = stat.f_bavail * stat.f_frsize
    if free < need:
        raise DiskFull(
            f"{path}: the new version has to convert this file and needs {need >> 20} MB free in {path.parent}, "
            f"there are {free >> 20} MB. Nothing was changed: make room and start again, or start the old version."
        )


def _newer(database: Database, schema: Schema, found: int) -> str:
    where = database.path or schema.name
    copies = f"({where.parent if isinstance(where, Path) else 'backup'}/copies/{schema.name}-v{schema.version}-*.db)"
    return tr(
        f"{where}: its schema is {found}, this version of Estafeta knows up to {schema.version}. A newer version has "
        f"used it. Nothing was changed: start that version again, or put back the copy that it made {copies}.",
        f"{where}: su esquema es {found}, esta versión de Estafeta conoce hasta {schema.version}. La ha usado una "
        f"versión más nueva. No se ha cambiado nada: arranque esa versión o reponga la copia que hizo {copies}.",
    )
