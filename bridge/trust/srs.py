"""Sender rewriting for mail that an alias sends on: the next server asks our SPF record, and bounces find back.

`ana@far.example` becomes `SRS0=hash=day=far.example=ana@ours`; what another forwarder has rewritten already becomes
`SRS1=hash=forwarder==rest@ours`, so that a chain stays short. Promises: an address is believed only with our keyed hash
(40 bits) and for `_DAYS` days, so that nobody can send through us to addresses of his choice (sec-O15); letters may
change their case on the way.
Fails by: None for what can't be rewritten or isn't ours.
"""

import base64
import hmac
import re

from bridge.model.address import split

_DAYS = 21
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_SRS0 = re.compile(r"srs0[=+-]([a-z2-7]{8})=([a-z2-7]{2})=([^=@]+)=(.+)\Z", re.I | re.S)
_SRS1 = re.compile(r"srs1[=+-]([a-z2-7]{8})=([^=@]+)=([=+-].+)\Z", re.I | re.S)
_FOREIGN = re.compile(r"srs([01])([=+-].+)\Z", re.I | re.S)
_FOREIGN_SRS1 = re.compile(r"srs1[=+-][^=]+=([^=@]+)=([=+-].+)\Z", re.I | re.S)
_LONGEST = 200          # characters of a local part that is still rewritten


def forward(sender: str, domain: str, key: bytes, now: float) -> str | None:
    """The envelope sender to use for `sender`, at our `domain`. None: leave it as it is."""
    local, host = split(sender)
    if not local or not host or "=" in host or len(sender) > _LONGEST:
        return None
    foreign = _FOREIGN.match(local)
    if foreign is not None and foreign[1] == "1":
        parts = _FOREIGN_SRS1.match(local)
        if parts is None:
            return None
        first, rest = parts[1], parts[2]
        return f"SRS1={_hash(key, f'{first}={rest}')}={first}={rest}@{domain}"
    if foreign is not None:
        return f"SRS1={_hash(key, f'{host}={foreign[2]}')}={host}={foreign[2]}@{domain}"
    day = _day(now)
    return f"SRS0={_hash(key, f'{day}={host}={local}')}={day}={host}={local}@{domain}"


def reverse(address: str, key: bytes, now: float) -> str | None:
    """The address behind one that `forward` made. None: it is none, is forged or too old."""
    local, _ = split(address)
    own = _SRS0.match(local)
    if own is not None:
        given, day, host, user = own.groups()
        if _good(given, key, f"{day}={host}={user}") and _age(day, now) <= _DAYS:
            return f"{user}@{host}"
        return None
    other = _SRS1.match(local)
    if other is not None:
        given, host, rest = other.groups()
        return f"SRS0{rest}@{host}" if _good(given, key, f"{host}={rest}") else None
    return None


def looks_like(address: str) -> bool:
    """Whether it is worth a look; asked for every recipient."""
    return address[:5].lower() in ("srs0=", "srs0+", "srs0-", "srs1=", "srs1+", "srs1-")


def _hash(key: bytes, text: str) -> str:
    digest = hmac.digest(key, text.lower().encode("utf-8", "surrogateescape"), "sha256")
    return base64.b32encode(digest[:5]).decode()


def _good(given: str, key: bytes, text: str) -> bool:
    return hmac.compare_digest(given.upper(), _hash(key, text))


def _day(now: float) -> str:
    number = int(now // 86400) % 1024
    return _ALPHABET[number >> 5] + _ALPHABET[number & 31]


def _age(day: str, now: float) -> int:
    number = _ALPHABET.index(day[0].lower()) << 5 | _ALPHABET.index(day[1].lower())
    return (int(now // 86400) - number) % 1024
