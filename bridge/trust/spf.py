"""SPF: may this client send for that domain?

Promises: at most ten terms that ask the name service and two questions without an answer (RFC 7208 4.6.4), whatever
the records say of each other; no text of a record leaves this module. Trouble of the name service is `temperror`, a
record that can't be understood `permerror`; neither is ever `pass` or `fail`. RFC 7208; sec-M21.
Not here: `exp=`, because a stranger's text has no place in our replies.
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple
from urllib.parse import quote

from bridge.model.address import fold_domain, split
from bridge.trust.names import Names, NameTrouble, NoDomain

Word = Literal["pass", "fail", "softfail", "neutral", "none", "temperror", "permerror"]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
LOOKUPS, VOIDS, HOSTS = 10, 2, 10
_LONGEST = 4096         # characters of a record; in practice it has 450
_QUALIFIERS: dict[str, Word] = {"+": "pass", "-": "fail", "~": "softfail", "?": "neutral"}
_RECORD = re.compile(r"v=spf1(?: |\Z)", re.I)
_TERM = re.compile(r"([+\-~?]?)(all|include|a|mx|ptr|ip4|ip6|exists)(?::(.*?))?((?:/\d+)?(?://\d+)?)\Z", re.I | re.S)
_MODIFIER = re.compile(r"([a-z][a-z0-9_.-]*)=(.*)\Z", re.I | re.S)
_PREFIX = re.compile(r"(?:/(0|[1-9]\d?))?(?://(0|[1-9]\d{0,2}))?\Z")
_DOMAIN_END = re.compile(r"(?:\.(?=[^.]*[a-z-])[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.?|%\{[^}]*\}|%[%_-])\Z", re.I)
_MACRO = re.compile(r"%(?:\{([slodiphcrtv])(\d{0,3})(r?)([.+,/_=-]*)\}|([%_-]))|([!-$&-~ ])", re.I)


class Result(NamedTuple):
    """`domain` is the one that was asked about."""

    word: Word
    domain: str


class _Permanent(Exception):
    """The record is wrong, or asks too much."""


@dataclass(slots=True)
class _Check:
    """One check from its start to its end, through all includes."""

    ip: Address
    helo: str
    sender: str
    names: Names
    lookups: int = 0
    voids: int = 0
    _hosts: dict[str, Sequence[str]] = field(default_factory=dict)

    async def domain(self, domain: str) -> Word:
        """check_host() of RFC 7208 4."""
        if not _is_domain(domain):
            return "none"
        try:
            texts = await self.names.texts(domain)
        except NoDomain:
            return "none"
        records = [text for text in texts if _RECORD.match(text)]
        if not records:
            return "none"
        if len(records) > 1 or len(records[0]) > _LONGEST:
            raise _Permanent("several records, or no end of one")
        terms, redirect = _parsed(records[0])
        for qualifier, mechanism, value, prefix in terms:
            if await self._matches(mechanism, value, prefix, domain):
                return _QUALIFIERS[qualifier or "+"]
        if redirect is None:
            return "neutral"
        self._count()
        target = await self._expanded(redirect, domain)
        found = await self.domain(target)
        if found == "none":
            raise _Permanent("redirect to a domain without a record")
        return found

    async def _matches(self, mechanism: str, value: str, prefix: str, domain: str) -> bool:
        match mechanism:
            case "all":
                return True
            case "ip4" | "ip6":
                return _network(mechanism, value + prefix, self.ip)
            case "include":
                self._count()
                word = await self.domain(await self._expanded(value, domain))
                if word == "none":
                    raise _Permanent("include of a domain without a record")
                return word == "pass"
        self._count()
        target = await self._expanded(value, domain) if value else domain
        match mechanism:
            case "a":
                return self._near(await self._addresses(target), prefix)
            case "mx":
                return await self._is_exchanger(target, prefix)
            case "exists":
                return bool([one for one in await self._addresses(target) if ":" not in one])
            case _:
                return any(name == target or name.endswith("." + target) for name in await self._own_names(target))

    async def _is_exchanger(self, domain: str, prefix: str) -> bool:
        try:
            found = await self.names.mx(domain)
        except NoDomain:
            found = ()
        if not found:
            self._void()
        if len(found) > HOSTS:
            raise _Permanent("too many mail exchangers")
        for _, host in found:
            if self._near(await self._addresses(host.rstrip(".")), prefix):
                return True
        return False

    async def _own_names(self, wanted: str) -> list[str]:
        """Names of the client that lead back to it: `wanted` first, then those below it, then others (7.3)."""
        try:
            found = await self.names.names_of(str(self.ip))
        except (NoDomain, NameTrouble):
            found = ()
        if not found:
            self._void()
        own = []
        for name in [fold_domain(one.rstrip(".")) for one in found[:HOSTS]]:
            try:
                back = await self.names.addresses(name)
            except (NoDomain, NameTrouble):
                continue
            if any(ipaddress.ip_address(one) == self.ip for one in back):
                own.append(name)
        return sorted(own, key=lambda name: (name != wanted, not name.endswith("." + wanted)))

    async def _addresses(self, host: str) -> Sequence[str]:
        if not 0 < len(host) <= 253:
            return ()
        known = self._hosts.get(host)
        if known is None:
            try:
                known = await self.names.addresses(host)
            except NoDomain:
                known = ()
            if not known:
                self._void()
            self._hosts[host] = known
        return known

    def _near(self, found: Sequence[str], prefix: str) -> bool:
        four, six = _prefixes(prefix)
        length = four if self.ip.version == 4 else six
        return any(
            one.version == self.ip.version and self.ip in ipaddress.ip_network((one, length), strict=False)
            for one in map(ipaddress.ip_address, found)
        )

    def _count(self) -> None:
        self.lookups += 1
        if self.lookups > LOOKUPS:
            raise _Permanent("too many lookups")

    def _void(self) -> None:
        self.voids += 1
        if self.voids > VOIDS:
            raise _Permanent("too many lookups without an answer")

    async def _expanded(self, text: str, domain: str) -> str:
        """A domain-spec with its macros filled in, at most 253 characters, cut from the left at a dot."""
        parts, at = [], 0
        while at < len(text):
            found = _MACRO.match(text, at)
            if found is None:
                raise _Permanent("no such macro")
            at = found.end()
            if found[6]:
                parts.append(found[6])
            elif found[5]:
                parts.append({"%": "%", "_": " ", "-": "%20"}[found[5]])
            else:
                parts.append(await self._macro(found, domain))
        name = fold_domain("".join(parts).rstrip("."))
        while len(name) > 253:
            name = name.partition(".")[2]
        return name

    async def _macro(self, found: re.Match[str], domain: str) -> str:
        letter, count, turned, signs = found[1].lower(), found[2], found[3], found[4] or "."
        local, at = split(self.sender)
        if letter == "p":
            self._count()
            own = await self._own_names(domain)
            value = own[0] if own else "unknown"
        else:
            value = {
                "s": self.sender, "l": local, "o": at, "d": domain, "i": _dotted(self.ip), "h": self.helo,
                "v": "in-addr" if self.ip.version == 4 else "ip6",
            }[letter]  # fmt: skip
        pieces = re.split("[" + re.escape(signs) + "]", value)
        if turned:
            pieces.reverse()
        if count:
            if not int(count):
                raise _Permanent("a macro that keeps nothing")
            pieces = pieces[-int(count) :]
        value = ".".join(pieces)
        return quote(value, safe="") if found[1].isupper() else value


async def check(ip: str, helo: str, sender: str, names: Names) -> Result:
    """What the domain of `sender` (of `helo`, where the sender is null) says of the client at `ip`."""
    address = _client(ip)
    domain = fold_domain(split(sender)[1] if sender else helo)
    if address is None:
        return Result("none", domain)
    work = _Check(address, helo, sender or f"postmaster@{helo}", names)
    try:
        return Result(await work.domain(domain), domain)
    except _Permanent:
        return Result("permerror", domain)
    except NameTrouble:
        return Result("temperror", domain)


def _parsed(record: str) -> tuple[list[tuple[str, str, str, str]], str | None]:
    """(qualifier, mechanism, value, prefix) of each mechanism, and the redirect. All is looked at before any is
    asked (4.6)."""
    terms: list[tuple[str, str, str, str]] = []
    modifiers: dict[str, str] = {}
    for term in record.split(" ")[1:]:
        if not term:
            continue
        modifier = _MODIFIER.match(term)
        if modifier:
            name = modifier[1].lower()
            if name in ("redirect", "exp") and (name in modifiers or not modifier[2]):
                raise _Permanent("a modifier twice, or empty")
            _check_macros(modifier[2])
            if name in ("redirect", "exp") and not _DOMAIN_END.search(modifier[2]):
                raise _Permanent("no domain")
            modifiers[name] = modifier[2]
            continue
        found = _TERM.match(term)
        if found is None:
            raise _Permanent("no such mechanism")
        terms.append(_checked(*found.groups()))
    has_all = any(mechanism == "all" for _, mechanism, _, _ in terms)
    return terms, None if has_all else modifiers.get("redirect")


def _checked(qualifier: str, mechanism: str, given: str | None, prefix: str) -> tuple[str, str, str, str]:
    mechanism, value = mechanism.lower(), given or ""
    if mechanism in ("ip4", "ip6"):
        _network(mechanism, value + prefix, None)
        return qualifier, mechanism, value, prefix
    needed = mechanism in ("include", "exists")
    if (given is None and needed) or (given is not None and (mechanism == "all" or not _DOMAIN_END.search(value))):
        raise _Permanent("a mechanism without its domain, or with one too many")
    if prefix:
        if mechanism not in ("a", "mx"):
            raise _Permanent("a prefix where none belongs")
        _prefixes(prefix)
    _check_macros(value)
    return qualifier, mechanism, value, prefix


def _check_macros(text: str) -> None:
    """c, r and t belong into texts of explanations, which we never fetch (7.2)."""
    at = 0
    while at < len(text):
        found = _MACRO.match(text, at)
        if found is None or (found[1] and found[1] in "crtCRT"):
            raise _Permanent("no such macro")
        at = found.end()


def _prefixes(text: str) -> tuple[int, int]:
    found = _PREFIX.match(text)
    four, six = (int(found[1] or 32), int(found[2] or 128)) if found else (99, 0)
    if found and found[1] == "0":
        four = 0
    if found and found[2] == "0":
        six = 0
    if four > 32 or six > 128:
        raise _Permanent("no such prefix length")
    return four, six


def _network(mechanism: str, text: str, ip: Address | None) -> bool:
    """Is `ip` in the network; without `ip` only: is it one?"""
    kind = ipaddress.IPv4Network if mechanism == "ip4" else ipaddress.IPv6Network
    try:
        if "/" in text and not re.search(r"/(?:0|[1-9]\d{0,2})\Z", text):
            raise ValueError
        network = kind(text, strict=False)
    except ValueError:
        raise _Permanent("no such network") from None
    return ip is not None and ip.version == network.version and ip in network


def _client(text: str) -> Address | None:
    try:
        one = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return one.ipv4_mapped if one.version == 6 and one.ipv4_mapped else one


def _dotted(ip: Address) -> str:
    return str(ip) if ip.version == 4 else ".".join(ip.exploded.replace(":", ""))


def _is_domain(name: str) -> bool:
    labels = name.split(".")
    return len(labels) > 1 and len(name) <= 253 and all(0 < len(label) <= 63 for label in labels)
