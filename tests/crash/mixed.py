"""A small load of every kind at once: SMTP to users and to a list, IMAP changes, a collected account, an archive; and
the oracle that says what is lost, doubled, come back, or was answered as it must not be."""

import contextlib
import imaplib
import json
import random
import re
import shutil
import smtplib
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.crash.ledger import Ledger, drain, ids_in, message, read_mailboxes
from tests.crash.nursery import Nursery, Sprig
from tests.crash.people import make_list
from tests.lab import DOMAIN, PASSWORD

MEMBERS = ("ana", "luis")
READER, BRIDGE, LIST = "eva", "fe", "lista"
MORE = """[queue]
retry_first = 1
retry_longest = 2
scan_seconds = 1
poison = 1000
[store]
tidy_after = 0.1
[[fetch.account]]
name = "lejos"
protocol = "imap"
host = "127.0.0.1"
port = {port}
tls = "none"
user = "lejos@{domain}"
password = "{password}"
to = "{to}"
keep = false
interval = 10
"""
_HEADER = re.compile(rb"X-Crash-Id: (\S+)", re.I)


class Imap(threading.Thread):
    """One client that appends, flags, copies, moves and expunges in one mailbox, noting what was said OK to."""

    def __init__(self, lab: Sprig) -> None:
        super().__init__(daemon=True)
        self.kept: set[str] = set()      # APPEND said OK, nothing was done with it since
        self.gone: set[str] = set()      # EXPUNGE said OK
        self.bad: list[str] = []         # answers that our own trouble must not get
        self._lab, self._over, self._number = lab, threading.Event(), 0
        self._rng = random.Random(7)

    def end(self) -> None:
        self._over.set()
        self.join(20)

    def run(self) -> None:
        while not self._over.is_set():
            try:
                with self._client() as client:
                    while not self._over.is_set():
                        self._round(client)
            except imaplib.IMAP4.abort:
                self._over.wait(0.05)
            except imaplib.IMAP4.error as error:
                text = str(error)
                if "BAD" in text or "AUTHENTICATIONFAILED" in text:
                    self.bad.append(text)
                self._over.wait(0.05)
            except (OSError, ConnectionError):
                self._over.wait(0.05)

    @contextlib.contextmanager
    def _client(self) -> Iterator[imaplib.IMAP4]:
        client = imaplib.IMAP4("127.0.0.1", self._lab.ports["imap"], timeout=20)
        try:
            client.login(f"{READER}@{DOMAIN}", PASSWORD)
            yield client
        finally:
            with contextlib.suppress(OSError):
                client.shutdown()

    def _round(self, client: imaplib.IMAP4) -> None:
        ident = f"imap-{self._number}"
        self._number += 1
        for name in ("Copias", "Movidos"):
            client.create(name)
        if client.select("INBOX")[0] != "OK":
            return
        said, _ = client.append("INBOX", "", "", message(ident, READER, self._rng, 3000))
        if said != "OK":
            return
        self.kept.add(ident)
        client.noop()
        said, found = client.search(None, "HEADER", "X-Crash-Id", f'"{ident}"')
        numbers = found[0].split() if said == "OK" and found and found[0] else []
        if not numbers:
            return
        one = numbers[-1].decode()
        client.store(one, "+FLAGS", f"(\\Flagged palabra{self._number % 20})")
        client.copy(one, "Copias")
        self._folders(client)
        if self._number % 3 == 0:
            client._simple_command("MOVE", one, "Movidos")
        elif self._number % 3 == 1:
            self.kept.discard(ident)  # from here on it may be there or not
            said, told = client.store(one, "+FLAGS", "(\\Deleted)")
            if said == "OK" and told[0] and client.expunge()[0] == "OK":
                self.gone.add(ident)

    def _folders(self, client: imaplib.IMAP4) -> None:
        name = f"Carpeta{self._number}"
        client.create(name)
        client.subscribe(name)
        client.rename(name, name + "x")
        client.delete(name + "x")


class Oddities(threading.Thread):
    """What happens now and then: posts that are held, files that other programs put into a mailbox."""

    def __init__(self, lab: Sprig, to: str) -> None:
        super().__init__(daemon=True)
        self._lab, self._to, self._over = lab, to, threading.Event()

    def end(self) -> None:
        self._over.set()
        self.join(20)

    def run(self) -> None:
        rng, number = random.Random(3), 0
        while not self._over.wait(0.2):
            number += 1
            text = message(f"held-{number}", self._to, rng, 300).replace(b"From: load@", b"From: held@", 1)
            with contextlib.suppress(OSError, smtplib.SMTPException), self._lab.smtp() as client:
                client.sendmail("held@client.example.org", [self._to], text)
            folder = self._lab.maildir(READER) / "new"
            if folder.is_dir():
                (folder / f"odd\x07name {number}").write_bytes(b"Subject: foreign\n\nhola\n")

    def before(self, left: set[str]) -> None:
        """Between two lives: what makes a start do what it seldom does, for the points that are wanted still."""
        data = Path(str(self._lab.data))
        wanted = {name.removesuffix("+") for name in left}
        if "certificate.write" in wanted:
            shutil.rmtree(data / "tls", ignore_errors=True)
        if "instance.write" in wanted and (data / "instance.json").exists():
            known = json.loads((data / "instance.json").read_text())
            (data / "instance.json").write_text(json.dumps({**known, "version": "0"}))
        if "spool.quarantine" in wanted:
            (self._lab.spool / "q" / "00").mkdir(parents=True, exist_ok=True)
            name = f"000000{random.randrange(10**10):010d}"  # each time another one of the folder 00
            (self._lab.spool / "q" / "00" / name).write_bytes(b"nothing that anybody has accepted")


class Mixed:
    """`with Mixed(folder, nursery) as load:`: `load.lab` is the appliance under test; `begin`, `end`, `wrong`."""

    def __init__(self, folder: Path, home: Nursery, *, single: bool, seed: int) -> None:
        self.far = Sprig(folder / "far", nursery=home, single=True)
        more = MORE.format(port=self.far.ports["imap"], domain=DOMAIN, password=PASSWORD, to=f"{BRIDGE}@{DOMAIN}")
        self.lab = Sprig(folder / "near", more=more, nursery=home, single=single)
        self.far.add_user("lejos")
        self.lab.add_user(*MEMBERS, READER, BRIDGE)
        quiet = dict.fromkeys(("administrivia", "admin_immed_notify", "respond_to_post_requests"), False)
        options = {**quiet, "max_message_size": 0, "hold_these_nonmembers": ("held@client.example.org",)}
        self.list = make_list(self.lab, LIST, [f"{one}@{DOMAIN}" for one in MEMBERS], **options)
        to = [f"{MEMBERS[0]}@{DOMAIN}", f"{MEMBERS[1]}@{DOMAIN}", self.list]
        self.smtp = Ledger(self.lab.ports["smtp"], to, threads=2, seed=seed, largest=100_000, pause=0.01)
        self.remote = Ledger(self.far.ports["smtp"], [f"lejos@{DOMAIN}"], threads=1, seed=seed + 1, pause=0.2)
        self.imap = Imap(self.lab)
        self.odd = Oddities(self.lab, self.list)

    def __enter__(self) -> "Mixed":
        self.far.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.end()
        self.lab.kill()
        self.far.kill()

    def begin(self) -> None:
        self.smtp.start()
        self.remote.start()
        self.imap.start()
        self.odd.start()

    def end(self) -> None:
        self.smtp.stop()
        self.remote.stop()
        if self.imap.ident is not None:
            self.imap.end()
            self.odd.end()

    # --- the oracle

    def wrong(self) -> list[str]:
        """After the storm: start without failpoints, let everything settle, compare. Empty if all is well."""
        self.lab.plan = ""
        self.lab.start()
        fetched = self.lab.command("fetch", check=False)
        drain(self.lab, (), 40)
        wrong = [*self._mail(), *self._imap(), *self._archive()]
        if "error" in fetched.lower():
            wrong.append(f"fetch: {fetched[-500:]}")
        if self.lab.stop() != 0:
            wrong.append("no clean stop")
        return [*wrong, *self._databases()]

    def _mail(self) -> list[str]:
        wrong, aside = [], ids_in(self.lab.spool / "quarantine")
        ledger = self.smtp
        for name in MEMBERS:
            found = read_mailboxes([self.lab.maildir(name)])
            due = {one for one in ledger.accepted if ledger.to[one] in (self.list, f"{name}@{DOMAIN}")}
            wrong += _compare(name, due - aside, found.ids, found.broken)
        found = read_mailboxes([self.lab.maildir(BRIDGE)])
        aside |= ids_in(Path(str(self.lab.data)) / "quarantine")
        wrong += _compare("collected", self.remote.accepted - aside, found.ids, found.broken)
        if aside:
            wrong.append(f"set aside without a fault of theirs: {sorted(aside)[:5]}")
        if ledger.refused:
            wrong.append(f"SMTP, permanent replies: {ledger.refused[:3]}")
        return wrong

    def _imap(self) -> list[str]:
        client = self.lab.imap(READER)
        there = {name: _ids(client, name) for name in ("INBOX", "Copias", "Movidos")}
        client.logout()
        mine = there["INBOX"] + there["Movidos"]
        wrong = [f"IMAP: {one}" for one in self.imap.bad[:3]]
        if lost := self.imap.kept - mine.keys():
            wrong.append(f"IMAP: {len(lost)} appended and lost: {sorted(lost)[:5]}")
        if back := self.imap.gone & there["INBOX"].keys():
            wrong.append(f"IMAP: {len(back)} expunged and come back: {sorted(back)[:5]}")
        if twice := [one for one, count in mine.items() if count > 1]:
            wrong.append(f"IMAP: {len(twice)} doubled: {twice[:5]}")
        return wrong

    def _archive(self) -> list[str]:
        posts = {one for one in self.smtp.accepted if self.smtp.to[one] == self.list}
        found: Counter[str] = Counter()
        end = threading.Event()
        for _ in range(60):  # the worker has its own pace
            texts = [path.read_bytes() for path in (Path(str(self.lab.data)) / "archives").rglob("*.mbox/*.mbox")]
            found = Counter(one.decode() for text in texts for one in _HEADER.findall(text))
            if posts <= found.keys():
                break
            end.wait(0.25)
        return _compare("archive", posts, found, [])

    def _databases(self) -> list[str]:
        wrong = []
        data = Path(str(self.lab.data))
        for path in [*data.rglob("*.db"), *data.rglob("estafeta.index")]:
            with contextlib.closing(sqlite3.connect(path)) as connection:
                if (found := connection.execute("PRAGMA integrity_check").fetchall()) != [("ok",)]:
                    wrong.append(f"{path.name}: {found}")
        return wrong


def _compare(where: str, due: set[str], found: Counter[str], broken: list[str]) -> list[str]:
    wrong = [f"{where}: broken: {broken[:3]}"] if broken else []
    if lost := due - found.keys():
        wrong.append(f"{where}: {len(lost)} of {len(due)} lost: {sorted(lost)[:5]}")
    if twice := [one for one, count in found.items() if count > 1]:
        wrong.append(f"{where}: {len(twice)} doubled: {twice[:5]}")
    return wrong


def _ids(client: imaplib.IMAP4, name: str) -> Counter[str]:
    if client.select(name)[0] != "OK":
        return Counter()
    _, rows = client.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (X-Crash-Id)])")
    return Counter(one.decode() for row in rows if isinstance(row, tuple) for one in _HEADER.findall(row[1]))


