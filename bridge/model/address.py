"""Mail addresses: the strict grammar of the envelope, and the form in which two of them are compared.

Promises: bytes in, "local@domain" out, or BadAddress; never guesses (no comments, encoded words, groups, display names,
sec-S10). A quoted local part loses quotes it doesn't need; a source route is read and forgotten (never used, sec-S09);
non-ASCII only where `utf8` says that SMTPUTF8 was declared. `fold` never raises and is idempotent.
Fails by: BadAddress, a PeerError. Lengths are checked before IDNA sees anything (sec-M11).
RFC 5321 4.1.2, 4.1.3, 4.5.3.1; RFC 6531 3.3; RFC 5891.
"""
import ipaddress
import re
import unicodedata
from functools import lru_cache

import idna

from bridge.model.errors import PeerError

LOCAL_LIMIT = 128     # octets; RFC 5321 asks for 64, VERP addresses in use are longer
DOMAIN_LIMIT = 255
LABEL_LIMIT = 63
PATH_LIMIT = 1024     # octets of a path with its source route

_ATEXT = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~\-"
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_COMMON = re.compile(
    rf"([{_ATEXT}]{{1,64}}(?:\.[{_ATEXT}]{{1,64}}){{0,31}})@({_LABEL}(?:\.{_LABEL}){{0,126}})\Z".encode()
)
_DOT_STRING = re.compile(rf"[{_ATEXT}\x80-\U0010ffff]+(?:\.[{_ATEXT}\x80-\U0010ffff]+)*\Z")
_QUOTED = re.compile(r'"((?:[ !#-\[\]-~\x80-\U0010ffff]|\\[ -~])*)"')
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\Z")
_ROUTE = re.compile(rf"(?:@{_LABEL}(?:\.{_LABEL})*,?)+:")
_ESCAPED = re.compile(r"\\(.)", re.S)
_NEEDS_ESCAPE = re.compile(r'(["\\])')
_UNSAFE_KINDS = ("Cc", "Cs", "Cn", "Zl", "Zp", "Zs")
_DIRECTION = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")


class BadAddress(PeerError):
    """Not an address; the text says what is wrong with it, without repeating it."""


def path(text: bytes, *, utf8: bool = False, domain: str = "") -> tuple[str, bytes]:
    """The path at the start of an SMTP argument, and what follows it.

    Takes `<a@b>` and, as typed by hand, `a@b`. `<>` is "". A local part alone gets `domain` if there is one;
    `postmaster` needs none (RFC 5321 4.1.1.3) and stays bare.
    """
    text = text.lstrip(b" \t")
    if text.startswith(b"<"):
        end = _closing(text)
        inside, rest = text[1:end], text[end + 1 :]
        if not inside:
            return "", rest
    else:
        end = _first_space(text)
        inside, rest = text[:end], text[end:]
    if rest and rest[:1] not in b" \t":
        raise BadAddress("something follows the address")
    found = _COMMON.match(inside)
    if found and len(found[1]) <= LOCAL_LIMIT and len(found[2]) <= DOMAIN_LIMIT:
        return f"{found[1].decode()}@{found[2].decode().lower()}", rest
    if len(inside) > PATH_LIMIT:
        raise BadAddress("address is too long")
    return _mailbox(_without_route(_text(inside, utf8)), domain), rest


def mailbox(text: str | bytes, *, utf8: bool = True, domain: str = "") -> str:
    """The address that is the whole of `text`, without brackets."""
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if len(raw) > PATH_LIMIT:
        raise BadAddress("address is too long")
    return _mailbox(_text(raw, utf8), domain)


def split(address: str) -> tuple[str, str]:
    """Local part and domain ("" if there is none); a quoted local part may have @ in it."""
    local, at, domain = address.rpartition("@")
    return (local, domain) if at else (address, "")


@lru_cache(maxsize=4096)
def fold(address: str) -> str:
    """The form that two addresses of one mailbox have in common: NFC and casefold, domain as A-labels."""
    if address.isascii():
        return address.lower()
    local, domain = split(address)
    local = unicodedata.normalize("NFC", unicodedata.normalize("NFC", local).casefold())
    return f"{local}@{fold_domain(domain)}" if domain else local


def fold_domain(domain: str) -> str:
    """A domain for comparison and for DNS: lower case, A-labels; what IDNA refuses is only casefolded."""
    if domain.isascii():
        return domain.lower()
    try:
        return _alabels(domain)
    except BadAddress:
        return unicodedata.normalize("NFC", unicodedata.normalize("NFC", domain).casefold())


def _closing(text: bytes) -> int:
    """Where the > is that closes the path; one inside quotes doesn't."""
    end = text.find(b">")
    quote = text.find(b'"')
    if 0 <= quote < end or end < 0:
        quoted, position = False, 1
        while position < min(len(text), PATH_LIMIT):
            char = text[position]
            if char == 0x5C and quoted:
                position += 1
            elif char == 0x22:
                quoted = not quoted
            elif char == 0x3E and not quoted:
                return position
            position += 1
        raise BadAddress("no closing angle bracket")
    return end


def _first_space(text: bytes) -> int:
    """Where an address without brackets ends; a space inside quotes doesn't end it."""
    quoted = False
    for position, char in enumerate(text[:PATH_LIMIT]):
        if char == 0x22:
            quoted = not quoted
        elif char in b" \t" and not quoted:
            return position
    return len(text)


def _text(raw: bytes, utf8: bool) -> str:
    if raw.isascii():
        return raw.decode()
    if not utf8:
        raise BadAddress("address is not ASCII, and SMTPUTF8 was not declared")
    try:
        text = unicodedata.normalize("NFC", raw.decode("utf-8"))
    except UnicodeDecodeError:
        raise BadAddress("address is not UTF-8") from None
    for char in text:
        if char > "\x7f" and (unicodedata.category(char) in _UNSAFE_KINDS or char in _DIRECTION):
            raise BadAddress("address has an invisible character")
    return text


def _without_route(text: str) -> str:
    if not text.startswith("@"):
        return text
    found = _ROUTE.match(text)
    if not found or found[0].endswith(",:"):
        raise BadAddress("malformed source route")
    return text[found.end() :]


def _mailbox(text: str, default_domain: str) -> str:
    if text.startswith('"'):
        quoted = _QUOTED.match(text)
        if not quoted:
            raise BadAddress("malformed quoted local part")
        local, rest = _requoted(_ESCAPED.sub(r"\1", quoted[1])), text[quoted.end() :]
        if rest and not rest.startswith("@"):
            raise BadAddress("malformed local part")
        at, domain = rest[:1], rest[1:]
    else:
        local, at, domain = text.partition("@")
        if not _DOT_STRING.match(local):
            raise BadAddress("malformed local part" if local else "local part is empty")
    if len(local.encode()) > LOCAL_LIMIT:
        raise BadAddress("local part is too long")
    if not at:
        if default_domain:
            return f"{local}@{default_domain}"
        if local.lower() == "postmaster":
            return local
        raise BadAddress("domain is missing")
    return f"{local}@{_domain(domain)}"


def _requoted(content: str) -> str:
    if _DOT_STRING.match(content):
        return content
    return '"' + _NEEDS_ESCAPE.sub(r"\\\1", content) + '"'


def _domain(text: str) -> str:
    if text.startswith("["):
        return _literal(text)
    if not text.isascii():
        _alabels(text)
        return unicodedata.normalize("NFC", text.lower())
    if len(text) > DOMAIN_LIMIT or not _DOMAIN.match(text):
        raise BadAddress("malformed domain")
    return text.lower()


def _alabels(text: str) -> str:
    """IDNA 2008 label by label, lengths first. Full-width dots and the like are no dots."""
    if len(text) > DOMAIN_LIMIT:
        raise BadAddress("domain is too long")
    labels = []
    for label in unicodedata.normalize("NFC", text.lower()).split("."):
        if not label or len(label) > LABEL_LIMIT:
            raise BadAddress("malformed domain")
        if label.isascii():
            labels.append(label)
            continue
        try:
            labels.append(idna.alabel(label).decode())
        except (idna.IDNAError, UnicodeError):
            raise BadAddress("malformed international domain") from None
    domain = ".".join(labels)
    if len(domain) > DOMAIN_LIMIT or not _DOMAIN.match(domain):
        raise BadAddress("malformed domain")
    return domain


def _literal(text: str) -> str:
    inside = text[1:-1]
    if not text.endswith("]") or len(text) > 64:
        raise BadAddress("malformed address literal")
    try:
        if inside[:5].lower() == "ipv6:":
            if "%" in inside:
                raise ValueError
            return f"[IPv6:{ipaddress.IPv6Address(inside[5:]).compressed}]"
        return f"[{ipaddress.IPv4Address(inside)}]"
    except ValueError:
        raise BadAddress("malformed address literal") from None
