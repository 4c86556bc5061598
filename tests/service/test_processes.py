"""Processes of the running program: each role's is there, comes back when it dies, and hands over at a reload.

DESIGN 5; sec-R11, sec-R12, P22.
"""

import os
import poplib
import signal
import socket
import threading
import time
from pathlib import Path

import pytest

from tests.lab import DOMAIN, PASSWORD, Lab, running, until

ROLES = ("smtp", "imap", "mover", "sender", "worker", "collector", "web")
pytestmark = pytest.mark.service


def mail(lab: Lab, user: str, subject: str) -> None:
    with lab.smtp() as client:
        client.sendmail("x@example.net", [f"{user}@{DOMAIN}"], f"Subject: {subject}\r\n\r\nhola\r\n")


def arrived(lab: Lab, user: str, subject: str) -> bool:
    return any(f"Subject: {subject}\n".encode() in path.read_bytes() for path in lab.mails(user))


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def refused(lab: Lab, service: str) -> bool:
    try:
        socket.create_connection(("127.0.0.1", lab.ports[service]), 5).close()
    except ConnectionRefusedError:
        return True
    return False


class Knocking:
    """Somebody who connects to every port all the time and wants to be greeted."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.refused, self.greeted = lab, [], 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Knocking":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join(60)

    def _run(self) -> None:
        while not self._stop.is_set():
            for name in ("smtp", "imap", "pop3"):
                try:
                    with socket.create_connection(("127.0.0.1", self.lab.ports[name]), 30) as one:
                        if one.recv(100):
                            self.greeted += 1
                except ConnectionResetError:
                    pass    # it was with the process that was killed
                except OSError as error:
                    self.refused.append(f"{name}: {error!r}")
            time.sleep(0.01)


def test_each_role_has_its_process(lab: Lab) -> None:
    assert all(lab.pids(role) for role in ROLES)
    assert lab.process is not None
    for pid in lab.pids():
        assert Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1] == str(lab.process.pid)


@pytest.mark.parametrize("role", ROLES)
def test_a_killed_process_comes_back_and_no_connection_is_refused(lab: Lab, role: str) -> None:
    """sec-R12"""
    before = lab.pids(role)
    with Knocking(lab) as knocking:
        os.kill(before[0], signal.SIGKILL)
        until(lambda: len(lab.pids(role)) == len(before) and before[0] not in lab.pids(role), what=role)
        mail(lab, "ana", f"after {role}")
        until(lambda: arrived(lab, "ana", f"after {role}"))
        seen = knocking.greeted
        until(lambda: knocking.greeted > seen + 6)
    assert not knocking.refused


def test_who_keeps_dying_waits_longer_each_time(lab: Lab) -> None:
    for _ in range(3):
        pid = lab.pids("worker")[0]
        os.kill(pid, signal.SIGKILL)
        until(lambda pid=pid: lab.pids("worker") and pid not in lab.pids("worker"))
    waits = [
        float(line.rpartition(" in ")[2].removesuffix(" s"))
        for line in lab.log.read_text().splitlines() if "worker 0" in line and "again in" in line
    ]  # fmt: skip
    assert waits == sorted(waits)
    assert waits[-1] >= 4 * waits[0]


def test_reload_takes_over_and_open_sessions_go_on(tmp_path: Path) -> None:
    with running(tmp_path, "ana") as lab:
        mail(lab, "ana", "before")
        lab.wait_mails("ana", 1)
        old = lab.pids()
        imap, pop3, smtp = lab.imap("ana"), lab.pop3("ana"), lab.smtp()
        imap.select()
        assert smtp.ehlo()[0] == 250
        assert smtp.mail("x@example.net")[0] == 250
        lab.config.write_text(lab.config.read_text() + "\n[smtp]\nmessage_size = 123456\n")
        assert "open sessions go on" in lab.command("reload")
        until(lambda: len(lab.pids()) == len(old) and not set(lab.pids()) & set(old), what="new processes")
        with lab.smtp() as fresh:
            fresh.ehlo()
            assert fresh.esmtp_features["size"] == "123456"
        assert smtp.rcpt(f"ana@{DOMAIN}")[0] == 250
        assert smtp.data("Subject: through the old process\r\n\r\nx\r\n")[0] == 250
        lab.wait_mails("ana", 2)
        until(lambda: imap.select()[1] == [b"2"], what="news in the old IMAP session")
        assert pop3.stat()[0] == 1
        assert not gone(lab.pids("imap", draining=True)[0])
        smtp.quit()
        pop3.quit()
        imap.logout()
        until(lambda: all(map(gone, old)), what="the old processes end with their last session")


def test_a_broken_file_changes_nothing_at_reload(lab: Lab) -> None:
    good, before = lab.config.read_text(), lab.pids()
    for wrong, told in (
        ("\n[smtp]\nmessage_sice = 5\n", "did you mean 'message_size'"),
        ("\n[smtp\n", "not valid TOML"),
        ('\n[tls]\ncertificate = "no.pem"\nkey = "no.key"\n', "no.pem"),
    ):
        try:
            lab.config.write_text(good + wrong)
            lab.signal(signal.SIGHUP)
            until(lambda told=told: told in lab.log.read_text(), what=told)
        finally:
            lab.config.write_text(good)
        assert "reload refused, everything stays as it is" in lab.log.read_text()
        assert lab.pids() == before
    assert "message_sice" not in lab.command("check")
    mail(lab, "luis", "still here")
    lab.wait_mails("luis", 1)


def test_term_lets_a_message_finish(tmp_path: Path) -> None:
    """sec-R11: what is being sent is accepted, waits in the spool, and arrives after the next start."""
    with running(tmp_path, "ana") as lab:
        client = lab.smtp()
        client.ehlo()
        client.mail("x@example.net")
        client.rcpt(f"ana@{DOMAIN}")
        assert client.docmd("DATA")[0] == 354
        client.send(b"Subject: halfway\r\n\r\nfirst half\r\n")
        lab.signal(signal.SIGTERM)
        until(lambda: "stopping" in lab.log.read_text())
        until(lambda: refused(lab, "smtp"), what="no new connections")
        client.send(b"second half\r\n.\r\n")
        assert client.getreply()[0] == 250
        client.close()
        assert lab.process is not None
        assert lab.process.wait(10) == 0
        lab.start()
        assert b"first half\nsecond half\n" in lab.wait_mails("ana", 1)[0].read_bytes()


def test_a_second_term_does_not_wait(tmp_path: Path) -> None:
    """sec-R11"""
    with running(tmp_path, "ana") as lab:
        client = lab.smtp()
        client.ehlo()
        client.mail("x@example.net")
        client.rcpt(f"ana@{DOMAIN}")
        client.docmd("DATA")
        children = lab.pids()
        lab.signal(signal.SIGTERM)
        until(lambda: "stopping" in lab.log.read_text())
        assert lab.process is not None
        assert lab.process.poll() is None, "it waits for the message"
        lab.signal(signal.SIGTERM)
        assert lab.process.wait(4) == 0
        assert all(map(gone, children))
        client.close()


def test_children_die_with_their_supervisor_and_the_folder_is_free(tmp_path: Path) -> None:
    """P22: kill -9 of the supervisor; the next start needs no waiting and no cleaning up."""
    with running(tmp_path, "ana") as lab:
        imap = lab.imap("ana")
        children = lab.pids()
        assert lab.process is not None
        lab.process.kill()
        lab.process.wait()
        until(lambda: all(map(gone, children)), 5)
        lab.start()
        mail(lab, "ana", "again")
        lab.wait_mails("ana", 1)
        imap.shutdown()


def test_single_runs_all_roles_in_one_process(tmp_path: Path) -> None:
    with running(tmp_path, "ana", single=True) as lab:
        assert lab.process is not None
        mail(lab, "ana", "one")
        lab.wait_mails("ana", 1)
        imap = lab.imap("ana")
        assert imap.select()[1] == [b"1"]
        lab.signal(signal.SIGHUP)
        until(lambda: "at the start only" in lab.log.read_text())
        assert imap.noop()[0] == "OK"
        pop3 = lab.pop3("ana")
        assert isinstance(pop3, poplib.POP3)
        assert pop3.stat()[0] == 1
        pop3.quit()
        imap.logout()
        assert Path(f"/proc/{lab.process.pid}/task/{lab.process.pid}/children").read_text().split() == []
        assert lab.stop() == 0


def test_status_reload_and_stop_by_command(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    assert "not running" in lab.command("status", check=False)
    with running(tmp_path) as lab:
        told = lab.command("status")
        assert f"process {lab.process.pid}" in told
        assert all(role in told for role in ROLES)
        before = lab.pids("web")
        lab.command("reload")
        until(lambda: lab.pids("web") and lab.pids("web") != before)
        assert lab.command("stop") == "Stopped.\n"
        assert lab.process.wait(5) == 0
        assert refused(lab, "smtp")
        assert "not running" in lab.command("stop", check=False)


def test_a_reload_while_it_starts_ends_nothing(tmp_path: Path) -> None:
    """HUP between the claim of the folder and the first process: taken up when there is somebody to take it."""
    lab = Lab(tmp_path)
    lab.start(wait=False)
    try:
        until(lambda: (tmp_path / "data" / "lock").exists() and (tmp_path / "data" / "lock").read_text())
        lab.signal(signal.SIGHUP)
        lab.wait_ready()
        assert lab.stop() == 0
    finally:
        lab.kill()


def test_a_database_store_is_taken_up_at_a_reload(tmp_path: Path) -> None:
    """D03: the first account whose mail lies in the database, while the server runs."""
    with running(tmp_path, "ana") as lab:
        assert not list((tmp_path / "data" / "db").glob("mail.db"))
        lab.more = f'stores = {{ "eva@{DOMAIN}" = "database" }}'
        lab.write_settings()
        before = lab.pids("mover")
        lab.command("reload")
        until(lambda: lab.pids("mover") and lab.pids("mover") != before, 30)
        words = ("user", "add", f"eva@{DOMAIN}", "--password-stdin")
        assert "in the database" in lab.command(*words, text=f"{PASSWORD}\n")
        with lab.smtp() as client:
            client.sendmail("x@example.net", [f"eva@{DOMAIN}"], "Subject: d03\r\n\r\nhola\r\n")
        imap = lab.imap("eva")
        until(lambda: imap.select("INBOX")[1] == [b"1"], 30)
        imap.logout()
