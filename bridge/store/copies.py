"""One recipient's copy of a message, as final delivery writes it wherever it goes: Maildir, mbox, database, program.

Promises: LF line ends; Return-Path, X-Original-To and Delivered-To on top, a Return-Path of others taken out (D05,
S24), and nothing in an address can begin a field of its own; a body is in memory one chunk at a time.
Fails by: Damaged where the spool file is shorter than it says; OSError.
"""
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

from bridge.store import files
from bridge.store.spool import CHUNK, Damaged, Spooled
from bridge.wire import headers


@dataclass(frozen=True, slots=True)
class Copy:
    """One recipient's copy. `key` is the caller's name for it; `maildir` the folder that holds tmp, new and cur."""

    key: int
    maildir: str
    address: str
    original: str
    sender: str
    trust: str = ""         # value of an Authentication-Results field; "": none


@dataclass(frozen=True, slots=True)
class Letter:
    """One message for one or many. `again`: it may be there already, perhaps moved to cur/ by its reader."""

    spooled: Spooled
    copies: tuple[Copy, ...]
    again: bool = False


def converted(spooled: Spooled) -> Iterator[bytes]:
    """The message with LF line ends and without a Return-Path of others, chunk by chunk."""
    descriptor = files.open_read(spooled.path) if spooled.descriptor < 0 else os.dup(spooled.descriptor)
    try:
        offset, left, held = spooled.start, spooled.size, b""
        first = True
        while left:
            data = os.pread(descriptor, min(left, CHUNK), offset)
            if not data:
                raise Damaged(f"{spooled.path.name}: shorter than it says")
            offset += len(data)
            left -= len(data)
            if held:
                data, held = held + data, b""
            if left and data.endswith(b"\r"):
                data, held = data[:-1], b"\r"
            data = data.replace(b"\r\n", b"\n")
            yield _without_return_path(data) if first else data
            first = False
    finally:
        os.close(descriptor)


def _without_return_path(data: bytes) -> bytes:
    end = data.find(b"\n\n") + 1
    head = data[:end] if end else data
    if b"return-path" not in head.lower():
        return data
    return headers.remove(head, b"return-path") + data[len(head) :]


@lru_cache(4096)
def mark_of(address: str) -> str:
    """Stands for the recipient in a file name: the same for ever."""
    return blake2b(address.encode(), digest_size=6).hexdigest()


def top(copy: Copy) -> bytes:
    """The fields that final delivery writes (D05, S24, S42)."""
    text = f"Return-Path: <{copy.sender}>\nX-Original-To: {copy.original}\nDelivered-To: {copy.address}\n"
    if text.count("\n") != 3 or "\r" in text or "\0" in text:
        text = "".join(
            f"{name}: {_clean(value)}\n"
            for name, value in (
                ("Return-Path", f"<{copy.sender}>"), ("X-Original-To", copy.original), ("Delivered-To", copy.address),
            )
        )
    if copy.trust:
        text += f"Authentication-Results: {_clean(copy.trust)}\n".replace("; ", ";\n\t")
    return text.encode("utf-8", "surrogateescape")


def _clean(value: str) -> str:
    return "".join(char for char in value if char.isprintable())
