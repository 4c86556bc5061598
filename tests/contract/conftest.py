"""One suite for everything that keeps mail: each test runs over each driver."""
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bridge.config.store import Store
from bridge.store import maildb
from bridge.store.driver import Driver
from bridge.store.engine import Database
from bridge.store.failpoints import Failpoint
from bridge.store.mailbox import AccountStore, Mailstore
from bridge.store.maildb import Rows
from bridge.store.mbox import Mbox
from bridge.store.mboxfile import Rules
from bridge.store.migrate import Schema, migrate

COMMIT = Failpoint("testmail.commit", "a transaction of the test's mail.db")

POSTGRESQL = os.environ.get("ESTAFETA_TEST_POSTGRESQL", "")
MAIL = (
    b"From: Ana <ana@example.org>\r\nTo: luis@example.org\r\nSubject: Hola %d\r\nMessage-ID: <%d@example.org>\r\n"
    b"\r\nuno\r\nFrom here on\r\n>From there\r\ndos %d\r\n"
)


def dies(script: str, folder: Path, point: str) -> None:
    """Run a script on an account in a process of its own, which the failpoint ends."""
    done = subprocess.run(
        [sys.executable, "-c", script, folder], env={**os.environ, "ESTAFETA_FP": point},
        cwd=Path(__file__).parents[2], capture_output=True, timeout=60,
    )  # fmt: skip
    assert b"failpoint" in done.stderr, done.stderr


def mail(number: int) -> bytes:
    return MAIL % (number, number, number)


@dataclass(frozen=True)
class Person:
    maildir: Path
    address: str = "ana@example.org"


@dataclass
class Kept:
    """An account whose mail is kept in one way. `again()`: as another process sees it; `forget()`: its index lost."""

    kind: str
    folder: Path
    make: Callable[[], Driver | None]
    opened: list[AccountStore] = field(default_factory=list)
    databases: list[Database] = field(default_factory=list)
    box: AccountStore = field(init=False)

    @property
    def mbox(self) -> Path:
        return self.folder / "spool" / "ana"

    def again(self) -> AccountStore:
        store = Mailstore(Store(), background=False, drivers=lambda owner: self.make())
        found = store.open(Person(self.folder / "Maildir"))
        self.opened.append(found)
        return found

    def close(self) -> None:
        for one in (*self.opened, *self.databases):
            one.close()

    def forget(self) -> AccountStore:
        self.box.close()
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self.folder}/Maildir/estafeta.index{suffix}").unlink(missing_ok=True)
        return self.again()


def rules(**more) -> Rules:
    return Rules(patience=5.0, owners=(0, os.geteuid()), **more)


def kept_in(kind: str, folder: Path) -> Kept:
    def make() -> Driver | None:
        if kind in ("database", "postgresql"):
            url = POSTGRESQL if kind == "postgresql" else f"sqlite:///{folder}/mail.db"
            database = Database(url, point=COMMIT, lock=folder / "mail.lock")
            kept.databases.append(database)
            migrate(database, Schema("mail", maildb.mail))
            return Rows(database, "ana@example.org")
        return Mbox(folder / "spool" / "ana", rules()) if kind == "mbox" else None

    if kind == "postgresql":
        rows_there = Database(POSTGRESQL, point=COMMIT)
        rows_there.write_now(lambda connection: maildb.mail.drop_all(connection))
        rows_there.write_now(lambda connection: connection.exec_driver_sql("DROP TABLE IF EXISTS schema_version"))
        rows_there.close()
    kept = Kept(kind, folder, make)
    kept.box = kept.again()
    return kept


@pytest.fixture(params=["maildir", "mbox", "database", *(["postgresql"] if POSTGRESQL else [])])
def kept(request, tmp_path):
    found = kept_in(request.param, tmp_path)
    yield found
    found.close()


@pytest.fixture
def in_mbox(tmp_path):
    found = kept_in("mbox", tmp_path)
    yield found
    found.close()


def put(box: AccountStore, number: int, name: str = "INBOX", flags=(), date=None):
    draft = box.draft()
    draft.write(mail(number))
    draft.end()
    return box.append(name, [(draft, flags, date)])


def rows(box, folder, *columns, uids=((1, 1 << 31),)):
    return [row for chunk in box.fetch(folder, uids, columns) for row in chunk]


def bodies(box, folder):
    out = {}
    for chunk in box.bodies(folder, ((1, 1 << 31),)):
        out.update(chunk)
    return out
