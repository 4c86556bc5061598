"""Outlook's Autodiscover in its plain old XML form ([MS-OXDSCLI]): the request read, the answer written.

Promises: `asked` reads at most `REQUEST_LIMIT` bytes, `ELEMENTS` elements and `DEPTH` levels, and takes no markup
declarations at all, so there are no entities to expand, no external files, no comments to hide in (sec-W15); the answer
says nothing about whether the address exists.
Fails by: BadRequest, the only exception that a request can cause.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

from bridge.model.errors import PeerError
from bridge.wire.ways import Kind, Tls, Way, best

REQUEST_LIMIT, ELEMENTS, DEPTH = 16_384, 64, 8
INVALID, NO_PROVIDER = (600, "Invalid Request"), (601, "Provider is not available")
OUTLOOK = "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a"
_OUTER = "http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006"
_NAME = re.compile(r"(?:[A-Za-z_][\w.-]*:)?([A-Za-z_][\w.-]*)")
_REFERENCE = re.compile(r"&(?:(lt|gt|amp|quot|apos)|#(\d{1,7})|#x([0-9A-Fa-f]{1,6}));")
_NAMED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'"}


class BadRequest(PeerError):
    """No request of Autodiscover; the text says why."""


class Asked(NamedTuple):
    """`schema`: which kind of answer is wanted."""

    address: str
    schema: str


def asked(body: bytes) -> Asked:
    """The address and the schema of a request."""
    if len(body) > REQUEST_LIMIT:
        raise BadRequest("too long")
    try:
        text = body.decode("utf-16" if body[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        raise BadRequest("neither UTF-8 nor UTF-16") from None
    found = dict(_leaves(text))
    address = found.get("Autodiscover/Request/EMailAddress", "")
    if not address:
        raise BadRequest("no EMailAddress")
    return Asked(address, found.get("Autodiscover/Request/AcceptableResponseSchema", OUTLOOK))


def _leaves(text: str) -> Iterator[tuple[str, str]]:
    """Path and text of each element without children. Prefixes and attributes are left out."""
    before, *pieces = text.split("<", 2 * ELEMENTS + 2)
    if before.strip() or len(pieces) > 2 * ELEMENTS + 1:
        raise BadRequest("no XML, or too much of it")
    path: list[str] = []
    opened = False
    for number, piece in enumerate(pieces):
        tag, end, content = piece.partition(">")
        if not end or tag.startswith("!") or (tag.startswith("?") and number):
            raise BadRequest("markup that no client sends")
        if tag.startswith("?"):
            continue
        if not path and number > 1:
            raise BadRequest("more than one element")
        if tag.startswith("/"):
            if not path or path.pop() != _name(tag[1:].rstrip()):
                raise BadRequest("tags that don't match")
            opened = False
            continue
        path.append(_name(tag.removesuffix("/")))
        if len(path) > DEPTH:
            raise BadRequest("too deep")
        opened = not tag.endswith("/")
        if opened and number + 1 < len(pieces) and pieces[number + 1].startswith("/"):
            yield "/".join(path), _text(content).strip()
        if not opened:
            path.pop()
    if path or opened:
        raise BadRequest("it ends in the middle")


def _name(tag: str) -> str:
    found = _NAME.match(tag)
    if not found or (found.end() < len(tag) and not tag[found.end()].isspace()):
        raise BadRequest("a tag without a name")
    return found[1]


def _text(content: str) -> str:
    if "&" in content and content.count("&") != len(_REFERENCE.findall(content)):
        raise BadRequest("an unknown entity")
    return _REFERENCE.sub(_character, content)


def _character(found: re.Match[str]) -> str:
    if found[1]:
        return _NAMED[found[1]]
    number = int(found[2]) if found[2] else int(found[3], 16)
    if number > 0x10FFFF or 0xD800 <= number < 0xE000 or (number < 32 and number not in (9, 10, 13)):
        raise BadRequest("no character")
    return chr(number)


def answer(address: str, offered: Sequence[Way]) -> bytes:
    """The settings for an address: the best way of each kind, IMAP first."""
    found = [way for kind in Kind if (way := best(offered, kind)) is not None]
    protocols = "".join(_protocol(way, address) for way in found)
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        f'<Autodiscover xmlns="{_OUTER}">\n'
        f'  <Response xmlns="{OUTLOOK}">\n'
        "    <Account>\n"
        "      <AccountType>email</AccountType>\n"
        "      <Action>settings</Action>\n"
        f"{protocols}"
        "    </Account>\n"
        "  </Response>\n"
        "</Autodiscover>\n"
    ).encode()


def _protocol(way: Way, address: str) -> str:
    sending = "        <UsePOPAuth>on</UsePOPAuth>\n        <SMTPLast>off</SMTPLast>\n" * (way.kind is Kind.SMTP)
    return (
        "      <Protocol>\n"
        f"        <Type>{way.kind.name}</Type>\n"
        f"        <Server>{escape(way.host)}</Server>\n"
        f"        <Port>{way.port}</Port>\n"
        "        <DomainRequired>off</DomainRequired>\n"
        f"        <LoginName>{escape(address)}</LoginName>\n"
        "        <SPA>off</SPA>\n"
        "        <SSL>on</SSL>\n"
        f"        <Encryption>{'SSL' if way.tls is Tls.IMPLICIT else 'TLS'}</Encryption>\n"
        "        <AuthRequired>on</AuthRequired>\n"
        f"{sending}"
        "      </Protocol>\n"
    )


def refusal(error: tuple[int, str], at: str) -> bytes:
    """An error in the form that Outlook understands. `at`: the time of day."""
    code, message = error
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        f'<Autodiscover xmlns="{_OUTER}">\n'
        "  <Response>\n"
        f'    <Error Time="{escape(at)}" Id="{code}">\n'
        f"      <ErrorCode>{code}</ErrorCode>\n"
        f"      <Message>{escape(message)}</Message>\n"
        "      <DebugData />\n"
        "    </Error>\n"
        "  </Response>\n"
        "</Autodiscover>\n"
    ).encode()
