"""What a remote mailbox looks like to the poller, and what can go wrong with it.

Promises: a source is used by one thread, from `open` to `close` (`abort` may come from any); no wait is longer than the
account's timeout, no poll longer than its deadline; what it lists and reads is bounded whatever the server says (the
remote server is an attacker: SECURITY group F).
"""

import hashlib
import os
import re
import socket
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import partial
from typing import Protocol

from bridge.config.fetch import FetchAccount
from bridge.intake.fetch.connection import Connection
from bridge.intake.fetch.reach import dial
from bridge.model.language import tr

MESSAGE_SECONDS = 600  # longest time that one command may take
_UNSAFE = re.compile(r"[\r\n\0]")
_CONTROL = re.compile(r"[^\x20-\x7e\u00a0-\uffff]")
_DIGESTS = {32: "md5", 40: "sha1", 64: "sha256"}


class Status(IntEnum):
    """How a poll ended, in fetchmail's exit statuses (F51)."""

    MAIL = 0
    NO_MAIL = 1
    CONNECTION = 2
    LOGIN = 3
    PROTOCOL = 4
    SETTINGS = 5
    PERMISSION = 6
    SERVER = 7
    EXCLUDED = 8
    LOCAL = 10
    DNS = 11
    LIMIT = 13
    INTERNAL = 23


class Trouble(Exception):
    """This poll can't go on; the text is for the account's owner. `suspects`: messages that may have caused it."""

    def __init__(self, text: str, status: Status = Status.PROTOCOL, suspects: "Sequence[Remote]" = ()) -> None:
        super().__init__(text)
        self.status, self.suspects = status, tuple(suspects)


class Broken(Exception):
    """One message can't be read; the others can."""


@dataclass(frozen=True, slots=True)
class Remote:
    """A message there. `uid`: stable name; `size`: what the server says, bytes; `number`: for this session only."""

    uid: str
    size: int
    number: int = 0


@dataclass(frozen=True, slots=True)
class Listing:
    """What is in a folder now. `renames`: the server may give a message another name without telling (POP3)."""

    uidvalidity: str
    messages: tuple[Remote, ...]
    renames: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """What a session may cost. `deadline` is on the monotonic clock."""

    message_size: int
    deadline: float
    message_seconds: float = field(default=MESSAGE_SECONDS)


class Source(Protocol):
    """One session. `read` gives (message, its bytes or Broken) in any order; `remove` answers what is surely gone and,
    for some protocols, ends the session."""

    def open(self) -> None: ...

    def folders(self, wanted: Sequence[str]) -> list[str]: ...

    def listing(self, folder: str) -> Listing: ...

    def sizes(self, messages: Sequence[Remote]) -> list[Remote]: ...

    def headers(self, messages: Sequence[Remote]) -> Iterator[tuple[Remote, bytes]]: ...

    def read(self, messages: Sequence[Remote]) -> Iterator[tuple[Remote, Iterator[bytes] | Broken]]: ...

    def remove(self, messages: Sequence[Remote]) -> set[str]: ...

    def close(self) -> None: ...

    def abort(self) -> None: ...


def connect(account: FetchAccount, port: int, limits: Limits) -> Connection:
    """A connection, inside TLS if the account says `implicit`. Raises Trouble."""
    check_arguments(account.host, account.user, account.password)
    context = tls_context(account) if account.tls == "implicit" else None
    try:
        connection = Connection(
            account.host, port, account.timeout, limits.deadline, dial=partial(dial, reach=account.reach)
        )
    except (OSError, UnicodeError) as error:  # UnicodeError: what the IDNA codec says of an impossible name
        raise trouble(account, error) from error
    if context is not None:
        secure(account, connection, context)
    return connection


def secure(account: FetchAccount, connection: Connection, context: ssl.SSLContext) -> None:
    """TLS on this connection, the certificate checked as the account says."""
    try:
        connection.start_tls(context, account.tls_name or account.host)
        check_fingerprint(account, connection.certificate())
    except (OSError, ValueError) as error:
        connection.close()
        raise trouble(account, error) from error
    except BaseException:
        connection.close()
        raise


def check_arguments(*texts: str) -> None:
    """Nothing that goes into a command may hold a line break (sec-F07)."""
    for text in texts:
        if _UNSAFE.search(text):
            raise Trouble(
                tr(
                    "host, user, password and folder names must not contain line breaks",
                    "servidor, usuario, contraseña y carpetas no pueden contener saltos de línea",
                ),
                Status.SETTINGS,
            )


def safe(name: str) -> bool:
    return not _UNSAFE.search(name)


def tls_context(account: FetchAccount) -> ssl.SSLContext:
    """TLS 1.2 and newer, certificate and name checked unless the account says otherwise (sec-F02)."""
    place = account.tls_ca_file or None
    try:
        if place and os.path.isdir(place):
            context = ssl.create_default_context(capath=place)
        else:
            context = ssl.create_default_context(cafile=place)
    except (OSError, ssl.SSLError) as error:
        raise Trouble(f"{account.tls_ca_file}: {error}", Status.SETTINGS) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not account.tls_verify or account.tls_fingerprint:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def check_fingerprint(account: FetchAccount, certificate: bytes) -> None:
    """Raise Trouble unless the peer's certificate is the pinned one: SHA-256, or what fetchmail has, SHA-1 and MD5."""
    if not account.tls_fingerprint:
        return
    wanted = account.tls_fingerprint.replace(":", "").lower()
    kind = _DIGESTS.get(len(wanted), "sha256")
    if hashlib.new(kind, certificate, usedforsecurity=False).hexdigest() != wanted:
        found = hashlib.sha256(certificate).hexdigest()
        raise Trouble(
            tr(
                f"{account.host} shows another certificate than the account allows; its SHA-256 fingerprint is {found}",
                f"{account.host} muestra un certificado que la cuenta no admite; su huella SHA-256 es {found}",
            ),
            Status.CONNECTION,
        )


def trouble(account: FetchAccount, error: BaseException) -> Trouble:
    """What to tell the owner when a connection fails."""
    if isinstance(error, socket.gaierror):
        why = tr("no such host, or the name service is down", "no existe el servidor o no responde el DNS")
        return Trouble(f"{account.host}: {why} ({error.strerror})", Status.DNS)
    if isinstance(error, TimeoutError):
        why = tr(
            f"no answer in time ({account.timeout} seconds of silence end a poll)",
            f"no responde a tiempo ({account.timeout} segundos de silencio acaban una consulta)",
        )
        return Trouble(f"{account.host}: {why}", Status.CONNECTION)
    where = f"{account.host}: {cleaned(account, error)}"
    if isinstance(error, ssl.SSLCertVerificationError):
        where += tr(
            "; to trust this server, give tls_ca_file or tls_fingerprint (in a .fetchmailrc: sslfingerprint)",
            "; para confiar en este servidor, indique tls_ca_file o tls_fingerprint (en un .fetchmailrc: "
            "sslfingerprint)",
        )
    elif isinstance(error, ssl.SSLError):
        where += tr(
            '; if the server speaks no TLS on this port, say tls = "starttls" or, for an old plain server, '
            "tls = \"none\" (in a .fetchmailrc: sslproto '')",
            '; si el servidor no habla TLS en este puerto, ponga tls = "starttls" o, si es antiguo y sin TLS, '
            "tls = \"none\" (en un .fetchmailrc: sslproto '')",
        )
    return Trouble(where, Status.CONNECTION)


def refused(account: FetchAccount, text: str) -> Trouble:
    """The server says no to who we are."""
    return Trouble(
        tr(
            f"{account.host} refuses the login of {account.user}: {text}",
            f"{account.host} no deja entrar a {account.user}: {text}",
        ),
        Status.LOGIN,
    )


def unprotected(account: FetchAccount, name: str, text: str = "") -> Trouble:
    """The server offers no TLS, and the account doesn't say that this is all right (F12)."""
    said = f" ({text})" if text else ""
    return Trouble(
        tr(
            f'{account.host} offers no {name}{said}; nothing was sent. For an old plain server say tls = "none" '
            "(in a .fetchmailrc add: sslproto ''); then everybody on the way can read the password",
            f'{account.host} no ofrece {name}{said}; no se ha enviado nada. Si es un servidor antiguo sin TLS, ponga '
            "tls = \"none\" (en un .fetchmailrc añada: sslproto ''); la contraseña viajará a la vista de todos",
        ),
        Status.CONNECTION,
    )


def cleaned(account: FetchAccount, error: object) -> str:
    """Text of a server or library, short, on one line, and without the password if it repeats it (sec-F17, F18)."""
    text = str(error)
    if account.password:
        text = text.replace(account.password, "***")
    return _CONTROL.sub("?", text)[:300]
