"""Mailboxes in the database: D03, D07, P08."""
import shutil

import pytest

from bridge.model.envelope import Envelope, Origin, Recipient
from bridge.model.errors import DiskFull
from bridge.store import failpoints
from bridge.store.copies import Copy
from bridge.store.mail import Column
from bridge.store.spool import Spool
from tests.contract.conftest import bodies, dies, kept_in, mail, put, rows

COPY = Copy(1, "", "ana@example.org", "ana@example.org", "a@example.org")


@pytest.fixture
def kept(tmp_path):
    found = kept_in("database", tmp_path)
    yield found
    failpoints.arm("")
    found.close()


@pytest.fixture
def letter(tmp_path):
    spool = Spool(tmp_path / "outside", threads=1)
    envelope = Envelope("1" * 16, "0" * 16, "a@example.org", (Recipient("ana@example.org"),), Origin("smtp"), 1e9)
    draft = spool.begin(envelope)
    draft.write(b"Subject: d\r\n\r\nFrom me\r\n" + b"x" * 70 + b"\r\n" * 600_000)
    yield spool.commit(draft).result()
    spool.close()


def test_a_delivery_happens_once(kept, letter):
    """P08: by its unique key; also where the message was expunged before the repetition."""
    for again in (False, True, False):
        kept.box.deliver(letter, COPY, again=again)
    view = kept.box.select("INBOX")
    assert list(view.uids) == [1]
    with kept.box.body(view.folder, 1) as body:
        assert body.read(0, 44).startswith(b"Return-Path: <a@example.org>\r\n")
        assert body.size == rows(kept.box, view.folder, Column.SIZE)[0][1] > 1_200_000
    kept.box.expunge(view.folder, marked=False)
    kept.box.deliver(letter, COPY, again=True)
    assert kept.again().status("INBOX").messages == 0


def test_full_disk_is_no_half_message(kept, letter):
    """D07."""
    put(kept.box, 1)
    failpoints.arm("testmail.commit=ENOSPC")
    with pytest.raises(DiskFull):
        kept.box.deliver(letter, COPY, again=False)
    failpoints.arm("")
    kept.box.deliver(letter, COPY, again=True)
    assert list(kept.box.select("INBOX").uids) == [1, 2]


DYING = """
import sys
from pathlib import Path
from tests.contract.conftest import kept_in, put
box = kept_in("database", Path(sys.argv[1])).box
put(box, 2)
box.expunge(box.select("INBOX").folder, [(1, 1)], marked=False)
"""


@pytest.mark.parametrize("point", [
    "testmail.commit=kill@1", "testmail.commit+=kill@1", "testmail.commit=kill@2", "testmail.commit+=kill@2",
    "index.commit=kill@2", "index.commit=kill@4", "index.commit+=kill@3",
])  # fmt: skip
def test_killed_in_between(kept, point):
    """P19: all or nothing of each step; what was expunged stays so."""
    put(kept.box, 1)
    kept.box.close()
    dies(DYING, kept.folder, point)
    box = kept.again()
    box.tidy("INBOX")
    found = list(bodies(box, box.select("INBOX").folder).values())
    assert found in ([mail(1)], [mail(1), mail(2)], [mail(2)])
    assert list(bodies(kept.again(), box.select("INBOX").folder).values()) == found


def test_everything_comes_back_from_the_rows(kept):
    """D03: index and directories are lost; mail, folders and flags are not."""
    kept.box.create("Archive/2026")
    put(kept.box, 1, "Archive/2026", flags=["\\Flagged"])
    put(kept.box, 2)
    kept.box.store_flags(kept.box.select("INBOX").folder, [(1, 1)], "+", ["\\Seen"])
    kept.box.tidy("INBOX")
    kept.box.close()
    shutil.rmtree(kept.folder / "Maildir")
    box = kept.again()
    assert [one.name for one in box.folders()] == ["INBOX", "Archive", "Archive/2026"]
    for name, number, flags in (("INBOX", 2, b"(\\Seen)"), ("Archive/2026", 1, b"(\\Flagged)")):
        folder = box.select(name).folder
        assert list(bodies(box, folder).values()) == [mail(number)]
        assert box.flag_text(folder, rows(box, folder, Column.FLAGS)[0][1]) == flags


def test_two_accounts_share_nothing(kept):
    """sec-D03: the account's name is a parameter of each statement."""
    put(kept.box, 1)
    other = type(kept.box.home.driver)(kept.box.home.driver.database, "luis@example.org")
    assert list(other.names(kept.box.home)) == []
    assert list(kept.box.home.driver.names(kept.box.home)) == ["INBOX"]
