"""A real server on loopback in a thread of its own, and a client that types."""
import asyncio
import json
import re
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bridge.config.smtp import Smtp
from bridge.intake.limits import limits
from bridge.intake.listener import SmtpServer
from bridge.intake.policy import Tables
from bridge.intake.session import Service
from bridge.model.address import fold, split
from bridge.model.errors import StoreError
from bridge.model.reply import Reply
from bridge.queue.enter import Door
from bridge.route.resolver import Kind, Route
from bridge.store import failpoints
from bridge.store.spool import Spool
from bridge.watch.trace import Journal

USERS = {"margarita@bar.com", "u@example.org", "eloy@example.org", "postmaster@example.org", "peña@example.org"}
DOMAINS = {"bar.com", "example.org", "backup.example"}
NO_USER = Reply(550, "5.1.1", "No such user here")


@dataclass(frozen=True)
class Somebody:
    address: str


def resolve(address: str) -> tuple[Route, ...]:
    """What room route answers, in small."""
    local, domain = split(fold(address))
    if local == "trouble":
        raise StoreError("tables are not readable")
    if local == "later":
        return (Route(Kind.DEFER, address, "", reply=Reply(451, "4.3.0", "Alias file is not readable")),)
    if local == "bug":
        raise ZeroDivisionError
    if local == "alias" and domain == "example.org":
        return (Route(Kind.REMOTE, "elsewhere@example.net", "example.net"),)
    if domain not in DOMAINS or domain == "backup.example":
        return (Route(Kind.REMOTE, address, domain),)
    if fold(address) in USERS:
        return (Route(Kind.MAILBOX, address, fold(address)),)
    return (Route(Kind.REFUSE, address, "", reply=NO_USER),)


async def login(name: str, password: str, protocol: str, ip: str) -> Somebody | None:
    if name == "broken":
        raise StoreError("accounts are not readable")
    return Somebody("eloy@example.org") if (name, password) == ("eloy", "secreto") else None


class Typist:
    """A client: `say` sends a line and reads the reply."""

    def __init__(self, connected: socket.socket) -> None:
        connected.settimeout(20)
        self.socket = connected
        self._file = connected.makefile("rb")

    def send(self, data: bytes | str) -> None:
        self.socket.sendall(data.encode() if isinstance(data, str) else data)

    def hear(self) -> str:
        """One reply, its lines joined by newlines; "" when the server has closed."""
        lines: list[str] = []
        while True:
            try:
                line = self._file.readline()
            except ConnectionResetError:
                line = b""
            if not line:
                return "\n".join(lines)
            assert line.endswith(b"\r\n"), line
            assert line.isascii()
            lines.append(line[:-2].decode())
            if line[3:4] != b"-":
                return "\n".join(lines)

    def say(self, *lines: bytes | str) -> str:
        """Send the lines in one packet, answer the last reply."""
        raw = b"".join((line.encode() if isinstance(line, str) else line) + b"\r\n" for line in lines)
        self.send(raw)
        return [self.hear() for _ in lines][-1]

    def body(self, message: bytes | str) -> str:
        """What follows 354, with the final dot; answers the reply."""
        self.send((message.encode() if isinstance(message, str) else message) + b".\r\n")
        return self.hear()

    def begin(self, recipient: str = "<u@example.org>", sender: str = "<a@example.com>") -> str:
        """EHLO to DATA; the answer to DATA."""
        assert self.say("EHLO client.example.com").startswith("250")
        return self.say(f"MAIL FROM:{sender}", f"RCPT TO:{recipient}", "DATA")

    def tls(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self._file.close()
        self.socket = context.wrap_socket(self.socket)
        self._file = self.socket.makefile("rb")

    def closed(self) -> bool:
        """True if the server ends the connection; what it still says is dropped."""
        while True:
            try:
                if not self._file.readline():
                    return True
            except ConnectionResetError:
                return True

    def close(self) -> None:
        self._file.close()
        self.socket.close()


class Host:
    """The server side: its spool, its journal, its ports."""

    def __init__(self, root: Path, context: ssl.SSLContext) -> None:
        self.root, self.context = root, context
        self.settings = Smtp()
        self.spool = Spool(root / "spool", hold=0.0)
        self.journal: list[dict[str, Any]] = []
        self.clients: list[Typist] = []
        self.server: SmtpServer
        self.changes: dict[str, Any] = {}
        self.loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=lambda: self.loop.run_forever(), daemon=True)
        self._ports: dict[str, int] = {}

    def start(self, **settings: Any) -> "Host":
        """Begin to serve, with these settings changed."""
        self.settings = replace(self.settings, **settings)
        self._thread.start()
        self.run(self._make)
        return self

    async def _make(self) -> None:
        journal = Journal(lambda line: self.journal.append(json.loads(line)))
        self.door = Door(self.spool, hostname="mx.example.org", journal=journal, limits=limits(self.settings))
        made = {
            "hostname": "mx.example.org",
            "domain": "example.org",
            "door": self.door,
            "tables": Tables(DOMAINS.__contains__, resolve),
            "journal": journal,
            "login": login,
            "tls": self.context,
            "error_delay": 0.001,
        }
        self.server = SmtpServer(self.settings, **{**made, **self.changes})

    def run(self, function: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        return asyncio.run_coroutine_threadsafe(function(), self.loop).result(60)

    def call(self, client: Service = "smtp", *, greet: bool = True) -> Typist:
        """A new connection to that service."""
        if client not in self._ports:
            sock = socket.create_server(("127.0.0.1", 0))
            self._ports[client] = sock.getsockname()[1]
            self.run(lambda: self.server.listen(sock, client))
        one = Typist(socket.create_connection(("127.0.0.1", self._ports[client])))
        self.clients.append(one)
        if client == "submissions":
            one.tls()
        if greet:
            assert one.hear().startswith("220 mx.example.org ")
        return one

    def stored(self) -> list[str]:
        """The messages in the spool, without our trace header."""
        found = []
        for queue_id in self.spool.scan():
            spooled = self.spool.verify(self.spool.path(queue_id))
            whole = b"".join(self.spool.chunks(spooled)).decode()
            found.append(re.sub(r"\AReceived: .*(?:\r\n\t.*)*\r\n", "", whole))
        return found

    def files(self) -> list[Path]:
        return [path for path in (self.root / "spool").rglob("*") if path.is_file()]

    def stop(self) -> None:
        failpoints.arm("")
        for client in self.clients:
            client.close()
        if self._thread.is_alive():
            self.run(lambda: self.server.stop(2))
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(10)
        self.loop.close()
        self.spool.close()


@pytest.fixture(scope="session")
def tls_context(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A certificate that nobody should trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mx.example.org")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - timedelta(1)).not_valid_after(now + timedelta(1))
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(*form))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(path)
    return context


@pytest.fixture
def host(tmp_path: Path, tls_context: ssl.SSLContext) -> Iterator[Host]:
    """Not started yet: `host.start(...)`."""
    one = Host(tmp_path, tls_context)
    yield one
    one.stop()


@pytest.fixture
def strangers(host: Host) -> Host:
    """A running server that trusts nobody."""
    return host.start(networks=())
