"""Users of the operating system beside virtual ones (D04), with rights dropped and the root helper at work."""

import imaplib
import os
import poplib
import signal
import smtplib
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import DOMAIN, Lab, until
from tests.lab import PASSWORD as VIRTUAL
from tests.people import GROUP, PASSWORD, People

pytestmark = [
    pytest.mark.service,
    pytest.mark.skipif(os.getuid() != 0, reason="only root can become the users"),
]
USER = 42_811


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> People:
    return People(tmp_path_factory.mktemp("people"))


@pytest.fixture(scope="module")
def lab(people: People) -> Iterator[Lab]:
    aliases = people.folder / "aliases"
    aliases.write_text(f"spy: |{people.folder}/spy to %a\nluis2: luis\n")
    spy = people.folder / "spy"
    spy.write_text("#!/bin/sh\nid -un; id -G; echo \"$@\"; cat >/dev/null; exit 69\n")
    spy.chmod(0o755)
    box = people.folder / "filter"
    box.write_text(
        '#!/bin/sh\n(id -u; id -G; echo "$HOME $@"; cat) > $HOME/part && mv $HOME/part $HOME/filtered\n'
    )
    box.chmod(0o755)
    one = Lab(
        people.folder / "lab", server=f'user = "{USER}:{USER}"', prefix=people.prefix,
        more=f"""
system_users = true
system_store = "maildir"
stores = {{ "luis@{DOMAIN}" = "mbox" }}
mbox = "{people.mail}/{{user}}"
helper = "{people.folder}/run/helper"
[login]
delay = 0
[imap]
poll_seconds = 3600
[delivery]
program_user = "daemonio"
[delivery.mailbox_commands]
"carmen@{DOMAIN}" = "{box} %u %e"
"procu@{DOMAIN}" = "/usr/bin/procmail -t -f %f MAILDIR=%h %h/.procmailrc"
""",
    )  # fmt: skip
    text = one.config.read_text().replace("aliases = []", f'aliases = ["{aliases}"]\nprograms = ["{people.folder}/"]')
    one.config.write_text(text)
    one.add_user("eva")
    one.start()
    yield one
    one.stop()
    one.kill()


def send(lab: Lab, *to: str, subject: str = "hola") -> None:
    with lab.smtp() as client:
        client.sendmail("x@example.net", [f"{one}@{DOMAIN}" for one in to], f"Subject: {subject}\r\n\r\nFrom here\r\n")


def test_mail_into_a_maildir_with_the_users_rights(lab: Lab, people: People) -> None:
    """D04, D02, D05, sec-D06"""
    send(lab, "ana")
    new = people.homes / "ana" / "Maildir" / "new"
    until(lambda: new.is_dir() and list(new.iterdir()), what=lab.tail())
    (found,) = new.iterdir()
    for path in (found, new, new.parent, new.parent / "cur"):
        about = path.lstat()
        assert (about.st_uid, about.st_gid) == (people.names["ana"],) * 2
        assert not about.st_mode & 0o077
    assert found.read_text().startswith(
        f"Return-Path: <x@example.net>\nX-Original-To: ana@{DOMAIN}\nDelivered-To: ana@{DOMAIN}\n"
    )


def test_mail_into_an_mbox_of_the_user_and_group_mail(lab: Lab, people: People) -> None:
    """D04, D01: also for a user without a login shell, as with Postfix and Dovecot."""
    send(lab, "luis", subject="uno")
    send(lab, "luis2", subject="dos")
    box = people.mail / "luis"
    until(lambda: box.exists() and box.read_text().count("\nSubject: ") == 2, what=lab.tail())
    about = box.stat()
    assert (about.st_uid, about.st_gid, stat.S_IMODE(about.st_mode)) == (people.names["luis"], GROUP, 0o660)
    assert box.read_text().startswith("From x@example.net ")
    assert box.read_text().count("\n>From here\n") == 2
    until(lambda: [one.name for one in people.mail.iterdir()] == ["luis"], what="no lock is left")


def test_who_is_who(lab: Lab) -> None:
    """D04, S100: virtual users win; service accounts and root get no mailbox; explain names passwd."""
    said = lab.command("explain", f"ana@{DOMAIN}")
    assert "system user ana (passwd" in said
    with lab.smtp() as client:
        client.ehlo()
        client.mail("x@example.net")
        assert client.rcpt(f"daemonio@{DOMAIN}")[0] == 550
        assert client.rcpt(f"games@{DOMAIN}")[0] == 550
        assert client.rcpt(f"Carmen+x@{DOMAIN}")[0] == 250
        assert client.rcpt(f"luis@{DOMAIN}")[0] == 250


def test_imap_with_the_systems_password(lab: Lab, people: People) -> None:
    """D04: login through PAM, the session runs as the user, everything in it is the user's."""
    send(lab, "ana", subject="imap")
    imap = lab.imap()
    imap.login("ana", PASSWORD)
    until(lambda: imap.select()[1] != [b"0"])
    assert b"Return-Path" in imap.fetch("1", "(BODY.PEEK[])")[1][0][1]
    assert imap.append("INBOX", "(\\Seen)", None, b"Subject: mine\r\n\r\n" + b"x" * 300_000 + b"\r\n")[0] == "OK"
    assert imap.create("Borradores")[0] == "OK"
    assert imap.copy("1", "Borradores")[0] == "OK"
    assert imap.store("1", "+FLAGS", r"\Deleted")[0] == "OK"
    assert imap.expunge()[0] == "OK"
    number = people.names["ana"]
    assert {p.lstat().st_uid for p in (people.homes / "ana").rglob("*")} == {number}
    running = [one for one in Path("/proc").glob("[0-9]*") if _uid(one) == number]
    assert running, "a process of ana's serves her"
    for one in running:
        status = dict(line.split(":", 1) for line in (one / "status").read_text().splitlines())
        assert status["Uid"].split() == status["Gid"].split() == [str(number)] * 4
        assert status["Groups"].split() == []
        assert status["NoNewPrivs"].strip() == "1"
        names = [os.readlink(link) for link in (one / "fd").iterdir()]
        assert not [name for name in names if str(lab.data) in name], "nothing of the service's is open there"
    imap.logout()
    until(lambda: not [p for p in Path("/proc").glob("[0-9]*") if _uid(p) == number], what="the session's end")


def _uid(process: Path) -> int:
    try:
        return int((process / "status").read_text().split("\nUid:\t")[1].split()[0])
    except (OSError, IndexError):
        return -1


def test_pop3_and_imap_on_an_mbox(lab: Lab, people: People) -> None:
    """D04, D08: read, removed and appended to under both locks, by a session that is not in the folder's group."""
    send(lab, "luis", subject="mbox")
    box = people.mail / "luis"
    until(lambda: "mbox" in box.read_text() if box.exists() else False)
    pop3 = poplib.POP3("127.0.0.1", lab.ports["pop3"], timeout=30)
    pop3.user(f"luis@{DOMAIN}")
    assert b"messages" in pop3.pass_(PASSWORD)
    count = pop3.stat()[0]
    assert count >= 1
    assert b"Delivered-To: luis@example.org" in pop3.retr(1)[1]
    for number in range(1, count + 1):
        pop3.dele(number)
    assert pop3.quit().startswith(b"+OK")
    until(lambda: box.read_text() == "")
    imap = lab.imap()
    imap.login("luis", PASSWORD)
    assert imap.select()[1] == [b"0"]
    assert imap.append("INBOX", None, None, b"Subject: by imap\r\n\r\nx\r\n")[0] == "OK"
    assert "by imap" in box.read_text()
    send(lab, "luis", subject="news")
    until(lambda: imap.noop() and imap.select()[1] == [b"2"])
    imap.logout()
    assert (box.stat().st_uid, box.stat().st_gid) == (people.names["luis"], GROUP)
    until(lambda: [one.name for one in people.mail.iterdir()] == ["luis"], what="no lock is left")


def test_what_is_said_ahead_and_what_is_large_goes_through(lab: Lab) -> None:
    """Commands behind the login in the same packet belong to the session; neither side is read faster than it takes."""
    with socket.create_connection(("127.0.0.1", lab.ports["imap"]), 30) as one, one.makefile("rb") as lines:
        one.sendall(f'a LOGIN ana "{PASSWORD}"\r\nb SELECT INBOX\r\nc APPEND INBOX {{3+}}\r\nabc\r\nd NOO'.encode())
        while not (line := lines.readline()).startswith(b"c "):
            assert line
        assert line.startswith(b"c OK")
        one.sendall(b"P\r\n")
        while not (line := lines.readline()).startswith(b"d OK"):
            assert line
        body = b"x" * 76 + b"\r\n"
        large = b"Subject: large\r\n\r\n" + body * 100_000
        one.sendall(b"e APPEND INBOX {%d+}\r\n" % len(large))
        one.sendall(large + b"\r\nf FETCH * BODY.PEEK[]\r\ng LOGOUT\r\n")
        time.sleep(0.5)         # nobody reads, and nothing piles up
        while b"FETCH" not in (line := lines.readline()):
            assert line
        assert lines.read(len(large)) == large
        assert lines.read().endswith(b"g OK LOGOUT completed\r\n")
    with socket.create_connection(("127.0.0.1", lab.ports["pop3"]), 30) as one, one.makefile("rb") as lines:
        one.sendall(f"USER luis\r\nPASS {PASSWORD}\r\nSTAT\r\nNOOP\r\nQUIT\r\n".encode())
        said = lines.read().splitlines()
        assert [line[:3] for line in said] == [b"+OK"] * 6
        assert b"messages" in said[2]


def test_sessions_hear_of_each_other(lab: Lab, people: People) -> None:
    """Hints go through the processes that hold the connections: a delivery, and what another session did."""
    text = lab.config.read_text()
    assert "poll_seconds = 3600" in text, "so that only hints can be the reason"
    waiting, other = lab.imap(), lab.imap()
    for one in (waiting, other):
        one.login("ana", PASSWORD)
        one.select()
    waiting.send(b"i IDLE\r\n")
    assert waiting.readline().startswith(b"+")
    send(lab, "ana", subject="news")
    assert b"EXISTS" in _until_exists(waiting)
    other.append("INBOX", None, None, b"Subject: by the other\r\n\r\nx\r\n")
    assert b"EXISTS" in _until_exists(waiting)
    waiting.shutdown()
    other.logout()


def _until_exists(imap: imaplib.IMAP4) -> bytes:
    imap.sock.settimeout(20)
    while b"EXISTS" not in (line := imap.readline()):
        assert line, "the session ended"
    return line


def test_wrong_passwords_and_expired_users(lab: Lab) -> None:
    """D04, sec-A03: one text for all that is wrong; the account stage of PAM counts."""
    said = set()
    for name, password in (("ana", "wrong"), ("nobody-there", PASSWORD), ("daemonio", PASSWORD), ("vieja", PASSWORD)):
        imap = lab.imap()
        with pytest.raises(imaplib.IMAP4.error) as error:
            imap.login(name, password)
        said.add(str(error.value))
        imap.shutdown()
    assert len(said) == 1
    virtual = lab.imap()
    virtual.login(f"eva@{DOMAIN}", VIRTUAL)     # the virtual eva wins over the system's
    virtual.logout()


def test_submission_with_the_systems_password(lab: Lab, people: People) -> None:
    with smtplib.SMTP("127.0.0.1", lab.ports["submission"], timeout=30) as client:
        client.starttls()
        client.login(f"ana@{DOMAIN}", PASSWORD)
        client.sendmail(f"ana@{DOMAIN}", [f"luis@{DOMAIN}"], "Subject: sent\r\n\r\nx\r\n")
    until(lambda: "Subject: sent" in (people.mail / "luis").read_text(), what=lab.tail())


def test_a_mailbox_command_runs_as_the_user(lab: Lab, people: People) -> None:
    """D06, S56: with the user's rights and home, never root's nor ours."""
    send(lab, "carmen+compras", subject="filtered")
    found = people.homes / "Carmen" / "filtered"
    until(found.exists, what=lab.tail())
    number = str(people.names["Carmen"])
    lines = found.read_text().splitlines()
    assert lines[:3] == [number, number, f"{people.homes}/Carmen Carmen compras"]
    assert "Subject: filtered" in lines
    assert found.stat().st_uid == people.names["Carmen"]


def test_a_program_of_an_alias_runs_as_the_default_user(lab: Lab, people: People) -> None:
    """S56, sec-D01: the mover can't become delivery.program_user, the helper can, and reads the alias file itself."""
    send(lab, "spy")
    until(lambda: "daemonio" in lab.command("trace", f"spy@{DOMAIN}", check=False), what=lab.tail())
    said = lab.command("trace", f"spy@{DOMAIN}")
    assert f"daemonio {people.names['daemonio']} to" in said, said


def test_procmail_as_the_mailbox_command(lab: Lab, people: People) -> None:
    """D06: Debian's procmail with the user's own .procmailrc, as the user."""
    home, number = people.homes / "procu", people.names["procu"]
    (home / ".procmailrc").write_text(":0:\n* ^Subject:.*lista\nlistas\n\n:0:\nentrada\n")
    os.chown(home / ".procmailrc", number, number)
    send(lab, "procu", subject="de la lista")
    send(lab, "procu", subject="otra")
    for name, words in (("listas", "Subject: de la lista"), ("entrada", "Subject: otra")):
        until(lambda: (home / name).exists() and words in (home / name).read_text(), what=lab.tail())  # noqa: B023
    assert {one.lstat().st_uid for one in home.iterdir()} == {number}


def test_a_helper_that_dies_is_there_again(lab: Lab, people: People) -> None:
    """P15: mail that comes meanwhile waits a little, logins go on, tickets of before still count."""
    imap = lab.imap()
    imap.login("ana", PASSWORD)
    imap.logout()
    (helper,) = _helpers(lab)
    os.kill(helper, signal.SIGKILL)
    send(lab, "ana", subject="after the death")
    new = people.homes / "ana" / "Maildir"
    until(lambda: any("after the death" in one.read_text() for one in new.rglob("*.Q*")), 40, what=lab.tail())
    assert _helpers(lab) != [helper]
    imap = lab.imap()
    imap.login("ana", PASSWORD)
    assert imap.select()[0] == "OK"
    imap.logout()


def _helpers(lab: Lab) -> list[int]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if str(lab.config).encode() in words and b"helper" in words and _uid(process) == 0:
            found.append(int(process.name))
    return found


def test_nothing_but_the_supervisor_and_the_helper_is_root(lab: Lab) -> None:
    """P23, sec-X01"""
    assert lab.process is not None
    roots = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if str(lab.config).encode() in words and _uid(process) == 0:
            roots.add("helper" if b"helper" in words else "run")
    assert roots == {"helper", "run"}
    assert "Traceback" not in lab.log.read_text()
