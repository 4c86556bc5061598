"""What a next hop means: where to look, how to protect the connection, as whom to log in, where never to connect.

A next hop is "example.net" (a domain: its MX hosts, S79), "[192.0.2.1]" (an address literal) or
"[smtp.example.net]:587" (a server that the administrator chose: smarthost or transport, S80, S88).
Promises: a server of the administrator's choice may be anywhere; the servers of a public domain only at public
addresses or in networks that `private` names (sec-O06); a login is used for the destination that it was written for.
"""
import ipaddress
import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass

from bridge.config.outbound import Destination, Outbound
from bridge.model.address import fold_domain

SMTPS = 465
_SERVER = re.compile(r"\[([^\[\]]+)\]:(\d{1,5})\Z")
_LITERAL = re.compile(r"\[(?:ipv6:)?([0-9a-f.:]+)\]\Z", re.I)


@dataclass(frozen=True, slots=True)
class Hop:
    """`host`: a domain, or with `chosen` a server; `literal`: `host` is an address and no name."""

    host: str
    port: int = 25
    chosen: bool = False
    literal: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """How to talk to a destination. `tls`: none, may, encrypt or verify."""

    tls: str
    implicit: bool = False
    login: tuple[str, str] | None = None
    lmtp: bool = False


def hop(nexthop: str) -> Hop:
    """What the queue calls a next hop."""
    found = _SERVER.match(nexthop)
    if found:
        host = found[1]
        return Hop(host, int(found[2]), chosen=True, literal=_address(host) is not None)
    literal = _LITERAL.match(nexthop)
    if literal:
        return Hop(literal[1], literal=True)
    return Hop(fold_domain(nexthop))


class Policies:
    """The policy table, by next hop."""

    def __init__(self, settings: Outbound) -> None:
        self._default = settings.tls
        self._table: dict[str, Destination] = {_name(one.name): one for one in settings.destinations}

    def of(self, hop: Hop) -> Policy:
        """The most special row counts: server with port, server or domain, then the domains around it."""
        labels = hop.host.split(".")
        names = [f"{hop.host}:{hop.port}", hop.host, *("." + ".".join(labels[i:]) for i in range(1, len(labels)))]
        row = next((self._table[name] for name in names if name in self._table), None)
        if row is None:
            return Policy(self._default, hop.chosen and hop.port == SMTPS)
        login = (row.login, row.password) if row.login else None
        tls = row.tls or ("verify" if login else self._default)
        return Policy(tls, tls != "none" and (row.implicit or hop.port == SMTPS), login, row.protocol == "lmtp")


class Networks:
    """Which addresses the servers of other people's domains may have."""

    def __init__(self, settings: Outbound) -> None:
        self._private = [ipaddress.ip_network(text) for text in settings.private]

    def private(self, address: str) -> bool:
        """Whether the administrator named a network for it."""
        one = _address(address)
        return one is not None and any(one in network for network in self._private)

    def allowed(self, address: str) -> bool:
        one = _address(address)
        if one is None:
            return False
        return (one.is_global and not one.is_multicast) or self.private(address)


@dataclass(frozen=True, slots=True)
class Contexts:
    """TLS contexts: `careless` encrypts to whoever answers, `careful` checks certificate and name."""

    careless: ssl.SSLContext
    careful: ssl.SSLContext

    def of(self, policy: Policy) -> ssl.SSLContext:
        return self.careful if policy.tls == "verify" else self.careless


def contexts(authorities: str = "") -> Contexts:
    """TLS 1.2 and later (sec-A13). `authorities`: a PEM file instead of the system's."""
    careful = ssl.create_default_context(cafile=authorities or None)
    careless = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    careless.check_hostname = False
    careless.verify_mode = ssl.CERT_NONE
    for one in (careful, careless):
        one.minimum_version = ssl.TLSVersion.TLSv1_2
    return Contexts(careless, careful)


def sort_addresses(found: Sequence[str], ipv6: bool) -> list[str]:
    """Both families in turn, so that one that doesn't work costs one attempt."""
    six = [one for one in found if ":" in one] if ipv6 else []
    four = [one for one in found if ":" not in one]
    ordered: list[str] = []
    for number in range(max(len(six), len(four))):
        ordered += six[number : number + 1] + four[number : number + 1]
    return ordered


def _name(text: str) -> str:
    return text.strip().lower().replace("[", "").replace("]", "")


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        one = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return one.ipv4_mapped if one.version == 6 and one.ipv4_mapped else one
