"""O19: accounts, migrations and writers that compete, on a real PostgreSQL."""
import os
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from bridge.config.accounts import Accounts as Settings
from bridge.model.errors import ConfigError, StoreError
from bridge.store.accounts import AccountError, Accounts
from bridge.store.engine import Database
from bridge.store.failpoints import Failpoint
from bridge.store.migrate import Schema, Step, migrate, schema_version
from bridge.store.tables import bump, core

URL = os.environ.get("ESTAFETA_TEST_POSTGRESQL", "")
POINT = Failpoint("testpostgresql.commit", "tests on PostgreSQL")
CHEAP = Settings(hash_memory=64, hash_rounds=1)
GOOD = "correct horse battery"

pytestmark = pytest.mark.skipif(
    not URL, reason="needs a PostgreSQL server: set ESTAFETA_TEST_POSTGRESQL to its URL (CI does)"
)


@pytest.fixture
def database():
    made = Database(URL, point=POINT)

    def empty(connection):
        core.drop_all(connection)
        connection.exec_driver_sql("DROP TABLE IF EXISTS schema_version, thing")

    made.write_now(empty)
    yield made
    made.write_now(empty)
    made.close()


def test_accounts_live_there_as_in_sqlite(database, tmp_path, monkeypatch):
    monkeypatch.setattr("bridge.store.postgresql.time.monotonic", iter(range(10_000)).__next__)
    assert migrate(database, Schema("core", core)).before == 0
    assert migrate(database, Schema("core", core)).before == 1
    accounts = Accounts(database, CHEAP, tmp_path, domains=("example.org",))
    accounts.add("juan", GOOD, also=["jefe@example.org"])
    with pytest.raises(AccountError, match="exists"):
        accounts.add("JEFE", GOOD)
    assert accounts.verify("juan", GOOD, "imap", "").login == "juan@example.org"
    assert accounts.verify("juan", "wrong", "imap", "") is None
    secret = accounts.add_app_password("juan", "phone")
    assert accounts.verify("juan", secret, "imap", "")
    other = Accounts(database, CHEAP, tmp_path)
    assert other.by_address("jefe@example.org").login == "juan@example.org"
    accounts.delete("juan")
    assert other.by_login("juan") is None
    assert accounts.app_passwords(accounts.add("juan", GOOD).login) == []


def test_migration_steps_and_newer_schemas(database):
    first, second = sa.MetaData(), sa.MetaData()
    sa.Table("thing", first, sa.Column("id", sa.Integer, primary_key=True))
    sa.Table("thing", second, sa.Column("id", sa.Integer, primary_key=True), sa.Column("size", sa.Integer))
    step = Step(2, "sizes", lambda connection: connection.exec_driver_sql("ALTER TABLE thing ADD size INTEGER").close())
    migrate(database, Schema("things", first))
    assert migrate(database, Schema("things", second, (step,))).copy is None
    assert schema_version(database, "things") == 2
    with pytest.raises(ConfigError):
        migrate(database, Schema("things", first))


WRITER = """
import sys
sys.path.insert(0, sys.argv[1])
import test_postgresql as t
database = t.Database(t.URL, point=t.POINT)
for _ in range(50):
    database.write_now(lambda connection: t.bump(connection, "counted"))
database.close()
"""


def test_writers_of_several_processes_take_turns(database):
    """Read, decide, write in one unit: nothing is lost, nothing fails."""
    migrate(database, Schema("core", core))
    both = [subprocess.Popen([sys.executable, "-c", WRITER, str(Path(__file__).parent)]) for _ in range(3)]
    assert [process.wait(60) for process in both] == [0, 0, 0]
    assert database.write_now(lambda connection: bump(connection, "counted")) == 151


def test_a_server_that_is_away_is_temporary():
    away = Database("postgresql://nobody@127.0.0.1:1/nothing", point=POINT)
    with pytest.raises(StoreError), away.read() as connection:
        connection.exec_driver_sql("SELECT 1")
    with pytest.raises(StoreError):
        away.write_now(lambda connection: bump(connection, "x"))
    away.close()


def test_a_connection_that_breaks_is_replaced(database):
    migrate(database, Schema("core", core))
    pid = database.write_now(lambda connection: connection.exec_driver_sql("SELECT pg_backend_pid()").scalar())
    with pytest.raises(StoreError):
        database.write_now(lambda connection: connection.exec_driver_sql(f"SELECT pg_terminate_backend({pid})").close())
    assert database.write_now(lambda connection: bump(connection, "after")) == 1


def test_an_own_change_is_seen_at_once(database, tmp_path, monkeypatch):
    """O19: others' changes within a second, one's own without waiting."""
    monkeypatch.setattr("bridge.store.postgresql.time.monotonic", lambda: 1.0)
    migrate(database, Schema("core", core))
    accounts = Accounts(database, CHEAP, tmp_path, domains=("example.org",))
    assert accounts.by_login("juan") is None
    assert accounts.add("juan", GOOD).login == "juan@example.org"
    accounts.delete("juan")
    assert accounts.by_login("juan") is None
