"""Small remote servers in threads: an IMAP and a POP3 server that behave, with a handle for every way not to.

A server's `twist` maps a command to a function (session, tag, arguments) that answers in its place; None from it means
"go on as usual". Everything that was said to the server is in `heard`.
"""

import datetime
import re
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

USER, PASSWORD = "ana", "canario-7"


def mail(number: int, size: int = 300) -> bytes:
    """A message that knows its number, dots and odd line starts included."""
    head = (
        f"Return-Path: <writer{number}@example.net>\r\nFrom: writer@example.net\r\nTo: ana@example.org\r\n"
        f"Message-ID: <m{number}@example.net>\r\nSubject: {number}\r\nX-Number: {number}\r\n\r\n"
    )
    line = f".line {number}\r\n..two dots\r\nFrom here\r\n"
    return (head + line * (1 + max(size - len(head), 0) // len(line))).encode()


def certificate(folder: Path, name: str = "localhost") -> tuple[ssl.SSLContext, Path, bytes]:
    """(server context, PEM file to trust, DER) of a certificate that nobody signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=9))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    pem, private = folder / f"{name}.pem", folder / f"{name}.key"
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, private)
    return context, pem, made.public_bytes(serialization.Encoding.DER)


Twist = Callable[["Session", str, str], bool | None]


class Session:
    """One client of a fake server."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.file = sock.makefile("rb")
        self.tls = False
        self.gone = False

    def say(self, data: bytes | str) -> None:
        self.socket.sendall(data.encode() if isinstance(data, str) else data)

    def line(self, text: str) -> None:
        self.say(text + "\r\n")

    def start_tls(self, context: ssl.SSLContext) -> None:
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.file = self.socket.makefile("rb")
        self.tls = True

    def drop(self) -> None:
        self.gone = True
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


class Fake:
    """A listening server; `with Fake(...) as server` starts and ends it."""

    def __init__(self, *, tls: ssl.SSLContext | None = None, implicit: bool = False) -> None:
        self.twist: dict[str, Twist] = {}
        self.heard: list[str] = []
        self.tls, self.implicit = tls, implicit
        self.arrived: Callable[[], None] = lambda: None  # at each connection
        self.password = PASSWORD
        self.lock = threading.RLock()
        self.sessions: list[Session] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]

    def __enter__(self) -> "Any":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for one in list(self.sessions):
            one.drop()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listening.accept()
            except OSError:
                return
            with suppress(OSError):     # the client may be gone already
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._one, args=(sock,), daemon=True).start()

    def _one(self, sock: socket.socket) -> None:
        session = Session(sock)
        self.sessions.append(session)
        self.arrived()
        with suppress(OSError, ValueError):
            if self.implicit:
                assert self.tls
                session.start_tls(self.tls)
            self.serve(session)
        session.drop()
        with suppress(ValueError):
            self.sessions.remove(session)

    def serve(self, session: Session) -> None:
        raise AssertionError("made by the kinds of server")

    def said(self, word: str) -> list[str]:
        return [line for line in self.heard if word in line]


class FakeImap(Fake):
    """One folder of messages by UID, UIDPLUS and IDLE included."""

    def __init__(self, messages: dict[int, bytes] | None = None, **more: Any) -> None:
        super().__init__(**more)
        self.messages = dict(messages or {})
        self.flags: dict[int, set[str]] = {uid: set() for uid in self.messages}
        self.uidvalidity = 77
        self.capabilities = "IMAP4rev1 UIDPLUS IDLE AUTH=PLAIN"
        self.greeting = "* OK ready"
        self.expunged: list[int] = []
        self.names = ["INBOX"]

    def add(self, uid: int, text: bytes, flags: tuple[str, ...] = ()) -> None:
        with self.lock:
            self.messages[uid] = text
            self.flags[uid] = set(flags)

    def serve(self, session: Session) -> None:
        session.line(self.greeting)
        while not session.gone and (raw := session.file.readline()):
            tag, _, rest = raw.decode("utf-8", "replace").rstrip("\r\n").partition(" ")
            self.heard.append(rest)
            word, _, arguments = rest.partition(" ")
            word = word.upper()
            if word == "UID":
                word, _, arguments = arguments.partition(" ")
                word = "UID " + word.upper()
            twist = self.twist.get(word)
            if twist and twist(session, tag, arguments) is not None:
                continue
            act = getattr(self, "do_" + word.replace(" ", "_").lower(), None)
            if act is None:
                session.line(f"{tag} BAD {word}?")
                continue
            with self.lock:
                act(session, tag, arguments)

    def do_capability(self, session: Session, tag: str, arguments: str) -> None:
        more = " STARTTLS" if self.tls and not session.tls else ""
        session.line(f"* CAPABILITY {self.capabilities}{more}")
        session.line(f"{tag} OK done")

    def do_starttls(self, session: Session, tag: str, arguments: str) -> None:
        session.line(f"{tag} OK begin")
        assert self.tls
        session.start_tls(self.tls)

    def do_login(self, session: Session, tag: str, arguments: str) -> None:
        good = arguments.replace('"', "") == f"{USER} {self.password}"
        session.line(f"{tag} OK in" if good else f"{tag} NO [AUTHENTICATIONFAILED] not with {arguments}")

    def do_list(self, session: Session, tag: str, arguments: str) -> None:
        for name in self.names:
            session.line(f'* LIST () "/" "{name}"')
        session.line(f"{tag} OK done")

    def do_select(self, session: Session, tag: str, arguments: str) -> None:
        if arguments.strip('"') not in self.names:
            session.line(f"{tag} NO no such folder")
            return
        session.line(f"* {len(self.messages)} EXISTS")
        session.line(f"* OK [UIDVALIDITY {self.uidvalidity}] valid")
        session.line(f"{tag} OK [READ-WRITE] selected")

    def do_examine(self, session: Session, tag: str, arguments: str) -> None:
        session.line(f"* {len(self.messages)} EXISTS")
        session.line(f"* OK [UIDVALIDITY {self.uidvalidity}] valid")
        session.line(f"{tag} OK [READ-ONLY] selected")

    def do_uid_search(self, session: Session, tag: str, arguments: str) -> None:
        uids = [uid for uid in sorted(self.messages) if arguments != "DELETED" or "\\Deleted" in self.flags[uid]]
        session.line("* SEARCH" + "".join(f" {uid}" for uid in uids))
        session.line(f"{tag} OK done")

    def asked(self, arguments: str) -> list[int]:
        found: set[int] = set()
        for part in arguments.split(" ")[0].split(","):
            first, _, last = part.partition(":")
            found |= {uid for uid in self.messages if int(first) <= uid <= int(last or first)}
        return sorted(found)

    def do_uid_fetch(self, session: Session, tag: str, arguments: str) -> None:
        order = sorted(self.messages)
        session.say(b"".join(self.row(order.index(uid) + 1, uid, arguments) for uid in self.asked(arguments)))
        session.line(f"{tag} OK done")

    def row(self, number: int, uid: int, arguments: str) -> bytes:
        text = self.messages[uid]
        if "RFC822.SIZE" in arguments:
            return f"* {number} FETCH (UID {uid} RFC822.SIZE {len(text)})\r\n".encode()
        name = "BODY[]"
        if "HEADER" in arguments:
            name, text = "BODY[HEADER]", text.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        elif window := re.search(r"<(\d+)\.(\d+)>", arguments):
            start, size = int(window[1]), int(window[2])
            name, text = f"BODY[]<{start}>", text[start : start + size]
        return f"* {number} FETCH (UID {uid} {name} {{{len(text)}}}\r\n".encode() + text + b")\r\n"

    def do_uid_store(self, session: Session, tag: str, arguments: str) -> None:
        for uid in self.asked(arguments):
            self.flags[uid].add("\\Deleted")
        session.line(f"{tag} OK done")

    def do_uid_expunge(self, session: Session, tag: str, arguments: str) -> None:
        self._expunge([uid for uid in self.asked(arguments) if "\\Deleted" in self.flags[uid]])
        session.line(f"{tag} OK done")

    def do_expunge(self, session: Session, tag: str, arguments: str) -> None:
        self._expunge([uid for uid in self.messages if "\\Deleted" in self.flags[uid]])
        session.line(f"{tag} OK done")

    def _expunge(self, uids: list[int]) -> None:
        for uid in uids:
            del self.messages[uid], self.flags[uid]
        self.expunged += uids

    def do_noop(self, session: Session, tag: str, arguments: str) -> None:
        session.line(f"{tag} OK done")

    def do_idle(self, session: Session, tag: str, arguments: str) -> None:
        session.line("+ idling")
        known = len(self.messages)
        session.socket.settimeout(0.02)
        try:
            while True:
                self.lock.release()
                try:
                    if session.socket.recv(100):
                        break
                    return
                except TimeoutError:
                    pass
                finally:
                    self.lock.acquire()
                if len(self.messages) != known:
                    known = len(self.messages)
                    session.line(f"* {known} EXISTS")
        finally:
            session.socket.settimeout(None)
            session.file = session.socket.makefile("rb")
        session.line(f"{tag} OK done")

    def do_logout(self, session: Session, tag: str, arguments: str) -> None:
        session.line("* BYE")
        session.line(f"{tag} OK bye")
        session.gone = True


class FakePop3(Fake):
    """A mailbox of (UIDL, message); deletions count at QUIT."""

    def __init__(self, messages: dict[str, bytes] | None = None, **more: Any) -> None:
        super().__init__(**more)
        self.messages = dict(messages or {})
        self.capabilities = ["TOP", "UIDL", "USER", "PIPELINING"]
        self.greeting = "+OK ready <1.2@localhost>"
        self.quit_fails = False
        self.uidl: Callable[[str], str] = lambda uid: uid

    def serve(self, session: Session) -> None:
        session.line(self.greeting)
        with self.lock:
            box = list(self.messages.items())
        gone: set[str] = set()
        while not session.gone and (raw := session.file.readline()):
            rest = raw.decode("utf-8", "replace").rstrip("\r\n")
            self.heard.append(rest)
            word, _, arguments = rest.partition(" ")
            twist = self.twist.get(word)
            if twist and twist(session, "", arguments) is not None:
                continue
            self.answer(session, word, arguments, box, gone)

    def answer(
        self, session: Session, word: str, arguments: str, box: list[tuple[str, bytes]], gone: set[str]
    ) -> None:
        if word == "CAPA":
            more = ["STLS"] if self.tls and not session.tls else []
            session.say("+OK\r\n" + "".join(f"{one}\r\n" for one in self.capabilities + more) + ".\r\n")
        elif word == "STLS" and self.tls:
            session.line("+OK begin")
            session.start_tls(self.tls)
        elif word == "USER":
            session.line("+OK")
        elif word == "PASS":
            session.line("+OK in" if arguments == self.password else f"-ERR not with {arguments}")
        elif word == "LIST":
            session.say("+OK\r\n" + "".join(f"{n} {len(text)}\r\n" for n, (_, text) in enumerate(box, 1)) + ".\r\n")
        elif word == "UIDL":
            names = "".join(f"{n} {self.uidl(uid)}\r\n" for n, (uid, _) in enumerate(box, 1))
            session.say("+OK\r\n" + names + ".\r\n")
        elif word in ("RETR", "TOP"):
            text = box[int(arguments.split(" ")[0]) - 1][1]
            if word == "TOP":
                text = text.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
            session.say(b"+OK\r\n" + re.sub(rb"(?m)^\.", b"..", text) + b".\r\n")
        elif word == "DELE":
            gone.add(box[int(arguments) - 1][0])
            session.line("+OK")
        elif word == "QUIT":
            self.end(session, gone)
        else:
            session.line("-ERR what?")

    def end(self, session: Session, gone: set[str]) -> None:
        if self.quit_fails:
            session.line("-ERR some messages not removed")
        else:
            with self.lock:
                for uid in gone:
                    self.messages.pop(uid, None)
            session.line("+OK bye")
        session.gone = True
