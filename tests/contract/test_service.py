"""Accounts with an mbox or in a database on the real service: SMTP in, IMAP and POP3 out. D01, D03, D08."""
import subprocess

import pytest

from tests.lab import DOMAIN, Lab, until

STORE = 'mbox = "{folder}/spool/{{user}}"\nstores = {{ "ana@example.org" = "mbox", "Eva@Example.org" = "database" }}'


@pytest.fixture
def lab(tmp_path):
    (tmp_path / "spool").mkdir()
    found = Lab(tmp_path / "lab", more=STORE.format(folder=tmp_path))
    found.add_user("ana", "luis", "eva")
    found.start()
    yield found
    found.kill()


def send(lab, *names: str, subject: str) -> None:
    with lab.smtp() as client:
        client.sendmail("eva@foo.net", [f"{one}@{DOMAIN}" for one in names], f"Subject: {subject}\r\n\r\nFrom me\r\n")


def test_an_mbox_on_the_whole_way(lab, tmp_path):
    """D01, D08, P12: one message to a user with an mbox and one with a Maildir; procmail puts another into the file."""
    spool = tmp_path / "spool" / "ana"
    send(lab, "ana", "luis", subject="uno")
    until(lambda: spool.exists() and "Subject: uno" in spool.read_text())
    lab.wait_mails("luis", 1)
    text = spool.read_text()
    assert text.startswith("From eva@foo.net ")
    assert "\n>From me\n" in text
    with lab.imap("ana") as client:
        assert client.select("INBOX") == ("OK", [b"1"])
        assert client.fetch("1", "(BODY[TEXT])")[1][0][1] == b"From me\r\n"
        command = ["procmail", "-f", "eva@foo.net", f"DEFAULT={spool}", "/dev/null"]
        subprocess.run(command, input=b"Subject: dos\n\nx\n", check=True, timeout=20)
        until(lambda: client.noop() and client.select("INBOX") == ("OK", [b"2"]))
        client.store("1", "+FLAGS", "\\Deleted")
        assert client.expunge()[0] == "OK"
        assert client.create("Archivo")[0] == "OK"
        assert client.copy("1", "Archivo")[0] == "OK"
    assert "Subject: uno" not in spool.read_text()
    send(lab, "ana", subject="tres")
    until(lambda: "Subject: tres" in spool.read_text())
    client = lab.pop3("ana")
    assert client.stat()[0] == 2
    assert b"Subject: dos" in client.retr(1)[1]
    client.dele(1)
    client.quit()
    assert "Subject: dos" not in spool.read_text()
    assert spool.read_text().count("\nSubject: tres") == 1


def test_a_mailbox_in_the_database_on_the_whole_way(lab):
    """D03: delivered, read by IMAP and POP3, deleted at QUIT; there again after kill -9 of everything."""
    send(lab, "eva", "luis", subject="uno")
    lab.wait_mails("luis", 1)
    with lab.imap("eva") as client:
        until(lambda: client.select("INBOX") == ("OK", [b"1"]))
        assert client.fetch("1", "(BODY[TEXT])")[1][0][1] == b"From me\r\n"
        assert client.store("1", "+FLAGS", "(\\Seen \\Flagged)")[0] == "OK"
        assert client.create("Archivo")[0] == "OK"
        assert client.copy("1", "Archivo")[0] == "OK"
        send(lab, "eva", subject="dos")
        until(lambda: client.noop() and client.select("INBOX") == ("OK", [b"2"]))
    assert lab.mails("eva") == []
    lab.kill()
    lab.start()
    client = lab.pop3("eva")
    assert client.stat()[0] == 2
    assert b"Subject: uno" in client.retr(1)[1]
    client.dele(1)
    client.quit()
    with lab.imap("eva") as client:
        assert client.select("INBOX") == ("OK", [b"1"])
        assert client.select("Archivo") == ("OK", [b"1"])
        assert b"\\Flagged" in client.fetch("1", "(FLAGS)")[1][0]
