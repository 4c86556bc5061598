"""Descriptors run out (P07, sec-R05): `ulimit -n 128`, 500 connections to a port. Who can't stay hears so or waits,
sessions under way finish, mail is still taken and stored, nothing spins, and afterwards all is as before."""

import contextlib
import os
import random
import resource
import selectors
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.ledger import message, read_mailboxes
from tests.lab import DOMAIN, Lab, mutant, until

FILES, RESERVE, CROWD = 128, 16, 500
SERVER = "smtp_processes = 1\nimap_processes = 1"
MORE = """[smtp]
connections = 2000
connections_per_address = 2000
[imap]
connections = 2000
connections_address = 2000
connections_user = 2000
[pop3]
connections = 2000
connections_address = 2000
connections_user = 2000
"""
pytestmark = pytest.mark.service


@pytest.fixture(scope="module", autouse=True)
def _enough_for_us() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2000:
        pytest.skip("this machine gives us too few descriptors for the crowd")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2000), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextlib.contextmanager
def limited(folder: Path, **environ: str) -> Iterator[Lab]:
    lab = Lab(folder, more=MORE, server=SERVER, files=FILES, environ=environ)
    lab.add_user("ana")
    lab.start()
    try:
        yield lab
    finally:
        lab.kill()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with limited(tmp_path_factory.mktemp("descriptors")) as made:
        yield made


class Crowd:
    """CROWD connections to one port at once, that say nothing. `heard`: the first bytes that each was told."""

    def __init__(self, port: int) -> None:
        self._selector = selectors.DefaultSelector()
        self.open: list[socket.socket] = []
        self.heard: dict[socket.socket, bytes] = {}
        for _ in range(CROWD):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
            self._selector.register(one, selectors.EVENT_READ)
            self.open.append(one)

    def listen(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            for key, _ in self._selector.select(min(left, 0.1)):
                assert isinstance(key.fileobj, socket.socket)
                with contextlib.suppress(OSError):
                    self.heard[key.fileobj] = self.heard.get(key.fileobj, b"") + key.fileobj.recv(1000)
                self._selector.unregister(key.fileobj)

    def told(self, what: bytes) -> list[socket.socket]:
        return [one for one, words in self.heard.items() if words.startswith(what)]

    def leave(self) -> None:
        self._selector.close()
        for one in self.open:
            one.close()


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def cpu(pid: int) -> float:
    """Seconds of CPU so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def calm(pid: int, seconds: float = 1.0) -> None:
    """The process does next to nothing while everybody waits."""
    before = cpu(pid)
    time.sleep(seconds)
    assert cpu(pid) - before < 0.2 * seconds, "it spins"


def mail(number: int, size: int = 200_000) -> bytes:
    return message(f"files-{number}", f"ana@{DOMAIN}", random.Random(number), size)


def half_a_message(lab: Lab, number: int) -> tuple[socket.socket, bytes]:
    """A session in the middle of DATA, nothing of it on disk yet, and what it has still to send."""
    one = socket.create_connection(("127.0.0.1", lab.ports["smtp"]), 30)
    for line in (b"EHLO client.example.org", b"MAIL FROM:<x@example.org>", b"RCPT TO:<ana@example.org>", b"DATA"):
        one.recv(2000)
        one.sendall(line + b"\r\n")
    assert one.recv(2000).startswith(b"354")
    text = mail(number).replace(b"\r\n.", b"\r\n..") + b".\r\n"
    one.sendall(text[:20_000])
    return one, text[20_000:]


def finish(session: socket.socket, rest: bytes) -> bytes:
    session.sendall(rest)
    return session.recv(2000)


def storm(lab: Lab) -> tuple[bytes, bytes]:
    """500 come while somebody sends his mail: what he was told, and what one of those who got in."""
    (pid,) = lab.pids("smtp")
    session, rest = half_a_message(lab, 1)
    crowd = Crowd(lab.ports["smtp"])
    try:
        crowd.listen(2)
        answers = [finish(session, rest)]
        inside = crowd.told(b"220")[-1]
        inside.setblocking(True)
        inside.settimeout(30)
        text = mail(2).replace(b"\r\n.", b"\r\n..") + b".\r\n"
        for line in (b"EHLO b\r\n", b"MAIL FROM:<x@example.org>\r\n", b"RCPT TO:<ana@example.org>\r\n", b"DATA\r\n"):
            inside.sendall(line)
            inside.recv(2000)
        answers.append(finish(inside, text))
        assert descriptors(pid) <= FILES
        print("greeted", len(crowd.told(b"220")), "sent away", len(crowd.told(b"421")), "of", len(crowd.heard))
        assert len(crowd.told(b"220")) > FILES // 2
        assert len(crowd.told(b"220")) + len(crowd.told(b"421")) == len(crowd.heard), "nobody is cut off without a word"
        if all(answer.startswith(b"250") for answer in answers):
            assert crowd.told(b"421")
            calm(pid)
    finally:
        crowd.leave()
        session.close()
    return answers[0], answers[1]


def test_mail_under_way_is_taken_and_the_others_wait_or_hear_421(lab: Lab) -> None:
    """P07, P09: at the SMTP port."""
    for answer in storm(lab):
        assert answer.startswith(b"250"), answer
    found = read_mailboxes([lab.maildir("ana")]) if lab.wait_mails("ana", 2) else None
    assert found is not None
    assert not found.broken
    with lab.smtp() as client:
        client.sendmail("x@example.org", [f"ana@{DOMAIN}"], mail(3, 2000))
    lab.wait_mails("ana", 3)


@pytest.mark.parametrize(("service", "away"), [("imap", b"* BYE"), ("pop3", b"-ERR")])
def test_readers_go_on_reading(lab: Lab, service: str, away: bytes) -> None:
    """P07: who is logged in reads, appends and deletes; the others wait or hear why not."""
    (pid,) = lab.pids("imap")
    before = len(lab.mails("ana"))
    imap, pop3 = lab.imap("ana"), lab.pop3("ana")
    crowd = Crowd(lab.ports[service])
    try:
        crowd.listen(2)
        assert crowd.told(away)
        assert len(crowd.told(away)) < len(crowd.heard)
        assert imap.select()[0] == "OK"
        assert imap.append("INBOX", "", "", mail(4))[0] == "OK"
        assert imap.create(service)[0] == "OK"
        assert imap.fetch("1", "(BODY.PEEK[])")[0] == "OK"
        assert len(pop3.list()[1]) == before
        if before:
            assert len(pop3.retr(1)[1]) > 1
        calm(pid)
    finally:
        crowd.leave()
    imap.logout()
    pop3.quit()
    until(lambda: lab.imap("ana").logout()[0] == "BYE")


def watched() -> set[str]:
    """Ports of this side of every connection that has a keepalive timer."""
    told = subprocess.run(["ss", "-Htno"], capture_output=True, text=True, timeout=30, check=True).stdout
    return {line.split()[3].rpartition(":")[2] for line in told.splitlines() if "timer:(keepalive," in line}


@pytest.mark.skipif(not shutil.which("ss"), reason="needs ss (iproute2)")
def test_the_kernel_watches_over_every_connection(lab: Lab) -> None:
    """P27: as it is, from outside: each accepted connection has its keepalive timer."""
    ports = [lab.ports[name] for name in ("smtp", "submissions", "lmtp", "imap", "imaps", "pop3", "http")]
    clients = [socket.create_connection(("127.0.0.1", port), 10) for port in ports]
    try:
        wanted = {str(port) for port in ports}
        until(lambda: wanted <= watched(), 20, "keepalive")
    finally:
        for one in clients:
            one.close()


def test_pages_are_served_again(lab: Lab) -> None:
    """P07, sec-W: the web process, too."""
    (pid,) = lab.pids("web")
    crowd = Crowd(lab.ports["http"])
    try:
        crowd.listen(1.5)
        assert crowd.told(b"HTTP/1.1 503")
        calm(pid)
    finally:
        crowd.leave()
    until(lambda: urllib.request.urlopen(f"http://127.0.0.1:{lab.ports['http']}/mailman/listinfo").status == 200)


def test_the_mutant_is_caught(tmp_path: Path) -> None:
    with limited(tmp_path, **mutant("no-reserve")) as lab:
        assert not all(answer.startswith(b"250") for answer in storm(lab))
