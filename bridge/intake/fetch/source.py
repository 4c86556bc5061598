"""What a remote mailbox looks like to the poller, and what can go wrong with it.

Promises: a source is used by one thread, from `open` to `close`; after `timeout` seconds of silence it raises;
what it lists and reads is bounded whatever the server says (the remote server is an attacker: SECURITY group F).
"""

import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from bridge.config.fetch import FetchAccount


class Trouble(Exception):
    """This poll can't go on; the text is for the account's owner. `login`: the password was refused."""

    def __init__(self, text: str, *, login: bool = False) -> None:
        super().__init__(text)
        self.login = login


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
    """What is in a folder now."""

    uidvalidity: str
    messages: tuple[Remote, ...]


class Source(Protocol):
    """One session. `read` gives (message, its bytes or Broken) in any order; `remove` answers what is surely gone."""

    def open(self) -> None: ...

    def listing(self, folder: str) -> Listing: ...

    def sizes(self, messages: Sequence[Remote]) -> list[Remote]: ...

    def headers(self, messages: Sequence[Remote]) -> Iterator[tuple[Remote, bytes]]: ...

    def read(self, messages: Sequence[Remote]) -> Iterator[tuple[Remote, Iterator[bytes] | Broken]]: ...

    def remove(self, messages: Sequence[Remote]) -> set[str]: ...

    def close(self) -> None: ...


def tls_context(account: FetchAccount) -> ssl.SSLContext:
    """TLS 1.2 and newer, certificate and name checked unless the account says otherwise (sec-F02)."""
    try:
        context = ssl.create_default_context(cafile=account.tls_ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise Trouble(f"{account.tls_ca_file}: {error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not account.tls_verify or account.tls_fingerprint:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def check_fingerprint(account: FetchAccount, certificate: bytes | None) -> None:
    """Raise Trouble unless the peer's certificate is the pinned one."""
    if not account.tls_fingerprint:
        return
    from hashlib import sha256

    found = sha256(certificate or b"").hexdigest()
    if found != account.tls_fingerprint.replace(":", "").lower():
        raise Trouble(f"{account.host} shows another certificate (SHA-256 {found}) than the account allows")


def advice(account: FetchAccount, error: Exception) -> str:
    """What to tell the owner when a connection can't be made."""
    where = f"{account.host}: {error}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"{where}; to trust this server, give tls_ca_file or tls_fingerprint"
    if isinstance(error, ssl.SSLError):
        return (
            f'{where}; if the server speaks no TLS on this port, say tls = "starttls" or, for an old plain server, '
            "tls = \"none\" (in a .fetchmailrc: sslproto '')"
        )
    return where
