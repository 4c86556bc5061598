"""As whom the processes run when root starts the program: P23, sec-X01, sec-X02, sec-X03, sec-X09."""

import os
import smtplib
import socket
import ssl
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab import DOMAIN, PASSWORD, Lab, running, until

pytestmark = [
    pytest.mark.service,
    pytest.mark.skipif(os.getuid() != 0, reason="only root can start processes as somebody else"),
]
USER, SMTP = 42_801, 42_802


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One that strangers can reach: only the data folder itself protects what is in it."""
    for parent in (tmp_path, *tmp_path.parents):
        if parent.owner() == "root" and not parent.stat().st_mode & stat.S_IXOTH:
            parent.chmod(parent.stat().st_mode | 0o011)
    return tmp_path


def about(pid: int) -> dict[str, list[str]]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.split() for name, _, value in (line.partition(":") for line in lines)}


def as_user(uid: int, gid: int, code: str) -> str:
    """What a small program prints as that user."""
    done = subprocess.run(
        [sys.executable, "-c", f"import os; os.setgroups([]); os.setgid({gid}); os.setuid({uid})\n{code}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr


def exchange(lab: Lab) -> None:
    """Mail in by each door, out by IMAP and POP3, a login on submission, a list post."""
    with lab.smtp() as client:
        client.sendmail("x@example.net", [f"ana@{DOMAIN}"], "Subject: one\r\n\r\nhola\r\n")
    lab.wait_mails("ana", 1)
    with smtplib.SMTP("127.0.0.1", lab.ports["submission"], timeout=30) as client:
        client.starttls()
        client.login(f"luis@{DOMAIN}", PASSWORD)
        client.sendmail(f"luis@{DOMAIN}", [f"ana@{DOMAIN}"], "Subject: two\r\n\r\n" + "x" * 200_000 + "\r\n")
    lab.wait_mails("ana", 2)
    imap = lab.imap("ana")
    imap.select()
    until(lambda: imap.select()[1] == [b"2"])
    assert imap.store("1", "+FLAGS", r"\Seen")[0] == "OK"
    assert imap.append("INBOX", None, None, b"Subject: three\r\n\r\nx\r\n")[0] == "OK"
    imap.logout()
    pop3 = lab.pop3("ana")
    assert pop3.stat()[0] == 3
    pop3.quit()


def test_only_the_supervisor_stays_root(folder: Path) -> None:
    """P23, sec-X01, sec-X03"""
    with running(folder, "ana", "luis", server=f'user = "{USER}:{USER}"') as lab:
        assert lab.process is not None
        assert about(lab.process.pid)["Uid"] == ["0"] * 4
        for pid in lab.pids():
            found = about(pid)
            assert found["Uid"] == found["Gid"] == [str(USER)] * 4
            assert found["Groups"] == []
            assert found["NoNewPrivs"] == ["1"]
            assert int(found["CapEff"][0], 16) == int(found["CapPrm"][0], 16) == 0
            assert os.stat(f"/proc/{pid}/environ").st_uid == 0, "dumpable"
        exchange(lab)
        roots = [p for p in (folder / "data").rglob("*") if p.lstat().st_uid == 0]
        assert not roots
        inside = [p for p in (folder / "data").iterdir() if p.is_dir() and p.name != "drop"]    # that is for everybody
        assert not [p for p in inside if p.stat().st_mode & 0o077]
        assert not stat.S_IMODE((folder / "data").stat().st_mode) & 0o066, "nobody else reads or writes there"
        assert "warning" not in lab.command("user", "add", f"eva@{DOMAIN}", "--password-stdin", text=PASSWORD)
        assert not [p for p in (folder / "data").rglob("*") if p.lstat().st_uid == 0], "commands of root leave nothing"


def test_smtp_can_not_read_mail_with_a_user_of_its_own(folder: Path) -> None:
    """P23: the processes that talk to strangers reach the spool, not the mailboxes."""
    settings = f'user = "{USER}:{USER}"\nsmtp_user = "{SMTP}:{SMTP}"'
    with running(folder, "ana", "luis", server=settings) as lab:
        assert {about(pid)["Uid"][0] for pid in lab.pids("smtp")} == {str(SMTP)}
        assert {about(pid)["Uid"][0] for pid in lab.pids() if pid not in lab.pids("smtp")} == {str(USER)}
        exchange(lab)
        data, mailbox = folder / "data", lab.maildir("ana")
        for secret in (mailbox / "new", mailbox, data / "mail", data / "tls", data / "db" / "queue.db"):
            assert "PermissionError" in as_user(SMTP, USER, f"os.open({str(secret)!r}, os.O_RDONLY)"), secret
            assert "PermissionError" not in as_user(USER, USER, f"os.open({str(secret)!r}, os.O_RDONLY)"), secret
        assert not as_user(SMTP, USER, f"os.open({str(data / 'spool' / 'tmp' / 'x')!r}, os.O_RDWR | os.O_CREAT)")
        assert "PermissionError" in as_user(SMTP, SMTP, f"os.listdir({str(data)!r})")
        assert "Traceback" not in lab.log.read_text()
    with running(folder, server=f'user = "{USER}:{USER}"') as lab:
        assert stat.S_IMODE((folder / "data" / "spool").stat().st_mode) == 0o700, "one user again"
        assert stat.S_IMODE((folder / "data" / "db" / "core.db").stat().st_mode) == 0o600


def test_the_key_may_be_roots_alone(folder: Path) -> None:
    with running(folder, "ana", server=f'user = "{USER}:{USER}"') as lab:
        lab.stop()
        for name in ("pem", "key"):
            (folder / "data" / "tls" / f"self-signed.{name}").rename(folder / f"own.{name}")
            os.chown(folder / f"own.{name}", 0, 0)
        lab.config.write_text(lab.config.read_text() + '\n[tls]\ncertificate = "own.pem"\nkey = "own.key"\n')
        lab.start()


        context = ssl.create_default_context(cafile=str(folder / "own.pem"))
        context.check_hostname = False
        with (
            socket.create_connection(("127.0.0.1", lab.ports["imaps"]), 10) as raw,
            context.wrap_socket(raw) as secure,
        ):
            assert secure.recv(100).startswith(b"* OK")
        lab.signal(1)
        until(lambda: "reloaded" in lab.log.read_text())
        until(lambda: bool(lab.pids("imap")))
        with socket.create_connection(("127.0.0.1", lab.ports["imap"]), 10) as plain:
            assert plain.recv(100).startswith(b"* OK")


def test_root_needs_a_user_or_says_so(folder: Path) -> None:
    lab = Lab(folder)
    assert "server.user is empty" in lab.command("run", check=False)
    assert not (folder / "data").exists(), "nothing was made"
    with running(folder) as lab:    # Lab starts with --allow-root
        assert "all processes keep root's rights" in lab.log.read_text()


def test_one_process_drops_its_rights_too(folder: Path) -> None:
    with running(folder, "ana", "luis", single=True, server=f'user = "{USER}:{USER}"') as lab:
        assert lab.process is not None
        assert about(lab.process.pid)["Uid"] == [str(USER)] * 4
        assert about(lab.process.pid)["NoNewPrivs"] == ["1"]
        exchange(lab)
        assert lab.stop() == 0


def test_an_unknown_user_is_named(folder: Path) -> None:
    lab = Lab(folder, server='user = "nobody-of-that-name"')
    told = lab.command("run", check=False)
    assert "server.user: there is no user 'nobody-of-that-name'" in told
    assert "useradd" in told
    assert not (folder / "data").exists()
