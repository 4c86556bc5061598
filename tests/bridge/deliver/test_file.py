"""Alias files: entries in mbox form, what is refused, who waits for a lock."""
import asyncio
import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from bridge.config.delivery import Delivery
from bridge.deliver.base import Job, Target
from bridge.deliver.file import FileTransport
from bridge.model.clock import Clock
from bridge.model.envelope import Envelope, Origin, Recipient
from bridge.model.outcome import Deferred, Delivered
from bridge.route.resolver import Kind
from bridge.store import failpoints
from bridge.store.spool import Spool

CLOCK = Clock(lambda: 1700000000.0, time.monotonic)


@pytest.fixture
def place(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    spool = Spool(tmp_path / "spool", threads=1)
    envelope = Envelope("0" * 16, "0" * 16, "ann@example.org", (Recipient("log@example.org"),), Origin("smtp"), 1.0)
    draft = spool.begin(envelope)
    draft.write(b"Subject: hi\r\n\r\nFrom here\r\n")
    spooled = spool.commit(draft).result()
    transport = FileTransport((str(folder),), Delivery(lock_seconds=1), CLOCK)

    def send(*targets):
        asked = tuple(Target(n, "log@example.org", "log@example.org", str(path), "ann@example.org")
                      for n, path in enumerate(targets, 1))
        return asyncio.run(transport.deliver([Job(spooled, Kind.FILE, "", asked)]))

    yield SimpleNamespace(folder=folder, send=send, root=tmp_path)
    failpoints.arm("")
    transport.close()
    spool.close()


def test_append(place):
    """S55: an entry each, safe on the disk when it is reported."""
    path = place.folder / "log"
    assert place.send(path, path) == {1: Delivered(str(path)), 2: Delivered(str(path))}
    text = path.read_bytes()
    assert text.count(b"\nSubject: hi\n\n>From here\n\n") == 2
    assert text.startswith(b"From ann@example.org Tue Nov 14 ")
    assert [one.name for one in place.folder.iterdir()] == ["log"]


def test_locked_file_is_waited_for_once(place):
    """S55: Deferred with a reply that says so; other files go on."""
    Path(f"{place.folder}/log.lock").write_text(f"{os.getpid()}\n")
    start = time.monotonic()
    outcomes = place.send(place.folder / "log", place.folder / "log", place.folder / "other", place.folder / "log")
    assert time.monotonic() - start < 10
    assert [type(outcomes[n]) for n in (1, 2, 3, 4)] == [Deferred, Deferred, Delivered, Deferred]
    assert str(outcomes[1].reply) == "451 4.2.0 log is locked by another program"


@pytest.mark.parametrize(("point", "status"), [("mbox.write=ENOSPC", "4.3.1"), ("mbox.fdatasync=EIO", "4.3.0")])
def test_disk_trouble_is_temporary(place, point, status):
    """P12, P16: nothing is left, and the next attempt delivers."""
    failpoints.arm(f"{point}@1")
    (outcome,) = place.send(place.folder / "log").values()
    assert isinstance(outcome, Deferred)
    assert outcome.reply.status == status
    assert (place.folder / "log").read_bytes() == b""
    assert isinstance(place.send(place.folder / "log")[1], Delivered)


def test_only_below_the_folders_of_the_settings(place):
    """sec-D05, sec-D06: another place, a way out, a link, a folder that is missing."""
    victim = place.root / "victim"
    victim.write_text("")
    (place.folder / "link").symlink_to(victim)
    (place.folder / "linked").symlink_to(place.root)
    bad = (
        "/etc/cron.d/x", victim, place.folder / ".." / "victim", place.folder / "link",
        place.folder / "linked" / "victim", place.folder / "none" / "log", place.folder,
    )
    outcomes = place.send(*bad)
    assert all(isinstance(one, Deferred) and one.reply.status == "4.2.0" for one in outcomes.values())
    assert victim.read_text() == ""
    assert "mail.file_folders" in outcomes[1].reply.text
