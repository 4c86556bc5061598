"""P30, O17, sec-Q14: migrations are restartable, copied before, and refuse what is newer."""
import os
import signal
import sqlite3
import subprocess
import sys
from collections import namedtuple
from contextlib import closing

import pytest
import sqlalchemy as sa

from bridge.model.errors import ConfigError, DiskFull
from bridge.store.engine import Database
from bridge.store.failpoints import Failpoint
from bridge.store.migrate import Schema, Step, migrate, schema_version
from bridge.store.tables import core

POINT = Failpoint("testmigrate.commit", "tests of migration")
V1 = sa.MetaData()
sa.Table("thing", V1, sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String))
V3 = sa.MetaData()
sa.Table(
    "thing", V3, sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String),
    sa.Column("size", sa.Integer), sa.Column("colour", sa.String),
)
sa.Table("extra", V3, sa.Column("id", sa.Integer, primary_key=True))


def add_size(connection):
    connection.exec_driver_sql("ALTER TABLE thing ADD COLUMN size INTEGER")
    connection.exec_driver_sql("UPDATE thing SET size = length(name)")


def add_colour(connection):
    connection.exec_driver_sql("ALTER TABLE thing ADD COLUMN colour VARCHAR")
    connection.exec_driver_sql("UPDATE thing SET colour = 'c' || size")


OLD = Schema("things", V1)
NEW = Schema("things", V3, (Step(2, "sizes", add_size), Step(3, "colours", add_colour)))


@pytest.fixture
def database(tmp_path):
    made = Database(f"sqlite:///{tmp_path}/things.db", point=POINT)
    yield made
    made.close()


def old(database):
    migrate(database, OLD)
    database.write_now(lambda c: c.exec_driver_sql("INSERT INTO thing (name) VALUES ('abc'), ('de')").close())


def rows(database):
    with database.read() as connection:
        return [tuple(row) for row in connection.exec_driver_sql("SELECT name, size, colour FROM thing ORDER BY id")]


def copies(tmp_path):
    folder = tmp_path / "copies"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


DONE = [("abc", 3, "c3"), ("de", 2, "c2")]


def test_new_database_is_made_in_its_latest_form(database, tmp_path):
    result = migrate(database, NEW)
    assert (result.before, result.after, result.copy) == (0, 3, None)
    assert schema_version(database, "things") == 3
    assert copies(tmp_path) == []
    assert migrate(database, NEW).before == 3


def test_old_database_is_copied_and_converted(database, tmp_path):
    old(database)
    result = migrate(database, NEW)
    assert (result.before, result.after) == (1, 3)
    assert rows(database) == DONE
    with closing(sqlite3.connect(result.copy)) as copy:
        assert copy.execute("SELECT * FROM thing").fetchall() == [(1, "abc"), (2, "de")]
        assert copy.execute("SELECT version FROM schema_version").fetchall() == [(1,)]
    assert copies(tmp_path) == [result.copy.name]
    with database.read() as connection:
        assert sa.inspect(connection).has_table("extra")


def test_newer_schema_is_refused_with_a_text_that_helps(database):
    migrate(database, NEW)
    with pytest.raises(ConfigError) as caught:
        migrate(database, OLD)
    assert "schema is 3" in str(caught.value)
    assert "up to 1" in str(caught.value)
    assert "things-v1" in str(caught.value)
    assert schema_version(database, "things") == 3


def test_no_room_for_the_copy_changes_nothing(database, tmp_path, monkeypatch):
    old(database)
    stat = namedtuple("stat", "f_bavail f_frsize")
    monkeypatch.setattr("bridge.store.migrate.os.statvfs", lambda path: stat(100, 4096))
    with pytest.raises(DiskFull) as caught:
        migrate(database, NEW)
    assert "MB free" in str(caught.value)
    assert schema_version(database, "things") == 1
    assert copies(tmp_path) == []


def test_step_that_fails_leaves_the_database_at_the_step_before(database):
    old(database)

    def broken(connection):
        connection.exec_driver_sql("ALTER TABLE thing ADD COLUMN colour VARCHAR")
        raise ValueError("no")

    bad = Schema("things", V3, (NEW.steps[0], Step(3, "broken", broken)))
    with pytest.raises(ValueError, match="no"):
        migrate(database, bad)
    assert schema_version(database, "things") == 2
    migrate(database, NEW)
    assert rows(database) == DONE


def test_steps_must_be_numbered_without_gaps(database):
    with pytest.raises(ValueError, match="numbered"):
        migrate(database, Schema("things", V3, (Step(3, "colours", add_colour),)))


def test_two_schemas_in_one_database_have_versions_of_their_own(database):
    """As on PostgreSQL, where core and queue may share one."""
    migrate(database, Schema("other", V3))
    old(database)
    assert schema_version(database, "other") == 1
    assert schema_version(database, "things") == 1


CHILD = """
import sys
sys.path.insert(0, sys.argv[2])
import test_migrate as t
database = t.Database(f"sqlite:///{sys.argv[1]}/things.db", point=t.POINT)
t.migrate(database, t.NEW)
database.close()
"""


@pytest.mark.parametrize(
    "plan",
    ["migrate.copy=kill@1", "migrate.copy+=kill@1", "migrate.copy=kill@3", "migrate.copy+=kill@3",
     "migrate.step=kill@1", "migrate.step+=kill@2",
     "testmigrate.commit=kill@1", "testmigrate.commit+=kill@1", "testmigrate.commit=kill@2"],
)
def test_killed_at_each_failpoint_then_started_again(database, tmp_path, plan):
    """P30: SIGKILL at any point; the next start finishes, and a copy of the old data is there."""
    old(database)
    database.close()
    environment = os.environ | {"ESTAFETA_FP": plan}
    command = [sys.executable, "-c", CHILD, str(tmp_path), os.path.dirname(__file__)]
    process = subprocess.run(command, env=environment, timeout=60, capture_output=True)
    assert process.returncode == -signal.SIGKILL, process.stderr.decode()
    again = Database(database.url, point=POINT)
    migrate(again, NEW)
    assert rows(again) == DONE
    assert again.check() == []
    assert any(name.startswith(("things-v1-", "things-v2-")) for name in copies(tmp_path))
    assert not [name for name in copies(tmp_path) if name.endswith(".part")]
    again.close()


def test_core_tables_can_be_made(tmp_path):
    made = Database(f"sqlite:///{tmp_path}/core.db", point=POINT)
    migrate(made, Schema("core", core))
    with made.read() as connection:
        assert {"account", "address", "audit", "generation"} <= set(sa.inspect(connection).get_table_names())
    made.close()
