"""Seed 003, sections 2, 4 and 7: where mail is kept, and who reads it there."""
import contextlib
import os
import sqlite3
import subprocess
from pathlib import Path

from tests.lab import DOMAIN, until
from tests.seeds.book import World, sentence

D = "003"


@sentence(D, "7 MDA", "the mailbox of a user is the file /var/spool/mail/USER, and mail is appended at its end",
          "el buzón de un usuario es el fichero /var/spool/mail/USUARIO, y el correo se añade al final", "D01 D08")  # fmt: skip
def an_mbox(world: World) -> str:
    spool = world.folder / "var-spool-mail"
    spool.mkdir(exist_ok=True)
    with world.lab.variant("mbox", f'store = "mbox"\nmbox = "{spool}/{{user}}"', "ana") as lab:
        file = spool / "ana"
        for number in (1, 2):
            with lab.smtp() as client:
                client.sendmail("eva@foo.net", [f"ana@{DOMAIN}"], f"Subject: n{number}\r\n\r\nFrom here\r\n")
            until(lambda number=number: file.exists() and f"Subject: n{number}" in file.read_text())
        text = file.read_text()
        assert text.startswith("From eva@foo.net ")
        assert text.index("Subject: n1") < text.index("Subject: n2")
        said = _mail(file)
        assert "2 messages" in said, said
        with lab.imap("ana") as client:
            assert client.select("INBOX") == ("OK", [b"2"])
            assert client.fetch("2", "(BODY[TEXT])")[1][0][1] == b"From here\r\n"
        pop3 = lab.pop3("ana")
        pop3.dele(1)
        pop3.quit()
        assert "Subject: n1" not in file.read_text()
        assert "1 message" in _mail(file)
    return text.splitlines()[0]


def _mail(file: Path) -> str:
    """What mail(1) says when it opens the file."""
    environ = {**os.environ, "HOME": str(file.parent)}
    done = subprocess.run(
        ["mail", "-f", file], input="x\n", capture_output=True, text=True, timeout=20, env=environ, check=False
    )
    return done.stdout


@sentence(D, "7 MDA", "where there are many users and much traffic, mail is put into a database",
          "donde hay muchos usuarios y mucho tráfico, el correo se inserta en una base de datos", "D03")  # fmt: skip
def a_database(world: World) -> str:
    with world.lab.variant("rows", 'store = "database"', "ana", "luis") as lab:
        with lab.smtp() as client:
            names = [f"{name}@{DOMAIN}" for name in ("ana", "luis")]
            client.sendmail("eva@foo.net", names, "Subject: en filas\r\n\r\nHola\r\n")
        for name in ("ana", "luis"):
            with lab.imap(name) as reader:
                until(lambda reader=reader: reader.select("INBOX") == ("OK", [b"1"]))
        pop3 = lab.pop3("luis")
        assert b"Subject: en filas" in pop3.retr(1)[1]
        pop3.dele(1)
        pop3.quit()
        with contextlib.closing(sqlite3.connect(f"file:{lab.data}/db/mail.db?mode=ro", uri=True)) as rows:
            found = rows.execute("SELECT account, folder, size FROM mail_message").fetchall()
        assert [row[:2] for row in found] == [(f"ana@{DOMAIN}", "INBOX")], found
        assert not list(Path(str(lab.data)).glob("mail/**/new/*")), "no files"
    return f"one row, {found[0][2]} bytes"
