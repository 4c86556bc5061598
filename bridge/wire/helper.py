"""What is said to the root helper: one request, one answer, each a datagram of JSON (a message goes along as an open
file).

Promises: a request has a known verb and exactly the fields of that verb, each of its type, within its length and free
of control characters; no field is a path, a command or a number of a user. That holds on both sides: the helper
believes nothing that its callers say.
Fails by: PeerError.
"""
import json
import re
from collections.abc import Mapping
from typing import Any

from bridge.model.errors import PeerError

LONGEST = 16_384            # bytes of a request or an answer
TEXT = 1024                 # characters of a field
PROTOCOLS = ("imap", "pop3", "smtp", "web", "sieve")
READING = ("imap", "pop3")

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_FORMS = {
    "id": re.compile(r"[0-9A-HJKMNP-TV-Z]{16}\Z"),
    "ip": re.compile(r"[0-9A-Za-z:.%]{0,64}\Z"),      # it goes into logs
    "program": re.compile(r"[0-9a-f]{64}\Z"),
    "protocol": re.compile(rf"(?:{'|'.join(PROTOCOLS)})\Z"),
    "user": re.compile(r"[^-./][^/]*\Z"),
}
_MESSAGE: Mapping[str, type] = {
    "id": str, "received": float, "start": int, "size": int, "address": str, "original": str, "sender": str,
    "trust": str,
}  # fmt: skip
VERBS: Mapping[str, Mapping[str, type]] = {
    "hello": {},
    "deliver": {"user": str, "again": bool, **_MESSAGE},        # with a message: into the user's mailbox
    "check": {"user": str, "password": str, "protocol": str, "ip": str},
    "session": {"user": str, "ticket": str, "protocol": str, "ip": str},     # with two sockets: bytes, and hints
    "command": {"user": str, **_MESSAGE},                       # with a message: to the user's mailbox command
    "alias": {"program": str, **_MESSAGE},      # with a message: to the program of an alias, named by its hash
}  # fmt: skip
FILES = {"deliver": 1, "session": 2, "command": 1, "alias": 1}      # that come along with a request
Request = dict[str, Any]


def encode(verb: str, fields: Mapping[str, Any]) -> bytes:
    """A request as bytes."""
    data = json.dumps({"verb": verb, **fields}).encode()
    decode(data)
    return data


def decode(data: bytes) -> tuple[str, Request]:
    """Verb and fields of a request."""
    if len(data) > LONGEST:
        raise PeerError("the request is too long")
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise PeerError("the request is no JSON") from error
    if not isinstance(found, dict):
        raise PeerError("the request is no object")
    verb = found.pop("verb", None)
    wanted = VERBS.get(verb) if isinstance(verb, str) else None
    if wanted is None:
        raise PeerError("no such verb")
    if found.keys() != wanted.keys():
        raise PeerError(f"{verb} has other fields")
    for name, kind in wanted.items():
        _require(name, found[name], kind)
    return verb, found


def _require(name: str, value: Any, kind: type) -> None:
    if type(value) is not kind:
        raise PeerError(f"{name} is of another type")
    if isinstance(value, str):
        if len(value) > TEXT or (_CONTROL.search(value) if name != "password" else "\0" in value):
            raise PeerError(f"{name} is too long, or has control characters")
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise PeerError(f"{name} is no text") from error
        form = _FORMS.get(name)
        if form is not None and not form.match(value):
            raise PeerError(f"{name} is of another form")
    elif isinstance(value, int | float) and not 0 <= value < 1 << 53:
        raise PeerError(f"{name} is out of bounds")


def answer(**fields: Any) -> bytes:
    """An answer as bytes; longer texts are cut."""
    return json.dumps({name: one[:TEXT] if isinstance(one, str) else one for name, one in fields.items()}).encode()


def read_answer(data: bytes) -> dict[str, Any]:
    """The fields of an answer."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise PeerError("the answer is no JSON") from error
    if not isinstance(found, dict):
        raise PeerError("the answer is no object")
    return found
