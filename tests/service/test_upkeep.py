"""Backup under load, restore elsewhere, verify: on the running program (P31)."""

import shutil
import time
from pathlib import Path

import pytest

from tests.crash.ledger import Ledger, read_mailboxes
from tests.lab import DOMAIN, Lab, running

pytestmark = pytest.mark.service


def test_a_backup_under_load_has_all_that_was_accepted_before_it(tmp_path: Path) -> None:
    with running(tmp_path / "one", "ana", "luis") as lab:
        ledger = Ledger(lab.ports["smtp"], [f"ana@{DOMAIN}", f"luis@{DOMAIN}"], threads=3, largest=5000)
        ledger.start()
        time.sleep(1.0)
        before = set(ledger.accepted)
        told = lab.command("backup", str(tmp_path / "copy"))
        ledger.stop()
        assert "no problems" in lab.command("verify")
    assert "files" in told
    assert before
    other = Lab(tmp_path / "two")
    assert "no problems" in other.command("backup", "--check", str(tmp_path / "copy"))
    assert "are in place" in other.command("restore", str(tmp_path / "copy"))
    assert "no problems" in other.command("verify")
    try:
        other.start()
        end = time.monotonic() + 60
        while time.monotonic() < end:
            found = read_mailboxes(other.maildir(user) for user in ("ana", "luis"))
            if before <= found.ids.keys():
                break
            time.sleep(0.1)
        assert before <= found.ids.keys()
        assert not found.broken
        imap = other.imap("ana")
        assert imap.select()[0] == "OK"
        imap.logout()
        assert other.stop() == 0
    finally:
        other.kill()


def test_mistakes_are_refused_in_words(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "one")
    assert "no data folder yet" in lab.command("backup", str(tmp_path / "copy"), check=False)
    assert "no data folder yet" in lab.command("verify", check=False)
    lab.add_user("ana")
    assert "exists already" in lab.command("backup", str(tmp_path), check=False)
    assert "lies inside" in lab.command("backup", f"{lab.data}/mail/copy", check=False)
    lab.command("backup", str(tmp_path / "copy"))
    assert "is not empty; stop the server" in lab.command("restore", str(tmp_path / "copy"), check=False)
    (tmp_path / "copy" / "instance.json").write_text("{}")
    assert "instance.json: changed since" in lab.command("backup", "--check", str(tmp_path / "copy"), check=False)
    other = Lab(tmp_path / "two")
    assert "must not be used" in other.command("restore", str(tmp_path / "copy"), check=False)
    shutil.rmtree(tmp_path / "copy")
    assert "not a whole backup" in other.command("restore", str(tmp_path / "copy"), check=False)
    assert not (tmp_path / "two" / "data").exists()


def test_verify_names_what_is_wrong(tmp_path: Path) -> None:
    with running(tmp_path, "ana") as lab:
        with lab.smtp() as client:
            client.sendmail("x@example.net", [f"ana@{DOMAIN}"], "Subject: one\r\n\r\nhola\r\n")
        path = lab.wait_mails("ana", 1)[0]
        imap = lab.imap("ana")
        imap.select()
        imap.logout()
        lab.stop()
        found = lab.mails("ana")[0]
        found.write_bytes(found.read_bytes() + b"more than before\n")
        told = lab.command("verify", check=False)
    assert "is not as long as its name says" in told
    assert "1 problems found" in told
    assert path.parent.parent.name == "Maildir"
