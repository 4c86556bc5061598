"""The running program with accounts, lists and ledger on PostgreSQL (O19)."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.lab import DOMAIN, PASSWORD, running, until

URL = os.environ.get("ESTAFETA_TEST_POSTGRESQL", "")
pytestmark = [
    pytest.mark.service,
    pytest.mark.skipif(not URL, reason="needs a PostgreSQL server: set ESTAFETA_TEST_POSTGRESQL to its URL (CI does)"),
]


@pytest.fixture
def url() -> Iterator[str]:
    """A database of our own on that server."""
    name = f"estafeta_{os.getpid()}"
    server = sa.create_engine(URL, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    yield sa.make_url(URL).set(database=name).render_as_string(hide_password=False)
    with server.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    server.dispose()


def test_accounts_lists_and_mail(tmp_path: Path, url: str) -> None:
    with running(tmp_path, "ana", "luis", more=f'[database]\ncore = "{url}"\n') as lab:
        lab.command("newlist", "-q", "alumnos", f"ana@{DOMAIN}", "listadmin")
        lab.command("add_members", "-r", "-", "-w", "n", "alumnos", text=f"ana@{DOMAIN}\nluis@{DOMAIN}\n")
        with lab.smtp() as client:
            client.sendmail("x@example.net", [f"ana@{DOMAIN}"], "Subject: one\r\n\r\nhola\r\n")
            client.sendmail(
                f"ana@{DOMAIN}", [f"alumnos@{DOMAIN}"],
                f"From: ana@{DOMAIN}\r\nTo: alumnos@{DOMAIN}\r\nSubject: to the list\r\n\r\nhola\r\n",
            )  # fmt: skip
        lab.wait_mails("luis", 1)
        assert any(b"to the list" in path.read_bytes() for path in lab.mails("luis"))
        lab.command("user", "add", f"eva@{DOMAIN}", "--password-stdin", text=PASSWORD)
        until(lambda: _login(lab, "eva"), what="the others see a new account")
        assert "no problems" in lab.command("verify")
        assert not (tmp_path / "data" / "db" / "core.db").exists()
        lab.kill()
        lab.start()
        imap = lab.imap("ana")
        assert imap.select()[0] == "OK"
        imap.logout()
        assert "Traceback" not in lab.log.read_text()
        assert lab.stop() == 0


def _login(lab: object, user: str) -> bool:
    import imaplib

    try:
        client = lab.imap(user)  # type: ignore[attr-defined]
    except imaplib.IMAP4.error:
        return False
    client.logout()
    return True


def test_the_queue_on_postgresql(tmp_path: Path, url: str) -> None:
    with running(tmp_path, "ana", more=f'[database]\ncore = "{url}"\nqueue = "{url}"\n') as lab:
        with lab.smtp() as client:
            client.sendmail("x@example.net", [f"ana@{DOMAIN}"], "Subject: one\r\n\r\nhola\r\n")
        lab.wait_mails("ana", 1)
        lab.kill()
        lab.start()
        with lab.smtp() as client:
            client.sendmail("x@example.net", [f"ana@{DOMAIN}"], "Subject: two\r\n\r\nhola\r\n")
        lab.wait_mails("ana", 2)
        assert len(lab.mails("ana")) == 2
        assert not (tmp_path / "data" / "db" / "queue.db").exists()
        assert "Traceback" not in lab.log.read_text()
