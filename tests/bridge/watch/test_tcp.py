"""Half-open connections (P27): a peer that has gone without a word is found by the kernel, on either side."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.intake.fetch import reach
from bridge.watch import tcp

ROOT = Path(__file__).resolve().parents[3]
SHARE = ["unshare", "-n" if os.getuid() == 0 else "-rn"]
_possible = subprocess.run([*SHARE, "true"], capture_output=True, check=False).returncode == 0

# A network of its own, whose one cable is cut while an IMAP client is in IDLE; both ends are ours.
CUT = """
import asyncio, fcntl, socket, struct, sys, time
import uvloop
from bridge.serve.listener import Deadlines, Listener
from bridge.watch import tcp

tcp.IDLE, tcp.INTERVAL, tcp.UNANSWERED = 1, 1, 2

def cable(up):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh14x", b"lo", 0x41 if up else 0)
        fcntl.ioctl(any_socket, 0x8914, request)

class Idle:
    def __init__(self, link): self.link = link
    def opened(self): self.link.write(b"* OK\\r\\n")
    def received(self, data): pass
    def secured(self): pass
    def farewell(self, why): return b""
    def closed(self): gone.set()

async def main():
    cable(True)
    listener = Listener(Idle, deadlines=Deadlines(3600, 3600, 3600, 3600))
    listening = socket.create_server(("127.0.0.1", 0))
    await listener.start([listening])
    client = socket.create_connection(listening.getsockname(), 5)
    tcp.watch_over(client)
    assert await asyncio.to_thread(client.recv, 10) == b"* OK\\r\\n"
    assert len(listener.links) == 1
    await asyncio.sleep(1.5)
    assert not gone.is_set(), "cut off while the peer answers"
    cable(False)
    await asyncio.wait_for(gone.wait(), 30)
    assert not listener.links
    client.settimeout(30)
    try:
        await asyncio.to_thread(client.recv, 10)
    except OSError as error:
        print("both ends know:", error)
    await listener.stop(0)

gone = asyncio.Event()
with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
    runner.run(main())
"""


@pytest.mark.skipif(not _possible, reason="no network namespaces here: run as root or allow user namespaces")
def test_a_cut_cable_is_noticed_at_both_ends() -> None:
    done = subprocess.run(
        [*SHARE, sys.executable, "-c", CUT], cwd=ROOT, capture_output=True, text=True, timeout=90, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "both ends know: [Errno 110]" in done.stdout


def test_within_the_time_of_the_row() -> None:
    """35 minutes, whichever of the two finds it."""
    assert tcp.IDLE + max(tcp.UNANSWERED, tcp.INTERVAL) <= 35 * 60


def test_who_collects_is_watched_over() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        made = reach.dial("127.0.0.1", listening.getsockname()[1], 5)
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == tcp.IDLE
        assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == tcp.UNANSWERED * 1000
        made.close()


def test_other_sockets_are_left_alone(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        tcp.watch_over(one)
        assert not one.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
