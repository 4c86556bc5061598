"""Clients that keep a ledger: what was said yes to, with its SHA-256; and the oracle that reads mailboxes with plain
file reads, sharing no code with the appliance.

A message carries X-Crash-Id and X-Crash-Sum (SHA-256 of its body with LF line ends).
"""

import contextlib
import hashlib
import random
import re
import smtplib
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab import Lab

_WORDS = [b"correo", b"lista", b"departamento", b"mensaje", b"cola", b".", b"..", b"From ", b"\xc3\xb1", b"fin"]


def body(rng: random.Random, size: int) -> bytes:
    """Lines of words in CRLF form, some starting with dots and `From `."""
    lines, length = [], 0
    while length < size:
        line = b" ".join(rng.choices(_WORDS, k=rng.randint(0, 12)))
        lines.append(line)
        length += len(line) + 2
    return b"\r\n".join(lines) + b"\r\n"


def message(ident: str, to: str, rng: random.Random, size: int) -> bytes:
    text = body(rng, size)
    digest = hashlib.sha256(text.replace(b"\r\n", b"\n")).hexdigest()
    head = (
        f"From: load@client.example.org\r\nTo: {to}\r\nSubject: {ident}\r\nMessage-ID: <{ident}@client.example.org>\r\n"
        f"X-Crash-Id: {ident}\r\nX-Crash-Sum: {digest}\r\n\r\n"
    )
    return head.encode() + text


@dataclass
class Ledger:
    """Threads that send until told to stop. `accepted`: ids of what got its 250; `tried`: all that were sent."""

    port: int
    recipients: list[str]
    threads: int = 8
    seed: int = 1
    largest: int = 60_000
    accepted: set[str] = field(default_factory=set)
    tried: set[str] = field(default_factory=set)
    to: dict[str, str] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)    # permanent replies: to our own trouble there may be none
    soft: list[str] = field(default_factory=list)       # temporary ones
    pause: float = 0.0
    _stop: threading.Event = field(default_factory=threading.Event)
    _running: list[threading.Thread] = field(default_factory=list)
    _round: int = 0

    def start(self) -> None:
        self._stop.clear()
        self._round += 1
        self._running = [threading.Thread(target=self._send, args=(n,), daemon=True) for n in range(self.threads)]
        for thread in self._running:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._running:
            thread.join(30)

    def _send(self, number: int) -> None:
        rng = random.Random(self.seed * 1_000_003 + self._round * 1009 + number)
        count = 0
        while not self._stop.is_set():
            try:
                with smtplib.SMTP("127.0.0.1", self.port, local_hostname="load", timeout=10) as client:
                    while not self._stop.is_set():
                        ident = f"{self._round}-{number}-{count}"
                        count += 1
                        self._one(client, ident, rng)
                        self._stop.wait(self.pause)
            except smtplib.SMTPResponseException as error:
                (self.refused if error.smtp_code >= 500 else self.soft).append(str(error))
                self._stop.wait(0.02)
            except (OSError, smtplib.SMTPException):
                self._stop.wait(0.02)

    def _one(self, client: smtplib.SMTP, ident: str, rng: random.Random) -> None:
        to = rng.choice(self.recipients)
        size = rng.choice((200, 2000, 8000, self.largest))
        self.tried.add(ident)
        self.to[ident] = to
        client.ehlo_or_helo_if_needed()
        for code, text in (client.mail("load@client.example.org"), client.rcpt(to)):
            if code >= 400:
                raise smtplib.SMTPResponseException(code, text)
        code, text = client.data(message(ident, to, rng, size))
        if code >= 400:
            raise smtplib.SMTPResponseException(code, text)
        self.accepted.add(ident)


@dataclass
class Found:
    """What the oracle saw: how often each id, and what was wrong with bodies."""

    ids: Counter[str]
    broken: list[str]


_ID = re.compile(rb"^X-Crash-Id: (\S+)", re.M)
_SUM = re.compile(rb"^X-Crash-Sum: (\S+)", re.M)


def ids_in(folder: Path) -> set[str]:
    """Crash ids of all files below a folder: the quarantine, the spool."""
    found = set()
    for path in folder.rglob("*") if folder.is_dir() else ():
        with contextlib.suppress(OSError):
            if path.is_file():
                found.update(one.decode() for one in _ID.findall(path.read_bytes()))
    return found


def waiting(spool: Path) -> int:
    """Messages that the spool holds: nobody is told `delivered` yet."""
    return sum(1 for path in (spool / "q").rglob("*") if len(path.name) == 16)


def drain(lab: Lab, boxes: Iterable[Path], seconds: float = 60.0) -> Found:
    """Wait until the spool is empty and nothing new arrives; what the mailboxes have then."""
    boxes, end, calm = list(boxes), time.monotonic() + seconds, 0
    while time.monotonic() < end and calm < 3:
        calm = calm + 1 if not waiting(lab.spool) else 0
        time.sleep(0.15)
    return read_mailboxes(boxes)


def read_mailboxes(boxes: Iterable[Path]) -> Found:
    """Every message file under the Maildirs: its id counted, its body's hash compared (P01, P02)."""
    found = Found(Counter(), [])
    for box in boxes:
        for path in files_of(box):
            _look(path, found)
    return found


def files_of(box: Path) -> list[Path]:
    return [path for part in ("new", "cur") if (box / part).is_dir() for path in (box / part).iterdir()]


def _look(path: Path, found: Found) -> None:
    raw = path.read_bytes()
    head, _, text = raw.partition(b"\n\n")
    ident, digest = _ID.search(head), _SUM.search(head)
    if not ident or not digest:
        found.broken.append(f"{path}: no id ({len(raw)} bytes)")
    elif hashlib.sha256(text).hexdigest().encode() != digest[1]:
        found.broken.append(f"{path}: {ident[1].decode()}: body changed or short")
    else:
        found.ids[ident[1].decode()] += 1


class Reader(threading.Thread):
    """Reads new mail the moment it appears, as mutt would: what it finds unfinished is in `found.broken` (P15)."""

    def __init__(self, boxes: Iterable[Path]) -> None:
        super().__init__(daemon=True)
        self.found = Found(Counter(), [])
        self._boxes, self._over = list(boxes), threading.Event()

    def run(self) -> None:
        seen: set[str] = set()
        while not self._over.wait(0.005):
            for box in self._boxes:
                for path in files_of(box):
                    name = path.name.partition(":")[0]
                    if name not in seen:
                        seen.add(name)
                        with contextlib.suppress(FileNotFoundError):
                            _look(path, self.found)

    def end(self) -> None:
        self._over.set()
        self.join()


def port_open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 0.5).close()
    except OSError:
        return False
    return True
