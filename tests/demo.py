"""`make demo`: the whole river on made-up mail, every body checked at every stage by a reader of its own.

A small remote server (Dovecot where installed, else a second appliance) holds mail of two external accounts; the
appliance collects one into a mailbox and the other, as a bridge, into a list; users write to each other and to the
list; IMAP, POP3, the Maildir files and the archive are compared with what was sent. Exit status 0 only if nothing was
lost, doubled or changed anywhere. `--drop` loses one message on purpose, to show that it would be noticed.
"""

import argparse
import imaplib
import os
import poplib
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from bridge.model.language import language, tr
from tests.corpus import Mail, body_digest, mails
from tests.lab import DOMAIN, Lab, free_ports

REMOTE_PASSWORD = "clave-remota-7"
ANA, LUIS, LIST = f"ana@{DOMAIN}", f"luis@{DOMAIN}", f"dev@{DOMAIN}"


@dataclass
class Report:
    """Lines for the end, and whether all is well."""

    lines: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def stage(self, name: str, expected: Iterable[Mail], found: Iterable[bytes]) -> None:
        """Compare bodies by id and SHA-256."""
        wanted = Counter((mail.ident, mail.digest) for mail in expected)
        there = Counter((_ident(raw), body_digest(raw)) for raw in found)
        lost, more = wanted - there, there - wanted
        ok = not lost and not more
        got, due = sum(there.values()), sum(wanted.values())
        self.lines.append(mark(ok) + name + tr(f": {got} of {due} messages", f": {got} de {due} mensajes"))
        for what, rest in (
            (tr("lost or changed", "perdidos o cambiados"), lost),
            (tr("doubled or changed", "repetidos o cambiados"), more),
        ):  # fmt: skip
            if rest:
                self.wrong.append(f"{name}: {what}: {', '.join(sorted(ident for ident, _ in rest))[:300]}")


def mark(ok: bool) -> str:
    return tr("  ok   ", "  bien ") if ok else tr("  BAD  ", "  MAL  ")


def _ident(raw: bytes) -> str:
    found = re.search(rb"^X-Demo-Id: (\S+)", raw, re.M)
    return found[1].decode() if found else "?"


# ---- the remote server ---------------------------------------------------------------------------


class Dovecot:
    """Debian's Dovecot on free ports with Maildirs of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.imap, self.pop3 = free_ports(2)

    def start(self, boxes: dict[str, list[Mail]]) -> None:
        self.folder.mkdir(parents=True)
        owner = (65534, 65534) if os.getuid() == 0 else (os.getuid(), os.getgid())
        for user, content in boxes.items():
            box = self.folder / "mail" / user / "Maildir"
            for part in ("cur", "new", "tmp"):
                (box / part).mkdir(parents=True)
            for number, mail in enumerate(content):
                (box / "new" / f"10{number:05d}.demo").write_bytes(mail.raw.replace(b"\r\n", b"\n"))
        for path in [self.folder, *self.folder.rglob("*")]:
            os.chown(path, *owner)
        for path in [self.folder, *self.folder.parents][:3]:
            path.chmod(path.stat().st_mode | 0o055)
        (self.folder / "passwd").write_text("".join(f"{user}:{{PLAIN}}{REMOTE_PASSWORD}\n" for user in boxes))
        (self.folder / "dovecot.conf").write_text(
            f"base_dir = {self.folder}/run\nlog_path = {self.folder}/log\nlisten = 127.0.0.1\nprotocols = imap pop3\n"
            f"ssl = no\ndisable_plaintext_auth = no\nmail_location = maildir:{self.folder}/mail/%n/Maildir\n"
            f"passdb {{\n driver = passwd-file\n args = {self.folder}/passwd\n}}\n"
            f"userdb {{\n driver = static\n args = uid={owner[0]} gid={owner[1]} home={self.folder}/mail/%n\n}}\n"
            "first_valid_uid = 1\n"
            + "".join(
                f"service {name}-login {{\n inet_listener {name} {{\n port = {port}\n }}\n"
                f" inet_listener {name}s {{\n port = 0\n }}\n}}\n"
                for name, port in (("imap", self.imap), ("pop3", self.pop3))
            )
        )
        subprocess.run(["dovecot", "-c", str(self.folder / "dovecot.conf")], check=True)

    def stop(self) -> None:
        subprocess.run(["doveadm", "-c", str(self.folder / "dovecot.conf"), "stop"], capture_output=True, check=False)


class Another:
    """A second appliance as the remote server, where there is no Dovecot."""

    def __init__(self, folder: Path) -> None:
        self.lab = Lab(folder, single=True)
        self.imap, self.pop3 = self.lab.ports["imap"], self.lab.ports["pop3"]

    def start(self, boxes: dict[str, list[Mail]]) -> None:
        self.lab.add_user(*boxes, password=REMOTE_PASSWORD)
        self.lab.start()
        for user, content in boxes.items():
            client = self.lab.imap(user, REMOTE_PASSWORD)
            for mail in content:
                client.append("INBOX", "", "", mail.raw)
            client.logout()

    def stop(self) -> None:
        self.lab.kill()


def remote(folder: Path) -> Dovecot | Another:
    usable = shutil.which("dovecot") and os.getuid() == 0
    return Dovecot(folder) if usable else Another(folder)


# ---- the demo ------------------------------------------------------------------------------------


def settings(there: Dovecot | Another) -> str:
    account = (
        '[[fetch.account]]\nname = "{name}"\nprotocol = "{protocol}"\nhost = "127.0.0.1"\nport = {port}\ntls = "none"\n'
        'user = "{user}"\npassword = "{password}"\nto = "{to}"\nkeep = {keep}\n'
    )
    return account.format(
        name="remota", protocol="imap", port=there.imap, user="remota", password=REMOTE_PASSWORD, to=ANA, keep="true"
    ) + account.format(
        name="bridge", protocol="pop3", port=there.pop3, user="puente", password=REMOTE_PASSWORD, to=LIST, keep="false"
    )


def send(lab: Lab, content: list[Mail], to: str) -> None:
    with lab.smtp() as client:
        for mail in content:
            client.sendmail(mail.sender, [to], mail.raw)


def read_imap(lab: Lab, user: str) -> list[bytes]:
    client: imaplib.IMAP4 = lab.imap(user)
    client.select("INBOX", readonly=True)
    _, rows = client.fetch("1:*", "(BODY.PEEK[])")
    client.logout()
    return [row[1] for row in rows if isinstance(row, tuple)]


def read_pop3(lab: Lab, user: str) -> list[bytes]:
    client: poplib.POP3 = lab.pop3(user)
    count = client.stat()[0]
    found = [b"\r\n".join(client.retr(n + 1)[1]) + b"\r\n" for n in range(count)]
    client.quit()
    return found


def read_files(lab: Lab, user: str) -> list[bytes]:
    return [path.read_bytes() for path in lab.mails(user)]


def read_mbox(path: Path) -> list[bytes]:
    """An mbox (mboxrd), read by its From_ lines."""
    text = path.read_bytes()
    parts = re.split(rb"(?:\A|(?<=\n\n))From [^\n]+\n", text)[1:]
    return [re.sub(rb"^>(>*From )", rb"\1", part[:-1], flags=re.M) for part in parts]


def demo(folder: Path, drop: bool) -> Report:
    report = Report()
    outside = list(mails("out", 30, ANA))
    bridged = list(mails("bridge", 10, LIST, senders=[ANA, LUIS]))
    letters = list(mails("letter", 30, LUIS))
    posts = list(mails("post", 20, LIST, senders=[ANA, LUIS]))
    there = remote(folder / "remote")
    kind = "Dovecot" if isinstance(there, Dovecot) else tr("another Estafeta", "otra Estafeta")
    tell(
        f"A remote server ({kind}) gets {len(outside + bridged)} messages for two external accounts.",
        f"Un servidor remoto ({kind}) recibe {len(outside + bridged)} mensajes para dos cuentas externas.",
    )
    there.start({"remota": outside[1:] if drop else outside, "puente": bridged})
    lab = Lab(folder / "estafeta", more=settings(there))
    try:
        tell(
            "Estafeta starts, with two users and a list; the second account is a bridge into the list.",
            "Arranca Estafeta, con dos usuarios y una lista; la segunda cuenta es un puente hacia la lista.",
        )
        lab.add_user("ana", "luis")
        lab.command("newlist", "-q", "dev", ANA, "clave-de-lista-9")
        lab.command("add_members", "-w", "n", "-a", "n", "-r", "-", "dev", text=f"{ANA}\n{LUIS}\n")
        lab.start()
        tell("It collects both accounts (IMAP, POP3):", "Recoge las dos cuentas (IMAP, POP3):")
        said = lab.command("fetch", check=False, LANG="es_ES.UTF-8" if language() == "es" else "C.UTF-8")
        print("".join(f"  {line}\n" for line in said.splitlines()), end="", flush=True)
        tell(
            f"{len(letters)} letters to Luis and {len(posts)} posts to the list come in by SMTP.",
            f"Entran por SMTP {len(letters)} cartas para Luis y {len(posts)} mensajes para la lista.",
        )
        send(lab, letters, LUIS)
        send(lab, posts, LIST)
        listed = posts + bridged
        lab.wait_mails("ana", len(outside) - drop + len(listed))
        lab.wait_mails("luis", len(letters) + len(listed))
        tell(
            "All is delivered; every body is compared with what was sent:",
            "Todo está entregado; se compara cada cuerpo con lo enviado:",
        )
        for user, expected in (("ana", outside + listed), ("luis", letters + listed)):
            for name, reader in ((tr("files", "ficheros"), read_files), ("IMAP", read_imap), ("POP3", read_pop3)):
                stage = tr(f"{user}'s mailbox by {name}", f"buzón de {user} por {name}")
                report.stage(stage, expected, reader(lab, user))
        archive = Path(str(lab.data)) / "archives" / "private"
        _wait_archive(archive / "dev", len(listed))
        stage = tr("archive of dev (mbox)", "archivo de dev (mbox)")
        report.stage(stage, listed, read_mbox(archive / "dev.mbox" / "dev.mbox"))
        pages = list((archive / "dev").rglob("[0-9]*.html"))
        stage = tr(f"archive of dev: {len(pages)} pages", f"archivo de dev: {len(pages)} páginas")
        report.lines.append(mark(len(pages) == len(listed)) + stage)
        if len(pages) != len(listed):
            report.wrong.append(f"archive: {len(pages)} pages of {len(listed)}")
        left = lab.command("queue", "list", "--json").strip()
        if left:
            report.wrong.append(f"still in the queue: {left[:300]}")
        page = f"file://{archive}/dev/index.html"
        report.lines.append(tr(f"\nA page to open: {page}", f"\nUna página que abrir: {page}"))
        if lab.stop() != 0:
            report.wrong.append("the appliance did not end well")
    finally:
        lab.kill()
        there.stop()
    return report


def tell(en: str, es: str) -> None:
    """A step of the story, as it happens."""
    print(tr(en, es), flush=True)


def _wait_archive(folder: Path, count: int, seconds: float = 15.0) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if len(list(folder.rglob("[0-9]*.html"))) >= count:
            return
        time.sleep(0.05)


def main() -> int:
    arg = argparse.ArgumentParser(prog="make demo", description=__doc__)
    arg.add_argument("--drop", action="store_true", help="lose one message on purpose")
    arg.add_argument(
        "--folder", type=Path, default=None, help="where to keep everything (default: a new folder)"
    )
    given = arg.parse_args()
    begin = time.monotonic()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="estafeta-demo-"))
    report = demo(folder, given.drop)
    seconds = f"{time.monotonic() - begin:.1f}"
    print("\n".join(report.lines))
    tell(
        f"Everything is kept in {folder}; it took {seconds} s.",
        f"Todo queda en {folder}; ha tardado {seconds} s.",
    )
    for line in report.wrong:
        print(tr("WRONG:", "MAL:"), line, file=sys.stderr)
    if not report.wrong:
        tell("Nothing was lost, doubled or changed.", "Nada se ha perdido, repetido ni cambiado.")
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
