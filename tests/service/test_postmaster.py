"""What a postmaster types, against the real program: aliases in all forms, sendmail, mailq, procmail (seed 003)."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.lab import DOMAIN, Lab, until

pytestmark = pytest.mark.service
ROOT = os.getuid() == 0
PROGRAM, STRANGER = 42_811, 42_812     # as whom programs run if root started the service, and some user of the machine

ALIASES = """\
# every form that the text prints
postmaster: ana
Team: luis, ana@example.org,
      outside@example.org
"two words": luis
log: {folder}/files/log
nothing: /dev/null
keep: | {folder}/bin/keep one "two words"
busy: |{folder}/bin/busy
gone: "|{folder}/bin/gone x"
many: :include:{folder}/members
"""
PROGRAMS = {
    "keep": 'cd "{folder}/files"; printf "%s\\n" "$SENDER" "$RECIPIENT" "$#" "$2" >kept.env; exec cat >kept',
    "busy": 'test -e "{folder}/files/free" || {{ echo "not now"; exit 75; }}; exec cat >>"{folder}/files/kept"',
    "gone": 'echo "no such member: $1" >&2; exit 67',
}


class Site:
    """A folder with alias file and programs, and the appliance on it."""

    def __init__(self, folder: Path, more: str = "") -> None:
        folder.chmod(0o755)
        self.folder = folder
        self.aliases = folder / "aliases"
        self.files, bins = folder / "files", folder / "bin"
        for made in (self.files, bins):
            made.mkdir()
            made.chmod(0o755)
        self.aliases.write_text(ALIASES.format(folder=folder))
        (folder / "members").write_text("ana@example.org\n# a comment\nluis, eva\n")
        for name, text in PROGRAMS.items():
            (bins / name).write_text("#!/bin/sh\n" + text.format(folder=folder) + "\n")
            (bins / name).chmod(0o755)
        for path in (self.aliases, folder / "members"):
            path.chmod(0o644)
        if ROOT:
            os.chown(self.files, PROGRAM, PROGRAM)
        self.environ = {
            "ESTAFETA__MAIL__ALIASES": str(self.aliases),
            "ESTAFETA__MAIL__PROGRAMS": f"{bins}/",
            "ESTAFETA__MAIL__FILE_FOLDERS": str(self.files),
        }
        if ROOT:
            self.environ["ESTAFETA__DELIVERY__PROGRAM_USER"] = f"{PROGRAM}:{PROGRAM}"
        self.lab = Lab(folder / "lab", more=more, environ=self.environ)
        (folder / "lab").chmod(0o755)

    def run(self, *words: str, text: str = "", status: int = 0, uid: int = 0) -> str:
        """A command as its user types it; as another user if we are root."""
        code = (
            "import os, sys, tomllib, json, socket, bridge.cli, bridge.cli.sendmail, bridge.cli.queue\n"
            "import bridge.store.dropfolder, bridge.model.errors, encodings.idna, argparse\n"
            "argparse.ArgumentParser(prog='x').add_argument('--x', help='y')\n"     # while it can be read
            f"uid = {uid if ROOT else 0}\n"
            "if uid: os.setgroups([]); os.setresgid(uid, uid, uid); os.setresuid(uid, uid, uid)\n"
            "bridge.cli.main(['estafeta', *sys.argv[1:]])"
        )
        environ = {**os.environ, **self.environ, "ESTAFETA_CONFIG": str(self.lab.config), "LC_ALL": "C.UTF-8"}
        done = subprocess.run(
            [sys.executable, "-c", code, *words], input=text, capture_output=True, text=True, timeout=60, env=environ
        )
        assert done.returncode == status, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}\n{self.lab.tail()}"
        return done.stdout + done.stderr

    def wait_empty(self) -> None:
        end = time.monotonic() + 30
        while (said := self.run("mailq")) != "Mail queue is empty\n":
            assert time.monotonic() < end, f"{said}\n{self.lab.tail()}"
            time.sleep(0.05)

    def text(self, name: str) -> str:
        path = self.files / name
        return path.read_text() if path.exists() else ""

    def bodies(self, user: str) -> str:
        return "\n=====\n".join(path.read_text() for path in self.lab.mails(user))


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every user may enter."""
    made = Path(tempfile.mkdtemp(prefix="estafeta-site."))
    yield made
    shutil.rmtree(made)


@contextmanager
def site(folder: Path, *users: str, more: str = "") -> Iterator[Site]:
    made = Site(folder, more)
    try:
        made.lab.add_user(*users)
        yield made
    finally:
        try:
            made.lab.stop(15)
        finally:
            made.lab.kill()


def mail(to: str, subject: str) -> str:
    return f"To: {to}\nSubject: {subject}\n\nbody of {subject}\n"


def test_aliases_in_all_forms(place: Path) -> None:
    """S54, S55, S56, S57, S58, S76, S77: seed 003, 7: each form typed, newaliases, and where the mail is afterwards."""
    with site(place, "ana", "luis", "eva") as it:
        said = it.run("newaliases")
        assert f"{it.aliases}: 9 aliases, longest " in said
        it.lab.start()
        it.run("sendmail", "team", text="Subject: s54\n\nhola\n")
        it.run("sendmail", "-t", text=mail('"two words"@example.org', "quoted"))
        it.run("sendmail", "-i", "log", text="Subject: s55\n\n.\nFrom me\n")
        it.run("sendmail", "log@example.org", text="Subject: s55 again\n\n")
        it.run("sendmail", "nothing", text="Subject: nothing\n\n")
        it.run("sendmail", "-f", "boss@example.net", "keep", text="Subject: s56\n\nhola\n")
        it.run("sendmail", "many", text="Subject: s57\n\n")
        until(lambda: it.text("log").count("\nSubject: s55") == 2, 30, "file")
        until(lambda: "hola" in it.text("kept"), 30, "program")
        until(lambda: it.bodies("luis").count("Subject:") == 3, 30, "luis")
        until(lambda: "Subject: s57" in it.bodies("eva"), 30, "eva")
        until(lambda: "Subject: s57" in it.bodies("ana"), 30, "ana")
        log = it.text("log")
        assert log.startswith("From root@example.org " if ROOT else "From ")
        assert "\n\n.\n>From me\n\nFrom " in log
        assert not (it.files / "log.lock").exists()
        assert it.text("kept.env").splitlines()[1:] == ["keep@example.org", "2", "two words"]
        assert it.text("kept").startswith("Return-Path: <")
        assert "Delivered-To: keep@example.org\n" in it.text("kept")
        it.wait_empty()

        # S58: noticed without a command; a mistake names its line and the last good version counts
        it.aliases.write_text(it.aliases.read_text() + "new: luis\n")
        time.sleep(1.2)
        it.run("sendmail", "new", text="Subject: s58\n\n")
        until(lambda: "Subject: s58" in it.bodies("luis"), 30, "edited")
        it.aliases.write_text(it.aliases.read_text() + "this is no alias\n")
        assert f"{it.aliases}:13: no colon" in it.run("newaliases", status=65)


def test_programs_that_say_no_and_later(place: Path) -> None:
    """S56, S75, S76: 75 waits in mailq with its words until sendmail -q; 67 comes back with the output quoted."""
    with site(place, "ana") as it:
        it.lab.start()
        it.run("sendmail", "-f", f"ana@{DOMAIN}", "gone", text="Subject: no\n\n")
        until(lambda: "no such member: x" in it.bodies("ana"), 30, "bounce")
        assert "5.1.1" in it.bodies("ana")
        it.run("sendmail", "busy", text="Subject: later\n\nwaited\n")
        until(lambda: "not now" in it.run("mailq"), 30, "deferral")
        listed = it.run("sendmail", "-bp")
        assert "busy@example.org" in listed
        assert "temporary failure: not now" in listed
        assert listed.rstrip().endswith("in 1 Request.")
        (it.files / "free").touch()
        it.run("sendmail", "-qRnobody")
        assert "1 Request" in it.run("mailq")
        it.run("sendmail", "-qRbusy")
        until(lambda: "waited" in it.text("kept"), 30, "flushed")
        it.wait_empty()


def test_the_daemon_is_down(place: Path) -> None:
    """S78: handed in while nothing runs, by a user without rights; delivered once after the start."""
    with site(place, "ana") as it:
        it.run("sendmail", "-t", "-F", "Somebody", text=mail("ana", "while down"), uid=STRANGER)
        assert it.run("mailq") == "Mail queue is empty\n"
        it.run("sendmail", "-q", status=69)
        if ROOT:
            assert "down" in it.run("mailq", status=69, uid=STRANGER)
        it.lab.start()
        (path,) = it.lab.wait_mails("ana", 1, 30)
        text = path.read_text()
        assert "body of while down" in text
        assert "\nFrom: Somebody <" in text
        if ROOT:
            assert f"Return-Path: <uid{STRANGER}@example.org>" in text
            assert f"Received: from userid-{STRANGER}" in text
        assert not [one for one in (it.folder / "lab/data/drop").iterdir() if one.name != "queue.sock"]


@pytest.mark.skipif(not ROOT, reason="needs two users")
def test_users_see_and_hurry_their_own_mail(place: Path) -> None:
    """S75, S76, sec-Q11, sec-X09: mailq for everybody; the commands of the queue for root alone."""
    with site(place, "ana") as it:
        it.lab.start()
        it.run("sendmail", "busy", text="Subject: root's\n\n")
        it.run("sendmail", "-f", "ana", "busy", text="Subject: mine\n\n", uid=STRANGER)
        until(lambda: "2 Requests" in it.run("mailq"), 30, "both wait")
        mine = it.run("mailq", uid=STRANGER)
        assert mine.rstrip().endswith("1 Request.")
        assert f"uid{STRANGER}@example.org" in mine     # not ana, whose mailbox is not theirs
        it.run("queue", "delete", "--all", uid=STRANGER, status=1)
        (it.files / "free").touch()
        it.run("sendmail", "-q", uid=STRANGER)
        until(lambda: "mine" in it.text("kept"), 30, "hurried")
        assert "1 Request." in it.run("mailq")
        assert "root's" not in it.text("kept")
        assert "1 messages." in it.run("queue", "delete", "--all")
        it.wait_empty()


def test_commands_of_the_queue(place: Path) -> None:
    """S84, S85: pause, hold, release, show, requeue on a running server, and hold while it is down."""
    with site(place, "ana") as it:
        it.lab.start()
        assert "local" in it.run("queue", "pause", "local")
        it.run("sendmail", "-i", "ana", text="Subject: paused\n\nthe text\n")
        until(lambda: "1 Request." in it.run("mailq"), 30, "waits")
        one = it.run("mailq").splitlines()[1].split()[0]
        assert "the text" in it.run("queue", "show", one)
        assert "1 messages." in it.run("queue", "hold", one)
        assert f"{one}!" in it.run("mailq")
        it.run("queue", "resume")
        it.lab.stop()
        assert f"{one}!" in it.run("mailq")
        assert "1 messages." in it.run("queue", "release", one)
        it.lab.start()
        it.lab.wait_mails("ana", 1, 30)


@pytest.mark.skipif(not shutil.which("procmail"), reason="needs procmail")
def test_procmail_fills_a_mailbox(place: Path) -> None:
    """D06: for one account; the others stay with the server; IMAP sees what procmail sorted."""
    command = "/usr/bin/procmail -t -f %f HOME=%h DEFAULT=%m/ %h/.procmailrc"
    more = f'[delivery]\n[delivery.mailbox_commands]\n"ana@{DOMAIN}" = "{command}"\n'
    with site(place, "ana", "luis", more=more) as it:
        home = it.lab.maildir("ana").parent
        for part in ("new", "cur", "tmp"):
            (home / "Maildir" / part).mkdir(parents=True, exist_ok=True)
        (home / ".procmailrc").write_text("MAILDIR=$HOME/Maildir\n:0\n* ^Subject: sort me\n.sorted/\n")
        if ROOT:
            for path in (home, *home.rglob("*")):
                os.chown(path, PROGRAM, PROGRAM)
            for path in (home.parent, home.parent.parent):
                path.chmod(0o711)
        assert "/usr/bin/procmail" in it.run("explain", "ana")
        it.lab.start()
        it.run("sendmail", "ana", "luis", text="Subject: sort me\n\n")
        it.run("sendmail", "ana", text="Subject: plain\n\n")
        until(lambda: it.lab.mails("luis") and "plain" in it.bodies("ana"), 30, "delivered")
        until(lambda: list((it.lab.maildir("ana") / ".sorted").glob("new/*")), 30, "sorted")
        assert "sort me" not in it.bodies("ana")
        client = it.lab.imap("ana")
        assert client.select("sorted")[1] == [b"1"]
        client.logout()


def test_verify_and_smtp_on_standard_input(place: Path) -> None:
    """S77: -bv, -bs."""
    with site(place, "ana") as it:
        assert "ana... deliverable: mailbox ana@example.org" in it.run("sendmail", "-bv", "ana")
        assert "nobody... 550 5.1.1" in it.run("sendmail", "-bv", "ana", "nobody", status=67)
        talk = "EHLO x\nMAIL FROM:<x@example.net>\nRCPT TO:<ana@example.org>\nDATA\nSubject: bs\n\n..\n.\nQUIT\n"
        assert "250 2.0.0 Ok: handed in as" in it.run("sendmail", "-bs", text=talk)
        it.lab.start()
        (path,) = it.lab.wait_mails("ana", 1, 30)
        assert path.read_text().endswith("\n\n.\n")
