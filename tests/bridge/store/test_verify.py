"""D-15, sec-Q05: what does not fit together is said, and what does is not."""
import os
from contextlib import contextmanager
from functools import partial

import pytest
import sqlalchemy as sa

from bridge.config.store import Store
from bridge.model.clock import Ids
from bridge.model.envelope import Envelope, Origin, Recipient
from bridge.store import maildb, verify
from bridge.store.accounts import Account
from bridge.store.engine import Database
from bridge.store.failpoints import Failpoint
from bridge.store.mailbox import Mailstore
from bridge.store.mbox import Mbox
from bridge.store.mboxfile import Rules
from bridge.store.migrate import Schema, migrate
from bridge.store.notify import Hints
from bridge.store.queuetables import DONE, OPEN, message, schema
from bridge.store.spool import Spool

POINT = Failpoint("testverify.commit", "tests of verify")


@pytest.fixture
def spool(tmp_path):
    made = Spool(tmp_path / "spool")
    yield made
    made.close()


def accept(spool, text=b"Subject: x\r\n\r\nbody\r\n"):
    queue_id = Ids().new()
    draft = spool.begin(Envelope(queue_id, queue_id, "", (Recipient("a@example.org"),), Origin("smtp"), 1.0))
    draft.write(text)
    return spool.commit(draft).result(10)


def test_spool(spool):
    good, bad = accept(spool), accept(spool)
    assert list(verify.spool(spool)) == []
    content = bytearray(bad.path.read_bytes())
    content[bad.start + 3] ^= 1
    bad.path.write_bytes(content)
    (problem,) = verify.spool(spool)
    assert bad.envelope.id in problem
    assert good.envelope.id not in problem


def test_queue_rows_have_their_files(spool, tmp_path):
    rows = Database(f"sqlite:///{tmp_path}/queue.db", point=POINT)
    migrate(rows, schema)
    there = accept(spool).envelope.id
    away, done = Ids().new(), Ids().new()

    def add(connection):
        for queue_id, state in ((there, OPEN), (away, OPEN), (done, DONE)):
            values = {"id": queue_id, "sender": "", "size": 1, "received_at": 1.0, "door": "smtp", "priority": 0,
                      "state": state, "changed_at": 1.0, "reports": 0}
            connection.execute(sa.insert(message), values)

    rows.write_now(add)
    (problem,) = verify.queue(spool, rows)
    assert away in problem
    assert list(verify.database("queue.db", rows)) == []
    rows.close()


@contextmanager
def opened(path):
    """The account's store over a Maildir."""
    store = Mailstore(Store(), hints=Hints())
    yield store.open(Account(1, "juan@example.org", "juan@example.org", path.parent, path))
    store.close()


def append(account, text):
    draft = account.draft()
    draft.write(text)
    draft.end()
    account.append("INBOX", [(draft, (), None)])


def test_mailbox(tmp_path):
    path = tmp_path / "Maildir"
    with opened(path) as account:
        for i in range(4):
            append(account, b"Subject: %d\r\n\r\nbody\r\n" % i)
    assert list(verify.mailbox(path)) == []
    first, second, third, _ = sorted((path / "cur").iterdir()) or sorted((path / "new").iterdir())
    first.write_bytes(first.read_bytes() + b"more")
    second.unlink()
    (path / "new").joinpath(third.name.partition(":2,")[0]).write_bytes(third.read_bytes())
    problems = list(verify.mailbox(path))
    assert len(problems) == 3
    assert any("not as long" in problem and first.name in problem for problem in problems)
    assert any("its file is gone" in problem for problem in problems)
    assert any("there twice" in problem for problem in problems)
    (path / "estafeta.index").write_bytes(b"nonsense" * 1000)
    assert any("made anew" in problem for problem in verify.mailbox(path))
    assert list(verify.mailbox(tmp_path / "nobody")) == []


def test_wrong_uids_are_found(tmp_path):
    """D-11: index and UID list must agree."""
    path = tmp_path / "Maildir"
    with opened(path) as account:
        append(account, b"Subject: x\r\n\r\n")
    text = (path / "estafeta-uidlist").read_text()
    (path / "estafeta-uidlist").write_text(text.replace("\n1 ", "\n7 "))
    assert any("UID 1 in the index, 7 in the list" in problem for problem in verify.mailbox(path))
    (path / "estafeta-uidlist").write_text("nonsense\n")
    assert any("damaged" in problem for problem in verify.mailbox(path))


class Kept:
    """An account whose mail is kept by a driver."""

    def __init__(self, path, driver):
        self.store = Mailstore(Store(), hints=Hints(), drivers=lambda owner: driver)
        self.box = self.store.open(Account(1, "juan@example.org", "juan@example.org", path.parent, path))


def test_mail_in_a_database(tmp_path):
    """P31: parts without their message, messages without a part, and what the index says of those that are gone."""
    rows = Database(f"sqlite:///{tmp_path}/mail.db", point=POINT)
    migrate(rows, Schema("mail", maildb.mail))
    path = tmp_path / "Maildir"
    kept = Kept(path, maildb.Rows(rows, "juan@example.org"))
    for i in range(4):
        append(kept.box, b"Subject: %d\r\n\r\n" % i + b"x" * 300_000)
    kept.box.select("INBOX")

    def problems():
        stored = partial(verify.stored, rows, "juan@example.org")
        return [*verify.rows(rows), *verify.mailbox(path, stored)]

    assert problems() == []
    rows.write_now(lambda db: db.exec_driver_sql("DELETE FROM mail_part WHERE message=1 AND number=1").close())
    rows.write_now(lambda db: db.exec_driver_sql("DELETE FROM mail_message WHERE id=2").close())
    rows.write_now(lambda db: db.exec_driver_sql("UPDATE mail_part SET number=9 WHERE message=3 AND number=1").close())
    found = problems()
    assert len(found) == 4, found
    assert sum("is not whole" in one for one in found) == 2
    assert any("parts of 1 messages belong to nothing" in one for one in found)
    assert any("in the index, not in the database" in one for one in found)
    kept.store.close()
    rows.close()


def test_mail_in_an_mbox(tmp_path, monkeypatch):
    """P31: whole messages, and those that the index thinks; one that others changed since is no problem."""
    monkeypatch.setattr(verify, "_AGAIN", 0)
    path, file = tmp_path / "Maildir", tmp_path / "mbox"
    kept = Kept(path, Mbox(file, Rules(patience=5.0, owners=(0, os.geteuid()))))
    assert list(verify.mailbox(path, mbox=file)) == []
    for i in range(3):
        append(kept.box, b"Subject: %d\r\n\r\nbody\r\n" % i)
    kept.box.select("INBOX")
    os.utime(file, (1_700_000_000, 1_700_000_000))      # long enough ago to be trusted
    kept.box.select("INBOX")
    kept.store.close()
    assert list(verify.mailbox(path, mbox=file)) == []
    about, data = file.stat(), file.read_bytes()
    file.write_bytes(data.replace(b"body", b"BODY", 1))
    os.utime(file, ns=(about.st_mtime_ns, about.st_mtime_ns))
    (problem,) = verify.mailbox(path, mbox=file)
    assert "the message at 0 is not the one that the index has" in problem
    file.write_bytes(data.replace(b"body", b"BODY", 1))
    assert list(verify.mailbox(path, mbox=file)) == [], "the index knows that the file is another"
    file.write_bytes(data[:-5])
    assert [one.partition(": ")[2] for one in verify.mailbox(path, mbox=file)] == ["ends in the middle of a line"]
    file.write_bytes(data[3:])
    assert any("does not begin with a From line" in one for one in verify.mailbox(path, mbox=file))
