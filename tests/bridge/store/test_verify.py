"""D-15, sec-Q05: what does not fit together is said, and what does is not."""
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from bridge.config.store import Store
from bridge.model.clock import Ids
from bridge.model.envelope import Envelope, Origin, Recipient
from bridge.store import verify
from bridge.store.accounts import Account
from bridge.store.engine import Database
from bridge.store.failpoints import Failpoint
from bridge.store.mailbox import Mailstore
from bridge.store.migrate import migrate
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
