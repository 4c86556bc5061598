"""Deliveries of the helper that die or fail at every step, repeated as the mover does: each message once (P08, D04)."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.model.envelope import Envelope, Origin
from bridge.store.copies import Copy
from bridge.store.helper import Helper
from bridge.store.spool import Spooled
from tests.helpersite import Site
from tests.people import People

pytestmark = [
    pytest.mark.service,
    pytest.mark.skipif(os.getuid() != 0, reason="only root can start the helper"),
]
POINTS = (
    "delivery.create=EIO@p0.1,delivery.fdatasync=EIO@p0.1,delivery.fdatasync+=kill@p0.2,delivery.link+=kill@p0.2,"
    "delivery.fsync=EIO@p0.1,delivery.fsync+=kill@p0.2,mbox.note+=kill@p0.2,mbox.write=ENOSPC@p0.1,mbox.write+=kill@p0.2,"
    "mbox.fdatasync=EIO@p0.1,mbox.fdatasync+=kill@p0.2,mbox.unlock+=kill@p0.2"
)
MAILS = 8


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    one = Site(People(tmp_path_factory.mktemp("crash")), ESTAFETA_FP=POINTS)
    yield one
    one.close()


@pytest.mark.parametrize("user", ["ana", "luis"])
def test_each_message_once_however_often_it_dies(site: Site, user: str) -> None:
    """P08, D07: dead processes, EIO and a full disk between any two steps; Maildir and mbox."""
    helper, died = Helper(str(site.socket)), 0
    for number in range(MAILS):
        text = f"Subject: number {number}\r\n\r\n{number}\r\n".encode()
        path = site.people.folder / f"{user}{number}"
        path.write_bytes(text)
        envelope = Envelope(f"0SGDQFCZAH4PG{number:03d}", "", "x@example.net", (), Origin("smtp"), 1.7e9 + number)
        spooled = Spooled(envelope, path, 0, len(text))
        copy = Copy(1, "", f"{user}@example.org", f"{user}@example.org", "x@example.net")
        for attempt in range(60):
            try:
                helper.deliver(user, spooled, copy, again=attempt > 0)
                break
            except PermissionError:
                died += 1
        else:
            pytest.fail(f"never delivered\n{site.log.read_text()}")
    subjects = sorted(re.findall(r"^Subject: number (\d+)$", _all(site.people, user), re.M), key=int)
    assert subjects == [str(number) for number in range(MAILS)]
    assert died, "something was tried"


def _all(people: People, user: str) -> str:
    if user == "luis":
        return (people.mail / "luis").read_text()
    files: list[Path] = list((people.homes / user / "Maildir" / "new").iterdir())
    return "".join(one.read_text() for one in files)
