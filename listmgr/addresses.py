"""The addresses of a list: the ten that Mailman has, with the form that carries a token.

Promises: pure; `verb` and `parse` agree with each other for every list name that `valid_name` lets through; a name that
ends like one of the ten (`team-owner`) is refused when a list is made, so no two lists can claim one address.
Fails by: ValueError for what is no list name or no address.
"""

import re
from dataclasses import dataclass
from enum import Enum

from bridge.wire import addresses


class Verb(Enum):
    """What a list address is for. POST is the list itself."""

    POST = "post"
    ADMIN = "admin"
    BOUNCES = "bounces"
    CONFIRM = "confirm"
    JOIN = "join"
    LEAVE = "leave"
    OWNER = "owner"
    REQUEST = "request"
    SUBSCRIBE = "subscribe"
    UNSUBSCRIBE = "unsubscribe"


SUFFIXES = tuple(verb.value for verb in Verb if verb is not Verb.POST)
MAX_NAME = 64
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_SUFFIX = re.compile(rf"-(?:{'|'.join(SUFFIXES)})\Z")
_LOCAL = re.compile(rf"(.+?)(?:-({'|'.join(SUFFIXES)}))?(?:\+(.*))?", re.S | re.I)


@dataclass(frozen=True, slots=True)
class Parsed:
    """A local part taken apart. `detail` is what follows the plus sign, or ""."""

    name: str
    verb: Verb
    detail: str


def valid_name(name: str) -> bool:
    """May a list be called that? Small letters, digits, `._-`; not the address of another list."""
    if len(name) > MAX_NAME or not _NAME.fullmatch(name) or ".." in name or name.endswith((".", ".mbox")):
        return False
    return not _SUFFIX.search(name)


def local(name: str, verb: Verb, detail: str = "") -> str:
    """`LIST-owner`, `LIST-confirm+TOKEN`, `LIST`."""
    base = name if verb is Verb.POST else f"{name}-{verb.value}"
    return f"{base}+{detail}" if detail else base


def parse(address: str) -> Parsed:
    """The list, the verb and the detail that an address (or its local part) names, if there is such a list."""
    found = _LOCAL.fullmatch(address.rpartition("@")[0] or address)
    if not found:
        raise ValueError(f"not a list address: {address[:100]!r}")
    name, verb, detail = found.groups()
    return Parsed(name.lower(), Verb((verb or "post").lower()), detail or "")


def single(value: bytes | str | None) -> addresses.Mailbox | None:
    """The one mailbox of a header value if nobody can read it differently, else None (sec-M07)."""
    found = addresses.strict(value) if value else None
    return found[0] if found is not None and len(found) == 1 else None


def valid(address: str) -> bool:
    """Is this one bare address, fit to be a member?"""
    found = single(address)
    return found is not None and found.address == address and not found.name and "." in found.domain
