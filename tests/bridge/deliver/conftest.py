"""A mail server on loopback that does what a test wants, certificates of a made-up authority, jobs with bodies."""
import asyncio
import datetime
import ssl
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HANG, DROP = object(), object()
EHLO = ("PIPELINING", "8BITMIME", "SIZE 10000000")


class FakeServer:
    """`answers`: by verb (GREETING, DOT too) a reply, a list of replies to give in turn, HANG or DROP."""

    def __init__(self, answers=None, offers=EHLO, tls=None, lmtp=False):
        self.answers, self.offers, self.tls, self.lmtp = dict(answers or {}), offers, tls, lmtp
        self.mails, self.said, self.connections, self.open, self.most = [], [], 0, 0, 0
        self.port = 0

    async def serve(self, reader, writer):
        self.connections += 1
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            await self.talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, asyncio.CancelledError):
            pass
        finally:
            self.open -= 1
            writer.close()

    async def answer(self, writer, verb, default):
        answer = self.answers.get(verb, default)
        if isinstance(answer, list):
            answer = answer.pop(0) if answer else default
        if answer is HANG:
            await asyncio.sleep(3600)
        if answer is DROP:
            writer.transport.abort()
            raise ConnectionResetError
        if callable(answer):
            answer = await answer(writer)
        writer.write((answer if isinstance(answer, bytes) else answer.encode()) + b"\r\n")
        await writer.drain()
        return answer

    async def talk(self, reader, writer):
        await self.answer(writer, "GREETING", "220 fake.example.net")
        sender, recipients, secure = None, [], False
        while line := await reader.readline():
            self.said.append(line)
            verb = line.split()[0].decode().upper()
            if verb in ("EHLO", "LHLO"):
                offers = [*self.offers, *(["STARTTLS"] if self.tls and not secure else [])]
                lines = ["fake.example.net", *offers]
                text = "".join(f"250-{one}\r\n" for one in lines[:-1]) + f"250 {lines[-1]}"
                await self.answer(writer, verb, text)
            elif verb == "STARTTLS":
                answer = await self.answer(writer, verb, "220 go")
                if answer == "220 go":
                    await writer.start_tls(self.tls)
                    secure = True
            elif verb == "RCPT":
                answer = str(await self.answer(writer, verb, "250 ok"))
                if answer.startswith("25"):
                    recipients.append(line.split(b"<")[1].split(b">")[0].decode())
            elif verb == "DATA":
                answer = await self.answer(writer, verb, "354 go" if recipients else "503 no recipients")
                if not str(answer).startswith("354"):
                    recipients = []
                    continue
                lines = []
                while (line := await reader.readline()) != b".\r\n":
                    if not line:
                        return
                    lines.append(line.removeprefix(b"."))
                self.mails.append(SimpleNamespace(
                    sender=sender, recipients=recipients, body=b"".join(lines), secure=secure))
                for _ in recipients if self.lmtp else [1]:
                    await self.answer(writer, "DOT", "250 2.0.0 queued")
                recipients = []
            else:
                if verb == "MAIL":
                    sender, recipients = line.split(b"<")[1].split(b">")[0].decode(), []
                await self.answer(writer, verb, {"AUTH": "235 in", "QUIT": "221 bye"}.get(verb, "250 ok"))
                if verb == "QUIT":
                    return


@pytest.fixture
def fake():
    """`async with fake(...) as server`: the server listens at `server.port`."""

    @asynccontextmanager
    async def make(server=None, *, implicit=None, **options):
        server = server or FakeServer(**options)
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, limit=1 << 22, ssl=implicit)
        server.port = listening.sockets[0].getsockname()[1]
        tasks_before = asyncio.all_tasks()
        try:
            yield server
        finally:
            listening.close()
            for task in asyncio.all_tasks() - tasks_before - {asyncio.current_task()}:
                task.cancel()
            await asyncio.sleep(0.01)

    make.HANG, make.DROP, make.Server = HANG, DROP, FakeServer
    return make


def _name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _certificate(subject, issuer, key, signer, *, authority, days=1):
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder().subject_name(_name(subject)).issuer_name(_name(issuer)).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=9))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(subject)]), False)
        .add_extension(x509.BasicConstraints(authority, None), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), False)
        .sign(signer, hashes.SHA256()))


def _pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """A made-up certificate authority: `.file`, `.server(name, days=1)` makes a server's TLS context."""
    folder: Path = tmp_path_factory.mktemp("authority")
    root_key = ec.generate_private_key(ec.SECP256R1())
    root = _certificate("Made-up Authority", "Made-up Authority", root_key, root_key, authority=True)
    (folder / "root.pem").write_bytes(root.public_bytes(serialization.Encoding.PEM))

    def server(name, days=1):
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _certificate(name, "Made-up Authority", key, root_key, authority=False, days=days)
        path = folder / f"{name}{days}.pem"
        path.write_bytes(_pem(key) + certificate.public_bytes(serialization.Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    return SimpleNamespace(file=str(folder / "root.pem"), server=server)
