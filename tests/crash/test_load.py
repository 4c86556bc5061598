"""Too much at once: large messages in parallel with bounded memory (P25, sec-R03), peers that dawdle (P26, sec-R02)."""

import contextlib
import os
import socket
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.crash.ledger import waiting
from tests.crash.nursery import Sprig, nursery
from tests.lab import DOMAIN, mutant

pytestmark = pytest.mark.service
_LINE = b"x" * 70 + b"\r\n"


class Memory(threading.Thread):
    """The most memory that a group of processes had at one time, bytes: shared pages counted once (PSS)."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.most, self._group, self._over = 0, pid, threading.Event()

    def run(self) -> None:
        while not self._over.wait(0.2):
            self.most = max(self.most, sum(map(_pss, self._members())))

    def end(self) -> int:
        self._over.set()
        self.join()
        return self.most

    def _members(self) -> list[int]:
        found = []
        for name in os.listdir("/proc"):
            with contextlib.suppress(OSError):
                if name.isdigit() and os.getpgid(int(name)) == self._group:
                    found.append(int(name))
        return found


def _pss(pid: int) -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) * 1024
    return 0


def send_large(port: int, size: int, answers: "Counter[int]") -> None:
    """One message, in pieces; the reply to it."""
    try:
        with socket.create_connection(("127.0.0.1", port), 120) as peer, peer.makefile("rb") as lines:
            lines.readline()
            for said in (b"HELO load", b"MAIL FROM:<load@client.example.org>", f"RCPT TO:<ana@{DOMAIN}>".encode()):
                peer.sendall(said + b"\r\n")
                lines.readline()
            peer.sendall(b"DATA\r\n")
            lines.readline()
            peer.sendall(b"Subject: large\r\n\r\n")
            chunk = _LINE * (65536 // len(_LINE))
            for _ in range(size // len(chunk)):
                peer.sendall(chunk)
            peer.sendall(b".\r\n")
            answers[int(lines.readline()[:3] or b"0")] += 1
    except OSError:
        answers[0] += 1


def flood(lab: Sprig, connections: int, size: int) -> tuple[Counter[int], int]:
    """All of them at once. Their answers, and the most memory that it took."""
    lab.add_user("ana")
    answers: Counter[int] = Counter()
    try:
        lab.start()
        assert lab.process is not None
        memory = Memory(lab.process.pid)
        memory.start()
        clients = [
            threading.Thread(target=send_large, args=(lab.ports["smtp"], size, answers)) for _ in range(connections)
        ]
        for one in clients:
            one.start()
        for one in clients:
            one.join()
        end = time.monotonic() + 60
        while waiting(lab.spool) and time.monotonic() < end:
            time.sleep(0.1)
        most = memory.end()
        assert lab.stop() == 0
    finally:
        lab.kill()
    return answers, most


def test_large_messages_in_parallel_with_bounded_memory(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    connections, size, bound = (100, 47 << 20, 512) if request.config.getoption("--long") else (30, 20 << 20, 360)
    with nursery() as home:
        lab = Sprig(tmp_path, nursery=home)
        answers, most = flood(lab, connections, size)
        print(f"{connections} x {size >> 20} MB: {dict(answers)}, {most >> 20} MB")
        assert set(answers) <= {250, 452}
        assert answers[250] >= connections // 2
        assert len(lab.mails("ana")) == answers[250]
        assert most < bound << 20


def test_the_mutant_that_keeps_bodies_in_memory_is_caught(tmp_path: Path) -> None:
    with nursery(mutant("bodies-in-memory")) as home:
        _, most = flood(Sprig(tmp_path / "mutant", nursery=home), 14, 20 << 20)
    print(f"{most >> 20} MB")
    assert most > 360 << 20


def dawdle(port: int, count: int) -> list[socket.socket]:
    """Peers that say a few bytes and no more: half before a command ends, half in the midst of a message."""
    peers = []
    for number in range(count):
        peer = socket.create_connection(("127.0.0.1", port), 20)
        begun = f"HELO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<ana@{DOMAIN}>\r\nDATA\r\n".encode()
        peer.sendall(begun + b"Subj" if number % 2 else b"EHL")
        peers.append(peer)
    return peers


@pytest.mark.parametrize("patience", [3])
def test_slow_peers_hold_nobody_up_and_are_cut_off(patience: int, tmp_path: Path) -> None:
    with nursery() as home:
        lab = Sprig(tmp_path, more=f"[smtp]\nidle_seconds = {patience}\n", nursery=home)
        lab.add_user("ana")
        peers: list[socket.socket] = []
        try:
            lab.start()
            peers = dawdle(lab.ports["smtp"], 100)
            started = time.monotonic()
            with lab.smtp() as client:
                client.sendmail("a@client.example.org", [f"ana@{DOMAIN}"], "Subject: quick\r\n\r\nhola\r\n")
            took = time.monotonic() - started
            print(f"a normal client beside 100 slow ones: {took:.2f} s")
            assert took < 20, "2 s is the promise; ten times that is no noise"
            lab.wait_mails("ana", 1)
            assert all(map(_ended, peers)), "slow peers are still connected"
        finally:
            for peer in peers:
                peer.close()
            lab.kill()
    assert len(lab.mails("ana")) == 1


def _ended(peer: socket.socket) -> bool:
    """Does the server close this connection within ten times its patience?"""
    peer.settimeout(30)
    try:
        while peer.recv(4096):
            pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True
