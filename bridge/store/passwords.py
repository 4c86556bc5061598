"""Passwords: what is asked of a new one, how they are kept, how one is checked.

Promises: kept as argon2id with a random salt; older forms ({SSHA}, {SHA256}-family, `$5$`, `$6$` of crypt) are only
read, and `stale` says so, so that the next login replaces them (sec-A05). `check` takes as long for nobody as for
somebody (sec-A03). Comparisons take constant time (sec-A10). Blocks for the time of one hash: call it in a thread.
Fails by: Weak, with a sentence for the person who chose the password; a stored form that is not understood proves
nothing.
"""

import base64
import binascii
import hashlib
import hmac
import re
import unicodedata
from hashlib import sha256, sha512
from itertools import pairwise

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from bridge.model.language import tr

LONGEST = 512       # characters; more is refused before any work is done
_SCHEME = re.compile(r"\{([A-Za-z0-9.-]+)\}(.*)", re.S)
_CRYPT = re.compile(r"\$([56])\$(?:rounds=(\d{1,9})\$)?([^$]{0,16})\$([./0-9A-Za-z]{43}|[./0-9A-Za-z]{86})")
_MOST_ROUNDS = 1_000_000
_WORDS = (
    "12345678 123456789 1234567890 11111111 00000000 87654321 987654321 password password1 password123 passw0rd "
    "contraseña contrasena contraseña1 qwertyui qwertyuiop qwerty123 asdfghjk asdfghjkl 1q2w3e4r 1qaz2wsx zaq12wsx "
    "iloveyou sunshine princess football baseball superman trustno1 letmein1 welcome1 starwars whatever computer "
    "corazon1 tequiero teamomucho realmadrid barcelona estrella mariposa bienvenido administrador administrator "
    "changeme changeme1 cambiame secreto1 secret123 estafeta correo123 usuario1 abcdefgh abcd1234 abc12345 a1b2c3d4 "
    "internet internet1 michelle jennifer elefante"
)
_COMMON = frozenset(_WORDS.split())
_SHORT = {"SSHA": (hashlib.sha1, 20), "SHA": (hashlib.sha1, 20), "SSHA256": (sha256, 32), "SHA256": (sha256, 32),
          "SSHA512": (sha512, 64), "SHA512": (sha512, 64)}


class Weak(Exception):
    """A password that is not accepted; the text says why and what would be."""


def normal(password: str) -> str:
    """The form that is hashed: the same on a keyboard that composes accents and on one that doesn't (RFC 8265)."""
    return unicodedata.normalize("NFC", password)


def require_strong(password: str, login: str, *, minimum: int = 8, weak: bool = False) -> None:
    """Weak unless this is good enough as a new password of `login`."""
    text = normal(password)
    if not text:
        raise Weak(tr("The password is empty.", "La contraseña está vacía."))
    if len(text) > LONGEST:
        raise Weak(tr(
            f"The password is longer than {LONGEST} characters.",
            f"La contraseña tiene más de {LONGEST} caracteres.",
        ))
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in text):
        raise Weak(tr(
            "The password has a control character, which mail programs cannot send.",
            "La contraseña tiene un carácter de control, que los programas de correo no pueden enviar.",
        ))
    if weak:
        return
    if len(text) < minimum:
        raise Weak(tr(
            f"The password has {len(text)} characters and needs {minimum} or more. Three or four words do well.",
            f"La contraseña tiene {len(text)} caracteres y necesita {minimum} o más. Tres o cuatro palabras van bien.",
        ))
    folded = text.casefold()
    names = {login.casefold(), *login.casefold().split("@")}
    if folded in names or folded[::-1] in names or folded.rstrip("0123456789!.") in names:
        raise Weak(tr(
            "The password is the name of the account; choose something that others don't know.",
            "La contraseña es el nombre de la cuenta; elija algo que otros no sepan.",
        ))
    if folded in _COMMON or len(set(folded)) < 4 or _sequence(folded):
        raise Weak(tr(
            "The password is one of those that are tried first; choose something less common.",
            "La contraseña es de las que se prueban primero; elija algo menos corriente.",
        ))


def _sequence(text: str) -> bool:
    """abcdefgh, 23456789 and the like."""
    return len({ord(b) - ord(a) for a, b in pairwise(text)}) == 1


class Hasher:
    """Argon2id with the parameters of the settings. `memory` in KiB."""

    def __init__(self, memory: int = 19_456, rounds: int = 2) -> None:
        self._argon = PasswordHasher(time_cost=rounds, memory_cost=memory, parallelism=1, type=Type.ID)
        self._nobody = ""

    def hash(self, password: str) -> str:
        return self._argon.hash(normal(password))

    def check(self, stored: str | None, password: str) -> bool:
        """Is this the password? None (nobody) costs one hash, too, and is False."""
        text = normal(password)
        if stored is None or not stored.startswith("$argon2"):
            proven = stored is not None and _old(stored, text)
            self._argon_check(self._dummy(), text)
            return proven
        return self._argon_check(stored, text)

    def stale(self, stored: str) -> bool:
        """True if a password that was just proven should be hashed anew."""
        try:
            return not stored.startswith("$argon2id$") or self._argon.check_needs_rehash(stored)
        except InvalidHashError:
            return True

    def _argon_check(self, stored: str, text: str) -> bool:
        try:
            return self._argon.verify(stored, text)
        except (VerificationError, InvalidHashError):
            return False

    def _dummy(self) -> str:
        if not self._nobody:
            self._nobody = self._argon.hash("nobody")
        return self._nobody


def readable(stored: str) -> bool:
    """True if this form of a stored password is understood (for imports)."""
    if stored.startswith("$argon2"):
        return True
    found = _SCHEME.fullmatch(stored)
    if found:
        return found[1].upper() in _SHORT or (found[1].upper() in ("CRYPT", "SHA512-CRYPT", "SHA256-CRYPT")
                                             and bool(_CRYPT.fullmatch(found[2])))
    return bool(_CRYPT.fullmatch(stored))


def _old(stored: str, text: str) -> bool:
    found = _SCHEME.fullmatch(stored)
    scheme, rest = (found[1].upper(), found[2]) if found else ("CRYPT", stored)
    if scheme in _SHORT:
        return _salted(scheme, rest, text)
    crypted = _CRYPT.fullmatch(rest)
    if not crypted:
        return False
    kind, rounds, salt, wanted = crypted.groups()
    count = min(max(int(rounds), 1000), _MOST_ROUNDS) if rounds else 5000
    return hmac.compare_digest(_sha_crypt(text.encode(), salt.encode(), kind, count), wanted)


def _salted(scheme: str, rest: str, text: str) -> bool:
    digest, size = _SHORT[scheme]
    try:
        raw = base64.b64decode(rest, validate=True)
    except binascii.Error:
        return False
    if len(raw) < size:
        return False
    return hmac.compare_digest(digest(text.encode() + raw[size:]).digest(), raw[:size])


# SHA-crypt as described by its author (Ulrich Drepper, "Unix crypt using SHA-256 and SHA-512", public domain, 2008).
_ALPHABET = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def _sha_crypt(key: bytes, salt: bytes, kind: str, rounds: int) -> str:
    digest = sha256 if kind == "5" else sha512
    inner = digest(key + salt + key).digest()
    first = digest(key + salt + _stretch(inner, len(key)))
    length = len(key)
    while length:
        first.update(inner if length & 1 else key)
        length >>= 1
    current = first.digest()
    p = _stretch(digest(key * len(key)).digest(), len(key))
    s = _stretch(digest(salt * (16 + current[0])).digest(), len(salt))
    for i in range(rounds):
        odd = i & 1
        text = (p if odd else current) + (s if i % 3 else b"") + (p if i % 7 else b"") + (current if odd else p)
        current = digest(text).digest()
    return _encode(current)


def _stretch(block: bytes, length: int) -> bytes:
    return (block * (length // len(block) + 1))[:length]


def _encode(digest: bytes) -> str:
    """The odd order of bytes in which crypt writes a digest."""
    third = len(digest) // 3
    out = []
    for i in range(third):
        trio = [i, i + third, i + 2 * third]
        turn = i % 3 if len(digest) == 64 else (-i) % 3
        a, b, c = trio[turn:] + trio[:turn]
        out.append(_group(digest[a] << 16 | digest[b] << 8 | digest[c], 4))
    if len(digest) == 64:
        out.append(_group(digest[63], 2))
    else:
        out.append(_group(digest[31] << 8 | digest[30], 3))
    return "".join(out)


def _group(value: int, count: int) -> str:
    return "".join(_ALPHABET[value >> 6 * i & 63] for i in range(count))
