"""APOP: a login by a digest of a challenge and a shared secret (RFC 1939 7, I50).

The secret has to be readable, so it is one of its own, apart from the password's hash, and there is none until
somebody sets it; without any secret the greeting has no challenge. MD5 is what the protocol says, and is weak: APOP
protects against listeners on an open line, TLS does it better.

Promises: the same limits on guessing as for passwords when given the same `Guesses`; constant-time comparison, also
for unknown users (sec-A03, sec-A10).
"""
import hashlib
import secrets
from collections.abc import Callable
from hmac import compare_digest
from typing import Protocol, TypeVar

A_co = TypeVar("A_co", covariant=True)
A = TypeVar("A")


class Secrets(Protocol[A_co]):
    """Where the secrets are. Both calls may block."""

    def any(self) -> bool:
        """Whether anybody has one."""

    def find(self, login: str) -> tuple[A_co, str] | None:
        """The account and its secret, or None where it has none."""


def challenge(hostname: str, now: float) -> str:
    """A challenge that was never used before."""
    return f"<{secrets.token_hex(8)}.{int(now)}@{hostname}>"


def digest(challenge: str, secret: str) -> str:
    """What the client must send."""
    return hashlib.md5((challenge + secret).encode(), usedforsecurity=False).hexdigest()


def verifier(store: Secrets[A]) -> Callable[[str, str, str, str], A | None]:
    """The `verify` of an Authenticator for APOP, whose password is the challenge, a space and the client's digest."""

    def verify(login: str, password: str, protocol: str, ip: str) -> A | None:
        asked, _, answer = password.rpartition(" ")
        found = store.find(login)
        account, secret = found if found is not None else (None, secrets.token_hex(16))
        return account if compare_digest(digest(asked, secret).encode(), answer.encode()) else None

    return verify
