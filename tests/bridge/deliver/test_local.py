"""Mailboxes as a transport: outcomes per recipient, hints, trouble that stays temporary."""
import asyncio
from pathlib import Path

import pytest

from bridge.deliver.base import Job, Target
from bridge.deliver.local import LocalTransport
from bridge.model.envelope import Envelope, Origin, Recipient
from bridge.model.errors import StoreError
from bridge.model.outcome import Deferred, Delivered
from bridge.route.resolver import Kind
from bridge.store import failpoints
from bridge.store.delivery import Maildirs
from bridge.store.spool import Spool


@pytest.fixture
def job(tmp_path):
    spool = Spool(tmp_path / "spool", threads=1)
    envelope = Envelope("0" * 16, "0" * 16, "a@example.org", (Recipient("u1@x"),), Origin("smtp"), 1.0)
    draft = spool.begin(envelope)
    draft.write(b"Received: x\r\n\r\nbody\r\n")
    spooled = spool.commit(draft).result()
    spool.close()
    targets = tuple(Target(number, f"u{number}@x", f"u{number}@x", f"u{number}@x", "") for number in range(3))
    yield Job(spooled, Kind.MAILBOX, "", targets)
    failpoints.arm("")


def transport(tmp_path, hints, gone=()):
    maildirs = Maildirs(tmp_path / "mail", "mx", threads=2)
    return LocalTransport(maildirs, lambda one: None if one in gone else str(tmp_path / "mail" / one), hints.append)


def test_delivered_and_hinted(tmp_path, job):
    hints = []
    made = transport(tmp_path, hints)
    outcomes = asyncio.run(made.deliver([job]))
    assert {key: type(one) for key, one in outcomes.items()} == {0: Delivered, 1: Delivered, 2: Delivered}
    assert outcomes[1].where == str(tmp_path / "mail/u1@x")
    assert hints == [["u0@x", "u1@x", "u2@x"]]
    assert len(list((tmp_path / "mail/u1@x/new").iterdir())) == 1
    made.close()


def test_account_that_has_gone(tmp_path, job):
    hints = []
    outcomes = transport(tmp_path, hints, gone=("u1@x",)).deliver_now([job])
    assert isinstance(outcomes[1], Deferred)
    assert outcomes[1].reply.status == "4.2.1"
    assert isinstance(outcomes[0], Delivered)
    assert hints == [["u0@x", "u2@x"]]


def test_disk_full_is_temporary(tmp_path, job):
    """D07, P12."""
    failpoints.arm("delivery.create=ENOSPC@2")
    outcomes = transport(tmp_path, []).deliver_now([job])
    assert sorted(one.reply.status for one in outcomes.values()) == ["2.0.0", "2.0.0", "4.3.1"]
    assert [one.scope for one in outcomes.values() if isinstance(one, Deferred)] == ["node"]


def test_wrong_mailbox_concerns_its_owner_alone(tmp_path, job):
    """sec-D06: a link in place of the Maildir."""
    (tmp_path / "mail").mkdir()
    (tmp_path / "mail/u0@x").symlink_to(tmp_path)
    outcomes = transport(tmp_path, []).deliver_now([job])
    assert (outcomes[0].reply.status, outcomes[0].scope) == ("4.2.0", "recipient")
    assert isinstance(outcomes[1], Delivered)


def test_trouble_of_the_lookup_or_the_hint(tmp_path, job):
    def broken(account):
        raise RuntimeError("bug")

    maildirs = Maildirs(Path(tmp_path / "mail"), "mx")
    assert {one.reply.status for one in LocalTransport(maildirs, broken).deliver_now([job]).values()} == {"4.3.0"}
    made = LocalTransport(maildirs, lambda one: str(tmp_path / "mail" / one), broken)
    assert all(isinstance(one, Delivered) for one in made.deliver_now([job]).values())


def test_what_is_no_maildir_gets_its_copy_by_hand(tmp_path, job):
    """D01, D03: one by one; trouble of one mailbox is its own, and temporary (D07)."""
    hints, put = [], []

    def mailbox(spooled, copy, again):
        if copy.key == 2:
            raise StoreError("locked")
        put.append((spooled.envelope.id, copy.address, again))
        return "/var/mail/u1"

    made = LocalTransport(
        Maildirs(tmp_path / "mail", "mx"), lambda one: str(tmp_path / one) if one == "u0@x" else mailbox, hints.append
    )
    outcomes = made.deliver_now([job])
    assert put == [("0" * 16, "u1@x", False)]
    assert [type(outcomes[key]) for key in range(3)] == [Delivered, Delivered, Deferred]
    assert outcomes[1].where == "/var/mail/u1"
    assert sorted(hints[0]) == ["u0@x", "u1@x"]
    made.close()
