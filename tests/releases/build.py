"""Makes the data folder of a release as files that a repository can keep: `python -m tests.releases.build 0.1`.

Run for each release that changes what is on disk, until it is released, never again for an old one. Databases are kept
as SQL text, indexes of mailboxes not at all (they are made anew). Read by tests/service/test_releases.py.
"""

import sqlite3
import sys
import tarfile
import tempfile
from contextlib import closing
from pathlib import Path

from tests.crash.people import make_list, make_users
from tests.lab import DOMAIN, Lab, until

HERE = Path(__file__).parent
DATABASES = ("core", "queue", "archive", "mail")
MORE = """[accounts.stores]
"rosa@example.org" = "database"
[mail.transports]
"far.example.net" = "127.0.0.1:9"
"""
FAR = "somebody@far.example.net"
SHORT = ("lock", "run", "db", "tls", "trace", "web.secret", "drop", "tmp")


def fill(lab: Lab) -> None:
    """One of everything: mail read and unread, in a Maildir and in a database; a list with a post; mail that waits."""
    make_users(lab, "ana", "luis", "rosa")
    members = make_list(lab, "lista", [f"ana@{DOMAIN}", f"luis@{DOMAIN}"])
    lab.start()
    for number, to in enumerate((f"ana@{DOMAIN}", f"rosa@{DOMAIN}", members, FAR)):
        with lab.smtp() as client:
            head = f"From: x@{DOMAIN}\r\nTo: {to}\r\nMessage-ID: <{number}@{DOMAIN}>\r\nSubject: {number}\r\n"
            client.sendmail(f"x@{DOMAIN}", [to], f"{head}\r\ncuerpo {number}\r\n")
    lab.wait_mails("ana", 2)
    lab.wait_mails("luis", 1)
    until(lambda: any(Path(f"{lab.data}/archives").rglob("*.html")))
    client = lab.imap("ana")
    client.create("Copias")
    client.select()
    client.store("1", "+FLAGS", r"(\Seen \Flagged)")
    client.copy("1", "Copias")
    client.logout()
    client = lab.imap("rosa")
    client.select()
    client.logout()
    lab.stop()


def keep(lab: Lab, where: Path) -> None:
    """What is on disk afterwards, without what is made anew."""
    for name in DATABASES:
        with closing(sqlite3.connect(f"{lab.data}/db/{name}.db")) as database:
            (where / f"{name}.sql").write_text("".join(line + "\n" for line in database.iterdump()))
    with tarfile.open(where / "data.tar", "w") as tar:      # names with colons are not for every checkout
        for path in sorted(Path(str(lab.data)).rglob("*")):
            inside = path.relative_to(str(lab.data))
            made_anew = inside.parts[0] in SHORT or "estafeta.index" in path.name or path.name in ("lock", "inflight")
            if path.is_file() and not made_anew and path.suffix not in (".lock", ".html", ".css", ".gz"):
                tar.add(path, str(inside), filter=_nobody)


def _nobody(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def main(name: str) -> None:
    where = HERE / name
    where.mkdir()
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab(Path(folder) / "lab", more=MORE)
        try:
            fill(lab)
            keep(lab, where)
        finally:
            lab.kill()


if __name__ == "__main__":
    main(sys.argv[1])
