"""A key that signs for a domain, and the DNS record that lets others check it.

Promises: RSA of 2,048 bits by default (RFC 8301 asks for 1,024 at least) or Ed25519 (RFC 8463); a private key never
appears in what `repr` or an error says.
Fails by: KeyProblem with a sentence.
"""

import base64
import re
from dataclasses import dataclass, field
from typing import Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

Algorithm = Literal["rsa", "ed25519"]
Private = rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
SELECTOR = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_LEAST_BITS, _MOST_BITS = 1024, 4096
_STRING = 255           # bytes of one string of a TXT record


class KeyProblem(Exception):
    """This is no key that we can sign with; the text says why, `es` in Spanish."""

    def __init__(self, en: str, es: str) -> None:
        super().__init__(en)
        self.es = es


@dataclass(frozen=True, slots=True)
class Key:
    """`selector._domainkey.domain` is where its public half stands."""

    domain: str
    selector: str
    private: Private = field(repr=False)

    @property
    def algorithm(self) -> Algorithm:
        return "rsa" if isinstance(self.private, rsa.RSAPrivateKey) else "ed25519"

    @property
    def name(self) -> str:
        """Of the DNS record."""
        return f"{self.selector}._domainkey.{self.domain}"

    @property
    def record(self) -> str:
        """The text of the DNS record (RFC 6376 3.6.1)."""
        if isinstance(self.private, rsa.RSAPrivateKey):
            public = self.private.public_key().public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        else:
            public = self.private.public_key().public_bytes(
                serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return f"v=DKIM1; k={self.algorithm}; p={base64.b64encode(public).decode()}"

    def sign(self, data: bytes) -> bytes:
        """The value of `b=` for these bytes."""
        if isinstance(self.private, rsa.RSAPrivateKey):
            return self.private.sign(data, padding.PKCS1v15(), hashes.SHA256())
        digest = hashes.Hash(hashes.SHA256())
        digest.update(data)
        return self.private.sign(digest.finalize())


def generate(algorithm: Algorithm, bits: int = 2048) -> bytes:
    """A new private key as PEM."""
    private: Private
    if algorithm == "rsa":
        private = rsa.generate_private_key(65537, bits)
    else:
        private = ed25519.Ed25519PrivateKey.generate()
    return private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def read(domain: str, selector: str, pem: bytes) -> Key:
    """The key in a PEM file. KeyProblem."""
    try:
        private = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise KeyProblem(
            "no private key in PEM form without a password", "no es una clave privada en forma PEM sin contraseña"
        ) from None
    if isinstance(private, rsa.RSAPrivateKey):
        if not _LEAST_BITS <= private.key_size <= _MOST_BITS:
            bits, span = private.key_size, f"{_LEAST_BITS}-{_MOST_BITS}"
            raise KeyProblem(f"an RSA key of {bits} bits; {span} are understood",
                             f"una clave RSA de {bits} bits; se entienden {span}")
        return Key(domain, selector, private)
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return Key(domain, selector, private)
    raise KeyProblem("neither an RSA nor an Ed25519 key", "no es una clave RSA ni Ed25519")


def zone_line(name: str, text: str) -> str:
    """The record as a zone file has it, long texts in several strings."""
    strings = [text[at : at + _STRING] for at in range(0, len(text), _STRING)]
    quoted = " ".join(f'"{one}"' for one in strings)
    return f"{name}. IN TXT {quoted}" if len(strings) == 1 else f"{name}. IN TXT ( {quoted} )"
