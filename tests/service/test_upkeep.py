"""Backup under load, restore elsewhere, verify: on the running program (P31)."""

import random
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.crash.ledger import Ledger, message, read_mailboxes, waiting
from tests.crash.people import make_list, make_users
from tests.crash.uids import FOLDERS, Book, Changer, Observer
from tests.lab import DOMAIN, Lab, running, until

pytestmark = pytest.mark.service


MORE = """mbox = "{home}/inbox"
[accounts.stores]
"rosa@example.org" = "database"
"pepe@example.org" = "mbox"
"""
USERS = ("ana", "luis", "rosa", "pepe")
_ID = re.compile(rb"X-Crash-Id: (\S+)", re.I)


def read_by_imap(lab: Lab, user: str, folder: str = "INBOX") -> set[str]:
    """Crash ids of a folder, wherever its mail is kept."""
    client = lab.imap(user)
    try:
        client.select(folder)
        _, rows = client.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (X-Crash-Id)])")
        return {one.decode() for row in rows if isinstance(row, tuple) for one in _ID.findall(row[1])}
    finally:
        client.logout()


def append(lab: Lab, user: str, folder: str, numbers: Iterable[int]) -> None:
    client = lab.imap(user)
    client.create(folder)
    for number in numbers:
        text = message(f"fixed-{number}", user, random.Random(number), 500)
        assert client.append(folder, "", "", text)[0] == "OK"
    client.logout()


def archived(lab: Lab) -> set[str]:
    texts = [path.read_bytes() for path in Path(f"{lab.data}/archives").rglob("*.mbox/*.mbox")]
    return {one.decode() for text in texts for one in _ID.findall(text)}


def test_a_backup_under_load_has_all_that_was_accepted_before_it(tmp_path: Path) -> None:
    """P31: mail to Maildirs, a database, an mbox and a list, and a mailbox that is changed over IMAP all the while;
    restored elsewhere and started, everything is there, and verify finds nothing before and after."""
    one = Lab(tmp_path / "one", more=MORE)
    make_users(one, *USERS)
    members = make_list(one, "lista", [f"ana@{DOMAIN}"])
    to = [*(f"{user}@{DOMAIN}" for user in ("ana", "rosa", "pepe")), members]
    ledger, book = Ledger(one.ports["smtp"], to, threads=3, largest=5000, pause=0.01), Book()
    changer = Changer(one, "luis", book, 1)
    try:
        one.start()
        append(one, "luis", "Fijos", range(5))
        ledger.start()
        changer.start()
        until(lambda: len(ledger.accepted) > 60 and {one[0] for one in book.content} >= set(FOLDERS), 30)
        before = set(ledger.accepted)
        told = one.command("backup", str(tmp_path / "copy"))
        changer.end()
        ledger.stop()
        until(lambda: not waiting(one.spool), 30)
        assert "no problems" in one.command("verify")
    finally:
        changer.end()
        ledger.stop()
        one.kill()
    assert "files" in told
    assert "warning" not in told
    other = Lab(tmp_path / "two", more=MORE)
    assert "are in place" in other.command("restore", str(tmp_path / "copy"))
    assert "no problems" in other.command("verify")
    due = {address: {one for one in before if ledger.to[one] == address} for address in to}
    assert all(due.values()), "hardly any load"
    try:
        other.start()
        until(lambda: not waiting(other.spool), 30)
        found = read_mailboxes([other.maildir("ana")])
        assert not found.broken
        assert due[f"ana@{DOMAIN}"] | due[members] <= found.ids.keys()
        for user in ("rosa", "pepe"):
            assert due[f"{user}@{DOMAIN}"] <= read_by_imap(other, user)
        until(lambda: due[members] <= archived(other), 30)
        again = Book()
        again.content = dict(book.content)
        Observer(other, "luis", again).look_once()
        assert not again.wrong
        assert read_by_imap(other, "luis", "Fijos") == {f"fixed-{number}" for number in range(5)}
        assert "no problems" in other.command("verify")
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
