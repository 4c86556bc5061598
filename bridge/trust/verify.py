"""DKIM signatures of a message that is coming in, checked while it passes.

Promises: memory for one chunk, whatever the size; at most five signatures are looked at, keys of 1,024 to 4,096 bits,
SHA-256 only (RFC 8301); a signature that leaves a part of the body to others (`l=`) proves nothing here. The header is
known first: `Verifier(header)` says what it needs, `feed` takes the body, `results` asks for the keys and judges.
Trouble of the name service is `temperror`. Nothing that a stranger wrote raises anything. RFC 6376, 8301, 8463, 8601;
sec-M20.
"""

import asyncio
import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

from bridge.model.address import fold_domain
from bridge.trust.canonical import RelaxedBody, SimpleBody, relaxed_field
from bridge.trust.names import Names, NameTrouble, NoDomain
from bridge.wire import headers

Word = Literal["pass", "fail", "policy", "neutral", "temperror", "permerror"]
SIGNATURES = 5
_LEAST_BITS, _MOST_BITS = 1024, 4096
_SKEW = 3600            # seconds by which a signer's clock may be ahead
_TAG = re.compile(r"[ \t\r\n]*([A-Za-z][A-Za-z0-9_]*)[ \t\r\n]*=[ \t\r\n]*(.*?)[ \t\r\n]*\Z", re.S)
_B = re.compile(rb"(^[^:]*:|;)([ \t\r\n]*b[ \t\r\n]*=)[^;]*")
_ALGORITHMS = {"rsa-sha256": "rsa", "ed25519-sha256": "ed25519"}


class DkimResult(NamedTuple):
    """One signature. `domain`, `selector` and `algorithm` as far as they could be read; `start`: of `b=`."""

    word: Word
    reason: str = ""
    domain: str = ""
    selector: str = ""
    algorithm: str = ""
    start: str = ""


class _Bad(Exception):
    """This signature is no good; `word` says in which way."""

    def __init__(self, word: Word, reason: str) -> None:
        super().__init__(reason)
        self.word = word


class _Hash(Protocol):
    def feed(self, chunk: bytes) -> None: ...
    def digest(self) -> bytes: ...


class _Signature(NamedTuple):
    """What a `DKIM-Signature` field says, checked as far as it goes without key and body."""

    tags: dict[str, str]
    covered: bytes
    body: str               # which form of the body
    signature: bytes
    body_hash: bytes

    @property
    def key_name(self) -> str:
        return f"{self.tags['s']}._domainkey.{fold_domain(self.tags['d'])}"


_BODIES: dict[str, Callable[[], _Hash]] = {"simple": SimpleBody, "relaxed": RelaxedBody}


class Verifier:
    """The signatures of one message. `header` is its block with CRLF."""

    def __init__(self, header: bytes, now: float) -> None:
        self._read: list[_Signature | DkimResult] = []
        fields = [(one.name.lower(), header[one.start : one.end]) for one in headers.fields(header)]
        signed = [field for name, field in fields if name == b"dkim-signature"]
        for field in signed[:SIGNATURES]:
            tags: dict[str, str] = {}
            try:
                tags = _tags(field.partition(b":")[2].decode("utf-8", "replace"))
                self._read.append(_signature(tags, field, fields, now))
            except _Bad as error:
                self._read.append(_result(tags, error.word, str(error)))
        self._hashes = {one.body: _BODIES[one.body]() for one in self._read if isinstance(one, _Signature)}

    @property
    def signed(self) -> bool:
        """Whether the body is needed at all."""
        return bool(self._hashes)

    def feed(self, chunk: bytes) -> None:
        """More of the body."""
        for one in self._hashes.values():
            one.feed(chunk)

    async def results(self, names: Names) -> Sequence[DkimResult]:
        """The body is complete: one result for each signature, in their order."""
        digests = {form: one.digest() for form, one in self._hashes.items()}
        return await asyncio.gather(*(self._judged(one, digests, names) for one in self._read))

    async def _judged(
        self, one: _Signature | DkimResult, digests: dict[str, bytes], names: Names
    ) -> DkimResult:
        if isinstance(one, DkimResult):
            return one
        try:
            if digests[one.body] != one.body_hash:
                raise _Bad("fail", "body has changed")
            _check(one, await _record(one, names))
        except _Bad as error:
            return _result(one.tags, error.word, str(error))
        return _result(one.tags, "pass", "")


def _tags(text: str) -> dict[str, str]:
    """A tag list (RFC 6376 3.2)."""
    found: dict[str, str] = {}
    for part in text.split(";"):
        if part.strip():
            match = _TAG.match(part)
            if match is None or match[1] in found:
                raise _Bad("permerror", "not a list of tags")
            found[match[1]] = match[2]
    return found


def _signature(tags: dict[str, str], field: bytes, fields: list[tuple[bytes, bytes]], now: float) -> _Signature:
    missing = [name for name in ("v", "a", "b", "bh", "d", "h", "s") if not tags.get(name)]
    if missing or tags["v"] != "1":
        raise _Bad("permerror", f"no {missing[0]}=" if missing else "unknown version")
    if tags["a"] not in _ALGORITHMS:
        raise _Bad("policy" if tags["a"] == "rsa-sha1" else "permerror", "algorithm is not accepted")
    form, _, body = tags.get("c", "simple/simple").partition("/")
    body = body or "simple"
    names = [name.strip().lower().encode() for name in tags["h"].split(":")]
    agent = fold_domain(tags.get("i", "@" + tags["d"]).rpartition("@")[2])
    domain = fold_domain(tags["d"])
    if form not in _BODIES or body not in _BODIES:
        raise _Bad("permerror", "unknown canonicalization")
    if b"from" not in names:
        raise _Bad("permerror", "From is not signed")
    if agent != domain and not agent.endswith("." + domain):
        raise _Bad("permerror", "i= is outside of d=")
    if "l" in tags:
        raise _Bad("policy", "l= leaves a part of the body unsigned")
    _check_times(tags, now)
    simple = form == "simple"
    empty = _B.sub(rb"\1\2", field)
    own = empty.removesuffix(b"\n").removesuffix(b"\r") if simple else relaxed_field(empty).removesuffix(b"\r\n")
    covered = b"".join(_chosen(names, fields) if simple else map(relaxed_field, _chosen(names, fields)))
    return _Signature(tags, covered + own, body, _base64(tags["b"]), _base64(tags["bh"]))


def _check_times(tags: dict[str, str], now: float) -> None:
    for name in "tx":
        if name in tags and not re.fullmatch(r"\d{1,12}", tags[name]):
            raise _Bad("permerror", f"{name}= is no time")
    if "x" in tags and int(tags["x"]) < now:
        raise _Bad("fail", "signature has expired")
    if "t" in tags and int(tags["t"]) > now + _SKEW:
        raise _Bad("neutral", "signature is from the future")


def _chosen(names: list[bytes], fields: list[tuple[bytes, bytes]]) -> list[bytes]:
    """The fields that `h=` names, each name from the bottom up; a name too many stands for no field (5.4.2)."""
    left: dict[bytes, list[bytes]] = {}
    for name, field in fields:
        left.setdefault(name, []).append(field)
    return [left[name].pop() for name in names if left.get(name)]


async def _record(one: _Signature, names: Names) -> dict[str, str]:
    try:
        found = await names.texts(one.key_name)
    except NoDomain:
        found = ()
    except NameTrouble:
        raise _Bad("temperror", "the key can't be had now") from None
    if not found:
        raise _Bad("permerror", "no key")
    return _tags(found[0])


def _check(one: _Signature, record: dict[str, str]) -> None:
    """The key may be used for this, and the signature is made with it."""
    kind = _ALGORITHMS[one.tags["a"]]
    if record.get("v", "DKIM1") != "DKIM1" or record.get("k", "rsa") != kind or "p" not in record:
        raise _Bad("permerror", "the key is for something else")
    if "sha256" not in _words(record.get("h", "sha256")) or not {"*", "email"} & set(_words(record.get("s", "*"))):
        raise _Bad("permerror", "the key is for something else")
    if not record["p"]:
        raise _Bad("permerror", "the key is revoked")
    agent = fold_domain(one.tags.get("i", "@" + one.tags["d"]).rpartition("@")[2])
    if "s" in _words(record.get("t", "")) and agent != fold_domain(one.tags["d"]):
        raise _Bad("permerror", "the key is not for subdomains")
    try:
        _check_with(kind, _base64(record["p"]), one)
    except InvalidSignature:
        raise _Bad("fail", "signature does not match") from None


def _check_with(kind: str, public: bytes, one: _Signature) -> None:
    try:
        key = ed25519.Ed25519PublicKey.from_public_bytes(public) if kind == "ed25519" else _rsa(public)
    except (ValueError, TypeError):
        raise _Bad("permerror", "the key can't be read") from None
    if isinstance(key, ed25519.Ed25519PublicKey):
        key.verify(one.signature, hashlib.sha256(one.covered).digest())
        return
    if not _LEAST_BITS <= key.key_size <= _MOST_BITS:
        raise _Bad("policy", f"a key of {key.key_size} bits is not accepted")
    key.verify(one.signature, one.covered, padding.PKCS1v15(), hashes.SHA256())


def _rsa(public: bytes) -> rsa.RSAPublicKey:
    if len(public) > _MOST_BITS // 4:
        raise _Bad("policy", "the key is too long")
    key = serialization.load_der_public_key(public)
    if not isinstance(key, rsa.RSAPublicKey):
        raise ValueError
    return key


def _words(text: str) -> list[str]:
    return [one.strip().lower() for one in text.split(":")]


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise _Bad("permerror", "not base64") from None


def _result(tags: dict[str, str], word: Word, reason: str) -> DkimResult:
    start = "".join(tags.get("b", "").split())[:8]
    return DkimResult(word, reason, fold_domain(tags.get("d", "")), tags.get("s", ""), tags.get("a", ""), start)
