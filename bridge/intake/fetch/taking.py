"""One collected message on its way through the door.

Promises: what goes in is what the server sent, in CRLF form, below a token of the account; a message that carries the
token has been here before and is not taken again (sec-F16, F79). The envelope sender is the Return-Path that the remote
server wrote, else From. A copy of the raw bytes is kept, as far as they came, for quarantine.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass

from bridge.intake.fetch.source import Remote
from bridge.model.address import BadAddress, mailbox
from bridge.model.envelope import Envelope
from bridge.queue.enter import Door
from bridge.store.spool import Spooled
from bridge.wire import headers
from bridge.wire.addresses import strict
from bridge.wire.dots import Canonical

HEAD = 262_144  # bytes in which the header block is looked for
RAW = 1_000_000  # bytes kept for quarantine
_RETURN_PATH = re.compile(rb"(?:\A|\n)Return-Path:[ \t]*<([^<>\r\n]*)>", re.I)


class Looped(Exception):
    """This message went out from here and came back."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A message that is being committed. `head`: SHA-256 of its header block; `sha256`: of all of it, CRLF form."""

    remote: Remote
    done: "Future[Spooled]"
    head: str
    sha256: str


class Raw:
    """What came from the server, up to a limit."""

    __slots__ = ("data",)

    def __init__(self) -> None:
        self.data = bytearray()

    def watch(self, body: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in body:
            if len(self.data) < RAW:
                self.data += chunk[: RAW - len(self.data)]
            yield chunk


def take(
    door: Door,
    one: Remote,
    body: Iterable[bytes],
    *,
    token: bytes,
    envelope: Callable[[bytes, str], Envelope],
    known: Callable[[str, str], bool],
) -> Taken | None:
    """Put `one` through the door. `envelope(header block, its digest)`; None where `known(head, sha256)` says so.

    Raises what the door raises, Looped, and what `body` raises; nothing of the message is left then.
    """
    door.check_room(one.size)
    canonical, digest, chunks = Canonical(), hashlib.sha256(), iter(body)
    start = b""
    for chunk in chunks:
        start += canonical.feed(chunk)
        if len(start) >= HEAD or b"\r\n\r\n" in start:
            break
    block = header_of(start)
    head = hashlib.sha256(block).hexdigest()
    entry = door.open(envelope(block, head), fix=lambda header, _: _marked(header, token))
    try:
        digest.update(start)
        entry.feed(start)
        for piece in _fed(canonical, chunks):
            digest.update(piece)
            entry.feed(piece)
        sha256 = digest.hexdigest()
        if known(head, sha256):
            entry.abort()
            return None
        return Taken(one, entry.commit(), head, sha256)
    except BaseException:
        entry.abort()
        raise


def _fed(canonical: Canonical, chunks: Iterator[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        yield canonical.feed(chunk)
    yield canonical.end()


def _marked(header: bytes, token: bytes) -> bytes:
    line = b"Delivered-To: " + token + b"\r\n"
    if header.startswith(line) or b"\n" + line in header:
        raise Looped
    return line + header


def token_of(account: str, hostname: str) -> bytes:
    """What marks a message as collected from this account; says nothing about it to others."""
    return f"fetch-{hashlib.sha256(account.encode()).hexdigest()[:16]}@{hostname}".encode()


def header_of(message: bytes) -> bytes:
    """The header block of a message in CRLF form, without its last line end."""
    if message.startswith(b"\r\n"):
        return b""
    end = message.find(b"\r\n\r\n", 0, HEAD)
    return (message[:HEAD] if end < 0 else message[:end]).rstrip(b"\r\n")


def head_digest(header: bytes) -> str:
    """As `Taken.head`, of a header block as the server gave it."""
    canonical = Canonical()
    return hashlib.sha256(header_of(canonical.feed(header) + canonical.end())).hexdigest()


def sender_of(header: bytes) -> str:
    """Who the remote server says sent it: Return-Path, also an empty one. A server that writes none leaves From, which
    is what fetchmail takes then: a message without either comes from nobody."""
    found = _RETURN_PATH.search(header)
    if found is None:
        authors = strict(headers.first(header, b"From") or b"")
        return authors[0].address if authors and len(authors) == 1 else ""
    try:
        return mailbox(found[1]) if found[1] else ""
    except BadAddress:
        return ""
