"""What a command ends with, and how an error becomes such an end.

Promises: every error that a command may meet has its answer here and nowhere else: what the user asked wrongly is NO
with the code of the store, our own trouble is NO [UNAVAILABLE] or NO [OVERQUOTA] and always temporary (P12), a bug is
NO [SERVERBUG]; texts are fit for users and name no path.
RFC 5530 and 9051 section 7.1 (response codes).
"""
from typing import NamedTuple

from bridge.model.errors import DiskFull, StoreError
from bridge.serve.auth import Busy
from bridge.store.mail import MailError


class Answer(NamedTuple):
    """The tagged end of a command."""

    text: bytes
    code: bytes = b""
    word: bytes = b"OK"


class Refusal(Exception):
    """A command that is refused in the service itself."""

    def __init__(self, text: str, code: str = "", word: str = "NO") -> None:
        super().__init__(text)
        self.code, self.word = code, word


class Broken(Exception):
    """An answer broke off in the middle of a literal: nothing can follow it but the end of the connection."""


BUG = Answer(b"Internal error", b"SERVERBUG", b"NO")


def answer_of(error: Exception) -> Answer | None:
    """The answer for an error that is no bug; None: it is one."""
    if isinstance(error, Refusal):
        return Answer(_ascii(str(error)), error.code.encode("ascii"), error.word.encode("ascii"))
    if isinstance(error, MailError):
        return Answer(_ascii(str(error)), error.code.encode("ascii"), b"NO")
    if isinstance(error, DiskFull):
        return Answer(b"No room left on the disk, nothing was changed", b"OVERQUOTA", b"NO")
    if isinstance(error, StoreError | OSError):
        return Answer(b"The mailbox can't be used just now, try again later", b"UNAVAILABLE", b"NO")
    if isinstance(error, Busy):
        return Answer(_ascii(f"{error}, try again later"), b"UNAVAILABLE", b"NO")
    return None


def _ascii(text: str) -> bytes:
    return text.encode("ascii", "replace")
