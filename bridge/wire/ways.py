"""The ways in for mail programs: which protocol on which host and port, and the DNS records that say so.

Promises: only ways under TLS are named, those with TLS from the first byte before those with STARTTLS (RFC 8314);
`target` takes an address from a stranger apart without ever failing; `records` gives lines for a zone file: RFC 6186
and RFC 8314 SRV records, also for what is not offered, so that clients don't guess.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

ADDRESS_LIMIT = 320         # octets of an address that is looked at
_DOMAIN = re.compile(r"[^\W_](?:[\w-]{0,62}[^\W_])?(?:\.[^\W_](?:[\w-]{0,62}[^\W_])?)*")
_BAD = re.compile(r"[\s\"<>\\]")
_TTL = 3600


class Kind(Enum):
    """What a way is for."""

    IMAP = "imap"
    POP3 = "pop3"
    SMTP = "smtp"


class Tls(Enum):
    """From the first byte, or after a command."""

    IMPLICIT = "implicit"
    STARTTLS = "starttls"


@dataclass(frozen=True, slots=True)
class Way:
    """One way in."""

    kind: Kind
    host: str
    port: int
    tls: Tls


@dataclass(frozen=True, slots=True)
class Service:
    """A port as the settings and the DNS name it; `priority`: the smaller, the rather (RFC 6186 3.3)."""

    setting: str
    srv: str
    kind: Kind
    tls: Tls
    priority: int


SERVICES = (
    Service("imaps", "_imaps._tcp", Kind.IMAP, Tls.IMPLICIT, 0),
    Service("imap", "_imap._tcp", Kind.IMAP, Tls.STARTTLS, 10),
    Service("pop3s", "_pop3s._tcp", Kind.POP3, Tls.IMPLICIT, 20),
    Service("pop3", "_pop3._tcp", Kind.POP3, Tls.STARTTLS, 30),
    Service("submissions", "_submissions._tcp", Kind.SMTP, Tls.IMPLICIT, 0),
    Service("submission", "_submission._tcp", Kind.SMTP, Tls.STARTTLS, 10),
)  # fmt: skip


def ways(host: str, ports: Mapping[str, int]) -> tuple[Way, ...]:
    """What is switched on, the best first. `ports`: by the names of `SERVICES`, 0 for off."""
    return tuple(Way(one.kind, host, ports[one.setting], one.tls) for one in SERVICES if ports.get(one.setting))


def best(offered: Sequence[Way], kind: Kind) -> Way | None:
    return next((one for one in offered if one.kind is kind), None)


def target(address: str) -> tuple[str, str] | None:
    """Local part and domain of what somebody says is an address; None where it can't be one."""
    if len(address.encode("utf-8", "replace")) > ADDRESS_LIMIT or _BAD.search(address) or not address.isprintable():
        return None
    local, at, domain = address.rpartition("@")
    return (local, domain) if at and local and _DOMAIN.fullmatch(domain) else None


def records(domain: str, host: str, offered: Sequence[Way], web: str) -> Iterator[str]:
    """Zone file lines for one domain, names as A-labels. `host` takes its mail; `web`: the host of the pages where they
    are under https, else empty."""
    yield _line(domain, "MX", f"10 {host}.")
    yield _line(domain, "TXT", '"v=spf1 mx -all"')
    yield _line(f"_dmarc.{domain}", "TXT", '"v=DMARC1; p=quarantine"')
    there = {(one.kind, one.tls): one for one in offered}
    for service in SERVICES:
        way = there.get((service.kind, service.tls))
        what = f"{service.priority} 1 {way.port} {way.host}." if way else "0 0 0 ."
        yield _line(f"{service.srv}.{domain}", "SRV", what)
    if web:
        yield _line(f"autoconfig.{domain}", "CNAME", f"{web}.")
        yield _line(f"autodiscover.{domain}", "CNAME", f"{web}.")
        yield _line(f"_autodiscover._tcp.{domain}", "SRV", f"0 1 443 {web}.")


def _line(name: str, kind: str, what: str) -> str:
    return f"{name + '.':40} {_TTL} IN {kind:5} {what}"
