"""P30, sec-Q14: data folders of every release, as tests/releases keeps them, are taken up by today's program: nothing
is missing, `verify` finds nothing, and today's tables are those that migrations make of the old ones."""

import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path

import pytest

from bridge.app import ARCHIVE, CORE, MAIL
from bridge.store import queuetables
from bridge.store.engine import Database
from bridge.store.failpoints import Failpoint
from bridge.store.migrate import Schema, migrate
from tests.lab import Lab, until
from tests.releases.build import DATABASES, FAR, HERE, MORE

POINT = Failpoint("testreleases.commit", "migrations of old releases")
RELEASES = sorted(path.name for path in HERE.iterdir() if (path / "core.sql").exists())
SCHEMAS = {"core": CORE, "queue": queuetables.schema, "archive": ARCHIVE, "mail": MAIL}
pytestmark = pytest.mark.service


def unpack(release: str, data: Path) -> None:
    data.mkdir(parents=True)
    with tarfile.open(HERE / release / "data.tar") as tar:
        tar.extractall(data, filter="data")
    for name in DATABASES:
        database_of(release, name, data / "db")


def database_of(release: str, name: str, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    with closing(sqlite3.connect(folder / f"{name}.db")) as database:
        database.executescript((HERE / release / f"{name}.sql").read_text())
    return folder / f"{name}.db"


def shape(path: Path) -> dict[str, object]:
    """Tables with their columns and indexes, as SQLite sees them, whatever the order and spelling of their SQL."""
    found: dict[str, object] = {}
    with closing(sqlite3.connect(path)) as database:
        for kind, name in database.execute("SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite%'"):
            what = "table_info" if kind == "table" else "index_xinfo"
            rows = database.execute(f"PRAGMA {what}({name})").fetchall()  # a name from the file itself
            found[name] = sorted(row[1:] for row in rows) if kind == "table" else [row[2] for row in rows]
    return found


@pytest.mark.parametrize("name", DATABASES)
@pytest.mark.parametrize("release", RELEASES)
def test_migrated_tables_are_those_of_a_new_database(release: str, name: str, tmp_path: Path) -> None:
    """Red where a table was changed without a numbered step: only new databases would have the change."""
    schema: Schema = SCHEMAS[name]
    (tmp_path / "new").mkdir()
    shapes = []
    for path in (database_of(release, name, tmp_path / "old"), tmp_path / "new" / f"{name}.db"):
        database = Database(f"sqlite:///{path}", point=POINT)
        migrate(database, schema)
        assert database.check() == []
        database.close()
        shapes.append(shape(path))
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("release", RELEASES)
def test_an_old_data_folder_is_taken_up(release: str, tmp_path: Path) -> None:
    lab = Lab(tmp_path, more=MORE)
    unpack(release, Path(str(lab.data)))
    assert "no problems" in lab.command("verify")
    try:
        lab.start()
        client = lab.imap("ana")
        assert client.select()[1] == [b"2"]
        assert client.uid("SEARCH", "SEEN", "FLAGGED")[1] == [b"1"]
        assert client.uid("SEARCH", "ALL")[1] == [b"1 2"]
        assert client.select("Copias")[1] == [b"1"]
        client.logout()
        client = lab.imap("rosa")
        assert client.select()[1] == [b"1"]
        assert b"cuerpo 1" in client.fetch("1", "(BODY.PEEK[TEXT])")[1][0][1]  # type: ignore[index]
        client.logout()
        assert FAR in lab.command("queue", "list")
        members = lab.command("list_members", "lista", check=False)
        assert "ana@example.org" in members
        text = "From: x@example.org\r\nTo: lista@example.org\r\nSubject: otra\r\n\r\nya\r\n"
        with lab.smtp() as sender:
            sender.sendmail("x@example.org", ["lista@example.org"], text)
        lab.wait_mails("ana", 3)
        archive = Path(f"{lab.data}/archives/private/lista.mbox/lista.mbox")
        until(lambda: b"Subject: otra" in archive.read_bytes())
        assert b"cuerpo 2" in archive.read_bytes()
        assert lab.stop() == 0
    finally:
        lab.kill()
